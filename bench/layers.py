"""Every layer of real networks, forward and backward, on our kernels beside PyTorch eager: `python bench/layers.py`.

A JSON line for each pass of each layer, and one with the sums of each network. Before a layer is timed, both sides must
agree on it. They take turns as in `train.py`. PyTorch has the better of its two layouts in each pass by itself, so its
sums are those of a network that changes layouts for nothing; and its memory is kept as ours is, because our setting of
the allocator holds for the whole process. Without PyTorch only our side runs. Not here: the same passes on a GPU
(`kernels.py`), whole steps (`train.py`).
"""

import argparse
import json
import time

import numpy as np
from cases.passes import PRODUCTS, arrays, as_ours, ours, torchs
from cases.shapes import NETWORKS, Layer
from measure.record import save

from inachus.kernels import cores, host

TURN, TURN_MS = 2, 10  # a turn that counts is at least so many repetitions, and so long
PAUSE = 0.05  # seconds between turns: the other side's threads spin for a while after their work
TOLERANCE = 1e-3  # largest difference between the sides, relative to the largest number of a result
BATCHES = {"unet-256": 1, "resnet-9": 1, "dcgan-32": 64, "dcgan-64": 32}


def check(what: str, our_result, result) -> None:
    """Ends the run if PyTorch's result is another one."""
    pairs = zip(*(r if isinstance(r, tuple) else (r,) for r in (our_result, result)), strict=True)
    for mine, other in pairs:
        other = as_ours(what.split()[-1], other).numpy()
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
    sides = {"ours": ours(host(), layer, a)}
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
        if name in PRODUCTS:
            row["our_gflops"] = round(layer.flops(batch) / ms["ours"] / 1e6, 1)
        rows.append(row)
    return rows


def total(network: str, rows: list[dict]) -> dict:
    """The sums over a network's rows, each as often as the network has it."""
    row = {"network": network, "layer": "all", "batch": BATCHES[network]}
    for key in ("our_ms", "torch_ms"):
        if key in rows[0]:
            row[key] = round(sum(r["count"] * r[key] for r in rows), 1)
    if "torch_ms" in row:
        row["ratio"] = round(row["torch_ms"] / row["our_ms"], 3)
    return row


def main() -> None:
    """Prints a JSON line a row; `ratio` is PyTorch's time to ours. With --save also writes results/layers-DATE.json."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("networks", nargs="*", default=list(BATCHES), help=f"of {', '.join(BATCHES)}")
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
        own = []
        for layer in NETWORKS[network]:
            for row in measure(network, layer, BATCHES[network], args.rounds, torch_too):
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
