"""Normalisation, bias and leaky ReLU in NumPy, forward and backward, in cache-sized blocks.

Not here: their definitions in differentiable operations, which `engine/ops/norm.py` keeps beside the rules.
"""

import numpy as np

ROW_FLOATS = 1 << 16  # one block of an elementwise chain: 256 KB of float32, which stays in the second-level cache


def norm(x, gamma, beta, groups, eps, slope):
    """y = lrelu(gamma xhat + beta), xhat = (x - mean) / sqrt(var + eps); also returns mean, rstd (groups, C).

    x is (N,...,C); statistics run over all but the last axis inside each of `groups` equal runs of N: 1 is
    BatchNorm, N is InstanceNorm. The variance is the biased one, from centred values. slope 1 is the identity.
    """
    C = x.shape[-1]
    x3 = np.ascontiguousarray(x).reshape(groups, -1, C)  # (G, M, C)
    y = np.empty_like(x3)
    mean, var = _channel_sum(x3) / x3.shape[1], np.zeros((groups, C), x.dtype)
    for g, rows in _row_blocks(x3):
        d = np.subtract(x3[g, rows], mean[g], out=y[g, rows])
        var[g] += np.einsum("mc,mc->c", d, d)
    rstd = 1 / np.sqrt(var / x3.shape[1] + x.dtype.type(eps))
    scale = rstd * gamma
    for g, rows in _row_blocks(x3):
        part = y[g, rows]
        part *= scale[g]
        part += beta
        _lrelu_(part, slope)
    return y.reshape(x.shape), mean, rstd


def norm_bwd(gy, y, x, gamma, mean, rstd, slope):
    """Gradient of `norm`: gx, ggamma, gbeta. gx = gamma rstd (g - mean(g) - xhat mean(g xhat)), g = gy lrelu'."""
    groups, C = mean.shape
    gy3, y3, x3 = (np.ascontiguousarray(a).reshape(groups, -1, C) for a in (gy, y, x))
    M = x3.shape[1]
    g3, gx = np.empty_like(x3), np.empty_like(x3)
    sum_g, sum_gx = np.zeros_like(mean), np.zeros_like(mean)
    for g, rows in _row_blocks(x3):
        part = _lrelu_bwd(gy3[g, rows], y3[g, rows], slope, out=g3[g, rows])
        xhat = np.subtract(x3[g, rows], mean[g], out=gx[g, rows])
        xhat *= rstd[g]
        sum_g[g] += np.add.reduce(part, axis=0)
        sum_gx[g] += np.einsum("mc,mc->c", part, xhat)
    scale, a, b = gamma * rstd, sum_g / M, sum_gx / M
    for g, rows in _row_blocks(x3):
        xhat, part = gx[g, rows], g3[g, rows]
        xhat *= -b[g]
        xhat += part
        xhat -= a[g]
        xhat *= scale[g]
    return gx.reshape(x.shape), sum_gx.sum(0), sum_g.sum(0)


def bias_act(x, b, slope):
    """y = lrelu(x + b), b (C,) on the last axis; slope 0 is ReLU, 1 a plain bias."""
    y = x + b
    for rows in _flat_blocks(y):
        _lrelu_(rows, slope)
    return y


def bias_act_bwd(gy, y, slope):
    """Gradient of `bias_act`: gx and gb."""
    gx = leaky_relu_bwd(gy, y, slope)
    return gx, _channel_sum(gx.reshape(1, -1, gx.shape[-1]))[0]


def leaky_relu(x, slope):
    """max(x, slope x), slope in [0, 1]."""
    y = np.array(x, order="C")
    for part in _flat_blocks(y):
        _lrelu_(part, slope)
    return y


def leaky_relu_bwd(gy, y, slope):
    """gy where y > 0, slope gy elsewhere (y may be the output or the input: their signs agree)."""
    gx = np.empty(gy.shape, gy.dtype)
    for g, v, out in zip(_flat_blocks(gy), _flat_blocks(y), _flat_blocks(gx), strict=True):
        _lrelu_bwd(g, v, slope, out=out)
    return gx


def _lrelu_(y, slope):
    """In place."""
    if slope == 0:
        np.maximum(y, 0, out=y)
    elif slope != 1:
        np.maximum(y, y * y.dtype.type(slope), out=y)


def _lrelu_bwd(gy, y, slope, out):
    if slope == 1:
        np.copyto(out, gy)
    else:
        np.greater(y, 0, out=out, casting="unsafe")  # 1 or 0
        if slope != 0:
            out *= out.dtype.type(1 - slope)
            out += out.dtype.type(slope)
        out *= gy
    return out


def _channel_sum(x3):
    """(G, M, C) -> (G, C); as a matrix product, because BLAS sums in blocks: faster and with less rounding."""
    return np.matmul(np.ones((1, x3.shape[1]), x3.dtype), x3)[:, 0]


def _row_blocks(x3):
    """(group, slice of rows) for every cache-sized block of (G, M, C)."""
    G, M, C = x3.shape
    n = max(1, ROW_FLOATS // max(C, 1))
    return ((g, slice(i, min(i + n, M))) for g in range(G) for i in range(0, M, n))


def _flat_blocks(x):
    """Cache-sized pieces of x as flat views (copies only if x is not contiguous, which is for reading)."""
    flat = x.reshape(-1)
    return (flat[i : i + ROW_FLOATS] for i in range(0, flat.size, ROW_FLOATS))
