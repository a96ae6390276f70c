"""How (G, M, C) is cut into blocks, and the tickets of blocks that finish a sum: the host's side of the `.cuh` files.

Not here: any kernel (`norm.py`, `activation.py`, `losses.py`).
"""

from typing import Any, NamedTuple

import numpy as np

from inachus.kernels import address, xp

THREADS = 256  # of every block of this folder
BLOCKS = 528  # enough for each of an H100's 132 multiprocessors to work on four
LINE = 128  # bytes of memory that a row of a block fills
SMALL = 16  # rows a thread up to which a group is not cut
COLUMNS = np.dtype([("M", "i8"), ("rows", "i8"), ("G", "i4"), ("C", "i4"), ("chunks", "i4"), ("tiles", "i4")])


def reals(dtype: Any) -> dict[str, str]:
    """The macro that makes a kernel one of numbers of this dtype."""
    return {"REAL": {"f": "float", "d": "double"}[np.dtype(dtype).char]}


class Grid(NamedTuple):
    """What a kernel over columns is launched with."""

    columns: np.ndarray
    blocks: int
    block: tuple[int, int]
    defines: dict[str, Any]
    chunks: int
    tiles: int

    def shared(self, numbers: int, more: int = 0) -> int:
        """Bytes of shared memory for so many numbers of each thread: `numbers` for each of its channels, and `more`."""
        return THREADS * (4 if self.defines["REAL"] == "float" else 8) * (numbers * self.defines["WIDTH"] + more)


def columns(G: int, M: int, C: int, stride: int, *arrays) -> Grid:
    """The grid for arrays (G, M, C), None left out; one of them may have another `stride` than C from row to row."""
    arrays = [a for a in arrays if a is not None]
    itemsize = arrays[0].itemsize
    width = 16 // itemsize
    if C % width or stride % width or any(address(a) % 16 for a in arrays):
        width = 1
    lanes = min(LINE // (width * itemsize), 1 << (-(-C // width) - 1).bit_length())
    height, tiles = THREADS // lanes, -(-C // (lanes * width))
    chunks = 1 if -(-M // height) <= SMALL else max(1, min(BLOCKS // (G * tiles), -(-M // (4 * height))))
    rows = max(1, -(-M // (chunks * height))) * height
    chunks = max(1, -(-M // rows))
    shape, defines = np.array([(M, rows, G, C, chunks, tiles)], COLUMNS), {**reals(arrays[0].dtype), "WIDTH": width}
    return Grid(shape, G * chunks * tiles, (lanes, height), defines, chunks, tiles)


def pixels(x: Any) -> tuple[Any, int]:
    """(x, numbers from row to row), x a part [..., a:b] of a contiguous array; any other x is copied first."""
    stride, step = 0, 0
    regular = x.shape[-1] == 1 or x.strides[-1] == x.itemsize
    for n, s in zip(x.shape[-2::-1], x.strides[-2::-1], strict=True):
        if n > 1:
            regular &= s != 0 and step in (0, s)  # 0: a repeated row
            stride, step = stride or s, n * s
    if regular and stride % x.itemsize == 0 and (stride == 0 or stride >= x.shape[-1] * x.itemsize):
        return x, stride // x.itemsize or x.shape[-1]
    return xp(x).ascontiguousarray(x), x.shape[-1]


POOL = 1 << 14
_pools: dict[tuple, list] = {}


def tickets(x: Any, count: int) -> Any:
    """`count` zeros of uint32 on the device of x, up to POOL: what `last_block` counts with, and puts back to zero.

    They come from one array a device, in turn, so that launches that overlap have different ones. It is made at the
    first call, which must not be part of a captured step.
    """
    key = type(x), getattr(getattr(x, "device", None), "id", 0)
    if key not in _pools:
        _pools[key] = [xp(x).zeros(POOL, np.uint32), 0]
    pool, first = _pools[key]
    first = 0 if first + count > POOL else first
    _pools[key][1] = first + count
    return pool[first : first + count]
