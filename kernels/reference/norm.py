"""Normalisation in NumPy, forward and backward, in blocks that stay in cache, and its running statistics.

Not here: the definition in differentiable operations, which `engine/ops/norm.py` keeps beside the rules.
"""

import numpy as np

from inachus.kernels.reference.activation import finish, rows_sum, weigh
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
        mean[g] += rows_sum(x3[g, rows])
    mean /= M
    for g, rows in _row_blocks(x3):
        d = np.subtract(x3[g, rows], mean[g], out=y[g, rows])
        var[g] += np.einsum("mc,mc->c", d, d)
    rstd = 1 / np.sqrt(var / M + x.dtype.type(eps))
    scale = rstd * gamma
    for g, rows in _row_blocks(x3):
        part = y[g, rows]
        part *= scale[g]
        finish(part, beta, slope)
    return y.reshape(x.shape), mean, rstd


def norm_bwd(gy, y, x, gamma, mean, rstd, slope):
    """Gradient of `norm`: gx, ggamma, gbeta. gx = gamma rstd (g - mean(g) - xhat mean(g xhat)), g = gy lrelu'."""
    groups, C = mean.shape
    gy3, y3, x3 = (np.ascontiguousarray(a).reshape(groups, -1, C) for a in (gy, y, x))
    g3, gx, M = np.empty_like(x3), np.empty_like(x3), x3.shape[1]
    sum_g, sum_gx = np.zeros_like(mean), np.zeros_like(mean)  # of g and of g xhat, (G, C)
    for g, rows in _row_blocks(x3):
        part = weigh(gy3[g, rows], y3[g, rows], slope, out=g3[g, rows])
        xhat = np.subtract(x3[g, rows], mean[g], out=gx[g, rows])
        xhat *= rstd[g]
        sum_g[g] += rows_sum(part)
        sum_gx[g] += np.einsum("mc,mc->c", part, xhat)
    scale = gamma * rstd
    for g, rows in _row_blocks(x3):
        part = gx[g, rows]  # xhat
        part *= sum_gx[g] / -M
        part += g3[g, rows]
        part -= sum_g[g] / M
        part *= scale[g]
    return gx.reshape(x.shape), sum_gx.sum(0), sum_g.sum(0)


def track(running_mean, running_var, mean, rstd, eps, momentum, count):
    """running <- running + momentum (new - running) in place, for mean and variance (C,).

    mean, rstd (1, C) are those that `norm` found in one group of `count` rows; the new variance is the unbiased one.
    """
    var = (1 / np.square(rstd[0]) - eps) * (count / max(count - 1, 1))
    running_mean += momentum * (mean[0] - running_mean)
    running_var += momentum * (var - running_var)


def _row_blocks(x3):
    """(group, slice of rows) for each block of (G, M, C)."""
    G, M, C = x3.shape
    return ((g, rows) for g in range(G) for rows in spans(M, BLOCK // max(C, 1)))
