"""Counter-based random numbers on the GPU, the same stream as the reference's: the launchers of `random.cu`.

`start` may be a dial of a captured step. Not here: who owns a key and where its counter stands (`engine/random.py`).
"""

import numpy as np

from inachus.kernels import home
from inachus.kernels.cuda.graph import dial
from inachus.kernels.cuda.launch import launch
from inachus.kernels.cuda.loops.columns import THREADS, reals


def philox(seed, stream, start, blocks):
    """uint32 (blocks, 4): key `seed`, counter (start + i) in the low and `stream` in the high 64 bits."""
    return _drawn("philox", seed, stream, start, home().empty((blocks, 4), np.uint32), np.float32)


def uniform(seed, stream, start, shape, dtype):
    """U[0, 1) of 24 bits, (r >> 8) 2^-24: exact in float32, and the same numbers in float64."""
    return _drawn("uniform", seed, stream, start, home().empty(shape, dtype), dtype)


def normal(seed, stream, start, shape, dtype):
    """N(0, 1) by Box and Muller: sqrt(-2 ln u) (cos, sin)(2 pi v), with u = ((r0 >> 8) + 1) 2^-24, v = (r1 >> 8) 2^-24.

    Each pair of the stream gives two neighbours of the result. Equal to the reference's to rounding.
    """
    return _drawn("normal", seed, stream, start, home().empty(shape, dtype), dtype)


def where(start):
    """(its number, where the device finds it if it is a dial): a place in a stream, as kernels take it."""
    value, pointer = dial(start)
    return np.uint64(value), pointer


def _drawn(kernel, seed, stream, start, y, dtype):
    blocks, args = -(-y.size // (4 * THREADS)), (np.uint64(seed), np.uint64(stream), *where(start), y, np.int64(y.size))
    if blocks:
        launch("loops/random.cu", kernel, blocks, THREADS, args, like=y, defines=reals(dtype))
    return y
