"""The fast backend of NumPy arrays: compiled loops on all cores, with the names and signatures of `reference`.

    loops.py       how loops are compiled, the threads, the buffers
    vectors.py     the two innermost loops, in the processor's vectors
    matmul.py      the matrix product
    winograd.py    convolution with fewer multiplications, and transforms.py, what it is made of
    conv.py        which way a convolution goes

The rest is named as in `reference`, some of it imported from there. Needs Numba; raises ImportError without it. Read
`vectors.py` next.
"""

from inachus.kernels.cpu.activation import (
    bias_act,
    bias_act_bwd,
    leaky_relu,
    leaky_relu_bwd,
    sigmoid,
    tanh_bwd,
)
from inachus.kernels.cpu.conv import conv2d, conv2d_dw, conv2d_dx
from inachus.kernels.cpu.image import concat, dropout, pixel_shuffle, pixel_unshuffle, upsample, upsample_bwd
from inachus.kernels.cpu.loops import use_threads as use_threads
from inachus.kernels.cpu.losses import absolute_error, bce_with_logits, hinge, squared_error
from inachus.kernels.cpu.matmul import matmul
from inachus.kernels.cpu.norm import norm, norm_bwd
from inachus.kernels.cpu.optim import adam, ema, rmsprop, sgd
from inachus.kernels.cpu.random import normal, philox, uniform
from inachus.kernels.reference import reflect_pad, reflect_pad_bwd, softplus, tanh, track

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
