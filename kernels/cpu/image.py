"""Pictures resized, dropped out and joined, and the adjoints of what is linear; one turn is a row of pixels or more.

Padding by reflection is the reference's: NumPy is as fast as memory there. Not here: the rules (`engine/ops`).
"""

import numpy as np
from numba import prange

from inachus.kernels.cpu.loops import BLOCK, loop, part, plain, rows_of_block
from inachus.kernels.cpu.random import uniform


def upsample(x, scale):
    """Every pixel scale x scale times: (N, H scale, W scale, C)."""
    N, H, W, C = x.shape
    y = np.empty((N, H * scale, W * scale, C), x.dtype)
    _upsample(plain(x), y, scale)
    return y


def upsample_bwd(gy, scale):
    """Its adjoint: the sums of scale x scale blocks."""
    N, H, W, C = gy.shape
    gx = np.empty((N, H // scale, W // scale, C), gy.dtype)
    _upsample_bwd(plain(gy), gx, scale)
    return gx


def pixel_shuffle(x, scale):
    """(N,H,W,C s^2) -> (N,H s,W s,C), s = scale; channel c s^2 + i s + j to pixel (i, j). Shi et al. (2016)."""
    N, H, W, C = x.shape
    y = np.empty((N, H * scale, W * scale, C // scale**2), x.dtype)
    _shuffle(plain(x), y, scale, False)
    return y


def pixel_unshuffle(y, scale):
    """Its inverse and adjoint: (N,H s,W s,C) -> (N,H,W,C s^2)."""
    N, H, W, C = y.shape
    x = np.empty((N, H // scale, W // scale, C * scale**2), y.dtype)
    _shuffle(x, plain(y), scale, True)
    return x


def dropout(x, seed, stream, start, rate):
    """x keep / (1 - rate), keep = uniform(seed, stream, start, x.shape, x.dtype) >= rate, compared in x's dtype."""
    y, rate = uniform(seed, stream, start, x.shape, x.dtype), x.dtype.type(rate)
    _keep(plain(x).reshape(-1), y.reshape(-1), rate, 1 / (1 - rate))
    return y


def concat(xs):
    """The arrays of the sequence xs, joined along the last axis."""
    y = np.empty((*xs[0].shape[:-1], sum(x.shape[-1] for x in xs)), xs[0].dtype)
    y2, first = y.reshape(-1, y.shape[-1]), 0
    for x in xs:
        _place(plain(x).reshape(-1, x.shape[-1]), y2, first, rows_of_block(*y2.shape))
        first += x.shape[-1]
    return y


@loop
def _upsample(x, y, s):
    N, H, _, _ = x.shape
    for r in prange(N * H):
        _upsample_row(x[r // H, r % H], y[r // H, r % H * s : (r % H + 1) * s], s)


@part
def _upsample_row(x, y, s):
    for i in range(s):
        for w in range(len(x)):
            for j in range(s):
                source, out = x[w], y[i, w * s + j]
                for c in range(len(out)):
                    out[c] = source[c]


@loop
def _upsample_bwd(gy, gx, s):
    N, H, _, _ = gx.shape
    for r in prange(N * H):
        _upsample_bwd_row(gy[r // H, r % H * s : (r % H + 1) * s], gx[r // H, r % H], s)


@part
def _upsample_bwd_row(gy, gx, s):
    gx[:] = 0
    for i in range(s):
        for w in range(len(gx)):
            for j in range(s):
                out, source = gx[w], gy[i, w * s + j]
                for c in range(len(out)):
                    out[c] += source[c]


@loop
def _shuffle(x, y, s, back):
    N, H, _, _ = x.shape
    for r in prange(N * H):
        _shuffle_row(x[r // H, r % H], y[r // H, r % H * s : (r % H + 1) * s], s, back)


@part
def _shuffle_row(x, y, s, back):
    """One row of x (W, C s^2) to s rows of y (s, W s, C), or with `back` the other way."""
    for i in range(s):
        for w in range(len(x)):
            for j in range(s):
                channels, pixel, k = x[w], y[i, w * s + j], i * s + j
                if back:
                    for c in range(len(pixel)):
                        channels[c * s * s + k] = pixel[c]
                else:
                    for c in range(len(pixel)):
                        pixel[c] = channels[c * s * s + k]


@loop
def _keep(x, y, rate, factor):
    for t in prange((len(x) + BLOCK - 1) // BLOCK):
        _keep_block(x[t * BLOCK : (t + 1) * BLOCK], y[t * BLOCK : (t + 1) * BLOCK], rate, factor)


@part
def _keep_block(x, y, rate, factor):
    """y holds uniform numbers, and then the result."""
    for i in range(len(x)):
        y[i] = x[i] * (factor if y[i] >= rate else 0)


@loop
def _place(x, y, first, rows):
    for t in prange((len(x) + rows - 1) // rows):
        _place_block(x[t * rows : (t + 1) * rows], y[t * rows : (t + 1) * rows, first : first + x.shape[1]])


@part
def _place_block(x, y):
    for m in range(len(x)):
        source, out = x[m], y[m]
        for c in range(len(source)):
            out[c] = source[c]
