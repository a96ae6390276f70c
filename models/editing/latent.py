"""Codes of a generator, found by descent: argmin over z of a cost, for many z at once, and what the range of z is.

The generator's weights stand still; z is what Adam moves, with many starts side by side, for the cost has many valleys.
What the cost is, the caller says: `models/translation/semantic.py` looks for the z whose picture fits around a hole.
"""

from collections.abc import Callable

import numpy as np

from inachus.engine import no_grad
from inachus.engine.optim import Adam, falling
from inachus.engine.tensor import Tensor
from inachus.kernels import fetch, place, xp

RANGE = {"uniform": 1.0, "normal": 3.0}  # of the numbers of z, by their distribution


def descend(
    cost: Callable[[Tensor], Tensor], start: np.ndarray, limit: float, steps: int, lr: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """(z (n, Z), cost (n,)): for each row the best z met on the way of `steps` steps of Adam from `start` (n, Z).

    `cost(z)` is (n,), that of a row depending on this row alone; z stays in [-limit, limit]; lr falls to a hundredth.
    """
    z = Tensor(place(np.clip(start, -limit, limit).astype(np.float32)), requires_grad=True)
    optimizer = Adam([z], falling(lr, steps))
    of = xp(z.data)
    best, least = z.data.copy(), of.full(len(start), np.inf, np.float32)
    for step in range(steps + 1):
        with no_grad(step == steps):
            costs = cost(z)
        better = costs.data < least
        best[...] = of.where(better[:, None], z.data, best)
        least[...] = of.where(better, costs.data, least)
        if step < steps:
            optimizer.minimize(costs.sum())
            z.data[...] = of.clip(z.data, -limit, limit)
    return fetch(best), fetch(least)
