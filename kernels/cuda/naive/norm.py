"""Leaky ReLU and bias, one thread a number; normalisation, one block a channel, which adds up in shared memory.

A sum over many numbers by many threads: each adds up its share, then half of the threads add what the other half has,
then a quarter, and so on: `_block_sum`. The variance is that of centred numbers, in a pass of its own, because the
difference of two large sums loses its digits.

What makes it slow: the numbers of a channel lie C apart, and memory delivers 32 bytes or more at a time, so that most
of what arrives is thrown away; and there are only as many blocks as channels. `../loops/norm.cu` gives neighbouring
channels to neighbouring threads and cuts the rows into parts: read it next.
"""

import math

from numba import cuda

from inachus.kernels import xp
from inachus.kernels.cuda.naive.launch import launch, launch_each

THREADS = 128  # of the one block of a channel; a power of two


def leaky_relu(x, slope):
    """max(x, slope x), slope in [0, 1]."""
    y = xp(x).empty(x.shape, x.dtype)
    launch_each(_leaky_relu, x.reshape(-1), x.dtype.type(slope), y.reshape(-1))
    return y


@cuda.jit
def _leaky_relu(x, slope, y):
    """Thread i computes y[i]."""
    i = cuda.grid(1)
    if i < y.size:
        y[i] = _lrelu(x[i], slope)


def leaky_relu_bwd(gy, y, slope):
    """gy where y > 0, slope gy elsewhere (y may be the output or the input: their signs agree)."""
    gx = xp(gy).empty(gy.shape, gy.dtype)
    launch_each(_leaky_relu_bwd, gy.reshape(-1), y.reshape(-1), gy.dtype.type(slope), gx.reshape(-1))
    return gx


@cuda.jit
def _leaky_relu_bwd(gy, y, slope, gx):
    """Thread i computes gx[i]."""
    i = cuda.grid(1)
    if i < gx.size:
        gx[i] = _lrelu_bwd(gy[i], y[i], slope)


def bias_act(x, b, slope):
    """y = lrelu(x + b), b (C,) on the last axis; slope 0 is ReLU, 1 a plain bias."""
    y = xp(x).empty(x.shape, x.dtype)
    launch_each(_bias_act, x.reshape(-1), b, x.dtype.type(slope), y.reshape(-1))
    return y


@cuda.jit
def _bias_act(x, b, slope, y):
    """Thread i computes y[i]; channels run fastest, so its channel is i mod C."""
    i = cuda.grid(1)
    if i < y.size:
        y[i] = _lrelu(x[i] + b[i % b.size], slope)


def bias_act_bwd(gy, y, slope):
    """Gradient of `bias_act`: gx and gb."""
    C = gy.shape[-1]
    gx, gb = xp(gy).empty(gy.shape, gy.dtype), xp(gy).empty(C, gy.dtype)
    launch(_bias_act_bwd, C, THREADS, gy.reshape(-1, C), y.reshape(-1, C), gy.dtype.type(slope), gb, gx.reshape(-1, C))
    return gx, gb


@cuda.jit
def _bias_act_bwd(gy, y, slope, gb, gx):
    """Block c computes channel c of gx and its sum gb[c]; thread t takes the rows t, t + THREADS, ..."""
    memory = cuda.shared.array(THREADS, gx.dtype)
    c, t = cuda.blockIdx.x, cuda.threadIdx.x
    total = gx.dtype.type(0)
    for m in range(t, len(gx), THREADS):
        g = _lrelu_bwd(gy[m, c], y[m, c], slope)
        gx[m, c] = g
        total += g
    total = _block_sum(total, memory)
    if t == 0:
        gb[c] = total


# --- normalisation ------------------------------------------------------------------------------------------


def norm(x, gamma, beta, groups, eps, slope):
    """y = lrelu(gamma xhat + beta), xhat = (x - mean) / sqrt(var + eps); also returns mean, rstd (groups, C).

    x is (N,...,C); statistics run over all but the last axis inside each of `groups` equal runs of N: 1 is
    BatchNorm, N is InstanceNorm.
    """
    real, C = x.dtype.type, x.shape[-1]
    y, mean, rstd = (xp(x).empty(shape, x.dtype) for shape in (x.shape, (groups, C), (groups, C)))
    x3, y3 = (a.reshape(groups, -1, C) for a in (x, y))  # (G, M, C)
    launch(_norm, (groups, C), THREADS, x3, gamma, beta, real(eps), real(slope), mean, rstd, y3)
    return y, mean, rstd


@cuda.jit
def _norm(x, gamma, beta, eps, slope, mean, rstd, y):
    """Block (g, c) normalises channel c of group g in three passes; thread t takes the rows t, t + THREADS, ..."""
    memory = cuda.shared.array(THREADS, x.dtype)
    real, t, g, c = x.dtype.type, cuda.threadIdx.x, cuda.blockIdx.x, cuda.blockIdx.y
    M = x.shape[1]

    total = real(0)
    for m in range(t, M, THREADS):
        total += x[g, m, c]
    mu = _block_sum(total, memory) / real(M)

    squares = real(0)
    for m in range(t, M, THREADS):
        squares += (x[g, m, c] - mu) ** 2
    r = real(1) / math.sqrt(_block_sum(squares, memory) / real(M) + eps)

    for m in range(t, M, THREADS):
        y[g, m, c] = _lrelu(gamma[c] * (x[g, m, c] - mu) * r + beta[c], slope)
    if t == 0:
        mean[g, c], rstd[g, c] = mu, r


def norm_bwd(gy, y, x, gamma, mean, rstd, slope):
    """Gradient of `norm`: gx, ggamma, gbeta. gx = gamma rstd (g - mean(g) - xhat mean(g xhat)), g = gy lrelu'."""
    groups, C = mean.shape
    gx, ggamma, gbeta = (xp(x).empty(shape, x.dtype) for shape in (x.shape, C, C))
    gy3, y3, x3, gx3 = (a.reshape(groups, -1, C) for a in (gy, y, x, gx))  # (G, M, C)
    launch(_norm_bwd, C, THREADS, gy3, y3, x3, gamma, mean, rstd, x.dtype.type(slope), ggamma, gbeta, gx3)
    return gx, ggamma, gbeta


@cuda.jit
def _norm_bwd(gy, y, x, gamma, mean, rstd, slope, ggamma, gbeta, gx):
    """Block c computes channel c of all groups, one after the other, because gamma and beta belong to all of them."""
    memory = cuda.shared.array(THREADS, x.dtype)
    real, c, t = x.dtype.type, cuda.blockIdx.x, cuda.threadIdx.x
    G, M, _ = x.shape
    all_g, all_gx = real(0), real(0)
    for group in range(G):
        mu, r = mean[group, c], rstd[group, c]
        sum_g, sum_gx = real(0), real(0)  # of g and of g xhat
        for m in range(t, M, THREADS):
            g = _lrelu_bwd(gy[group, m, c], y[group, m, c], slope)
            sum_g += g
            sum_gx += g * (x[group, m, c] - mu) * r
        sum_g, sum_gx = _block_sum(sum_g, memory), _block_sum(sum_gx, memory)
        mean_g, mean_gx = sum_g / real(M), sum_gx / real(M)
        for m in range(t, M, THREADS):
            g, xhat = _lrelu_bwd(gy[group, m, c], y[group, m, c], slope), (x[group, m, c] - mu) * r
            gx[group, m, c] = gamma[c] * r * (g - mean_g - xhat * mean_gx)
        all_g += sum_g
        all_gx += sum_gx
    if t == 0:
        ggamma[c], gbeta[c] = all_gx, all_g


# --- what a thread calls ------------------------------------------------------------------------------------


@cuda.jit(device=True)
def _lrelu(v, slope):
    return v if v > 0 else slope * v


@cuda.jit(device=True)
def _lrelu_bwd(g, v, slope):
    return g if v > 0 else slope * g


@cuda.jit(device=True)
def _block_sum(value, memory):
    """The sum of the values that the threads of a block bring; every thread gets it, the same bits each time."""
    t, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    memory[t] = value
    while half > 0:
        cuda.syncthreads()  # the upper half has written
        if t < half:
            memory[t] += memory[t + half]
        half //= 2
    cuda.syncthreads()
    total = memory[0]
    cuda.syncthreads()  # everyone has read: the memory may be used again
    return total
