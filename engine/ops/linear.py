"""Matrix products. A dense layer is one: rows of x times w, plus a bias on every row.

Its two partial derivatives are products of the same three arrays, as those of a convolution are (`conv.py`).
"""

from inachus.engine.ops.shape import reshape, sum_to, transpose
from inachus.engine.tensor import Tensor, op
from inachus.kernels import backend


@op
def matmul(a, b):
    """(..., M, K) . (..., K, N) -> (..., M, N), leading axes broadcast. Raises ValueError if the K differ."""
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not match as (..., M, K) and (..., K, N)")
    return backend(a).matmul(a, b)


@matmul.vjp
def _(gy, y, a, b):
    return lambda: sum_to(gy @ _turned(b), shape=a.shape), lambda: sum_to(_turned(a) @ gy, shape=b.shape)


def _turned(x):
    """The last two axes exchanged."""
    return transpose(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@op
def _dense(x, w, b):  # (N, I), (I, O), (O,) -> (N, O)
    y = backend(x).matmul(x, w)
    if b is not None:
        y += b
    return y


@_dense.vjp
def _(gy, y, x, w, b):
    gb = None if b is None else lambda: sum_to(gy, shape=b.shape)
    return lambda: _dense_dx(gy, w), lambda: _dense_dw(x, gy), gb


@op
def _dense_dx(gy, w):  # (N, O), (I, O)' -> (N, I)
    return backend(gy).matmul(gy, w.T)


@_dense_dx.vjp
def _(g, gx, gy, w):
    return lambda: _dense(g, w, None), lambda: _dense_dw(g, gy)


@op
def _dense_dw(x, gy):  # (N, I)', (N, O) -> (I, O)
    return backend(x).matmul(x.T, gy)


@_dense_dw.vjp
def _(g, gw, x, gy):
    return lambda: _dense_dx(gy, g), lambda: _dense(x, g, None)


def dense(x, w, b=None) -> Tensor:
    """y = x w + b: (..., I), (I, O), (O,) -> (..., O). Raises ValueError if the sizes differ."""
    if w.ndim != 2 or x.shape[-1] != w.shape[0] or (b is not None and b.shape != w.shape[1:]):
        shapes = f"x {x.shape}, w {w.shape}" + ("" if b is None else f", b {b.shape}")
        raise ValueError(f"dense: x has {x.shape[-1]} features but w expects {w.shape[0]} ({shapes})")
    if x.ndim == 2:
        return _dense(x, w, b)
    return reshape(_dense(reshape(x, shape=(-1, x.shape[-1])), w, b), shape=(*x.shape[:-1], w.shape[1]))
