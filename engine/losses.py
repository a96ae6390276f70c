"""Losses: scalars to minimise. The four that end a GAN step are fused ops with their composite twin beside them.

Discriminators give logits `s`; D(x) = sigmoid(s) appears in no loss, because log(sigmoid(s)) overflows where
softplus does not. Not here: who minimises what, and when (`models/`).
"""

import numpy as np

from inachus.engine import ops
from inachus.engine.ops.shape import needs_some
from inachus.engine.tensor import Tensor, constant, grad, op
from inachus.kernels import backend, known, number, xp


@op(saves=True)
def _bce(s, t):
    return backend(s).bce_with_logits(s, t)


@_bce.vjp
def _(gy, y, s, t, *, saved):
    return gy * constant(saved), lambda: ops.sum_to(gy * s * (-1.0 / s.size), shape=t.shape)


@_bce.composite
def _(s, t):
    return (ops.softplus(s) - s * t).mean()


@op(saves=True)
def _squared(s, t):
    return backend(s).squared_error(s, t)


@_squared.vjp
def _(gy, y, s, t, *, saved):
    gs = gy * constant(saved)
    return gs, lambda: ops.sum_to(-gs, shape=t.shape)


@_squared.composite
def _(s, t):
    return ops.square(s - t).mean()


@op(saves=True)
def _absolute(s, t):
    return backend(s).absolute_error(s, t)


@_absolute.vjp
def _(gy, y, s, t, *, saved):
    gs = gy * constant(saved)
    return gs, lambda: ops.sum_to(-gs, shape=t.shape)


@_absolute.composite
def _(s, t):
    return ops.abs(s - t).mean()


@op(saves=True)
def _hinge(s, *, sign):
    return backend(s).hinge(s, sign)


@_hinge.vjp
def _(gy, y, s, *, sign, saved):
    return (gy * constant(saved),)


@_hinge.composite
def _(s, *, sign):
    return ops.relu(1.0 - sign * s).mean()


def _target(name: str, s: Tensor, t: Tensor | float) -> Tensor:
    """A number as a target becomes a 0-d constant, one for all elements; a Tensor must have the shape of s."""
    needs_some(name, s)
    if isinstance(t, int | float):
        return constant(number(t, s.dtype))
    if isinstance(t, Tensor) and t.shape != s.shape:
        raise ValueError(f"{name}: prediction {s.shape} and target {t.shape} differ; nothing is broadcast here")
    return t


def bce_with_logits(s: Tensor, t: Tensor | float) -> Tensor:
    """mean of -t log sigmoid(s) - (1-t) log(1 - sigmoid(s)); t in [0, 1], a number or a Tensor of the shape of s."""
    return _bce(s, _target("bce_with_logits", s, t))


def mse(s: Tensor, t: Tensor | float) -> Tensor:
    """mean of (s - t)^2."""
    return _squared(s, _target("mse", s, t))


def l1(s: Tensor, t: Tensor | float) -> Tensor:
    """mean of |s - t|."""
    return _absolute(s, _target("l1", s, t))


def hinge(s: Tensor, sign: float) -> Tensor:
    """mean of max(0, 1 - sign s): sign +1 for real, -1 for fake. Lim and Ye (2017)."""
    needs_some("hinge", s)
    return _hinge(s, sign=float(sign))


def cross_entropy(logits: Tensor, labels) -> Tensor:
    """mean of -log softmax(logits)[label]: logits (N, K), labels integers (N,) in 0..K-1; ValueError for others."""
    needs_some("cross_entropy", logits)
    labels = labels.data if isinstance(labels, Tensor) else labels if known(labels) else np.asarray(labels)
    on_host = isinstance(labels, np.ndarray)  # a device's would have to be waited for
    if labels.shape != logits.shape[:1] or (on_host and (labels.min() < 0 or labels.max() >= logits.shape[1])):
        raise ValueError(
            f"cross_entropy: labels {labels.shape} must be one of 0..{logits.shape[1] - 1} for each of "
            f"the rows of logits {logits.shape}"
        )
    return -ops.log_softmax(logits)[xp(logits.data).arange(len(labels)), labels].mean()


def entropy(logits: Tensor) -> Tensor:
    """mean of -sum p log p, p = softmax(logits) (N, K): how undecided a classifier is, from 0 to log K."""
    return (ops.softmax(logits) * ops.log_softmax(logits)).sum() * (-1.0 / len(logits))


def distillation(logits: Tensor, teacher: Tensor) -> Tensor:
    """mean of -sum q log softmax(logits), q = softmax(teacher) taken as given: both (N, K); Hinton et al. (2015)."""
    return (ops.softmax(teacher.detach()) * ops.log_softmax(logits)).sum() * (-1.0 / len(logits))


def gradient_penalty(critic, x: Tensor, target: float = 1.0) -> Tensor:
    """mean over the batch of (||d critic / d x|| - target)^2, the norm over all but the batch axis.

    Gulrajani et al. (2017), eq. 3; differentiable in the critic's weights. `x` is used as a constant point.
    """
    x = Tensor(x.data, requires_grad=True)
    (g,) = grad(critic(x).sum(), [x], create_graph=True)
    norm = ops.sqrt(ops.square(g).sum(axis=tuple(range(1, g.ndim))) + 1e-12)
    return ops.square(norm - target).mean()
