"""Which tile a matrix product is cut into and into how many parts its sum: measured on this device, or by a rule.

`tiles.json` holds the tiles, those that each precision may use, and what was measured, by device, operation, precision
and class of shape. `tune` measures on the device at hand and keeps the result in the user's cache, which comes first.
Where nothing was measured, `_clocks` estimates each candidate from what a multiprocessor can multiply and read.
"""

import json
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from inachus.kernels.emulator.compiler import cache_folder

BK = 32  # of every tile: a step of the sum
PRODUCTS = {"tf32": 640, "fp32": 640 / 3, "bf16": 1280}  # multiplications a clock and multiprocessor of an H100
FETCHED, EXCHANGED = 30, 128  # bytes a clock and multiprocessor: from the L2 cache, from and to shared memory
BEGIN, WAIT = 1500, 400  # clocks: to fill and empty the pipeline; of a step that a block waits for alone
ADD = 4000  # clocks of a launch that adds parts
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
NAIVE = "naive"  # no tile: one thread computes one output
FILE = Path(__file__).with_name("tiles.json")


class Tile(NamedTuple):
    """BM x BN of the result, by warps of WM x WN, STAGES steps in flight; a multiprocessor holds BLOCKS of them."""

    BM: int
    BN: int
    WM: int
    WN: int
    STAGES: int
    BLOCKS: int

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.BM // self.WM * (self.BN // self.WN) * 32

    def shared(self, op: str) -> int:
        """Bytes of shared memory: the tiles of both operands, and the tables of lines."""
        lines = {"conv2d": self.BM, "conv2d_dx": self.BM + self.BN, "conv2d_dw": self.STAGES * BK}[op]
        return 4 * self.STAGES * (self.BM + self.BN) * BK + 16 * lines


class Product(NamedTuple):
    """(M, K) . (K, N) as `op` multiplies it, `count` times; `phases`: the columns are the phases of few channels."""

    op: str
    M: int
    N: int
    K: int
    count: int
    phases: bool = False
    single: bool = False  # rows of the weight gradient are copied number by number

    @property
    def steps(self) -> int:
        """Of the sum."""
        return -(-self.K // BK)

    def fits(self, tile: Tile) -> bool:
        """True if the kernel can use this tile."""
        if self.phases and tile.BN % 32 == 0:
            return False
        return self.op != "conv2d_dw" or tile.threads * (1 if self.single else 4) >= tile.BM


class Choice(NamedTuple):
    """A tile by its name, and the parts of the sum."""

    tile: str
    splits: int


_table = json.loads(FILE.read_text())
TILES = {name: Tile(*sizes) for name, sizes in _table["tiles"].items()}
CANDIDATES: dict[str, list[str]] = _table["candidates"]
_forced: Choice | None = None


def choose(product: Product, precision: str, like: Any) -> Choice:
    """The tile and the parts for a product on the device of `like`."""
    if _forced and (_forced.tile == NAIVE or product.fits(TILES[_forced.tile])):
        return _forced
    return _choose(product, precision, _device(like))


@contextmanager
def forced(tile: str, splits: int = 1) -> Iterator[None]:
    """Inside, every product takes this tile, if it fits, and so many parts; NAIVE: one thread an output."""
    global _forced
    before, _forced = _forced, Choice(tile, splits)
    try:
        yield
    finally:
        _forced = before


@cache
def _choose(product, precision, device):
    key, allowed = _key(product, precision), _candidates(product, precision, device)
    for table in (_cached(), _table["measured"]):
        if (choice := Choice(*table.get(device.name, {}).get(key, ("", 0)))) in allowed:
            return choice
    return min(allowed, key=lambda choice: _clocks(product, precision, choice, device.processors))


def _candidates(product, precision, device):
    """Every tile that fits, with every number of parts that leaves each at least four steps."""
    fitting = (t for t in CANDIDATES[precision] if product.fits(TILES[t]))
    names = [t for t in fitting if TILES[t].shared(product.op) <= device.shared]
    return [Choice(name, splits) for name in names for splits in SPLITS if splits == 1 or 4 * splits <= product.steps]


def _clocks(product, precision, choice, processors):
    """An estimate of the clocks a product takes."""
    tile, (_, M, N, _, count, *_) = TILES[choice.tile], product
    steps = -(-product.steps // choice.splits)
    blocks = -(-M // tile.BM) * -(-N // tile.BN) * choice.splits * count
    read = tile.threads // 32 * (tile.WM + tile.WN) + tile.BM + tile.BN  # lines of BK numbers, and written
    step = max(
        tile.BM * tile.BN * BK / PRODUCTS[precision],
        (tile.BM + tile.BN) * BK * 4 / FETCHED,
        read * BK * 4 / EXCHANGED,
    )
    turns = -(-blocks // processors)  # blocks of the busiest multiprocessor
    together = min(turns, tile.BLOCKS)
    idle = 1 + max(0, 8 - together * tile.threads // 32) / 16  # too few warps to take turns
    clocks = turns * (steps * max(step * idle, WAIT / together) + BEGIN / together)
    parts = 4 * M * N * count * (choice.splits + 1) / (FETCHED * processors)
    return clocks + (ADD + parts if choice.splits > 1 else 0)


def _key(product, precision):
    """The class of a shape: M, N, K and the number of products to the nearest power of two."""
    size = ",".join(str(round(math.log2(n))) for n in product[1:5])
    return f"{product.op}/{precision}/{size}{'/phases' * product.phases}"


# --- devices and what was measured on them ---------------------------------------------------------------------


class Device(NamedTuple):
    """What the choice depends on: its name, multiprocessors, and bytes of shared memory that a block may have."""

    name: str
    processors: int
    shared: int


EMULATED = Device("emulated", 132, 227 << 10)  # as an H100


def _device(like):
    return _gpu(like.device.id) if type(like).__module__.startswith("cupy") else EMULATED


@cache
def _gpu(number):
    import cupy

    about = cupy.cuda.runtime.getDeviceProperties(number)
    return Device(about["name"].decode(), about["multiProcessorCount"], about["sharedMemPerBlockOptin"])


def cache_file() -> Path:
    """Where `tune` keeps what it measured: {device: {class of shape: [tile, parts]}}, as under "measured" in FILE."""
    return cache_folder().with_name("tiles.json")


@cache
def _cached():
    with suppress(OSError, ValueError):
        return json.loads(cache_file().read_text())
    return {}


def reload() -> None:
    """Forgets what was read from the user's cache: it is read again."""
    _cached.cache_clear()
    _choose.cache_clear()


def _remember(device, key, choice):
    table = _cached()
    table.setdefault(device.name, {})[key] = choice
    cache_file().parent.mkdir(parents=True, exist_ok=True)
    cache_file().write_text(json.dumps(table, indent=1))
    reload()


def tune(op: str, shape: tuple, precision: str, like: Any, timer: Callable | None = None, rounds: int = 5) -> Choice:
    """Times every candidate for one convolution on the device of `like` and keeps the fastest in the user's cache.

    shape: (x's shape, w's shape, stride, pad). Rounds are interleaved, so that a change of clocks meets all; the median
    counts. timer(run) gives the time of run(), by default measured with the device's events.
    """
    from inachus.kernels.cuda.convolution import conv

    run, product = conv.example(op, *shape, like)
    timer, times = timer or _events, {choice: [] for choice in _candidates(product, precision, _device(like))}
    before = conv.precision()
    conv.use_precision(precision)
    try:
        for _ in range(rounds + 1):  # the first one compiles and warms up
            for choice, measured in times.items():
                with forced(*choice):
                    measured.append(timer(run))
    finally:
        conv.use_precision(before)
    best = min(times, key=lambda choice: statistics.median(times[choice][1:]))
    _remember(_device(like), _key(product, precision), best)
    return best


def _events(run, repeats=20):
    """Milliseconds of run(), taken `repeats` times as one graph: small kernels outrun the host that launches them."""
    import cupy

    stream, start, stop = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event(), cupy.cuda.Event()
    with stream:
        run()  # nothing is compiled in a capture
        stream.begin_capture()
        kept = [run() for _ in range(repeats)]
        graph = stream.end_capture()
        start.record()
        graph.launch()
        stop.record()
        stop.synchronize()
    del kept
    return cupy.cuda.get_elapsed_time(start, stop) / repeats
