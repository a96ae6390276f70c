"""The NumPy definition of every kernel: plain, readable, and the oracle of all other backends.

Letters: `N H W C` input, `O` output channels, `KH KW` kernel, `OH OW` output, `S` stride, `P` pad. Images are
channels last, `(N, H, W, C)`; convolution weights `(KH, KW, C, O)`. Gradients are `gy gx gw`; a kernel called
`f_bwd` computes the gradient of `f`. No kernel changes its inputs, but for those of `optim.py`, whose purpose is
to change them; none returns a view of an input. The derivatives that use these kernels stand in `engine/ops`.

This list is the contract: every backend exports these names with these signatures. Read `conv.py` next.
"""

from inachus.kernels.reference.conv import conv2d, conv2d_dw, conv2d_dx
from inachus.kernels.reference.linear import matmul
from inachus.kernels.reference.losses import (
    absolute_error,
    absolute_error_bwd,
    bce_with_logits,
    bce_with_logits_bwd,
    squared_error,
    squared_error_bwd,
)
from inachus.kernels.reference.norm import bias_act, bias_act_bwd, leaky_relu, leaky_relu_bwd, norm, norm_bwd
from inachus.kernels.reference.optim import adam, ema, rmsprop, sgd
from inachus.kernels.reference.random import normal, philox, uniform

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
