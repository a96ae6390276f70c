"""Layers and networks of layers. Read `module.py` for the tree and its names, `layers.py` for the layers."""

from inachus.engine.nn import init
from inachus.engine.nn.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    ReflectionPad,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
    Upsample,
)
from inachus.engine.nn.module import Module, counts, flatten, summary

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
