"""Normalisation and bias fused with leaky ReLU. Each fused op keeps its composite twin beside it: the definition,
the oracle of both kernels, and what a gradient of a gradient goes through.

`slope` is the leaky ReLU that follows: 1 none, 0 ReLU. The loops are in `kernels/reference/norm.py`.
"""

from inachus.engine.ops.activation import check_slope, leaky_relu
from inachus.engine.ops.arithmetic import sqrt
from inachus.engine.ops.shape import mean, needs_some, reshape
from inachus.engine.tensor import Tensor, constant, op
from inachus.kernels import backend, number


@op(saves=True)
def norm(x, gamma, beta, *, groups, eps, slope=1.0):
    """lrelu(gamma xhat + beta), statistics over all but the last axis, in each of `groups` equal parts of axis 0."""
    check_slope(slope)
    gamma = number(1, x.dtype, x.shape[-1:]) if gamma is None else gamma
    beta = number(0, x.dtype, x.shape[-1:]) if beta is None else beta
    y, mean, rstd = backend(x).norm(x, gamma, beta, groups, eps, slope)
    return y, (gamma, mean, rstd)


@norm.vjp
def _(gy, y, x, gamma, beta, *, groups, eps, slope=1.0, saved):
    gx, ggamma, gbeta = backend(gy.data).norm_bwd(gy.data, y.data, x.data, *saved, slope)
    return constant(gx), constant(ggamma), constant(gbeta)


@norm.composite
def _(x, gamma, beta, *, groups, eps, slope=1.0):
    parts = reshape(x, shape=(groups, -1, x.shape[-1]))  # (G, M, C)
    d = parts - mean(parts, axis=1, keepdims=True)
    y = d / sqrt(mean(d * d, axis=1, keepdims=True) + eps)
    y = y if gamma is None else y * gamma
    y = y if beta is None else y + beta
    return leaky_relu(reshape(y, shape=x.shape), slope=slope)


@op
def bias_act(x, b, *, slope):
    """lrelu(x + b), b (C,) on the last axis."""
    check_slope(slope)
    return backend(x).bias_act(x, b, slope)


@bias_act.vjp
def _(gy, y, x, b, *, slope):
    gx, gb = backend(gy.data).bias_act_bwd(gy.data, y.data, slope)
    return constant(gx), constant(gb)


@bias_act.composite
def _(x, b, *, slope):
    return leaky_relu(x + b, slope=slope)


def batch_norm(x, gamma, beta, *, eps=1e-5, slope=1.0) -> Tensor:
    """gamma (x - mean) / sqrt(var + eps) + beta over all axes but the last, biased variance; x (N,...,C), gamma (C,).

    Ioffe and Szegedy (2015). Raises ValueError if the channels differ.
    """
    _check("batch_norm", x, gamma, beta)
    return norm(x, gamma, beta, groups=1, eps=eps, slope=slope)


def instance_norm(x, gamma=None, beta=None, *, eps=1e-5, slope=1.0) -> Tensor:
    """As batch_norm, for each picture by itself: x (N,H,W,C). Ulyanov et al. (2016)."""
    _check("instance_norm", x, gamma, beta)
    return norm(x, gamma, beta, groups=x.shape[0], eps=eps, slope=slope)


def layer_norm(x, gamma=None, beta=None, *, eps=1e-5) -> Tensor:
    """gamma (x - mean) / sqrt(var + eps) + beta over the last axes of x, as many as gamma has; the last one by default.

    For pictures give gamma the shape (H, W, C) to normalise each whole. Ba et al. (2016).
    """
    axes = tuple(range(-(gamma.ndim if gamma is not None else 1), 0))
    if any(p is not None and p.shape != x.shape[axes[0] :] for p in (gamma, beta)):
        raise ValueError(f"layer_norm: gamma and beta must have the last axes of x {x.shape}")
    d = x - mean(x, axis=axes, keepdims=True)
    y = d / sqrt(mean(d * d, axis=axes, keepdims=True) + eps)
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def _check(name, x, gamma, beta):
    needs_some(name, x)
    for label, p in (("gamma", gamma), ("beta", beta)):
        if p is not None and p.shape != x.shape[-1:]:
            raise ValueError(f"{name}: x has {x.shape[-1]} channels but {label} has shape {p.shape} (x {x.shape})")
