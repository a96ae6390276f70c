"""The NumPy definition of every kernel: plain, readable, and the oracle of all other backends.

Letters: `N H W C` input, `O` output channels, `KH KW` kernel, `OH OW` output, `S` stride, `P` pad. Images are
channels last, `(N, H, W, C)`; convolution weights `(KH, KW, C, O)`. Gradients are `gy gx gw`; a kernel called
`f_bwd` computes the gradient of `f`. No kernel changes its inputs, but for `track` and those of `optim.py`, whose
purpose is to change them; results are contiguous and never views of an input. The derivatives that use these kernels
stand in `engine/ops`.

This list is the contract: every backend exports these names with these signatures. Read `conv.py` next.
"""

from inachus.kernels.reference.activation import (
    bias_act,
    bias_act_bwd,
    leaky_relu,
    leaky_relu_bwd,
    sigmoid,
    softplus,
    tanh,
    tanh_bwd,
)
from inachus.kernels.reference.conv import conv2d, conv2d_dw, conv2d_dx
from inachus.kernels.reference.image import (
    concat,
    dropout,
    pixel_shuffle,
    pixel_unshuffle,
    reflect_pad,
    reflect_pad_bwd,
    upsample,
    upsample_bwd,
)
from inachus.kernels.reference.linear import matmul
from inachus.kernels.reference.losses import absolute_error, bce_with_logits, hinge, squared_error
from inachus.kernels.reference.norm import norm, norm_bwd, track
from inachus.kernels.reference.optim import adam, ema, rmsprop, sgd
from inachus.kernels.reference.random import normal, philox, uniform

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
