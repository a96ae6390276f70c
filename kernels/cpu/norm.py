"""Normalisation, forward and backward: one pass for the sums, one for the result.

Rows are taken in blocks of fixed length; what a block adds up is merged in the order of the blocks, in double
precision. Not here: the definitions in differentiable operations (`engine/ops/norm.py`).
"""

import math

import numpy as np
from numba import prange

from inachus.kernels.cpu.loops import loop, part, plain, rows_of_block


def norm(x, gamma, beta, groups, eps, slope):
    """y = lrelu(gamma xhat + beta), xhat = (x - mean) / sqrt(var + eps); also returns mean, rstd (groups, C).

    x is (N,...,C); statistics run over all but the last axis inside each of `groups` equal runs of N: 1 is
    BatchNorm, N is InstanceNorm. A block's squares are centred on its own mean, then merged (Chan et al. 1983).
    """
    x3 = plain(x).reshape(groups, -1, x.shape[-1])  # (G, M, C)
    G, M, C = x3.shape
    y, rows = np.empty_like(x3), rows_of_block(M, C)
    mean, rstd = np.empty((2, G, C), x.dtype)
    sums = np.empty((2, G, -(-M // rows), C), x.dtype)
    _statistics(x3, sums, mean, rstd, eps, rows)
    _normalise(x3, y, mean, rstd, plain(gamma), plain(beta), x.dtype.type(slope), rows)
    return y.reshape(x.shape), mean, rstd


def norm_bwd(gy, y, x, gamma, mean, rstd, slope):
    """Gradient of `norm`: gx, ggamma, gbeta. gx = gamma rstd (g - mean(g) - xhat mean(g xhat)), g = gy lrelu'."""
    groups, C = mean.shape
    gy3, y3, x3 = (plain(a).reshape(groups, -1, C) for a in (gy, y, x))
    gamma, mean, rstd, slope = plain(gamma), plain(mean), plain(rstd), x.dtype.type(slope)
    G, M, _ = x3.shape
    gx, rows = np.empty_like(x3), rows_of_block(M, C)
    sums = np.empty((2, G, -(-M // rows), C), x.dtype)
    totals, ggamma, gbeta = np.empty((2, G, C), x.dtype), *np.empty((2, C), x.dtype)
    _sums(gy3, y3, x3, mean, rstd, sums, totals, ggamma, gbeta, slope, rows)
    _normalise_bwd(gy3, y3, x3, gx, gamma, mean, rstd, totals, slope, rows)
    return gx.reshape(x.shape), ggamma, gbeta


@loop
def _statistics(x, sums, mean, rstd, eps, rows):
    """mean and rstd (G,C); sums holds the mean of each block, and its squares centred on that."""
    G, M, C = x.shape
    blocks = sums.shape[2]
    for t in prange(G * blocks):
        g, b = t // blocks, t % blocks
        _moments_of_block(x[g, b * rows : min(M, (b + 1) * rows)], sums[0, g, b], sums[1, g, b])
    for g in range(G):
        for c in range(C):
            total, squares = 0.0, 0.0
            for b in range(blocks):
                total += min(rows, M - b * rows) * np.float64(sums[0, g, b, c])
            centre = total / M
            for b in range(blocks):
                off = sums[0, g, b, c] - centre
                squares += sums[1, g, b, c] + min(rows, M - b * rows) * off * off
            mean[g, c], rstd[g, c] = centre, 1 / math.sqrt(squares / M + eps)


@part
def _moments_of_block(x, mean, squares):
    """In one pass, as distances from the first row: they are no larger than the spread, so that nothing cancels."""
    mean[:] = 0
    squares[:] = 0
    for m in range(1, len(x)):
        row, first = x[m], x[0]
        for c in range(len(row)):
            d = row[c] - first[c]
            mean[c] += d
            squares[c] += d * d
    for c in range(len(mean)):
        squares[c] = max(0, squares[c] - mean[c] * mean[c] / len(x))
        mean[c] = x[0, c] + mean[c] / len(x)


@loop
def _normalise(x, y, mean, rstd, gamma, beta, slope, rows):
    G, M, _ = x.shape
    blocks = (M + rows - 1) // rows
    for t in prange(G * blocks):
        g, i = t // blocks, t % blocks * rows
        _normalise_block(x[g, i : i + rows], y[g, i : i + rows], mean[g], rstd[g] * gamma, beta, slope)


@part
def _normalise_block(x, y, mean, scale, beta, slope):
    for m in range(len(x)):
        row, out = x[m], y[m]
        for c in range(len(row)):
            v = (row[c] - mean[c]) * scale[c] + beta[c]
            out[c] = v if v > 0 else slope * v


@loop
def _sums(gy, y, x, mean, rstd, sums, totals, ggamma, gbeta, slope, rows):
    """totals (2,G,C): the sums of g and of g (x - mean) over each group; from them gbeta and ggamma."""
    G, M, C = x.shape
    blocks = sums.shape[2]
    for t in prange(G * blocks):
        g, b = t // blocks, t % blocks
        i, j = b * rows, min(M, (b + 1) * rows)
        _sums_of_block(gy[g, i:j], y[g, i:j], x[g, i:j], mean[g], sums[0, g, b], sums[1, g, b], slope)
    for c in range(C):
        of_g, of_gx = 0.0, 0.0
        for g in range(G):
            first, second = 0.0, 0.0
            for b in range(blocks):
                first += sums[0, g, b, c]
                second += sums[1, g, b, c]
            totals[0, g, c], totals[1, g, c] = first, second
            of_g, of_gx = of_g + first, of_gx + second * rstd[g, c]
        ggamma[c], gbeta[c] = of_gx, of_g


@part
def _sums_of_block(gy, y, x, mean, sum_g, sum_gx, slope):
    sum_g[:] = 0
    sum_gx[:] = 0
    for m in range(len(x)):
        gradient, sign, row = gy[m], y[m], x[m]
        for c in range(len(row)):
            g = gradient[c] if sign[c] > 0 else slope * gradient[c]
            sum_g[c] += g
            sum_gx[c] += g * (row[c] - mean[c])


@loop
def _normalise_bwd(gy, y, x, gx, gamma, mean, rstd, totals, slope, rows):
    G, M, _ = x.shape
    blocks = (M + rows - 1) // rows
    n = x.dtype.type(M)
    for t in prange(G * blocks):
        g, i = t // blocks, t % blocks * rows
        j, shift, tilt = min(M, i + rows), totals[0, g] / n, totals[1, g] * rstd[g] * rstd[g] / n
        _normalise_bwd_block(gy[g, i:j], y[g, i:j], x[g, i:j], gx[g, i:j], mean[g], gamma * rstd[g], shift, tilt, slope)


@part
def _normalise_bwd_block(gy, y, x, gx, mean, scale, shift, tilt, slope):
    for m in range(len(x)):
        gradient, sign, row, out = gy[m], y[m], x[m], gx[m]
        for c in range(len(row)):
            g = gradient[c] if sign[c] > 0 else slope * gradient[c]
            out[c] = (g - shift[c] - (row[c] - mean[c]) * tilt[c]) * scale[c]
