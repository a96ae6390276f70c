"""Bias and activations on the GPU, forward and backward, one launch each: the launchers of `activation.cu`."""

import numpy as np

from inachus.kernels import xp
from inachus.kernels.cuda.launch import launch
from inachus.kernels.cuda.loops.columns import THREADS, columns, pixels, reals, tickets

FILE = "loops/activation.cu"
TILE = 16384  # bytes of an array that a block takes


def bias_act(x, b, slope):
    """y = lrelu(x + b), b (C,) on the last axis; slope 0 is ReLU, 1 a plain bias."""
    x, b = (xp(x).ascontiguousarray(a) for a in (x, b))
    y, C = xp(x).empty(x.shape, x.dtype), x.shape[-1]
    if x.size:
        grid = columns(1, x.size // C, C, C, x, y)
        args = (x, b, y, x.dtype.type(slope), grid.columns)
        launch(FILE, "bias_act", grid.blocks, grid.block, args, like=x, defines=grid.defines)
    return y


def bias_act_bwd(gy, y, slope):
    """Gradient of `bias_act`: gx and gb."""
    new, C = xp(gy), gy.shape[-1]
    (gy, stride), y = pixels(gy), new.ascontiguousarray(y)
    gx, gb = new.empty(gy.shape, gy.dtype), new.empty(C, gy.dtype)
    grid = columns(1, gy.size // C, C, stride, gy, y, gx)
    parts = new.empty((grid.chunks, C), gy.dtype)
    args = (gy, np.int64(stride), y, gx, parts, tickets(gy, grid.tiles), gb, gy.dtype.type(slope), grid.columns)
    how = {"like": gy, "shared": grid.shared(1), "defines": grid.defines}
    launch(FILE, "bias_act_bwd", grid.blocks, grid.block, args, **how)
    return gx, gb


def leaky_relu(x, slope):
    """max(x, slope x), slope in [0, 1]."""
    return _each("leaky_relu", [x], x.dtype.type(slope))


def leaky_relu_bwd(gy, y, slope):
    """gy where y > 0, slope gy elsewhere (y may be the output or the input: their signs agree)."""
    return _each("leaky_relu_bwd", [gy, y], gy.dtype.type(slope))


def tanh(x):
    """(e^x - e^-x) / (e^x + e^-x)."""
    return _each("tanh_fwd", [x])


def tanh_bwd(gy, y):
    """Gradient of `tanh`: gy (1 - y^2)."""
    return _each("tanh_bwd", [gy, y])


def sigmoid(x):
    """1 / (1 + e^-x), as e^x / (1 + e^x) for negative x: no overflow."""
    return _each("sigmoid", [x])


def softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|): no overflow."""
    return _each("softplus", [x])


def _each(kernel, inputs, *numbers):
    """A new array of the numbers that `kernel` makes of the inputs', one by one."""
    x = inputs[0]
    inputs, y = [xp(x).ascontiguousarray(a) for a in inputs], xp(x).empty(x.shape, x.dtype)
    if x.size:
        args = (*inputs, y, np.int64(x.size), *numbers)
        defines = {**reals(x.dtype), "WIDTH": 16 // x.itemsize}
        launch(FILE, kernel, -(-x.nbytes // TILE), THREADS, args, like=x, defines=defines)
    return y
