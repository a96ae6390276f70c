"""Fully connected networks for small pictures, flattened, and for points of the plane.

Source of the sizes: the course's Keras GAN; 100-256-512-784 with batch norm has 562,704 parameters, 561,168 of them
trainable. Used by gan, cgan and autoencoder.
"""

import math

from inachus.engine import nn


def generator(inputs: int, shape: tuple[int, ...], hidden: tuple[int, ...] = (256, 512)) -> nn.Sequential:
    """(N, inputs) -> (N, *shape): dense, leaky ReLU, batch norm for each hidden size; tanh for pictures."""
    layers: list[nn.Module] = []
    for n in hidden:
        layers += [nn.Dense(inputs, n), nn.LeakyReLU(0.2), nn.BatchNorm(n)]
        inputs = n
    layers += [nn.Dense(inputs, math.prod(shape))]
    layers += [nn.Tanh(), nn.Reshape(*shape)] if len(shape) == 3 else []
    return nn.Sequential(*layers)


def discriminator(
    inputs: int, hidden: tuple[int, ...] = (512, 256), outputs: int = 1, dropout: float = 0.0
) -> nn.Sequential:
    """(N, ...) with `inputs` numbers each -> (N, outputs) logits: dense, leaky ReLU, and dropout from the second on."""
    layers: list[nn.Module] = [nn.Flatten()]
    for i, n in enumerate(hidden):
        layers += [nn.Dense(inputs, n), nn.LeakyReLU(0.2)]
        layers += [nn.Dropout(dropout)] if dropout and i else []
        inputs = n
    return nn.Sequential(*layers, nn.Dense(inputs, outputs))
