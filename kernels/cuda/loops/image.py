"""Pictures padded, resized, dropped out and joined on the GPU, and the adjoints of what is linear: of `image.cu`.

Pictures are (N, H, W, C). One launch each, and no atomics.
"""

import numpy as np

from inachus.kernels import address, xp
from inachus.kernels.cuda.launch import launch
from inachus.kernels.cuda.loops.columns import THREADS, reals
from inachus.kernels.cuda.loops.random import where

FILE = "loops/image.cu"
ROW = 128  # threads that make a row of a picture
SOURCES, TILE = 16, 16384  # arrays that one launch joins, bytes that a block moves
JOINED = np.dtype([("x", "u8", SOURCES), ("channels", "i4", SOURCES), ("first", "i4", SOURCES)], align=True)


def reflect_pad(x, rows, cols):
    """x with mirrored borders of rows = (top, bottom), cols = (left, right), smaller than H and W; edges once."""
    N, H, W, C = x.shape
    return _rows("reflect_pad", x, (N, H + sum(rows), W + sum(cols), C), N * (H + sum(rows)), H, W, C, *rows, *cols)


def reflect_pad_bwd(gy, rows, cols):
    """Its adjoint: every pixel collects its images."""
    N, H, W, C = gy.shape
    H, W = H - sum(rows), W - sum(cols)
    return _rows("reflect_pad_bwd", gy, (N, H, W, C), N * H, H, W, C, *rows, *cols)


def upsample(x, scale):
    """Every pixel scale x scale times: (N, H scale, W scale, C)."""
    N, H, W, C = x.shape
    return _rows("upsample", x, (N, H * scale, W * scale, C), N * H * scale, W, C, scale)


def upsample_bwd(gy, scale):
    """Its adjoint: the sums of scale x scale blocks."""
    N, H, W, C = gy.shape
    H, W = H // scale, W // scale
    return _rows("upsample_bwd", gy, (N, H, W, C), N * H, W, C, scale)


def pixel_shuffle(x, scale):
    """(N,H,W,C s^2) -> (N,H s,W s,C), s = scale; channel c s^2 + i s + j to pixel (i, j). Shi et al. (2016)."""
    N, H, W, C = x.shape
    C //= scale**2
    return _rows("pixel_shuffle", x, (N, H * scale, W * scale, C), N * H, W, C, scale)


def pixel_unshuffle(y, scale):
    """Its inverse and adjoint: (N,H s,W s,C) -> (N,H,W,C s^2)."""
    N, H, W, C = y.shape
    H, W = H // scale, W // scale
    return _rows("pixel_unshuffle", y, (N, H, W, C * scale**2), N * H, W, C, scale)


def _rows(kernel, x, shape, rows, *numbers):
    """What a kernel makes of x, with a block for each of so many rows."""
    new, y = xp(x), xp(x).empty(shape, x.dtype)
    if y.size:
        args, defines = (new.ascontiguousarray(x), y, *numbers), reals(x.dtype)
        launch(FILE, kernel, rows, ROW, args, like=x, defines=defines)
    return y


def dropout(x, seed, stream, start, rate):
    """x keep / (1 - rate), keep = uniform(seed, stream, start, x.shape, x.dtype) >= rate, compared in x's dtype."""
    new, y = xp(x), xp(x).empty(x.shape, x.dtype)
    if y.size:
        stream = np.uint64(seed), np.uint64(stream), *where(start)
        args = (new.ascontiguousarray(x), y, np.int64(y.size), *stream, x.dtype.type(rate))
        launch(FILE, "dropout", -(-y.size // (4 * THREADS)), THREADS, args, like=y, defines=reals(y.dtype))
    return y


def concat(xs):
    """The arrays of the sequence xs, joined along the last axis; one launch for up to SOURCES of them."""
    xs = [xp(x).ascontiguousarray(x) for x in xs]
    ends = np.cumsum([0, *(x.shape[-1] for x in xs)]).tolist()
    y = xp(xs[0]).empty((*xs[0].shape[:-1], ends[-1]), xs[0].dtype)
    for i in range(0, len(xs), SOURCES):
        some, table = xs[i : i + SOURCES], np.zeros(1, JOINED)
        for k, x in enumerate(some):
            table["x"][0, k], table["channels"][0, k], table["first"][0, k] = address(x), x.shape[-1], ends[i + k]
        tiles = -(-max(x.nbytes for x in some) // TILE)
        args = (y, np.int64(y.size // max(ends[-1], 1)), ends[-1], table)
        if tiles:
            launch(FILE, "concat", (tiles, len(some)), THREADS, args, like=y, defines=reals(y.dtype))
    return y
