"""Nonlinearities, softmax, dropout and table look-up. Not here: bias and norm fused with one (`norm.py`)."""

import numpy as np

from inachus.engine.ops.arithmetic import where
from inachus.engine.ops.shape import getitem, sum_to
from inachus.engine.ops.shape import sum as sum_over
from inachus.engine.tensor import Tensor, op
from inachus.kernels import backend, known, xp


@op
def _leaky_relu(x, *, slope):
    return backend(x).leaky_relu(x, slope)


@_leaky_relu.vjp
def _(gy, y, x, *, slope):
    return (leaky_relu_bwd(gy, y, slope=slope),)


@op
def leaky_relu_bwd(gy, y, *, slope):
    """gy where y > 0, slope gy elsewhere: linear in gy, so it is its own gradient, and flat in y."""
    return backend(gy).leaky_relu_bwd(gy, y, slope)


@leaky_relu_bwd.vjp
def _(g, gx, gy, y, *, slope):
    return leaky_relu_bwd(g, y, slope=slope), None


def leaky_relu(x, *, slope=0.2) -> Tensor:
    """max(x, slope x) with slope in [0, 1]; the second derivative is 0. Raises ValueError for another slope."""
    check_slope(slope)
    return _leaky_relu(x, slope=slope)


def check_slope(slope: float) -> None:
    """Raises ValueError unless 0 <= slope <= 1, where the sign of the output tells that of the input."""
    if not 0 <= slope <= 1:
        raise ValueError(f"leaky_relu: slope {slope} is not in [0, 1]")


def relu(x) -> Tensor:
    """max(x, 0)."""
    return _leaky_relu(x, slope=0.0)


@op
def prelu(x, slope):
    """x where it is positive, slope x elsewhere; the slope, () or (C,), is learned. He et al. (2015), eq. 1."""
    return xp(x).where(x > 0, x, slope * x)


@prelu.vjp
def _(gy, y, x, slope):
    return (
        lambda: where(x > 0, gy, gy * slope),
        lambda: sum_to(where(x > 0, 0.0, gy * x), shape=slope.shape),
    )


@op
def tanh(x):
    """(e^x - e^-x) / (e^x + e^-x)."""
    return backend(x).tanh(x)


@tanh.vjp
def _(gy, y, x):
    return (tanh_bwd(gy, y),)


@op
def tanh_bwd(gy, y):
    """gy (1 - y^2), for y = tanh x."""
    return backend(gy).tanh_bwd(gy, y)


@tanh_bwd.vjp
def _(g, gx, gy, y):
    return lambda: tanh_bwd(g, y), lambda: g * gy * (-2.0 * y)


@op
def sigmoid(x):
    """1 / (1 + e^-x), without overflow."""
    return backend(x).sigmoid(x)


@sigmoid.vjp
def _(gy, y, x):
    return (gy * (y * (1.0 - y)),)


@op
def softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    return backend(x).softplus(x)


@softplus.vjp
def _(gy, y, x):
    return (gy * sigmoid(x),)


@op
def softmax(x):
    """e^x / sum e^x over the last axis."""
    e = xp(x).exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@softmax.vjp
def _(gy, y, x):
    return (y * (gy - sum_over(gy * y, axis=-1, keepdims=True)),)


@op
def log_softmax(x):
    """x - log sum e^x over the last axis."""
    x = x - x.max(axis=-1, keepdims=True)
    return x - xp(x).log(xp(x).exp(x).sum(axis=-1, keepdims=True))


@log_softmax.vjp
def _(gy, y, x):
    return (gy - softmax(x) * sum_over(gy, axis=-1, keepdims=True),)


def dropout(x, rng, *, rate=0.5) -> Tensor:
    """x with each element zero with probability `rate`, the others scaled by 1/(1-rate). Srivastava et al. (2014).

    `rng` is an `engine.random.Generator`. Raises ValueError unless 0 <= rate < 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate {rate} is not in [0, 1)")
    return _dropout(x, seed=rng.seed, stream=rng.stream, start=rng.claim(x.size), rate=rate)


@op
def _dropout(x, *, seed, stream, start, rate):  # the mask is drawn again wherever it is needed, and never stored
    return backend(x).dropout(x, seed, stream, start, rate)


@_dropout.vjp
def _(gy, y, x, **drawn):
    return (_dropout(gy, **drawn),)


def embedding(index, w) -> Tensor:
    """Rows of w (V, D) at the integers `index` (...) -> (..., D). Raises ValueError for an index outside 0..V-1."""
    index = index.data if isinstance(index, Tensor) else index if known(index) else np.asarray(index)
    if index.dtype.kind not in "iu":
        raise TypeError(f"embedding: the index must be integers, got {index.dtype}")
    on_host = isinstance(index, np.ndarray)  # a device's would have to be waited for
    if on_host and index.size and (index.min() < 0 or index.max() >= len(w)):
        raise ValueError(f"embedding: index {index.min()}..{index.max()} is outside the table's 0..{len(w) - 1}")
    return getitem(w, index=(index,))
