"""The CUDA backend: the names and signatures of `reference`, on a GPU through CuPy, or anywhere on the emulator.

    launch.py        one launch(), two executors: CuPy for its arrays, the emulator for all others
    device.cuh       the few primitives that are not plain C++, in both meanings
    naive/           convolution, matrix product and norm in Numba CUDA: what a student reads first
    convolution/     two tensor-core kernels that serve every convolution and dense layer
    loops/           norm, activations, losses, optimizers, random numbers, pictures, bound by memory
    graph.py         a whole training step as one graph

NumPy arrays are computed on the emulator too, so that the tests of every backend are these kernels' tests. Read
`naive/conv.py` next.
"""

from inachus.kernels.cuda.convolution.conv import conv2d, conv2d_dw, conv2d_dx
from inachus.kernels.cuda.convolution.conv import precision as precision
from inachus.kernels.cuda.convolution.conv import rounded as rounded
from inachus.kernels.cuda.convolution.conv import use_precision as use_precision
from inachus.kernels.cuda.convolution.linear import matmul
from inachus.kernels.cuda.loops.activation import (
    bias_act,
    bias_act_bwd,
    leaky_relu,
    leaky_relu_bwd,
    sigmoid,
    softplus,
    tanh,
    tanh_bwd,
)
from inachus.kernels.cuda.loops.image import (
    concat,
    dropout,
    pixel_shuffle,
    pixel_unshuffle,
    reflect_pad,
    reflect_pad_bwd,
    upsample,
    upsample_bwd,
)
from inachus.kernels.cuda.loops.losses import absolute_error, bce_with_logits, hinge, squared_error
from inachus.kernels.cuda.loops.norm import norm, norm_bwd, track
from inachus.kernels.cuda.loops.optim import adam, ema, rmsprop, sgd
from inachus.kernels.cuda.loops.random import normal, philox, uniform
from inachus.kernels.cuda.loops.readings import keep_means as keep_means

__all__ = [
    "absolute_error",
    "adam",
    "bce_with_logits",
    "bias_act",
    "bias_act_bwd",
    "concat",
    "conv2d",
    "conv2d_dw",
    "conv2d_dx",
    "dropout",
    "ema",
    "hinge",
    "leaky_relu",
    "leaky_relu_bwd",
    "matmul",
    "norm",
    "norm_bwd",
    "normal",
    "philox",
    "pixel_shuffle",
    "pixel_unshuffle",
    "reflect_pad",
    "reflect_pad_bwd",
    "rmsprop",
    "sgd",
    "sigmoid",
    "softplus",
    "squared_error",
    "tanh",
    "tanh_bwd",
    "track",
    "uniform",
    "upsample",
    "upsample_bwd",
]
