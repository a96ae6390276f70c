"""The kernels that are bound by memory, at the sizes they have in real GANs: inputs, our call, PyTorch's call.

Losses, optimizers, random numbers, pictures, activations; norms are in `passes.py`, with the layers they follow. Bytes
are those of every array of the call once, twice if the kernel changes it. Used by `kernels.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from cases.shapes import NETWORKS, Layer


@dataclass
class Case:
    """One kernel at one size. Arrays are NHWC on both sides; PyTorch sees them as channels_last without a copy."""

    op: str
    network: str
    shapes: dict[str, tuple[int, ...] | list]  # of the inputs by name; a list of shapes: that many arrays
    ours: Callable  # ours(k, a): a call of the contract
    torch: Callable  # torch(torch, a): a function without arguments, the same in PyTorch
    changes: tuple[str, ...] = ()  # the inputs that are results
    checked: bool = True  # False: PyTorch's numbers are others by nature
    result: tuple[int, ...] = ()  # shape of the result, where there are no inputs

    @property
    def layer(self) -> str:
        """The size in words."""
        shape = next(iter(self.shapes.values()), self.result)
        if isinstance(shape, list):
            return f"{len(shape)} arrays, {sum(map(np.prod, shape)):,} numbers"
        return "x".join(map(str, shape))

    def arrays(self) -> dict:
        """Random inputs; those that the kernel changes are positive, as second moments are."""
        rng = np.random.default_rng(0)

        def draw(name, shape):
            if isinstance(shape, list):
                return [draw(name, part) for part in shape]
            x = np.asarray(rng.standard_normal(shape), np.float32)
            return np.abs(x) + np.float32(0.1) if name == "v" else x

        return {name: draw(name, shape) for name, shape in self.shapes.items()}

    def bytes(self, a: dict, results) -> int:
        """Of inputs and results, where results that are inputs count twice."""
        given = sum(_size(x) for x in a.values())
        return given + _size([a[name] for name in self.changes] if self.changes else results)


def _size(x) -> int:
    return sum(map(_size, x)) if isinstance(x, list | tuple) else x.nbytes


def cases(toy: bool = False) -> list[Case]:
    """All of them; toy ones take milliseconds on the emulated device."""
    n = (lambda big, small: small) if toy else (lambda big, small: big)
    picture, features = n((128, 64, 64, 3), (2, 6, 5, 3)), n((128, 32, 32, 64), (2, 4, 4, 8))
    return [
        *_losses(n((128, 1), (4, 1)), n((4, 30, 30, 1), (1, 3, 3, 1)), n((4, 256, 256, 3), (1, 4, 4, 3))),
        *_optimizers("dcgan-64", parameters(NETWORKS["toy" if toy else "dcgan-64"])),
        *([] if toy else _optimizers("unet-256", parameters(NETWORKS["unet-256"]))),
        *_random("dcgan-64", n((128, 100), (3, 7))),
        *([] if toy else _random("", (1 << 24,))),
        *_activations("dcgan-64", picture, features),
        *_images("resnet-9", n((1, 256, 256, 3), (1, 9, 9, 3)), 3, features),
        *_images("resnet-9", n((1, 64, 64, 256), (1, 5, 5, 8)), 1, n((4, 16, 16, 512), (1, 3, 3, 8))),
    ]


def parameters(layers: list[Layer]) -> list[tuple[int, ...]]:
    """The shapes of a network's weights, scales and shifts."""
    shapes = []
    for layer in layers:
        shapes += [layer.shapes(1)["w"]] + [(layer.O,)] * (2 * bool(layer.norm))
    return shapes


def _losses(logits, patches, pictures):
    def torchs(loss):
        def build(torch, a):
            s = a["s"].detach().requires_grad_()
            t = a["t"].expand_as(s) if "t" in a else None

            def run():
                with torch.enable_grad():
                    value = loss(torch.nn.functional, s, t)
                return value.detach(), torch.autograd.grad(value, s)[0]

            return run

        return build

    bce = torchs(lambda F, s, t: F.binary_cross_entropy_with_logits(s, t))
    mse, l1 = torchs(lambda F, s, t: F.mse_loss(s, t)), torchs(lambda F, s, t: F.l1_loss(s, t))
    margin = torchs(lambda F, s, t: F.relu(1 - s).mean())

    def with_target(name):
        return lambda k, a: getattr(k, name)(a["s"], a["t"])

    return [
        Case("bce_with_logits", "dcgan-64", {"s": logits, "t": ()}, with_target("bce_with_logits"), bce),
        Case("bce_with_logits", "patchgan-6", {"s": patches, "t": ()}, with_target("bce_with_logits"), bce),
        Case("squared_error", "patchgan-3", {"s": patches, "t": ()}, with_target("squared_error"), mse),
        Case("absolute_error", "unet-256", {"s": pictures, "t": pictures}, with_target("absolute_error"), l1),
        Case("hinge", "patchgan-6", {"s": patches}, lambda k, a: k.hinge(a["s"], 1.0), margin),
    ]


def _optimizers(network, sizes):
    n = int(sum(map(np.prod, sizes)))
    flat = {"p": (n,), "g": sizes}

    def split(a, name):
        parts, start = [], 0
        for shape in sizes:
            parts.append(a[name][start : start + int(np.prod(shape))].view(shape))
            start += int(np.prod(shape))
        return parts

    def torchs(make, **state):
        def build(torch, a):
            ps = [torch.nn.Parameter(p) for p in split(a, "p")]  # views: what is updated is a["p"]
            for p, g in zip(ps, a["g"], strict=True):
                p.grad = g
            optimizer = make(torch.optim, ps)
            for slot, name in state.items():  # the moments that ours starts from, after two steps
                for p, part in zip(ps, split(a, name), strict=True):
                    optimizer.state[p][slot] = part
                    optimizer.state[p].setdefault("step", torch.full((), 2.0, device=p.device))
            return optimizer.step

        return build

    fast = {"lr": 1e-3, "fused": True}
    adam = torchs(lambda o, ps: o.Adam(ps, betas=(0.5, 0.999), **fast), exp_avg="m", exp_avg_sq="v")
    sgd = torchs(lambda o, ps: o.SGD(ps, momentum=0.9, **fast), momentum_buffer="v")
    rms = torchs(lambda o, ps: o.RMSprop(ps, lr=1e-3, alpha=0.9, foreach=True), square_avg="v")

    def lerp(torch, a):
        return lambda: torch._foreach_lerp_(a["a"], a["p"], 1 - 0.99)

    pv = {**flat, "v": (n,)}
    return [
        Case("adam", network, {**pv, "m": (n,)},
             lambda k, a: k.adam(a["p"], a["g"], a["m"], a["v"], 1e-3, 0.5, 0.999, 1e-8, 3), adam, ("p", "m", "v")),
        Case("sgd", network, pv, lambda k, a: k.sgd(a["p"], a["g"], a["v"], 1e-3, 0.9), sgd, ("p", "v")),
        Case("rmsprop", network, pv, lambda k, a: k.rmsprop(a["p"], a["g"], a["v"], 1e-3, 0.9, 1e-8), rms, ("p", "v")),
        Case("ema", network, {"a": sizes, "p": sizes}, lambda k, a: k.ema(a["a"], a["p"], 0.99), lerp, ("a",)),
    ]


def _random(network, shape):
    def drawn(name):
        return lambda k, a: getattr(k, name)(7, 3, 11, shape, np.float32)

    def torchs(name):
        return lambda torch, a: lambda: getattr(torch, name)(shape, device=a["device"])

    return [
        Case("normal", network, {}, drawn("normal"), torchs("randn"), checked=False, result=shape),
        Case("uniform", network, {}, drawn("uniform"), torchs("rand"), checked=False, result=shape),
    ]


def _activations(network, picture, features):
    C, x, wide = (features[-1],), {"x": picture}, {"x": features}

    def one(name, call):
        return Case(name, network, x, lambda k, a: getattr(k, name)(a["x"]), lambda t, a: lambda: call(t, a["x"]))

    def bias_bwd(torch, a):
        def run():
            gx = torch.ops.aten.leaky_relu_backward(a["gy"], a["y"], 0.2, False)
            return gx, gx.sum((0, 1, 2))

        return run

    return [
        one("tanh", lambda torch, x: torch.tanh(x)),
        one("sigmoid", lambda torch, x: torch.sigmoid(x)),
        one("softplus", lambda torch, x: torch.nn.functional.softplus(x)),
        Case("tanh_bwd", network, {"gy": picture, "y": picture}, lambda k, a: k.tanh_bwd(a["gy"], a["y"]),
             lambda torch, a: lambda: torch.ops.aten.tanh_backward(a["gy"], a["y"])),
        Case("bias_act", network, {**wide, "b": C}, lambda k, a: k.bias_act(a["x"], a["b"], 0.2),
             lambda torch, a: lambda: torch.nn.functional.leaky_relu_(a["x"] + a["b"], 0.2)),
        Case("bias_act_bwd", network, {"gy": features, "y": features},
             lambda k, a: k.bias_act_bwd(a["gy"], a["y"], 0.2), bias_bwd),
    ]


def _images(network, picture, border, features):
    N, H, W, C = features
    sides, channels = (border, border), C // 4
    padded = picture[0], picture[1] + 2 * border, picture[2] + 2 * border, picture[3]

    def on_nchw(function):
        """function(F, x, ...) of views (N,C,H,W); the result is seen as NHWC again."""
        def build(torch, a):
            views = [x.permute(0, 3, 1, 2) for x in a.values() if hasattr(x, "permute")]
            return lambda: function(torch, *views).permute(0, 2, 3, 1)

        return build

    def back(name, *numbers):
        """The gradient of a picture kernel, as autograd calls it; H and W are those of the result."""
        return on_nchw(lambda torch, gy: getattr(torch.ops.aten, name)(gy, *numbers))

    x, fine = {"x": features}, {"y": (N, 2 * H, 2 * W, channels)}
    return [
        Case("reflect_pad", network, {"x": picture}, lambda k, a: k.reflect_pad(a["x"], sides, sides),
             on_nchw(lambda torch, x: torch.nn.functional.pad(x, [border] * 4, "reflect"))),
        Case("reflect_pad_bwd", network, {"gy": padded}, lambda k, a: k.reflect_pad_bwd(a["gy"], sides, sides),
             on_nchw(lambda torch, gy: torch.ops.aten.reflection_pad2d_backward(
                 gy, gy[:, :, border:-border, border:-border], [border] * 4))),
        Case("upsample", network, x, lambda k, a: k.upsample(a["x"], 2),
             on_nchw(lambda torch, x: torch.nn.functional.interpolate(x, scale_factor=2.0))),
        Case("upsample_bwd", network, {"gy": (N, 2 * H, 2 * W, C)}, lambda k, a: k.upsample_bwd(a["gy"], 2),
             back("upsample_nearest2d_backward", [2 * H, 2 * W], [N, C, H, W], 2.0, 2.0)),
        Case("pixel_shuffle", network, x, lambda k, a: k.pixel_shuffle(a["x"], 2),
             on_nchw(lambda torch, x: torch.nn.functional.pixel_shuffle(x, 2))),
        Case("pixel_unshuffle", network, fine, lambda k, a: k.pixel_unshuffle(a["y"], 2),
             on_nchw(lambda torch, y: torch.nn.functional.pixel_unshuffle(y, 2))),
        Case("concat", network, {"x": features, "skip": features}, lambda k, a: k.concat([a["x"], a["skip"]]),
             on_nchw(lambda torch, x, skip: torch.cat((x, skip), 1))),
        Case("dropout", network, x, lambda k, a: k.dropout(a["x"], 7, 3, 11, 0.5),
             lambda torch, a: lambda: torch.nn.functional.dropout(a["x"], 0.5), checked=False),
    ]
