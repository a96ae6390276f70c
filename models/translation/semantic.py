"""Completion by a GAN that never saw a hole (Yeh et al. 2017): the z whose picture fits around the hole fills it.

"Semantic image inpainting with deep generative models", section 3: min over z of E w |G(z) - y| over the known pixels,
which count the more the more of the pixels around them are missing, plus a little of -log D(G(z)). Any run with noise
can do this, none has to be trained for it. Deviations: Adam, several starts for each picture, of which the best stays,
and z kept in the range of its distribution. The descent itself is `models/editing/latent.py`.

Read next: `blending.py`, the paper's last step, and `completion.py`, a network trained for holes.
"""

from typing import Any

import numpy as np

from inachus.engine import constant, ops
from inachus.engine.random import Generator
from inachus.models.editing.latent import RANGE, descend
from inachus.models.translation import pairs

ROWS = 64  # codes that are moved at once
REACH = 7  # pixels a side of what counts as around a pixel
FLOOR = 0.2  # the weight of known pixels far from the hole; 0 in the paper


def able(model: Any) -> bool:
    """True if this is a GAN, a model or its class, that makes things out of noise alone."""
    return hasattr(model, "noise") and hasattr(model, "d_loss") and not model.conditional


def paint(
    model: Any,
    x: np.ndarray,
    masks: np.ndarray,
    *,
    steps: int = 300,
    starts: int = 8,
    realism: float = 0.001,
    seed: int = 0,
) -> np.ndarray:
    """The best G(z), whole, for each of x, float32 (N, H, W, C), around the holes, where masks (N, H, W, 1) are 1.

    Each picture gets `starts` codes; `realism` is the weight of -log D(G(z)).
    """
    made, each = [], max(1, ROWS // starts)
    for i in range(0, len(x), each):
        part = slice(i, i + each)
        z, costs = search(model, x[part], masks[part], steps, starts, realism, Generator(seed).spawn(f"search/{i}"))
        z, costs = z.reshape(-1, starts, z.shape[1]), costs.reshape(-1, starts)  # (n starts, Z) -> (n, starts, Z)
        chosen = z[np.arange(len(z)), costs.argmin(axis=1)]
        made.append(model.sample(len(chosen), z=constant(chosen)))
    return np.concatenate(made)


def search(
    model: Any, x: np.ndarray, masks: np.ndarray, steps: int, starts: int, realism: float, rng: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(z (N starts, Z), cost (N starts,)) for pictures (N, H, W, C), the codes of one picture behind one another."""
    weights = around(masks)
    weights /= weights.sum(axis=(1, 2, 3), keepdims=True) * x.shape[3]
    w, y = (constant(np.repeat(a, starts, axis=0)) for a in (weights.astype(np.float32), x))
    start = model.noise(len(x) * starts, rng).numpy()

    def cost(z):
        made = model.average.network(z)
        fit = (w * ops.abs(made - y)).sum(axis=(1, 2, 3))
        if not realism:
            return fit
        verdict = ops.softplus(-model.D(made))  # -log D(G(z))
        return fit + realism * verdict.mean(axis=tuple(range(1, verdict.ndim)))

    with pairs.apart(model.D):
        return descend(cost, start, RANGE[model.settings.prior], steps)


def around(masks: np.ndarray) -> np.ndarray:
    """float64 (N, H, W, 1): 0 in the hole, outside FLOOR and the share of the hole in the square around the pixel."""
    half = REACH // 2
    sums = np.pad(masks.astype(np.float64), ((0, 0), (half + 1, half), (half + 1, half), (0, 0))).cumsum(1).cumsum(2)
    inside = sums[:, REACH:] - sums[:, :-REACH]
    share = (inside[:, :, REACH:] - inside[:, :, :-REACH]) / REACH**2
    return np.where(masks > 0, 0.0, FLOOR + share)
