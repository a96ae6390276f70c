"""Whole training steps of this engine beside PyTorch eager, alternating in one run: `python bench/train.py`.

Both sides take the same step: G once, D on real and on the detached fake, Adam, then G through a frozen D, Adam. They
take turns of a few steps, so that a busy machine slows both; the first of each turn, which wakes threads and fills
caches, does not count. Medians and their ratios do. Without PyTorch only our side runs. Peak memory is of a process
that does nothing else (`--alone`).
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np

from inachus.engine.data import Batch
from inachus.kernels import HOSTS, cores, host, use_host
from inachus.models import MODELS

# name: (model, settings, shape, batch)
CASES = {
    "gan": ("gan", {}, (28, 28, 1), 64),
    "dcgan-32": ("dcgan", {"width": 64}, (32, 32, 3), 64),
    "dcgan-64": ("dcgan", {"width": 64}, (64, 64, 3), 32),
}


def settings_of(case: str) -> tuple:
    """A row of CASES; "dcgan-32:256" is that of "dcgan-32" with another batch."""
    name, _, batch = case.partition(":")
    return (*CASES[name][:3], int(batch or CASES[name][3]))


TURN = 3  # steps that count in each turn


def ours(case: str):
    """A function that takes one step of this engine, without the average of weights, which PyTorch's side lacks."""
    name, settings, shape, batch = settings_of(case)
    cls = MODELS[name]
    model = cls(shape, 0, 0, cls.Settings(**settings))
    model.average.update = lambda: None
    items = Batch(np.random.default_rng(0).standard_normal((batch, *shape), dtype=np.float32))
    return lambda: model.step(items)


def torchs(case: str, channels_last: bool):
    """The same step in PyTorch eager."""
    import torch

    name, settings, (size, _, channels), batch = settings_of(case)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.manual_seed(0)
    if name == "gan":
        G, D, z = torch_mlp(size * size * channels)
        real = torch.randn(batch, size * size * channels)
    else:
        G, D, z = torch_dcgan(size, channels, settings["width"])
        G, D = G.to(memory_format=layout), D.to(memory_format=layout)
        real = torch.randn(batch, channels, size, size).contiguous(memory_format=layout)
    g, d = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (G, D))
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    one, zero = torch.ones(batch, 1), torch.zeros(batch, 1)

    def step():
        fake = G(torch.randn(batch, *z))
        d.zero_grad()
        s_real, s_fake = D(real), D(fake.detach())
        d_loss = loss(s_real, one) + loss(s_fake, zero)
        d_loss.backward()
        d.step()
        D.requires_grad_(False)
        g.zero_grad()
        g_loss = loss(D(fake), one)
        g_loss.backward()
        g.step()
        D.requires_grad_(True)
        return d_loss.item(), g_loss.item(), s_real.sigmoid().mean().item(), s_fake.sigmoid().mean().item()

    return step


def torch_mlp(pixels: int):
    """The course's pair: dense, leaky ReLU, batch norm."""
    from torch import nn

    G = nn.Sequential(
        nn.Linear(100, 256),
        nn.LeakyReLU(0.2, True),
        nn.BatchNorm1d(256),
        nn.Linear(256, 512),
        nn.LeakyReLU(0.2, True),
        nn.BatchNorm1d(512),
        nn.Linear(512, pixels),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Linear(pixels, 512), nn.LeakyReLU(0.2, True), nn.Linear(512, 256), nn.LeakyReLU(0.2, True), nn.Linear(256, 1)
    )
    return G, D, (100,)


def torch_dcgan(size: int, channels: int, width: int):
    """The pair of `models/nets/dcgan.py`."""
    from torch import nn

    widths = [width << i for i in range((size // 4).bit_length() - 1)]
    g = [nn.ConvTranspose2d(100, widths[-1], 4, bias=False)]
    for before, after in zip(widths[::-1], [*widths[-2::-1], channels], strict=True):
        g += [nn.BatchNorm2d(before), nn.ReLU(True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
    d = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for before, after in pairwise(widths):
        d += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]
    d += [nn.Conv2d(widths[-1], 1, 4, bias=False), nn.Flatten()]
    return nn.Sequential(*g, nn.Tanh()), nn.Sequential(*d), (100, 1, 1)


def alternate(sides: dict, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every step of every side, TURN at a time after a warm-up."""
    times = {name: [] for name in sides}
    for i in range(-3, rounds):
        for name, step in sides.items():
            time.sleep(0.05)  # the other side's threads spin for a while after their work
            for k in range(TURN + 1):
                start = time.perf_counter()
                step()
                if i >= 0 and k > 0:
                    times[name].append(1e3 * (time.perf_counter() - start))
    return times


SIDES = {
    "inachus": ours,
    "torch": lambda case: torchs(case, channels_last=False),
    "torch channels_last": lambda case: torchs(case, channels_last=True),
}


def peak(case: str, side: str) -> float:
    """MB of a fresh process that takes ten such steps."""
    command = [sys.executable, __file__, "--device", host().__name__.split(".")[-1], "--alone", case, side]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(case: str, rounds: int) -> dict:
    """One row: medians, p10, p90 and peak memory of each side, and our ratios to PyTorch in each layout."""
    names = list(SIDES) if "torch" in sys.modules else ["inachus"]
    row = {"case": case, "device": host().__name__.split(".")[-1], "batch": settings_of(case)[3], "rounds": rounds}
    for name, ms in alternate({name: SIDES[name](case) for name in names}, rounds).items():
        p10, p50, p90 = np.percentile(ms, [10, 50, 90])
        row[name] = {"median_ms": round(p50, 2), "p10": round(p10, 2), "p90": round(p90, 2)}
        row[name]["peak_mb"] = round(peak(case, name))
    for name in names[1:]:
        row[name]["our_time_ratio"] = round(row["inachus"]["median_ms"] / row[name]["median_ms"], 3)
        row[name]["our_memory_ratio"] = round(row["inachus"]["peak_mb"] / row[name]["peak_mb"], 3)
    return row


def environment() -> dict:
    """What the numbers depend on."""
    facts = {"numpy": np.__version__, "python": platform.python_version(), "cores": cores()}
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        lines = cpu.read_text().splitlines()
        facts["cpu"] = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), "unknown")
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    facts["commit"] = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    if "torch" in sys.modules:
        facts["torch"] = sys.modules["torch"].__version__
    return facts


def save(bench: str, rows: list[dict]) -> None:
    """Writes bench/results/BENCH-DATE.json."""
    out = Path(__file__).parent / "results" / f"{bench}-{time.strftime('%Y-%m-%d')}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"environment": environment(), "rows": rows}, indent=1) + "\n")


def main() -> None:
    """Prints a JSON line a case; with --save also writes bench/results/train-DATE.json."""
    p = argparse.ArgumentParser(description=__doc__)
    several = f"of {', '.join(CASES)}; dcgan-32:256 is one with another batch"
    p.add_argument("cases", nargs="*", default=list(CASES), help=several)
    p.add_argument("--device", default="auto", help="auto (the best here), cpu or reference")
    p.add_argument("--rounds", type=int, default=40)
    p.add_argument("--save", action="store_true")
    p.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = p.parse_args()
    if not args.alone and find_spec("torch"):
        import torch  # before our backend: an OpenMP that is there already makes PyTorch three times slower

        torch.set_num_threads(cores())
    if not args.alone or args.cases[1] == "inachus":
        use_host(args.device if args.device != "auto" else next(reversed(HOSTS)))
    if args.alone:
        step = SIDES[args.cases[1]](args.cases[0])
        for _ in range(10):
            step()
        status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent's memory too
        print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
        return
    rows = []
    for case in args.cases:
        rows.append(measure(case, args.rounds))
        print(json.dumps(rows[-1]), flush=True)
    if args.save:
        save("train", rows)


if __name__ == "__main__":
    main()
