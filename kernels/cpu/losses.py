"""The losses every GAN step ends in, and their gradients, both in one pass over `s`.

The loss is a 0-d array, gs has the shape of s; the target `t` has it too, or is a 0-d array, one target for all. A mean
is the sum of the sums of blocks of fixed length, added in order in double precision.
"""

import math

import numpy as np
from numba import prange

from inachus.kernels.cpu.loops import loop, part, plain

BLOCK = 1 << 12


def bce_with_logits(s, t):
    """mean of -t log sigmoid(s) - (1-t) log(1-sigmoid(s)) = max(s,0) - s t + log(1 + exp(-|s|)): no overflow.

    gs = (sigmoid(s) - t) / size.
    """
    return _averaged(_bce, s, t)


def squared_error(s, t):
    """mean of (s - t)^2; gs = 2 (s - t) / size."""
    return _averaged(_squares, s, t)


def absolute_error(s, t):
    """mean of |s - t|; gs = sign(s - t) / size, 0 where they are equal."""
    return _averaged(_distances, s, t)


def hinge(s, sign):
    """mean of max(0, 1 - sign s), sign +1 or -1; gs = -sign / size where that is positive, 0 elsewhere."""
    return _averaged(_margins, s, np.array(sign, s.dtype))


def _averaged(terms, s, t):
    """The mean of `terms`, and the gradient that it leaves; one target for all becomes a block that all blocks read."""
    gs, sums = np.empty(s.shape, s.dtype), np.empty(-(-s.size // BLOCK), np.float64)
    t = np.full(min(s.size, BLOCK), t, s.dtype) if t.ndim == 0 else plain(t).reshape(-1)
    terms(plain(s).reshape(-1), t, gs.reshape(-1), s.dtype.type(1 / s.size), sums)
    return np.array(sums.sum() / s.size, s.dtype), gs


@part
def _block(s, t, gs, b):
    """Block b of the three arrays."""
    i, j = b * BLOCK, (b + 1) * BLOCK
    return s[i:j], t[i:j] if len(t) == len(s) else t, gs[i:j]


@loop
def _bce(s, t, gs, share, sums):
    for b in prange(len(sums)):
        sums[b] = _bce_of_block(*_block(s, t, gs, b), share)


@part
def _bce_of_block(s, t, gs, share):
    total = 0.0
    for i in range(len(s)):
        e = math.exp(-abs(s[i]))
        total += max(s[i], 0) - s[i] * t[i] + math.log1p(e)
        gs[i] = ((1 if s[i] >= 0 else e) / (1 + e) - t[i]) * share
    return total


@loop
def _squares(s, t, gs, share, sums):
    for b in prange(len(sums)):
        sums[b] = _squares_of_block(*_block(s, t, gs, b), share)


@part
def _squares_of_block(s, t, gs, share):
    total = 0.0
    for i in range(len(s)):
        d = s[i] - t[i]
        total += d * d
        gs[i] = 2 * d * share
    return total


@loop
def _distances(s, t, gs, share, sums):
    for b in prange(len(sums)):
        sums[b] = _distances_of_block(*_block(s, t, gs, b), share)


@part
def _distances_of_block(s, t, gs, share):
    total = 0.0
    for i in range(len(s)):
        d = s[i] - t[i]
        total += abs(d)
        gs[i] = share * ((d > 0) - (d < 0))  # no branch, which nobody could predict
    return total


@loop
def _margins(s, sign, gs, share, sums):
    for b in prange(len(sums)):
        sums[b] = _margins_of_block(*_block(s, sign, gs, b), share)


@part
def _margins_of_block(s, sign, gs, share):
    total = 0.0
    for i in range(len(s)):
        margin = 1 - sign[i] * s[i]
        total += 0 if margin <= 0 else margin  # so that NaN counts
        gs[i] = -sign[i] * share if margin > 0 else 0
    return total
