"""The fast backend of NumPy arrays: compiled loops on all cores, with the names and signatures of `reference`.

    loops.py       how loops are compiled, the threads, the buffers
    vectors.py     the two innermost loops, in the processor's vectors
    matmul.py      the matrix product
    winograd.py    convolution with fewer multiplications, and transforms.py, what it is made of
    conv.py        which way a convolution goes

The rest is named as in `reference`. Needs Numba; raises ImportError without it. Read `vectors.py` next.
"""

from inachus.kernels.cpu.conv import conv2d, conv2d_dw, conv2d_dx
from inachus.kernels.cpu.loops import use_threads as use_threads
from inachus.kernels.cpu.losses import (
    absolute_error,
    absolute_error_bwd,
    bce_with_logits,
    bce_with_logits_bwd,
    squared_error,
    squared_error_bwd,
)
from inachus.kernels.cpu.matmul import matmul
from inachus.kernels.cpu.norm import bias_act, bias_act_bwd, leaky_relu, leaky_relu_bwd, norm, norm_bwd
from inachus.kernels.cpu.optim import adam, ema, rmsprop, sgd
from inachus.kernels.cpu.random import normal, philox, uniform

__all__ = [
    "absolute_error",
    "absolute_error_bwd",
    "adam",
    "bce_with_logits",
    "bce_with_logits_bwd",
    "bias_act",
    "bias_act_bwd",
    "conv2d",
    "conv2d_dw",
    "conv2d_dx",
    "ema",
    "leaky_relu",
    "leaky_relu_bwd",
    "matmul",
    "norm",
    "norm_bwd",
    "normal",
    "philox",
    "rmsprop",
    "sgd",
    "squared_error",
    "squared_error_bwd",
    "uniform",
]
