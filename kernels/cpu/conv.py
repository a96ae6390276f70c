"""Convolution and its two gradients: which of three ways each shape goes.

    a kernel that covers the picture, or 1 x 1     one matrix product, nothing is gathered
    kernel 4 stride 2, kernel 3 stride 1           `winograd.py`, if there are channels and tiles enough
    everything else                                windows gathered into columns, some rows at a time, and multiplied

At stride 1 a convolution is also the adjoint of one with the kernel turned by 180 degrees, so that few outputs cost
no more than few inputs: `_mirrored`. Bias and leaky ReLU follow each piece of a result while it is in cache. Not here:
the derivative rules (`engine/ops/conv.py`).
"""

import numpy as np
from numba import prange

from inachus.kernels.cpu import winograd
from inachus.kernels.cpu.activation import finish
from inachus.kernels.cpu.loops import loop, part, plain
from inachus.kernels.cpu.matmul import matmul, product

COLUMNS = 1 << 20  # numbers of a column buffer: 4 MB of float32
WINOGRAD = {(4, 2), (3, 1)}  # kernel, stride
CHANNELS, TILES = 16, 32  # from which the transforms of pictures, and of weights, are paid for


def conv2d(x, w, stride, pad, b=None, slope=1.0):
    """y[n,oh,ow,o] = lrelu(b[o] + sum over kh,kw,c of x[n, oh S+kh-P, ow S+kw-P, c] w[kh,kw,c,o]), x zero outside.

    No b (O,) counts as zeros; slope 1 is the identity, 0 ReLU.
    """
    x, w = plain(x), plain(w)
    (N, H, W, C), (KH, KW, _, O), S = x.shape, w.shape, stride
    y = N, (H + 2 * pad - KH) // S + 1, (W + 2 * pad - KW) // S + 1, O
    if _covers(x.shape, w.shape, stride, pad):
        return finish(matmul(x.reshape(-1, KH * KW * C), w.reshape(-1, O)).reshape(y), b, slope)
    if _transformable(w.shape, y, stride):
        return winograd.conv2d(x, w, stride, pad, b, slope)
    if _mirrored(w.shape, stride, pad):
        return conv2d_dx(x, _turned(w), y[1:3], 1, KH - 1 - pad, b, slope)
    out = np.empty((N * y[1], y[2], O), x.dtype)
    for rows, cols in _columns(x, KH, KW, S, pad, y):
        product(cols, w.reshape(-1, O), out[rows])
        finish(out[rows], b, slope)
    return out.reshape(y)


def conv2d_dw(x, gy, khw, stride, pad):
    """Gradient of conv2d in w: gw[kh,kw,c,o] = sum over n,oh,ow of x[n, oh S+kh-P, ow S+kw-P, c] gy[n,oh,ow,o]."""
    x, gy = plain(x), plain(gy)
    (KH, KW), C, O = khw, x.shape[3], gy.shape[3]
    if _covers(x.shape, (KH, KW), stride, pad):
        return matmul(x.reshape(-1, KH * KW * C).T, gy.reshape(-1, O)).reshape(KH, KW, C, O)
    if _transformable((KH, KW, C, O), gy.shape, stride):
        return winograd.conv2d_dw(x, gy, khw, stride, pad)
    if _mirrored((KH, KW, C, O), stride, pad):
        return plain(_turned(conv2d_dw(gy, x, khw, 1, KH - 1 - pad)))
    by_row, columns = gy.reshape(-1, *gy.shape[2:]), _columns(x, KH, KW, stride, pad, gy.shape)
    parts = (matmul(cols.T, by_row[rows].reshape(-1, O)) for rows, cols in columns)
    return sum(parts, start=next(parts)).reshape(KH, KW, C, O)


def conv2d_dx(gy, w, hw, stride, pad, b=None, slope=1.0):
    """Gradient of conv2d in x, and the transposed convolution: gx[n, oh S+kh-P, ow S+kw-P, c] += gy[n,oh,ow,o] w.

    `hw` is (H, W) of gx, because the stride makes several sizes possible; lrelu(gx + b), b (C,), as in conv2d.
    """
    gy, w = plain(gy), plain(w)
    (KH, KW, C, O), N = w.shape, len(gy)
    x = N, *hw, C
    if _covers(x, w.shape, stride, pad):
        return finish(matmul(gy.reshape(-1, O), w.reshape(-1, O).T).reshape(x), b, slope)
    if _transformable(w.shape, gy.shape, stride):
        return winograd.conv2d_dx(gy, w, hw, stride, pad, b, slope)
    if _mirrored(w.shape, stride, pad):
        return conv2d(gy, _turned(w), 1, KH - 1 - pad, b, slope)
    gx, (_, OH, OW, _) = np.empty(x, gy.dtype), gy.shape
    images = max(1, COLUMNS // (OH * OW * KH * KW * C))
    for i in range(0, N, images):
        cols = matmul(gy[i : i + images].reshape(-1, O), w.reshape(-1, O).T)
        _scatter(cols.reshape(-1, OH, OW, KH, KW * C), gx[i : i + images], stride, pad)
        finish(gx[i : i + images], b, slope)
    return gx


def _covers(x, w, stride, pad):
    """True if the windows of x are its rows as they lie."""
    return pad == 0 and (tuple(w[:2]) == x[1:3] or (tuple(w[:2]) == (1, 1) and stride == 1))


def _transformable(w, y, stride):
    """True if Winograd's way pays: square kernel, enough channels on both sides, enough tiles."""
    KH, KW, C, O = w
    tiles = y[0] * -(-y[1] // 2) * -(-y[2] // 2)
    return KH == KW and (KH, stride) in WINOGRAD and min(C * stride**2, O) >= CHANNELS and tiles >= TILES


def _mirrored(w, stride, pad):
    """True if the adjoint gathers less: stride 1, a square kernel, fewer outputs than inputs."""
    return stride == 1 and w[0] == w[1] and pad < w[0] and w[3] < w[2]


def _turned(w):
    """The kernel turned by 180 degrees, inputs and outputs exchanged."""
    return w[::-1, ::-1].transpose(0, 1, 3, 2)


def _columns(x, KH, KW, stride, pad, y):
    """(slice of the N*OH output rows, their windows (rows*OW, KH*KW*C)), some at a time."""
    N, OH, OW, _ = y
    K = KH * KW * x.shape[3]
    step = max(1, COLUMNS // (OW * K))
    step = -(-N * OH // -(-N * OH // step))  # equal parts
    for first in range(0, N * OH, step):
        rows = min(step, N * OH - first)
        cols = np.empty((rows * OW, K), x.dtype)
        _gather(x, cols.reshape(rows, OW, KH, -1), first, OH, stride, pad)
        yield slice(first, first + rows), cols


@loop
def _gather(x, cols, first, OH, S, pad):
    for r in prange(len(cols)):
        _gather_row(x[(first + r) // OH], cols[r], (first + r) % OH, S, pad)


@part
def _gather_row(x, cols, oh, S, pad):
    """The windows of one output row: cols (OW, KH, KW*C) from x (H,W,C)."""
    H, W, C = x.shape
    OW, KH, wide = cols.shape
    for kh in range(KH):
        h = oh * S + kh - pad
        if h < 0 or h >= H:
            for ow in range(OW):
                cols[ow, kh] = 0
            continue
        line = x[h].reshape(-1)
        for ow in range(OW):
            start, out = (ow * S - pad) * C, cols[ow, kh]
            if start >= 0 and start + wide <= W * C:
                source = line[start : start + wide]
                for k in range(wide):
                    out[k] = source[k]
            else:
                for k in range(wide):
                    out[k] = line[start + k] if 0 <= start + k < W * C else 0


@loop
def _scatter(cols, gx, S, pad):
    N, H, _, _ = gx.shape
    for r in prange(N * H):
        _scatter_row(cols[r // H], gx[r // H, r % H], r % H, S, pad)


@part
def _scatter_row(cols, gx, h, S, pad):
    """One row of gx (W,C): the sum of the windows that cover it, cols (OH, OW, KH, KW*C)."""
    OH, OW, KH, wide = cols.shape
    C, line = gx.shape[1], gx.reshape(-1)
    line[:] = 0
    for kh in range(KH):
        oh, rest = (h + pad - kh) // S, (h + pad - kh) % S
        if rest or oh < 0 or oh >= OH:
            continue
        for ow in range(OW):
            start, window = (ow * S - pad) * C, cols[oh, ow, kh]
            if start >= 0 and start + wide <= len(line):
                out = line[start : start + wide]
                for k in range(wide):
                    out[k] += window[k]
            else:
                for k in range(wide):
                    if 0 <= start + k < len(line):
                        line[start + k] += window[k]
