"""check_grads: does a gradient agree with finite differences, and does its own gradient, to any order?

One random direction suffices: <u, J v> by central differences against <J^T u, v> by `grad`. Use float64.
"""

import numpy as np

from inachus.engine.random import Generator
from inachus.engine.tensor import Tensor, constant, grad
from inachus.kernels import fetch


def check_grads(f, xs, order: int = 2, *, eps: float = 1e-5, rtol: float = 1e-5, seed: int = 0) -> None:
    """Asserts that all derivatives of f(*xs) up to `order` match central differences, which err by O(eps^2).

    f maps float64 Tensors to a Tensor; xs are arrays or Tensors. Raises AssertionError with both numbers.
    """
    rng = Generator(seed, order)
    arrays = [np.asarray(x, np.float64) for x in xs]
    y = f(*(constant(a) for a in arrays))
    u = fetch(rng.normal(y.shape, dtype=np.float64))
    vs = [fetch(rng.normal(a.shape, dtype=np.float64)) for a in arrays]

    def along(step):
        return float(np.sum(f(*(constant(a + step * v) for a, v in zip(arrays, vs, strict=True))).numpy() * u))

    expected = (along(eps) - along(-eps)) / (2 * eps)
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    gs = grad(f(*leaves), leaves, constant(u))
    parts = [float(np.sum(g.numpy() * v)) for g, v in zip(gs, vs, strict=True)]
    scale = 1 + sum(np.abs(g.numpy() * v).sum() for g, v in zip(gs, vs, strict=True))
    error = abs(sum(parts) - expected)
    assert error <= rtol * scale, f"order {order}: grad gives {sum(parts):.9g}, differences {expected:.9g}"
    if order > 1:
        weights = [constant(rng.normal(a.shape, dtype=np.float64)) for a in arrays]

        def gradient_along(*args):
            *points, gy = (a if a.requires_grad else Tensor(a.data, requires_grad=True) for a in args)
            gs = grad(f(*points), points, gy, create_graph=True)
            return sum((g * w).sum() for g, w in zip(gs, weights, strict=True))

        check_grads(gradient_along, [*arrays, u], order - 1, eps=eps, rtol=rtol, seed=seed + 1)
