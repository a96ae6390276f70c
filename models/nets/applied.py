"""A network applied to arrays, apart from its training: pictures to encode, codes to decode, as many as there are.

Not for what a step computes, and not for translators, whose dropout may be their noise (`translation/pairs.py`).
"""

import numpy as np

from inachus.engine import constant, no_grad
from inachus.engine.nn import Module

TOGETHER = 500  # items in a network at once


def applied(network: Module, items: np.ndarray) -> np.ndarray:
    """network(x) in evaluation mode for float32 items (N, ...), a few at a time; its mode is then what it was."""
    was = network.training
    network.eval()
    try:
        with no_grad():
            parts = [network(constant(items[i : i + TOGETHER])).numpy() for i in range(0, len(items), TOGETHER)]
    finally:
        network.train(was)
    return np.concatenate(parts)
