"""Reductions and everything that moves numbers without changing them. Most come in pairs, each the other's gradient:
`sum_to` and `broadcast_to`, `getitem` and `put`, `pad` and `unpad`.

Not here: elementwise maths (`arithmetic.py`).
"""

import math
from itertools import pairwise

import numpy as np

from inachus.engine.tensor import Tensor, op
from inachus.kernels import backend, place, xp


@op
def sum(x, *, axis=None, keepdims=False):
    """Sum over `axis`: None (all), an int or a tuple."""
    return x.sum(axis=axis, keepdims=keepdims, dtype=x.dtype)


@sum.vjp
def _(gy, y, x, *, axis=None, keepdims=False):
    return (broadcast_to(reshape(gy, shape=_kept(x, axis)), shape=x.shape),)


def _kept(x, axis):
    """Shape of a reduction over `axis` with the reduced axes kept as 1."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = {a % x.ndim for a in axes}
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def needs_some(name: str, x) -> None:
    """Raises ValueError for a tensor without elements, of which this op would have no value."""
    if not x.size:
        raise ValueError(f"{name}: has no value for no numbers (shape {x.shape}): is the batch empty?")


def mean(x, *, axis=None, keepdims=False) -> Tensor:
    """Mean over `axis`: None (all), an int or a tuple. Raises ValueError for no numbers at all."""
    needs_some("mean", x)
    return sum(x, axis=axis, keepdims=keepdims) * (math.prod(_kept(x, axis)) / x.size)


@op
def broadcast_to(x, *, shape):
    """x repeated to `shape` by NumPy's rules."""
    return xp(x).broadcast_to(x, shape)


@broadcast_to.vjp
def _(gy, y, x, *, shape):
    return (sum_to(gy, shape=x.shape),)


@op
def sum_to(x, *, shape):
    """The adjoint of broadcast_to: x summed over the axes along which `shape` would be repeated."""
    if x.shape == tuple(shape):
        return x
    lead = x.ndim - len(shape)
    axes = (*range(lead), *(lead + i for i, n in enumerate(shape) if n == 1 and x.shape[lead + i] != 1))
    return x.sum(axis=axes, dtype=x.dtype).reshape(shape)


@sum_to.vjp
def _(gy, y, x, *, shape):
    return (broadcast_to(gy, shape=x.shape),)


@op
def reshape(x, *, shape):
    """The same numbers in another shape; one size may be -1."""
    return x.reshape(shape)


@reshape.vjp
def _(gy, y, x, *, shape):
    return (reshape(gy, shape=x.shape),)


@op
def transpose(x, *, axes):
    """Axis i of the result is axis axes[i] of x."""
    return x.transpose(axes)


@transpose.vjp
def _(gy, y, x, *, axes):
    inverse = [0] * len(axes)
    for i, a in enumerate(axes):
        inverse[a] = i
    return (transpose(gy, axes=tuple(inverse)),)


@op
def _concat(*xs, axis):
    last = axis % xs[0].ndim == xs[0].ndim - 1
    return backend(xs[0]).concat(xs) if last else xp(xs[0]).concatenate(xs, axis)


@_concat.vjp
def _(gy, y, *xs, axis):
    before = (slice(None),) * (axis % y.ndim)
    ends = [0]
    for x in xs:
        ends.append(ends[-1] + x.shape[axis])
    return tuple((lambda i=i, j=j: getitem(gy, index=(*before, slice(i, j)))) for i, j in pairwise(ends))


def concat(xs, *, axis) -> Tensor:
    """The tensors of the sequence `xs` joined along `axis`; their other sizes must agree."""
    return _concat(*xs, axis=axis)


@op
def _getitem(x, *, index):
    return x[index]


@_getitem.vjp
def _(gy, y, x, *, index):
    return (_put(gy, index=index, shape=x.shape),)


def getitem(x, *, index) -> Tensor:
    """x[index]; integer arrays and integer Tensors select, and a repeated place collects its gradients."""
    return _getitem(x, index=_placed(index))


def _placed(index):
    """The index as a tuple, its arrays where new arrays live."""
    parts = index if isinstance(index, tuple) else (index,)
    parts = (p.data if isinstance(p, Tensor) else np.asarray(p) if isinstance(p, list) else p for p in parts)
    return tuple(p if p is None or p is Ellipsis or isinstance(p, int | slice) else place(p) for p in parts)


def put(x, *, index, shape) -> Tensor:
    """The adjoint of getitem: zeros of `shape` to which x is added at `index`, repeated places adding up."""
    return _put(x, index=_placed(index), shape=shape)


@op
def _put(x, *, index, shape):
    y = xp(x).zeros(shape, x.dtype)
    if all(p is None or p is Ellipsis or isinstance(p, int | slice) for p in index):
        y[index] = x
    else:
        xp(x).add.at(y, index, x)
    return y


@_put.vjp
def _(gy, y, x, *, index, shape):
    return (_getitem(gy, index=index),)


@op
def pad(x, *, widths, mode="constant"):
    """x with `widths` = ((before, after), ...) more on each axis: zeros, or mirrored at the border (mode "reflect")."""
    if mode not in ("constant", "reflect"):
        raise ValueError(f"pad: mode '{mode}' is neither 'constant' nor 'reflect'")
    if mode == "reflect" and any(max(w) >= n for w, n in zip(widths, x.shape, strict=True) if any(w)):
        raise ValueError(f"pad: reflection needs widths smaller than the axis, got {widths} for shape {x.shape}")
    if mode == "reflect" and _around_pictures(widths):
        return backend(x).reflect_pad(x, *widths[1:3])
    return xp(x).pad(x, widths, mode=mode)


def _around_pictures(widths):
    """True if only the rows and columns of (N,H,W,C) grow."""
    return len(widths) == 4 and not any(widths[0]) and not any(widths[3])


@pad.vjp
def _(gy, y, x, *, widths, mode="constant"):
    return (unpad(gy, widths=widths, mode=mode),)


@op
def unpad(x, *, widths, mode="constant"):
    """The adjoint of pad: the inside of x, to which mode "reflect" adds the borders folded back."""
    if mode == "reflect" and _around_pictures(widths):
        return backend(x).reflect_pad_bwd(x, *widths[1:3])
    for axis, (before, after) in enumerate(widths):
        x = xp(x).moveaxis(x, axis, 0)
        n = len(x) - before - after
        inside = x[before : before + n]
        if mode == "reflect" and (before or after):
            inside = inside.copy()
            inside[1 : before + 1] += x[:before][::-1]
            inside[n - 1 - after : n - 1] += x[before + n :][::-1]
        x = xp(x).moveaxis(inside, 0, axis)
    return x


@unpad.vjp
def _(gy, y, x, *, widths, mode="constant"):
    return (pad(gy, widths=widths, mode=mode),)
