"""Every layer of real networks, forward and backward, on our kernels beside PyTorch eager: `python bench/layers.py`.

A JSON line for each pass of each layer, and one with the sums of each network. Before a layer is timed, both sides must
agree on it. They take turns as in `train.py`. PyTorch has the better of its two layouts in each pass by itself, so its
sums are those of a network that changes layouts for nothing; and its memory is kept as ours is, because our setting of
the allocator holds for the whole process. Without PyTorch only our side runs. Not here: whole steps (`train.py`).
"""

import argparse
import json
import time
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
from train import save

from inachus.kernels import cores, host

TURN, TURN_MS = 2, 10  # a turn that counts is at least so many repetitions, and so long
PAUSE = 0.05  # seconds between turns: the other side's threads spin for a while after their work
TOLERANCE = 1e-3  # largest difference between the sides, relative to the largest number of a result


@dataclass
class Layer:
    """A convolution without bias, then norm and leaky ReLU as one."""

    name: str
    size: int  # of the square input
    C: int
    O: int
    K: int
    S: int
    P: int
    up: bool = False  # transposed
    out_pad: int = 0
    norm: str = ""  # "batch", "instance" or none
    slope: float | None = None  # 0 is ReLU; None: no activation
    count: int = 1
    first: bool = False  # nobody asks for the gradient in its input

    @property
    def out(self) -> int:
        """Size of the output."""
        if self.up:
            return (self.size - 1) * self.S - 2 * self.P + self.K + self.out_pad
        return (self.size + 2 * self.P - self.K) // self.S + 1

    def flops(self, batch: int) -> int:
        """Of any of the three passes; products with the zeros around a picture do not count."""
        fine, coarse = (self.out, self.size) if self.up else (self.size, self.out)
        taps = sum(0 <= i * self.S + k - self.P < fine for i in range(coarse) for k in range(self.K))
        return 2 * batch * taps**2 * self.C * self.O

    def describe(self, name: str) -> str:
        """What pass `name` belongs to."""
        if name in ("forward", "dx", "dw"):
            kind = "convT" if self.up else "conv"
            return f"{self.name} {kind} {self.C}->{self.O} k{self.K} s{self.S} {self.size}x{self.size}"
        parts = [f"{self.norm} norm"] * bool(self.norm) + [f"lrelu {self.slope}" if self.slope else "relu"]
        return f"{self.name} {' + '.join(parts)} {self.O} {self.out}x{self.out}"


# --- networks ----------------------------------------------------------------------------------------------


def unet() -> list[Layer]:
    """G of pix2pix at 256 pixels (Isola et al. 2017)."""
    down = pairwise([3, 64, 128, 256, 512, 512, 512, 512, 512])
    up = [(512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64), (128, 3)]
    layers = []
    for i, (c, o) in enumerate(down):
        norm, slope = "batch" if 0 < i < 7 else "", 0.2 if i < 7 else 0.0
        layers.append(Layer(f"down{i + 1}", 256 >> i, c, o, 4, 2, 1, norm=norm, slope=slope, first=i == 0))
    for i, (c, o) in enumerate(up):
        rest = {"norm": "batch", "slope": 0.0} if i < 7 else {}
        layers.append(Layer(f"up{i + 1}", 1 << i, c, o, 4, 2, 1, up=True, **rest))
    return layers


def resnet() -> list[Layer]:
    """G of CycleGAN at 256 pixels, nine blocks (Zhu et al. 2017); sizes are those after reflection padding."""
    rest = {"norm": "instance", "slope": 0.0}
    return [
        Layer("first", 262, 3, 64, 7, 1, 0, first=True, **rest),
        Layer("down1", 256, 64, 128, 3, 2, 1, **rest),
        Layer("down2", 128, 128, 256, 3, 2, 1, **rest),
        Layer("block", 66, 256, 256, 3, 1, 0, count=18, **rest),
        Layer("up1", 64, 256, 128, 3, 2, 1, up=True, out_pad=1, **rest),
        Layer("up2", 128, 128, 64, 3, 2, 1, up=True, out_pad=1, **rest),
        Layer("last", 262, 64, 3, 7, 1, 0),
    ]


def dcgan(size: int) -> list[Layer]:
    """The pair of `models/nets/dcgan.py`, width 64, 3 channels, as one chain: D's first layer has a gradient for G."""
    widths = [64 << i for i in range((size // 4).bit_length() - 1)]
    rest = {"norm": "batch", "slope": 0.0}
    layers = [Layer("G1", 1, 100, widths[-1], 4, 1, 0, up=True, first=True, **rest)]
    for i, (c, o) in enumerate(pairwise([*widths[::-1], 3])):
        layers.append(Layer(f"G{i + 2}", 4 << i, c, o, 4, 2, 1, up=True, **(rest if o != 3 else {})))
    for i, (c, o) in enumerate(pairwise([3, *widths])):
        layers.append(Layer(f"D{i + 1}", size >> i, c, o, 4, 2, 1, norm="batch" if i else "", slope=0.2))
    return [*layers, Layer(f"D{len(widths) + 1}", 4, widths[-1], 1, 4, 1, 0)]


# name: (layers, batch)
NETWORKS = {
    "unet-256": (unet(), 1),
    "resnet-9": (resnet(), 1),
    "dcgan-32": (dcgan(32), 64),
    "dcgan-64": (dcgan(64), 32),
}


# --- the two sides -----------------------------------------------------------------------------------------


def arrays(layer: Layer, batch: int) -> SimpleNamespace:
    """Random inputs of all passes: x, w, gy of the convolution; v, gamma, beta, gz of what follows it."""
    rng = np.random.default_rng(0)
    fine, coarse = (layer.O, layer.C) if layer.up else (layer.C, layer.O)
    image, result = (batch, layer.size, layer.size, layer.C), (batch, layer.out, layer.out, layer.O)
    shapes = {"x": image, "w": (layer.K, layer.K, fine, coarse), "gy": result}
    if layer.slope is not None:
        shapes |= {"v": result, "gamma": layer.O, "beta": layer.O, "gz": result}
    a = SimpleNamespace(**{name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()})
    a.groups = batch if layer.norm == "instance" else 1
    if layer.norm:
        z = host().norm(a.v, a.gamma, a.beta, a.groups, 1e-5, 1)[0]
        a.gz[np.abs(z) < 1e-3] = 0  # so close to the kink of the ReLU either slope is right
    return a


def ours(layer: Layer, a: SimpleNamespace) -> dict:
    """{pass: a function that prepares it outside the clock and returns a function without arguments}."""
    k, S, P, hw, khw, slope = host(), layer.S, layer.P, a.x.shape[1:3], a.w.shape[:2], layer.slope
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


def torchs(layer: Layer, a: SimpleNamespace, channels_last: bool) -> dict:
    """The same in PyTorch eager."""
    import torch
    import torch.nn.functional as F

    layout = torch.channels_last if channels_last else torch.contiguous_format
    S, P, pad, slope = [layer.S] * 2, [layer.P] * 2, [layer.out_pad] * 2, layer.slope

    def tensor(array, axes=(0, 3, 1, 2)):
        return torch.from_numpy(array).permute(axes).contiguous(memory_format=layout)

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
        inputs += [torch.from_numpy(a.gamma), torch.from_numpy(a.beta)]
    leaves = [t.detach().requires_grad_() for t in inputs]
    name = "norm" if layer.norm else "leaky_relu"
    return passes | {name: lambda: lambda: after(*inputs), f"{name}_bwd": backward}


# --- checks and clocks -------------------------------------------------------------------------------------


def check(what: str, our_result, result) -> None:
    """Ends the run if PyTorch's result is another one."""
    pairs = zip(*(r if isinstance(r, tuple) else (r,) for r in (our_result, result)), strict=True)
    for mine, other in pairs:
        if other.ndim == 4:
            other = other.permute((2, 3, 1, 0) if what.endswith(" dw") else (0, 2, 3, 1))
        other = other.numpy()
        error = np.abs(mine - other).max() / np.abs(other).max() if mine.shape == other.shape else np.inf
        if not error < TOLERANCE:
            raise SystemExit(f"{what}: ours {mine.shape} and PyTorch's {other.shape} differ by {error:.1e}")


def turn(prepare) -> list[float]:
    """Milliseconds of each repetition but the first, which wakes threads and fills caches."""
    end, ms = time.perf_counter() + TURN_MS / 1e3, []
    prepare()()
    while len(ms) < TURN or time.perf_counter() < end:
        run = prepare()
        start = time.perf_counter()
        run()
        ms.append(1e3 * (time.perf_counter() - start))
    return ms


def measure(network: str, layer: Layer, batch: int, rounds: int, torch_too: bool) -> list[dict]:
    """A row for each pass of one layer."""
    a = arrays(layer, batch)
    sides = {"ours": ours(layer, a)}
    if torch_too:
        sides |= {"nchw": torchs(layer, a, channels_last=False), "channels_last": torchs(layer, a, channels_last=True)}
    for name, prepare in sides["ours"].items():
        result = prepare()()
        for side in list(sides)[1:]:
            check(f"{network} {layer.describe(name)} {side} {name}", result, sides[side][name]()())
    times = {(side, name): [] for side, passes in sides.items() for name in passes}
    for _ in range(rounds):
        for side, passes in sides.items():
            time.sleep(PAUSE)
            for name, prepare in passes.items():
                times[side, name] += turn(prepare)
    rows = []
    for name in sides["ours"]:
        ms = {side: float(np.median(times[side, name])) for side in sides}
        row = {"network": network, "layer": layer.describe(name), "pass": name, "count": layer.count}
        row["our_ms"] = round(ms["ours"], 3)
        if torch_too:
            best = min(list(sides)[1:], key=ms.get)
            row |= {"torch_ms": round(ms[best], 3), "torch_layout": best, "ratio": round(ms[best] / ms["ours"], 3)}
        if name in ("forward", "dx", "dw"):
            row["our_gflops"] = round(layer.flops(batch) / ms["ours"] / 1e6, 1)
        rows.append(row)
    return rows


def total(network: str, rows: list[dict]) -> dict:
    """The sums over a network's rows, each as often as the network has it."""
    row = {"network": network, "layer": "all", "batch": NETWORKS[network][1]}
    for key in ("our_ms", "torch_ms"):
        if key in rows[0]:
            row[key] = round(sum(r["count"] * r[key] for r in rows), 1)
    if "torch_ms" in row:
        row["ratio"] = round(row["torch_ms"] / row["our_ms"], 3)
    return row


def main() -> None:
    """Prints a JSON line a row; `ratio` is PyTorch's time to ours. With --save also writes results/layers-DATE.json."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"of {', '.join(NETWORKS)}")
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--save", action="store_true")
    args = p.parse_args()
    try:
        import torch

        torch.set_num_threads(cores())
        torch.set_grad_enabled(False)
        torch_too = True
    except ImportError:
        torch_too = False
    rows, totals = [], []
    for network in args.networks:
        layers, batch = NETWORKS[network]
        own = []
        for layer in layers:
            for row in measure(network, layer, batch, args.rounds, torch_too):
                own.append(row)
                print(json.dumps(row), flush=True)
        rows += own
        totals.append(total(network, own))
    for row in totals:
        print(json.dumps(row), flush=True)
    if args.save:
        save("layers", rows + totals)


if __name__ == "__main__":
    main()
