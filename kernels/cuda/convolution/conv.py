"""Convolution and its two gradients on tensor cores: the launchers of `gather.cu` and `weights.cu`.

Arrays are float32 and sums are too; `use_precision` says how operands are rounded before they are multiplied:

    tf32    to 10 bits of mantissa, the default
    fp32    not: each is split in two, three products; the error is that of float32
    bf16    to 7 bits

float64 goes through the naive kernels. An image may be a part [..., a:b] of the channels of another: it is not copied.
All memory is asked for during the call, and nothing waits. Not here: which tile a product takes (`tiles.py`).
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from inachus.kernels import address, xp
from inachus.kernels.cuda.convolution import tiles
from inachus.kernels.cuda.convolution.tiles import BK, NAIVE, TILES, Product
from inachus.kernels.cuda.launch import launch
from inachus.kernels.cuda.loops.columns import pixels, reals

PRECISIONS = ("tf32", "fp32", "bf16")
THREADS = 256  # of a block of the naive kernels and of add_parts
LIMIT = 1 << 30  # numbers of an array that a launch reads or writes: offsets are ints
PHASES = 16  # columns up to which the phases of a transposed convolution are computed together
_fields = "N H W C KH KW OH OW O S P pixel other rows cols splits steps taps rest images period x w"
SHAPE = np.dtype([*((name, "i4") for name in _fields.split()), ("y", "i8"), ("part", "i8")], align=True)
_precision = "tf32"


def use_precision(name: str) -> None:
    """How operands are rounded from now on, one of PRECISIONS, for the whole process. Raises ValueError for another."""
    global _precision
    if name not in PRECISIONS:
        raise ValueError(f"precision {name!r}: one of {', '.join(PRECISIONS)}")
    _precision = name


def precision() -> str:
    """The selected one of PRECISIONS."""
    return _precision


def rounded(x: np.ndarray, precision: str | None = None) -> np.ndarray:
    """x as the kernels see it: tf32 to nearest, ties away from zero; bf16 to nearest, ties to even; fp32 itself."""
    if x.dtype != np.float32 or (precision or _precision) == "fp32":
        return x
    bits = x.view(np.uint32)
    if (precision or _precision) == "tf32":
        nearest = bits + np.uint32(0x1000) & np.uint32(0xFFFFE000)
    else:
        nearest = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)) & np.uint32(0xFFFF0000)
    return np.where(np.isfinite(x), nearest, bits).view(np.float32)


class Geometry(NamedTuple):
    """One convolution: x (N,H,W,C), w (KH,KW,C,O), y (N,OH,OW,O), stride S, pad P."""

    N: int
    H: int
    W: int
    C: int
    KH: int
    KW: int
    OH: int
    OW: int
    O: int
    S: int
    P: int


class Many(NamedTuple):
    """How many products of the same shape, and the numbers from one to the next in both operands and the result."""

    count: int = 1
    a: int = 0
    b: int = 0
    y: int = 0


ONE = Many()


def conv2d(x, w, stride, pad, b=None, slope=1.0):
    """y[n,oh,ow,o] = lrelu(b[o] + sum over kh,kw,c of x[n, oh S+kh-P, ow S+kw-P, c] w[kh,kw,c,o]), x zero outside."""
    (N, H, W, C), (KH, KW, _, O) = x.shape, w.shape
    OH, OW = ((n + 2 * pad - k) // stride + 1 for n, k in ((H, KH), (W, KW)))
    y = xp(x).empty((N, OH, OW, O), x.dtype)
    multiply("conv2d", x, w, y, Geometry(N, H, W, C, KH, KW, OH, OW, O, stride, pad), b, slope)
    return y


def conv2d_dx(gy, w, hw, stride, pad, b=None, slope=1.0):
    """Gradient of conv2d in x, and the transposed convolution: gx[n, oh S+kh-P, ow S+kw-P, c] += gy[n,oh,ow,o] w.

    `hw` is (H, W) of gx, because the stride makes several sizes possible; lrelu(gx + b), b (C,), as in conv2d.
    """
    (N, OH, OW, O), (KH, KW, C, _), (H, W) = gy.shape, w.shape, hw
    gx = xp(gy).empty((N, H, W, C), gy.dtype)
    g = Geometry(N, H, W, C, KH, KW, OH, OW, O, stride, pad)
    if (OH, OW, KH, KW, pad) == (1, 1, H, W, 0):  # every pixel has its own tap: a plain matrix product
        g = Geometry(N, 1, 1, H * W * C, 1, 1, 1, 1, O, 1, 0)
    multiply("conv2d_dx", gy, w, gx, g, b, slope)
    return gx


def conv2d_dw(x, gy, khw, stride, pad):
    """Gradient of conv2d in w: gw[kh,kw,c,o] = sum over n,oh,ow of x[n, oh S+kh-P, ow S+kw-P, c] gy[n,oh,ow,o]."""
    (N, H, W, C), (_, OH, OW, O), (KH, KW) = x.shape, gy.shape, khw
    gw = xp(x).empty((KH, KW, C, O), x.dtype)
    multiply("conv2d_dw", x, gy, gw, Geometry(N, H, W, C, KH, KW, OH, OW, O, stride, pad))
    return gw


def multiply(op, a, b, y, g, bias=None, slope=1.0, many=ONE):
    """Writes the result of `op` into y: a, b are x, w (conv2d), gy, w (conv2d_dx) or x, gy (conv2d_dw), of shape g."""
    if not y.size:
        return
    if not a.size or not b.size:
        y.fill(0)
        return
    (a, pixel), (b, other) = pixels(a), pixels(b) if op == "conv2d_dw" else (xp(b).ascontiguousarray(b), 0)
    largest = max(g.H * g.W * (g.C if op == "conv2d_dx" else pixel), g.OH * g.OW * max(g.O, pixel, other))
    if many.count == 1 and g.N * largest > LIMIT and g.N > 1:
        _halves(op, a, b, y, g, bias, slope)
        return
    if max(g.N * largest, b.size, many.count * max(many.a, many.b)) > LIMIT:
        raise ValueError(f"{op}: {tuple(a.shape)} and {tuple(b.shape)} are more than {LIMIT} numbers in one piece")
    if bias is not None:
        bias = xp(bias).ascontiguousarray(bias)
    period = 0 if bias is None else bias.size
    wide_a = _wide(a, g.O if op == "conv2d_dx" else g.C, pixel, many.a)
    wide_b = _wide(b, g.O, other, many.b)
    if op == "conv2d_dx":
        wide_a = wide_b = wide_a and wide_b  # both run along k
    if a.dtype == np.float64:
        plan = _naive(op, g, pixel, other, period, many, a.dtype)
    else:
        product = _product(op, g, many.count, wide_a)
        choice = tiles.choose(product, _precision, a)
        if choice.tile == NAIVE:
            plan = _naive(op, g, pixel, other, period, many, a.dtype)
        else:
            plan = _plan(product, g, pixel, other, wide_a, wide_b, period, many, _precision, choice)
    plan.start(a, b, y, bias, slope)


def _halves(op, a, b, y, g, bias, slope):
    """The same in two halves of the images."""
    half, parts = g.N // 2, []
    for images in (slice(0, half), slice(half, g.N)):
        part = g._replace(N=len(range(g.N)[images]))
        if op == "conv2d_dw":
            parts.append(xp(y).empty(y.shape, y.dtype))
            multiply(op, a[images], b[images], parts[-1], part)
        else:
            multiply(op, a[images], b, y[images], part, bias, slope)
    if parts:
        y[...] = parts[0] + parts[1]


def _wide(x, run, *strides):
    """True if runs of this length, so far apart, can be copied 16 bytes at a time."""
    return not (run % 4 or address(x) % 16 or any(stride % 4 for stride in strides))


def _product(op, g, count, wide_a):
    """The matrix product that a convolution is."""
    if op == "conv2d":
        return Product(op, g.N * g.OH * g.OW, g.O, g.KH * g.KW * g.C, count)
    if op == "conv2d_dw":
        return Product(op, g.KH * g.KW * g.C, g.O, g.N * g.OH * g.OW, count, single=not wide_a)
    taps, together = -(-g.KH // g.S) * -(-g.KW // g.S), g.S > 1 and g.S**2 * g.C <= PHASES
    rows, cols = _phase(g, together)
    columns, phases = (g.S**2 * g.C, 1) if together else (g.C, g.S**2)
    return Product(op, g.N * rows * cols, columns, taps * g.O, count * phases, together)


def _phase(g, together):
    """Rows and columns of pixels of a phase of conv2d_dx; `together`: of the pixels of gy that the phases see."""
    if together:
        return tuple((n - 1 + g.P) // g.S - g.P // g.S + 1 for n in (g.H, g.W))
    return -(-g.H // g.S), -(-g.W // g.S)


class Plan(NamedTuple):
    """How a product is launched."""

    file: str
    kernel: str
    grid: tuple[int, int, int]
    threads: int
    shared: int
    defines: dict[str, Any]
    shape: np.ndarray
    splits: int
    period: int

    def start(self, a, b, y, bias, slope):
        """One launch, and one more that adds if the sum is split."""
        slope = y.dtype.type(slope)
        how = {"like": y, "defines": self.defines}
        split = self.splits > 1
        out = xp(y).empty((self.splits, y.size), y.dtype) if split else y
        rest = (self.shape,) if self.file == WEIGHTS else (self.shape, y.dtype.type(1) if split else slope)
        first = (a, b, out) if self.file == WEIGHTS else (a, b, None if split else bias, out)
        launch(self.file, self.kernel, self.grid, self.threads, (*first, *rest), shared=self.shared, **how)
        if split:
            lanes = 8 if self.splits >= 16 else 1
            args = out, bias, y, self.splits, lanes, np.int64(y.size), self.period, slope
            launch(self.file, "add_parts", -(-y.size * lanes // THREADS), THREADS, args, shared=4 * THREADS, **how)


GATHER, WEIGHTS = "convolution/gather.cu", "convolution/weights.cu"


@cache
def _plan(product, g, pixel, other, wide_a, wide_b, period, many, precision, choice):
    """The launch of tiles on tensor cores."""
    op, (M, N, _, _, together) = product.op, product[1:6]
    tile = TILES[choice.tile]
    steps = -(-product.steps // choice.splits)
    blocks, phases = -(-M // tile.BM) * -(-N // tile.BN), product.count // many.count
    defines = {**tile._asdict(), "PRECISION": PRECISIONS.index(precision)}
    defines |= {"VA": 4 if wide_a else 1, "VB": 4 if wide_b else 1}
    rows, cols = _phase(g, together) if op == "conv2d_dx" else (g.OH, g.OW)
    if op == "conv2d_dw":
        passed = BK // g.OW % g.OH, BK % g.OW, BK // g.OW // g.OH
    else:
        channels = g.O if op == "conv2d_dx" else g.C
        passed = BK // channels, BK % channels, 0
        defines["TRANSPOSED"] = 0 if op == "conv2d" else 2 if together else 1
    size = many.count * (g.KH * g.KW * g.C * g.O if op == "conv2d_dw" else _result(op, g))
    numbers = *g, pixel, other, rows, cols, choice.splits, steps, *passed, period, many.a, many.b, many.y, size
    file, kernel = (WEIGHTS, "weights") if op == "conv2d_dw" else (GATHER, "gather")
    grid = blocks, many.count, phases * choice.splits
    shape = np.array([numbers], SHAPE)
    return Plan(file, kernel, grid, tile.threads, tile.shared(op), defines, shape, choice.splits, period)


@cache
def _naive(op, g, pixel, other, period, many, dtype):
    """The launch of one thread an output."""
    size = g.KH * g.KW * g.C * g.O if op == "conv2d_dw" else _result(op, g)
    numbers = *g, pixel, other, *[0] * 7, period, many.a, many.b, many.y, 0
    file, grid = WEIGHTS if op == "conv2d_dw" else GATHER, (-(-size // THREADS), many.count, 1)
    return Plan(file, f"{op}_naive", grid, THREADS, 0, reals(dtype), np.array([numbers], SHAPE), 1, period)


def _result(op, g):
    return g.N * g.OH * g.OW * g.O if op == "conv2d" else g.N * g.H * g.W * g.C


def example(op: str, x: tuple, w: tuple, stride: int, pad: int, like: Any) -> tuple:
    """(run, product) of a convolution of these shapes on the device of `like`, for the tuner."""
    (N, H, W, C), (KH, KW, _, O) = x, w
    OH, OW = ((n + 2 * pad - k) // stride + 1 for n, k in ((H, KH), (W, KW)))
    x, w, y = (xp(like).ones(s, np.float32) for s in (x, w, (N, OH, OW, O)))
    run = {
        "conv2d": lambda: conv2d(x, w, stride, pad),
        "conv2d_dx": lambda: conv2d_dx(y, w, (H, W), stride, pad),
        "conv2d_dw": lambda: conv2d_dw(x, y, (KH, KW), stride, pad),
    }[op]
    wide = (O if op == "conv2d_dx" else C) % 4 == 0
    return run, _product(op, Geometry(N, H, W, C, KH, KW, OH, OW, O, stride, pad), 1, wide)
