"""Normalisation, bias and leaky ReLU in NumPy, forward and backward, in blocks that stay in cache.

Not here: their definitions in differentiable operations, which `engine/ops/norm.py` keeps beside the rules.
"""

import numpy as np

from inachus.kernels.reference.blocks import BLOCK, spans


def norm(x, gamma, beta, groups, eps, slope):
    """y = lrelu(gamma xhat + beta), xhat = (x - mean) / sqrt(var + eps); also returns mean, rstd (groups, C).

    x is (N,...,C); statistics run over all but the last axis inside each of `groups` equal runs of N: 1 is
    BatchNorm, N is InstanceNorm. The variance is the biased one, from centred values. slope 1 is the identity.
    """
    x3 = np.ascontiguousarray(x).reshape(groups, -1, x.shape[-1])  # (G, M, C)
    y, M = np.empty_like(x3), x3.shape[1]
    mean, var = np.zeros_like(x3[:, 0]), np.zeros_like(x3[:, 0])  # (G, C)
    for g, rows in _row_blocks(x3):
        mean[g] += _rows_sum(x3[g, rows])
    mean /= M
    for g, rows in _row_blocks(x3):
        d = np.subtract(x3[g, rows], mean[g], out=y[g, rows])
        var[g] += np.einsum("mc,mc->c", d, d)
    rstd = 1 / np.sqrt(var / M + x.dtype.type(eps))
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
    g3, gx, M = np.empty_like(x3), np.empty_like(x3), x3.shape[1]
    sum_g, sum_gx = np.zeros_like(mean), np.zeros_like(mean)  # of g and of g xhat, (G, C)
    for g, rows in _row_blocks(x3):
        part = _lrelu_bwd(gy3[g, rows], y3[g, rows], slope, out=g3[g, rows])
        xhat = np.subtract(x3[g, rows], mean[g], out=gx[g, rows])
        xhat *= rstd[g]
        sum_g[g] += _rows_sum(part)
        sum_gx[g] += np.einsum("mc,mc->c", part, xhat)
    scale = gamma * rstd
    for g, rows in _row_blocks(x3):
        part = gx[g, rows]  # xhat
        part *= sum_gx[g] / -M
        part += g3[g, rows]
        part -= sum_g[g] / M
        part *= scale[g]
    return gx.reshape(x.shape), sum_gx.sum(0), sum_g.sum(0)


def bias_act(x, b, slope):
    """y = lrelu(x + b), b (C,) on the last axis; slope 0 is ReLU, 1 a plain bias."""
    x2 = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    y = np.empty_like(x2)

    for rows in spans(len(x2), BLOCK // x2.shape[1]):
        np.add(x2[rows], b, out=y[rows])
        _lrelu_(y[rows], slope)
    return y.reshape(x.shape)


def bias_act_bwd(gy, y, slope):
    """Gradient of `bias_act`: gx and gb."""
    gx = leaky_relu_bwd(gy, y, slope)
    flat = gx.reshape(-1, gx.shape[-1])
    return gx, sum(_rows_sum(flat[rows]) for rows in spans(len(flat), BLOCK // flat.shape[1]))


def leaky_relu(x, slope):
    """max(x, slope x), slope in [0, 1]."""
    y = np.array(x, order="C")
    flat = y.reshape(-1)
    for part in spans(flat.size, BLOCK):
        _lrelu_(flat[part], slope)
    return y


def leaky_relu_bwd(gy, y, slope):
    """gy where y > 0, slope gy elsewhere (y may be the output or the input: their signs agree)."""
    gx = np.empty(gy.shape, gy.dtype)
    g, v, out = (a.reshape(-1) for a in (gy, y, gx))
    for part in spans(g.size, BLOCK):
        _lrelu_bwd(g[part], v[part], slope, out=out[part])
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


def _rows_sum(x2):
    """(M, C) -> (C,); as a matrix product, because BLAS adds in blocks: faster and with less rounding."""
    return np.ones(len(x2), x2.dtype) @ x2


def _row_blocks(x3):
    """(group, slice of rows) for each block of (G, M, C)."""
    G, M, C = x3.shape
    return ((g, rows) for g in range(G) for rows in spans(M, BLOCK // max(C, 1)))
