"""The losses every GAN step ends in, on the GPU, each with its gradient in one launch: the launchers of `losses.cu`.

The loss is a 0-d array, the mean over all elements of `s`; gs, its gradient in s, has the shape of s; the target `t`
has it too, or is a 0-d array, one target for all.
"""

import numpy as np

from inachus.kernels import xp
from inachus.kernels.cuda.launch import launch
from inachus.kernels.cuda.loops.columns import BLOCKS, THREADS, reals, tickets

TILE = 8192  # bytes of s that a block takes in one turn


def bce_with_logits(s, t):
    """mean of -t log sigmoid(s) - (1-t) log(1-sigmoid(s)) = max(s,0) - s t + log(1 + exp(-|s|)): no overflow.

    gs = (sigmoid(s) - t) / size.
    """
    return _mean("bce_with_logits", s, *_target(s, t))


def squared_error(s, t):
    """mean of (s - t)^2; gs = 2 (s - t) / size."""
    return _mean("squared_error", s, *_target(s, t))


def absolute_error(s, t):
    """mean of |s - t|; gs = sign(s - t) / size, 0 where they are equal."""
    return _mean("absolute_error", s, *_target(s, t))


def hinge(s, sign):
    """mean of max(0, 1 - sign s), sign +1 or -1; gs = -sign / size where that is positive, 0 elsewhere."""
    return _mean("hinge", s, s.dtype.type(sign))


def _target(s, t):
    return xp(s).ascontiguousarray(t), t.shape == s.shape


def _mean(kernel, s, *target):
    new, s = xp(s), xp(s).ascontiguousarray(s).reshape(s.shape)
    loss, gs = new.empty((), s.dtype), new.empty(s.shape, s.dtype)
    blocks = min(BLOCKS, max(1, -(-s.nbytes // TILE)))
    args = (s, *target, loss, gs, new.empty(blocks, np.float64), tickets(s, 1), np.int64(s.size))
    defines = reals(s.dtype)
    launch("loops/losses.cu", kernel, blocks, THREADS, args, like=s, shared=THREADS * 8, defines=defines)
    return loss, gs
