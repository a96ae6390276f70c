"""The losses every GAN step ends in: the mean over all elements of `s`, and its gradient `gs` in s, in one call.

The loss is a 0-d array, gs has the shape of s; the target `t` has it too, or is a 0-d array, one target for all.
Not here: which loss plays which part (`engine/losses.py`).
"""

import numpy as np


def bce_with_logits(s, t):
    """mean of -t log sigmoid(s) - (1-t) log(1-sigmoid(s)) = max(s,0) - s t + log(1 + exp(-|s|)): no overflow.

    gs = (sigmoid(s) - t) / size.
    """
    e = np.exp(-np.abs(s))
    return _averaged(s, np.maximum(s, 0) - s * t + np.log1p(e), np.where(s >= 0, 1, e) / (1 + e) - t)


def squared_error(s, t):
    """mean of (s - t)^2; gs = 2 (s - t) / size."""
    d = s - t
    return _averaged(s, d * d, 2 * d)


def absolute_error(s, t):
    """mean of |s - t|; gs = sign(s - t) / size, 0 where they are equal."""
    d = s - t
    return _averaged(s, np.abs(d), np.sign(d))


def hinge(s, sign):
    """mean of max(0, 1 - sign s), sign +1 or -1; gs = -sign / size where that is positive, 0 elsewhere."""
    margin = 1 - sign * s
    return _averaged(s, np.maximum(margin, 0), np.where(margin > 0, s.dtype.type(-sign), 0))


def _averaged(s, values, slopes):
    """The mean of the values, and the slopes divided by as many."""
    slopes /= s.size
    return np.asarray(values.mean(dtype=s.dtype)), np.asarray(slopes, order="C")
