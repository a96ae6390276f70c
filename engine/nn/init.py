"""Initialisers: functions (rng, shape, fan_in, fan_out) -> float32 array, made by the functions below.

Fans are the numbers of inputs and outputs of one unit; the layer knows them.
"""

from collections.abc import Callable

import numpy as np

from inachus.engine.random import Generator

Init = Callable[[Generator, tuple[int, ...], int, int], np.ndarray]


def normal(std: float, mean: float = 0.0) -> Init:
    """N(mean, std^2); the DCGAN family uses N(0, 0.02) for weights and N(1, 0.02) for gammas."""
    return lambda rng, shape, fan_in, fan_out: rng.normal(shape, mean, std)


def he(slope: float = 0.0) -> Init:
    """N(0, 2 / ((1 + slope^2) fan_in)): keeps the variance through leaky ReLUs. He et al. (2015), eq. 15."""
    return lambda rng, shape, fan_in, fan_out: rng.normal(shape, 0.0, (2 / ((1 + slope**2) * fan_in)) ** 0.5)


def glorot() -> Init:
    """U(-a, a), a = sqrt(6 / (fan_in + fan_out)). Glorot and Bengio (2010), eq. 16; Keras' default."""

    def draw(rng, shape, fan_in, fan_out):
        a = (6 / (fan_in + fan_out)) ** 0.5
        return rng.uniform(shape, -a, a)

    return draw
