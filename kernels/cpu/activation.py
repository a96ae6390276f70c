"""Bias and activations, forward and backward, each in one pass.

`tanh` and `softplus` are the reference's: NumPy computes them in vectors. Not here: sigmoid's and softplus' gradients,
and every second one (`engine/ops/activation.py`).
"""

import math

import numpy as np
from numba import prange

from inachus.kernels.cpu.loops import BLOCK, loop, part, plain, rows_of_block


def bias_act(x, b, slope):
    """y = lrelu(x + b), b (C,) on the last axis; slope 0 is ReLU, 1 a plain bias."""
    x2 = plain(x).reshape(-1, x.shape[-1])
    y = np.empty_like(x2)
    _bias(x2, plain(b), y, x.dtype.type(slope), rows_of_block(len(x2), x2.shape[1]))
    return y.reshape(x.shape)


def bias_act_bwd(gy, y, slope):
    """Gradient of `bias_act`: gx and gb."""
    gy2, y2 = (plain(a).reshape(-1, gy.shape[-1]) for a in (gy, y))
    gx, rows = np.empty_like(gy2), rows_of_block(*gy2.shape)
    sums, gb = np.empty((-(-len(gx) // rows), gx.shape[1]), gy.dtype), np.empty(gx.shape[1], gy.dtype)
    _bias_bwd(gy2, y2, gx, sums, gb, gy.dtype.type(slope), rows)
    return gx.reshape(gy.shape), gb


def leaky_relu(x, slope):
    """max(x, slope x), slope in [0, 1]."""
    y = np.empty(x.shape, x.dtype)
    _leaky(plain(x).reshape(-1), y.reshape(-1), x.dtype.type(slope))
    return y


def leaky_relu_bwd(gy, y, slope):
    """gy where y > 0, slope gy elsewhere (y may be the output or the input: their signs agree)."""
    gx = np.empty(gy.shape, gy.dtype)
    _leaky_bwd(plain(gy).reshape(-1), plain(y).reshape(-1), gx.reshape(-1), gy.dtype.type(slope))
    return gx


def tanh_bwd(gy, y):
    """Gradient of `tanh`: gy (1 - y^2)."""
    gx = np.empty(gy.shape, gy.dtype)
    _tanh_bwd(plain(gy).reshape(-1), plain(y).reshape(-1), gx.reshape(-1))
    return gx


def sigmoid(x):
    """1 / (1 + e^-x), as e^x / (1 + e^x) for negative x: no overflow."""
    y = np.empty(x.shape, x.dtype)
    _sigmoid(plain(x).reshape(-1), y.reshape(-1))
    return y


def finish(y, b, slope):
    """y <- lrelu(y + b) for a contiguous y (...,C) that a kernel has just made, b (C,) or None; returns y."""
    if b is not None or slope != 1:
        y2 = y.reshape(-1, y.shape[-1])
        b = np.zeros(y2.shape[1], y.dtype) if b is None else plain(b)
        _finish(y2, b, y.dtype.type(slope), rows_of_block(*y2.shape))
    return y


@loop
def _bias(x, b, y, slope, rows):
    for t in prange((len(x) + rows - 1) // rows):
        _bias_block(x[t * rows : (t + 1) * rows], b, y[t * rows : (t + 1) * rows], slope)


@part
def _bias_block(x, b, y, slope):
    for m in range(len(x)):
        row, out = x[m], y[m]
        for c in range(len(row)):
            v = row[c] + b[c]
            out[c] = v if v > 0 else slope * v


@loop
def _finish(y, b, slope, rows):
    for t in prange((len(y) + rows - 1) // rows):
        _finish_block(y[t * rows : (t + 1) * rows], b, slope)


@part
def _finish_block(y, b, slope):
    for m in range(len(y)):
        row = y[m]
        for c in range(len(row)):
            v = row[c] + b[c]
            row[c] = v if v > 0 else slope * v


@loop
def _bias_bwd(gy, y, gx, sums, gb, slope, rows):
    for t in prange(len(sums)):
        i, j = t * rows, min(len(gy), (t + 1) * rows)
        _bias_bwd_block(gy[i:j], y[i:j], gx[i:j], sums[t], slope)
    for c in range(len(gb)):
        total = 0.0
        for t in range(len(sums)):
            total += sums[t, c]
        gb[c] = total


@part
def _bias_bwd_block(gy, y, gx, sums, slope):
    sums[:] = 0
    for m in range(len(gy)):
        gradient, sign, out = gy[m], y[m], gx[m]
        for c in range(len(out)):
            g = gradient[c] if sign[c] > 0 else slope * gradient[c]
            out[c] = g
            sums[c] += g


@loop
def _leaky(x, y, slope):
    for t in prange((len(x) + BLOCK - 1) // BLOCK):
        _leaky_block(x[t * BLOCK : (t + 1) * BLOCK], y[t * BLOCK : (t + 1) * BLOCK], slope)


@part
def _leaky_block(x, y, slope):
    for i in range(len(x)):
        y[i] = x[i] if x[i] > 0 else slope * x[i]


@loop
def _leaky_bwd(gy, y, gx, slope):
    for t in prange((len(gy) + BLOCK - 1) // BLOCK):
        i, j = t * BLOCK, (t + 1) * BLOCK
        _leaky_bwd_block(gy[i:j], y[i:j], gx[i:j], slope)


@part
def _leaky_bwd_block(gy, y, gx, slope):
    for i in range(len(gx)):
        gx[i] = gy[i] if y[i] > 0 else slope * gy[i]


@loop
def _tanh_bwd(gy, y, gx):
    for t in prange((len(gy) + BLOCK - 1) // BLOCK):
        i, j = t * BLOCK, (t + 1) * BLOCK
        _tanh_bwd_block(gy[i:j], y[i:j], gx[i:j])


@part
def _tanh_bwd_block(gy, y, gx):
    for i in range(len(gx)):
        gx[i] = gy[i] * (1 - y[i] * y[i])


@loop
def _sigmoid(x, y):
    for t in prange((len(x) + BLOCK - 1) // BLOCK):
        _sigmoid_block(x[t * BLOCK : (t + 1) * BLOCK], y[t * BLOCK : (t + 1) * BLOCK])


@part
def _sigmoid_block(x, y):
    for i in range(len(x)):
        e = math.exp(-abs(x[i]))
        y[i] = (1 if x[i] >= 0 else e) / (1 + e)
