"""Normalisation on the GPU, forward and backward, and its running statistics: the launchers of `norm.cu`.

One launch where a group has few rows, two otherwise: the sums, then the result.
"""

import numpy as np

from inachus.kernels import xp
from inachus.kernels.cuda.launch import launch
from inachus.kernels.cuda.loops.columns import THREADS, columns, pixels, reals, tickets

FILE = "loops/norm.cu"


def norm(x, gamma, beta, groups, eps, slope):
    """y = lrelu(gamma xhat + beta), xhat = (x - mean) / sqrt(var + eps); also returns mean, rstd (groups, C).

    x is (N,...,C); statistics run over all but the last axis inside each of `groups` equal runs of N: 1 is
    BatchNorm, N is InstanceNorm. Squares are centred in each thread, then merged (Chan et al. 1983).
    """
    new, real = xp(x), x.dtype.type
    x, gamma, beta = (new.ascontiguousarray(a) for a in (x, gamma, beta))
    y, mean, rstd, M, C = _outputs(x, groups)
    grid = columns(groups, M, C, C, x, y)
    how = {"like": x, "defines": grid.defines}
    if grid.chunks == 1:
        args = (x, gamma, beta, y, mean, rstd, real(eps), real(slope), grid.columns)
        launch(FILE, "normalise_small", grid.blocks, grid.block, args, shared=grid.shared(2, 1), **how)
        return y, mean, rstd
    parts = new.empty((groups, grid.chunks, 2, C), x.dtype)
    args = (x, parts, mean, rstd, tickets(x, groups * grid.tiles), real(eps), grid.columns)
    launch(FILE, "statistics", grid.blocks, grid.block, args, shared=grid.shared(2, 1), **how)
    args = (x, gamma, beta, y, mean, rstd, real(slope), grid.columns)
    launch(FILE, "normalise", grid.blocks, grid.block, args, **how)
    return y, mean, rstd


def naive(x, gamma, beta, groups, eps, slope):
    """`norm` with a block a channel: what there was before it was made fast."""
    new, real = xp(x), x.dtype.type
    x, gamma, beta = (new.ascontiguousarray(a) for a in (x, gamma, beta))
    y, mean, rstd, M, C = _outputs(x, groups)
    args = (x, gamma, beta, y, mean, rstd, np.int64(M), C, real(eps), real(slope))
    how = {"like": x, "shared": THREADS * x.itemsize, "defines": {**reals(x.dtype), "WIDTH": 16 // x.itemsize}}
    launch(FILE, "naive", groups * C, THREADS, args, **how)
    return y, mean, rstd


def norm_bwd(gy, y, x, gamma, mean, rstd, slope):
    """Gradient of `norm`: gx, ggamma, gbeta. gx = gamma rstd (g - mean(g) - xhat mean(g xhat)), g = gy lrelu'."""
    new, real = xp(x), x.dtype.type
    groups, C = mean.shape
    gy, stride = pixels(gy)
    y, x, gamma, mean, rstd = (new.ascontiguousarray(a) for a in (y, x, gamma, mean, rstd))
    y = None if slope == 1 else y
    M, gx, totals = x.size // (groups * C), new.empty(x.shape, x.dtype), new.empty((groups, 2, C), x.dtype)
    ggamma, gbeta = new.empty(C, x.dtype), new.empty(C, x.dtype)
    grid = columns(groups, M, C, stride, gy, x, y, gx)
    how = {"like": x, "shared": grid.shared(2), "defines": grid.defines}
    given, results, rest = (gy, np.int64(stride), x, y), (gx, ggamma, gbeta), (real(slope), grid.columns)
    if grid.chunks == 1:
        args = (*given, gamma, mean, rstd, totals, tickets(x, grid.tiles), *results, *rest)
        launch(FILE, "normalise_bwd_small", grid.blocks, grid.block, args, **how)
        return results
    parts = new.empty((groups, grid.chunks, 2, C), x.dtype)
    args = (*given, mean, parts, totals, tickets(x, groups * grid.tiles), *rest)
    launch(FILE, "sums", grid.blocks, grid.block, args, **how)
    launch(FILE, "normalise_bwd", grid.blocks, grid.block, (*given, gamma, mean, rstd, totals, *results, *rest), **how)
    return results


def track(running_mean, running_var, mean, rstd, eps, momentum, count):
    """running <- running + momentum (new - running) in place, for mean and variance (C,).

    mean, rstd (1, C) are those that `norm` found in one group of `count` rows; the new variance is the unbiased one.
    """
    new, real, C = xp(mean), mean.dtype.type, mean.size
    numbers = (real(eps), real(momentum), real(count / max(count - 1, 1)))
    args = (running_mean, running_var, new.ascontiguousarray(mean), new.ascontiguousarray(rstd), *numbers, C)
    defines = {**reals(mean.dtype), "WIDTH": 16 // mean.itemsize}
    launch(FILE, "track", -(-C // THREADS), THREADS, args, like=mean, defines=defines)


def _outputs(x, groups):
    """(y, mean, rstd, M, C), the arrays not written yet."""
    new, C = xp(x), x.shape[-1]
    mean, rstd = new.empty((groups, C), x.dtype), new.empty((groups, C), x.dtype)
    return new.empty(x.shape, x.dtype), mean, rstd, x.size // (groups * C), C
