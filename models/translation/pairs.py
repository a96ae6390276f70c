"""What translators share beside their steps: the learning rate's course, translation apart from training, previews.

A translator has `translate(x, to)`, `multiple` (both sides of x are multiples of it) and `scale` (of what comes out).
Read next: `pix2pix.py`.
"""

from contextlib import contextmanager

import numpy as np

from inachus.engine import constant, no_grad
from inachus.engine.data import Jitter, PairBatches, Pairs
from inachus.engine.data.dataset import normalised
from inachus.engine.errors import UsageError
from inachus.engine.nn import Dropout, Module
from inachus.engine.random import Generator
from inachus.models.settings import Sides

SHOWN = 8  # pictures of a preview


def batches(settings: Sides, pairs: Pairs, size: int, seed: int) -> PairBatches:
    """Batches of pairs, enlarged, cropped and mirrored as the settings say."""
    return PairBatches(pairs, size, seed, Jitter(settings.enlarge, settings.flip))


def translated(network: Module, x: np.ndarray, multiple: int, seed: int = 0) -> np.ndarray:
    """network(x) in evaluation mode, float32 (N, H, W, C) in [-1, 1] -> the same of the other side.

    Dropout that stays on draws from streams of this seed, and those of the training do not move. Raises UsageError for
    sides that are no multiples.
    """
    if x.shape[1] % multiple or x.shape[2] % multiple:
        raise UsageError(
            f"this network takes pictures whose sides are multiples of {multiple}, not {x.shape[2]} x {x.shape[1]} "
            "pixels: pad them, as `inachus translate` does"
        )
    with no_grad(), apart(network, seed):
        return network(constant(np.ascontiguousarray(x, np.float32))).numpy()


@contextmanager
def apart(network: Module, seed: int = 0):
    """Inside, the network is in evaluation mode and its dropout masks come from streams of their own."""
    noisy = [(name, layer, layer.rng) for name, layer in network.modules() if isinstance(layer, Dropout)]
    for name, layer, _ in noisy:
        layer.rng = Generator(seed).spawn(f"translate/{name}")
    network.eval()
    try:
        yield
    finally:
        network.train()
        for _, layer, rng in noisy:
            layer.rng = rng


def shown(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """The pictures a and b of every preview, spread evenly over the data, float32."""
    return tuple(normalised(side[np.arange(SHOWN) * len(side) // SHOWN]) for side in (pairs.a, pairs.b))


def rows(*columns: np.ndarray) -> np.ndarray:
    """Pictures of a grid whose columns are these, (N, H, W, 1 or 3) each: (columns N, H, W, 3), row by row.

    Smaller pictures are enlarged by a whole factor to the size of the largest.
    """
    side = max(column.shape[1] for column in columns)
    factors = [side // column.shape[1] for column in columns]
    large = [c.repeat(f, axis=1).repeat(f, axis=2) for c, f in zip(columns, factors, strict=True)]
    colour = [np.broadcast_to(c, (*c.shape[:3], 3)) for c in large]
    return np.stack(colour, axis=1).reshape(-1, *colour[0].shape[1:])  # (N, columns, H, W, 3) -> one after the other
