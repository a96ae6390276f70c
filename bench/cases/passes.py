"""The passes of one layer on both sides: forward, gradients in x and w, norm or activation and their gradients.

    ours(kernels, layer, a)     the calls of the contract, so of any backend: NumPy, our CPU and CUDA kernels, Numba's
    torchs(layer, a, ...)       PyTorch eager, on any device, in either layout, in float32 or bfloat16

Both give {pass: a function that prepares it outside the clock and returns a function without arguments}. Used by
`layers.py` and `kernels.py`.
"""

from types import SimpleNamespace

import numpy as np
from cases.shapes import Layer

from inachus.kernels import reference

PRODUCTS = ("forward", "dx", "dw")


def arrays(layer: Layer, batch: int) -> SimpleNamespace:
    """Random inputs of all passes: x, w, gy of the convolution; v, gamma, beta, gz of what follows it."""
    rng = np.random.default_rng(0)
    shapes = layer.shapes(batch)
    if layer.slope is not None:
        shapes |= {"v": shapes["gy"], "gamma": layer.O, "beta": layer.O, "gz": shapes["gy"]}
    a = SimpleNamespace(**{name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()})
    a.groups = batch if layer.norm == "instance" else 1
    if layer.norm:
        z = reference.norm(a.v, a.gamma, a.beta, a.groups, 1e-5, 1)[0]
        a.gz[np.abs(z) < 1e-3] = 0  # so close to the kink of the ReLU either slope is right
    return a


def ours(k, layer: Layer, a: SimpleNamespace) -> dict:
    """The passes on the backend `k`, which computes the arrays `a`."""
    S, P, hw, khw, slope = layer.S, layer.P, a.x.shape[1:3], a.w.shape[:2], layer.slope
    if layer.up:
        passes = {
            "forward": lambda: k.conv2d_dx(a.x, a.w, a.gy.shape[1:3], S, P),
            "dx": lambda: k.conv2d(a.gy, a.w, S, P),
            "dw": lambda: k.conv2d_dw(a.gy, a.x, khw, S, P),
        }
    else:
        passes = {
            "forward": lambda: k.conv2d(a.x, a.w, S, P),
            "dx": lambda: k.conv2d_dx(a.gy, a.w, hw, S, P),
            "dw": lambda: k.conv2d_dw(a.x, a.gy, khw, S, P),
        }
    if layer.first:
        del passes["dx"]
    if layer.norm:
        z, mean, rstd = k.norm(a.v, a.gamma, a.beta, a.groups, 1e-5, slope)
        passes["norm"] = lambda: k.norm(a.v, a.gamma, a.beta, a.groups, 1e-5, slope)[0]
        passes["norm_bwd"] = lambda: k.norm_bwd(a.gz, z, a.v, a.gamma, mean, rstd, slope)
    elif slope is not None:
        passes["leaky_relu"] = lambda: k.leaky_relu(a.v, slope)
        passes["leaky_relu_bwd"] = lambda: k.leaky_relu_bwd(a.gz, a.v, slope)
    return {name: lambda run=run: run for name, run in passes.items()}


def torchs(layer: Layer, a: SimpleNamespace, channels_last: bool, device: str = "cpu", dtype: str = "float32") -> dict:
    """The same in PyTorch eager, from the NumPy arrays `a`."""
    import torch
    import torch.nn.functional as F

    layout = torch.channels_last if channels_last else torch.contiguous_format
    S, P, pad, slope = [layer.S] * 2, [layer.P] * 2, [layer.out_pad] * 2, layer.slope

    def tensor(array, axes=(0, 3, 1, 2)):
        there = torch.from_numpy(array).to(device, getattr(torch, dtype))
        return there.permute(axes).contiguous(memory_format=layout) if array.ndim == 4 else there

    def gradient(*mask):
        backward = torch.ops.aten.convolution_backward
        return lambda: backward(gy, x, w, None, S, P, [1, 1], layer.up, pad, 1, mask)[mask.index(True)]

    x, gy, w = tensor(a.x), tensor(a.gy), tensor(a.w, (3, 2, 0, 1))
    forward = (lambda: F.conv_transpose2d(x, w, None, S, P, pad)) if layer.up else lambda: F.conv2d(x, w, None, S, P)
    passes = {"forward": forward, "dx": gradient(True, False, False), "dw": gradient(False, True, False)}
    if layer.first:
        del passes["dx"]
    passes = {name: lambda run=run: run for name, run in passes.items()}
    if slope is None:
        return passes

    def after(v, gamma=None, beta=None):
        if layer.norm == "batch":
            v = F.batch_norm(v, None, None, gamma, beta, True, eps=1e-5)
        elif layer.norm == "instance":
            v = F.instance_norm(v, None, None, gamma, beta, eps=1e-5)
        inplace = bool(layer.norm)  # as in most networks
        return F.leaky_relu(v, slope, inplace) if slope else F.relu(v, inplace)

    def backward():
        with torch.enable_grad():
            z = after(*leaves)
        return lambda: torch.autograd.grad(z, leaves, gz)

    inputs, gz = [tensor(a.v)], tensor(a.gz)
    if layer.norm:
        inputs += [tensor(a.gamma), tensor(a.beta)]
    leaves = [t.detach().requires_grad_() for t in inputs]
    name = "norm" if layer.norm else "leaky_relu"
    return passes | {name: lambda: lambda: after(*inputs), f"{name}_bwd": backward}


def as_ours(what: str, tensor):
    """A result of PyTorch with its axes in our order."""
    return tensor.permute((2, 3, 1, 0) if what == "dw" else (0, 2, 3, 1)) if tensor.ndim == 4 else tensor
