"""The losses every GAN step ends in, averaged over all elements, with their gradients. `t` has the shape of `s`.

Not here: which loss plays which part (`engine/losses.py`).
"""

import numpy as np


def bce_with_logits(s, t):
    """mean of -t log sigmoid(s) - (1-t) log(1-sigmoid(s)) = max(s,0) - s t + log(1 + exp(-|s|)): no overflow."""
    return (np.maximum(s, 0) - s * t + np.log1p(np.exp(-np.abs(s)))).mean(dtype=s.dtype)


def bce_with_logits_bwd(gy, s, t):
    """gy (sigmoid(s) - t) / size."""
    e = np.exp(-np.abs(s))
    return (np.where(s >= 0, 1, e) / (1 + e) - t) * (gy / s.size)


def squared_error(s, t):
    """mean of (s - t)^2."""
    d = s - t
    return np.vdot(d, d) / s.dtype.type(s.size)


def squared_error_bwd(gy, s, t):
    """2 gy (s - t) / size."""
    return (s - t) * (2 * gy / s.size)


def absolute_error(s, t):
    """mean of |s - t|."""
    return np.abs(s - t).mean(dtype=s.dtype)


def absolute_error_bwd(gy, s, t):
    """gy sign(s - t) / size, 0 where they are equal."""
    return np.sign(s - t) * (gy / s.size)
