"""The losses every GAN step ends in, and their gradients, each in one pass. `t` has the shape of `s`.

A mean is the sum of the sums of blocks of fixed length, added in order in double precision.
"""

import math

import numpy as np
from numba import prange

from inachus.kernels.cpu.loops import loop, part, plain

BLOCK = 1 << 12


def bce_with_logits(s, t):
    """mean of -t log sigmoid(s) - (1-t) log(1-sigmoid(s)) = max(s,0) - s t + log(1 + exp(-|s|)): no overflow."""
    return _mean(s, t, 0)


def bce_with_logits_bwd(gy, s, t):
    """gy (sigmoid(s) - t) / size."""
    return _slope(gy, s, t, 0)


def squared_error(s, t):
    """mean of (s - t)^2."""
    return _mean(s, t, 1)


def squared_error_bwd(gy, s, t):
    """2 gy (s - t) / size."""
    return _slope(2 * gy, s, t, 1)


def absolute_error(s, t):
    """mean of |s - t|."""
    return _mean(s, t, 2)


def absolute_error_bwd(gy, s, t):
    """gy sign(s - t) / size, 0 where they are equal."""
    return _slope(gy, s, t, 2)


def _mean(s, t, kind):
    sums = np.empty(-(-s.size // BLOCK), np.float64)
    _terms(plain(s).reshape(-1), plain(t).reshape(-1), sums, kind)
    return s.dtype.type(sums.sum() / s.size)


def _slope(gy, s, t, kind):
    gs = np.empty(s.shape, s.dtype)
    _slopes(plain(s).reshape(-1), plain(t).reshape(-1), gs.reshape(-1), s.dtype.type(gy / s.size), kind)
    return gs


@loop
def _terms(s, t, sums, kind):
    for b in prange(len(sums)):
        sums[b] = _terms_of_block(s[b * BLOCK : (b + 1) * BLOCK], t[b * BLOCK : (b + 1) * BLOCK], kind)


@part
def _terms_of_block(s, t, kind):
    total = 0.0
    if kind == 0:
        for i in range(len(s)):
            total += max(s[i], 0) - s[i] * t[i] + math.log1p(math.exp(-abs(s[i])))
    elif kind == 1:
        for i in range(len(s)):
            total += (s[i] - t[i]) * (s[i] - t[i])
    else:
        for i in range(len(s)):
            total += abs(s[i] - t[i])
    return total


@loop
def _slopes(s, t, gs, scale, kind):
    for b in prange((len(s) + BLOCK - 1) // BLOCK):
        i, j = b * BLOCK, (b + 1) * BLOCK
        _slopes_of_block(s[i:j], t[i:j], gs[i:j], scale, kind)


@part
def _slopes_of_block(s, t, gs, scale, kind):
    if kind == 0:
        for i in range(len(s)):
            e = math.exp(-abs(s[i]))
            gs[i] = ((1 if s[i] >= 0 else e) / (1 + e) - t[i]) * scale
    elif kind == 1:
        for i in range(len(s)):
            gs[i] = (s[i] - t[i]) * scale
    else:
        for i in range(len(s)):
            gs[i] = (scale if s[i] > t[i] else 0) - (scale if s[i] < t[i] else 0)
