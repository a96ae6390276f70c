"""Pictures padded, resized, dropped out and joined, and the adjoints of what is linear. Pictures are (N, H, W, C).

Each moves numbers without computing much, so there is nothing to keep in cache. Not here: the rules (`engine/ops`).
"""

import numpy as np

from inachus.kernels.reference.random import uniform


def reflect_pad(x, rows, cols):
    """x with mirrored borders of rows = (top, bottom), cols = (left, right), smaller than H and W; edges once."""
    return np.pad(np.ascontiguousarray(x), ((0, 0), rows, cols, (0, 0)), mode="reflect")


def reflect_pad_bwd(gy, rows, cols):
    """Its adjoint: the borders folded back and added."""
    return np.ascontiguousarray(_folded(_folded(gy, 1, *rows), 2, *cols))


def _folded(gy, axis, before, after):
    """The adjoint along one axis."""
    gy = np.moveaxis(gy, axis, 0)
    n = len(gy) - before - after
    gx = gy[before : before + n].copy("K")  # in the order that it lies in
    gx[1 : before + 1] += gy[:before][::-1]
    gx[n - 1 - after : n - 1] += gy[before + n :][::-1]
    return np.moveaxis(gx, 0, axis)


def upsample(x, scale):
    """Every pixel scale x scale times: (N, H scale, W scale, C)."""
    return x.repeat(scale, axis=1).repeat(scale, axis=2)


def upsample_bwd(gy, scale):
    """Its adjoint: the sums of scale x scale blocks."""
    N, H, W, C = gy.shape
    blocks = np.ascontiguousarray(gy).reshape(N, H // scale, scale, W // scale, scale, C)
    return blocks.sum(axis=(2, 4), dtype=gy.dtype)


def pixel_shuffle(x, scale):
    """(N,H,W,C s^2) -> (N,H s,W s,C), s = scale; channel c s^2 + i s + j to pixel (i, j). Shi et al. (2016)."""
    N, H, W, C = x.shape
    y = x.reshape(N, H, W, C // scale**2, scale, scale).transpose(0, 1, 4, 2, 5, 3)  # (N, H, s, W, s, C)
    return np.array(y, order="C").reshape(N, H * scale, W * scale, C // scale**2)


def pixel_unshuffle(y, scale):
    """Its inverse and adjoint: (N,H s,W s,C) -> (N,H,W,C s^2)."""
    N, H, W, C = y.shape
    x = y.reshape(N, H // scale, scale, W // scale, scale, C).transpose(0, 1, 3, 5, 2, 4)  # (N, H, W, C, s, s)
    return np.array(x, order="C").reshape(N, H // scale, W // scale, C * scale**2)


def dropout(x, seed, stream, start, rate):
    """x keep / (1 - rate), keep = uniform(seed, stream, start, x.shape, x.dtype) >= rate, compared in x's dtype."""
    rate = x.dtype.type(rate)
    keep = uniform(seed, stream, start, x.shape, x.dtype) >= rate
    return np.multiply(x, keep / (1 - rate), out=np.empty(x.shape, x.dtype))


def concat(xs):
    """The arrays of the sequence xs, joined along the last axis."""
    shape = (*xs[0].shape[:-1], sum(x.shape[-1] for x in xs))
    return np.concatenate(xs, axis=-1, out=np.empty(shape, xs[0].dtype))
