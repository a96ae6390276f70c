"""Bias and activations in NumPy, forward and backward, in blocks that stay in cache.

The gradient of an activation is computed from its output, so that a network need not keep the input. Not here:
sigmoid's and softplus' gradients, and every second one (`engine/ops/activation.py`).
"""

import numpy as np

from inachus.kernels.reference.blocks import BLOCK, spans


def bias_act(x, b, slope):
    """y = lrelu(x + b), b (C,) on the last axis; slope 0 is ReLU, 1 a plain bias."""
    x2 = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    y = np.empty_like(x2)
    for rows in spans(len(x2), BLOCK // x2.shape[1]):
        np.add(x2[rows], b, out=y[rows])
        activate(y[rows], slope)
    return y.reshape(x.shape)


def bias_act_bwd(gy, y, slope):
    """Gradient of `bias_act`: gx and gb."""
    gx = leaky_relu_bwd(gy, y, slope)
    flat = gx.reshape(-1, gx.shape[-1])
    return gx, sum(rows_sum(flat[rows]) for rows in spans(len(flat), BLOCK // flat.shape[1]))


def leaky_relu(x, slope):
    """max(x, slope x), slope in [0, 1]."""
    y = np.array(x, order="C")
    flat = y.reshape(-1)
    for part in spans(flat.size, BLOCK):
        activate(flat[part], slope)
    return y


def leaky_relu_bwd(gy, y, slope):
    """gy where y > 0, slope gy elsewhere (y may be the output or the input: their signs agree)."""
    gx = np.empty(gy.shape, gy.dtype)
    g, v, out = (a.reshape(-1) for a in (gy, y, gx))
    for part in spans(g.size, BLOCK):
        weigh(g[part], v[part], slope, out=out[part])
    return gx


def tanh(x):
    """(e^x - e^-x) / (e^x + e^-x)."""
    return np.tanh(x, out=np.empty(x.shape, x.dtype))


def tanh_bwd(gy, y):
    """Gradient of `tanh`: gy (1 - y^2)."""
    gx = np.multiply(y, y, out=np.empty(y.shape, y.dtype))
    np.subtract(1, gx, out=gx)
    return np.multiply(gy, gx, out=gx)


def sigmoid(x):
    """1 / (1 + e^-x), as e^x / (1 + e^x) for negative x: no overflow."""
    e = np.exp(-np.abs(x))
    return np.divide(np.where(x >= 0, 1, e), 1 + e, out=np.empty(x.shape, x.dtype))


def softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|): no overflow."""
    return np.add(np.maximum(x, 0), np.log1p(np.exp(-np.abs(x))), out=np.empty(x.shape, x.dtype))


# --- parts of other kernels, all of them in place ----------------------------------------------------------


def finish(y, b, slope):
    """y <- lrelu(y + b) for a contiguous y (...,C) that a kernel has just made; b (C,), or None for no bias."""
    rows = y.reshape(-1, y.shape[-1])
    for part in spans(len(rows), BLOCK // rows.shape[1]):
        if b is not None:
            rows[part] += b
        activate(rows[part], slope)


def activate(y, slope):
    """y <- max(y, slope y)."""
    if slope == 0:
        np.maximum(y, 0, out=y)
    elif slope != 1:
        np.maximum(y, y * y.dtype.type(slope), out=y)


def weigh(gy, y, slope, out):
    """out <- gy where y > 0, slope gy elsewhere; returns it."""
    if slope == 1:
        np.copyto(out, gy)
    else:
        np.greater(y, 0, out=out, casting="unsafe")  # 1 or 0
        if slope != 0:
            out *= out.dtype.type(1 - slope)
            out += out.dtype.type(slope)
        out *= gy
    return out


def rows_sum(x2):
    """(M, C) -> (C,); as a matrix product, because BLAS adds in blocks: faster and with less rounding."""
    return np.ones(len(x2), x2.dtype) @ x2
