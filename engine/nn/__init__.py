"""Layers and networks of layers. `module.py`: the tree and its names; `layers.py`: the layers; `moves.py`."""

from inachus.engine.nn import init
from inachus.engine.nn.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    PReLU,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)
from inachus.engine.nn.module import Module, counts, flatten, summary
from inachus.engine.nn.moves import Flatten, PixelShuffle, ReflectionPad, Reshape, Upsample

__all__ = [
    "BatchNorm",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "InstanceNorm",
    "LayerNorm",
    "LeakyReLU",
    "Module",
    "PReLU",
    "PixelShuffle",
    "ReLU",
    "ReflectionPad",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "Upsample",
    "counts",
    "flatten",
    "init",
    "summary",
]
