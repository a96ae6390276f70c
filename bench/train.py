"""Whole training steps of this engine beside PyTorch, alternating in one run: `python bench/train.py`.

Both sides take the same step: G once, D on real and on the detached fake, Adam, then G through a frozen D, Adam (for
pix2pix and CycleGAN see `cases/translators.py`). They take turns, so that a busy machine slows both, and medians and
their ratios count. Without PyTorch only our side runs.

On the CPU a turn is a few steps, of which the first, which wakes threads and fills caches, does not count; peak memory
is of a process that does nothing else (`--alone`). With `--device cuda` a turn is many steps, queued without waiting,
with a batch from the host in each, the losses read every READ steps, and the clock stopped when the device has done it
all: our step eager and captured beside PyTorch eager, channels_last, captured by hand, and compiled
(`cases/steps.py`). Peak memory is what arrays held at most. `--device emulated` takes the same way; its times mean
nothing.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from cases.pytorch import Training
from cases.steps import LATE, finish, model_and_batch, peak_memory, use_torch_precision
from cases.steps import SIDES as DEVICE_SIDES
from cases.translators import STEPS
from measure.record import clocks, environment, save

from inachus.kernels import DEVICES, HOSTS, cores, host, use, use_host

PAPER = {"mask": False, "cycle": 10.0, "identity": 0.5, "through": 0}  # CycleGAN as published
# name: (model, settings, shape, or shapes of both sides, batch)
CASES = {
    "gan": ("gan", {}, (28, 28, 1), 64),
    "dcgan-32": ("dcgan", {"width": 64}, (32, 32, 3), 64),
    "dcgan-64": ("dcgan", {"width": 64}, (64, 64, 3), 32),
    "toy": ("dcgan", {"width": 2}, (32, 32, 1), 2),
    "pix2pix-256": ("pix2pix", {"width": 64}, ((256, 256, 3),) * 2, 1),
    "cyclegan-128": ("cyclegan", PAPER | {"width": 64, "blocks": 6}, ((128, 128, 3),) * 2, 1),
}
ON_HOST = ("gan", "dcgan-32", "dcgan-64", "pix2pix-256", "cyclegan-128")
ON_DEVICE = ("dcgan-64:128", "dcgan-64:64", "gan")
TURN = 3  # steps that count in each turn on the CPU
READ = 50  # steps between two readings of the losses on a device


def settings_of(case: str) -> tuple:
    """A row of CASES; "dcgan-32:256" is that of "dcgan-32" with another batch."""
    name, _, batch = case.partition(":")
    return (*CASES[name][:3], int(batch or CASES[name][3]))


# --- on the CPU ------------------------------------------------------------------------------------------------


def ours(case: str):
    """A function that takes one step of this engine."""
    model, items = model_and_batch(*settings_of(case))
    return lambda: model.step(items)


def torchs(case: str, channels_last: bool):
    """The same step in PyTorch eager."""
    name, *rest = settings_of(case)
    layout = {"channels_last": channels_last}
    training = STEPS[name](*rest, **layout) if name in STEPS else Training(name, *rest, **layout)
    return lambda: [value.item() for value in training.step()]


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


def alone(case: str, side: str) -> None:
    """What such a process does."""
    step = SIDES[side](case)
    for _ in range(10):
        step()
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent's memory too
    print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)


def measure(case: str, rounds: int) -> dict:
    """One row: medians, p10, p90 and peak memory of each side, and our ratios to PyTorch in each layout."""
    names = list(SIDES) if "torch" in sys.modules else ["inachus"]
    row = {"case": case, "device": host().__name__.split(".")[-1], "batch": settings_of(case)[3], "rounds": rounds}
    for name, ms in alternate({name: SIDES[name](case) for name in names}, rounds).items():
        row[name] = summary(ms) | {"peak_mb": round(peak(case, name))}
    for name in names[1:]:
        row[name]["our_time_ratio"] = round(row["inachus"]["median_ms"] / row[name]["median_ms"], 3)
        row[name]["our_memory_ratio"] = round(row["inachus"]["peak_mb"] / row[name]["peak_mb"], 3)
    return row


def summary(ms: list[float]) -> dict[str, float]:
    """Median, p10 and p90."""
    p10, p50, p90 = np.percentile(ms, [10, 50, 90])
    return {"median_ms": round(p50, 3 if p50 < 10 else 2), "p10": round(p10, 3), "p90": round(p90, 3)}


# --- on a device -----------------------------------------------------------------------------------------------


def turn(side, steps: int) -> float:
    """Milliseconds of a step, over so many of them."""
    start = time.perf_counter()
    for i in range(1, steps + 1):
        side.step()
        if i % READ == 0 or i == steps:
            numbers = side.read()
    finish()
    seconds = time.perf_counter() - start
    if not np.isfinite(numbers).all():
        raise ArithmeticError(f"the losses are {numbers}")
    return 1e3 * seconds / steps


def built(name: str, case: str, precision: str) -> tuple:
    """(a side that has taken a few steps, what to note of it)."""
    with peak_memory(name) as found:
        side = DEVICE_SIDES[name](settings_of(case), precision)
        turn(side, 8)
    return side, {"peak_mb": found[0] and round(found[0], 1)} | ({"notes": side.notes} if side.notes else {})


def measure_on_device(row: dict, names: list[str], args: argparse.Namespace) -> None:
    """Adds to the row what the sides take; a side that fails is an entry with its error."""
    sides = {}
    for name in names:
        try:
            sides[name], row[name] = built(name, row["case"], row["precision"])
        except Exception as problem:  # one side of many
            row[name] = {"error": f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"}
    times, end = {name: [] for name in sides}, time.monotonic() + args.seconds
    for i in range(-1, args.rounds):
        for name, side in sides.items():
            ms = turn(side, args.steps)
            times[name] += [ms] * (i >= 0)
        if i > 1 and time.monotonic() > end:
            break
    ratio_to = np.median(times["inachus captured"]) if times.get("inachus captured") else None
    for name, ms in times.items():
        row[name] |= summary(ms) | {"images_per_s": round(1e3 * row["batch"] / float(np.median(ms)))}
        if name.startswith("torch") and ratio_to:
            row[name]["our_time_ratio"] = round(float(ratio_to / np.median(ms)), 3)


def lines(row: dict) -> list[str]:
    """A row in words, a line a side."""
    found = []
    for name, side in row.items():
        if isinstance(side, dict):
            words = side.get("error") or f"{side['median_ms']:9.3f} ms {side['images_per_s']:8,} images/s"
            words += f" {side['peak_mb']:8,.0f} MB" if side.get("peak_mb") else ""
            words += f"  ours {1 / side['our_time_ratio']:.2f} times as fast" if side.get("our_time_ratio") else ""
            words += "".join(f"  ({note})" for note in side.get("notes", ()))
            found.append(f"{row['case']:13} {row['precision']:5} {name:20} {words}")
    return found


def jobs(args: argparse.Namespace, names: list[str]) -> list[tuple[str, str, list[str]]]:
    """(case, precision, sides), the most telling first; what is slow to build beside our captured step, once early."""
    order = sorted((i + j, case, p) for i, case in enumerate(args.cases) for j, p in enumerate(args.precisions))
    early = [(case, p, fast) for _, case, p in order if (fast := [n for n in names if n not in LATE])]
    late = [(case, p, ["inachus captured", *slow]) for _, case, p in order if (slow := [n for n in LATE if n in names])]
    return [*early[:3], *late[:1], *early[3:], *late[1:]]


def on_device(args: argparse.Namespace) -> None:
    """All cases in all precisions, then what is slow to build; written after each row, until the time is up."""
    end, with_torch = time.monotonic() + args.budget, "torch" in sys.modules
    names = [n for n in args.sides or DEVICE_SIDES if with_torch or not n.startswith("torch")]
    if args.device != "cuda":
        names = [n for n in names if n not in ("torch graph", *LATE)]
    facts, rows = environment(args.device == "cuda"), []
    for case, precision, some in jobs(args, names):
        if time.monotonic() > end:
            print(f"the time is up before {case} {precision} {', '.join(some)}", flush=True)
            continue
        row = {"case": case, "device": args.device, "batch": settings_of(case)[3], "precision": precision}
        row |= {"steps": args.steps, "rounds": args.rounds}
        if with_torch:
            row["torch_precision"] = use_torch_precision(precision)
        measure_on_device(row, some, args)
        rows.append(row)
        print("\n".join(lines(row)), flush=True)
        if args.save or args.out:
            save("train", rows, facts | {"clocks_after": clocks()}, args.out)
    if args.device == "cuda" and any("error" in row["inachus captured"] for row in rows if "inachus captured" in row):
        raise SystemExit(1)


# --- the command -----------------------------------------------------------------------------------------------


def options() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; dcgan-32:256 is one with another batch")
    p.add_argument("--device", default="auto", help="auto (the best of the CPU), cpu, reference, cuda or emulated")
    p.add_argument("--rounds", type=int, help="turns of each side: 40 on the CPU, 6 on a device")
    p.add_argument("--save", action="store_true", help="write bench/results/train-[CARD-]DATE.json")
    p.add_argument("--out", type=Path, metavar="DIR", help="write it there")
    p.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    d = p.add_argument_group("on a device")
    d.add_argument("--steps", type=int, default=100, help="of a turn")
    d.add_argument("--precisions", nargs="+", default=["tf32", "fp32"], choices=("tf32", "fp32", "bf16"))
    sides = list(DEVICE_SIDES)
    d.add_argument("--sides", nargs="+", choices=sides, metavar="SIDE", help=f"of {', '.join(sides)}")
    d.add_argument("--seconds", type=float, default=30, help="after which a case takes no further round")
    d.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no case is begun")
    args = p.parse_args()
    args.cases = args.cases or list(ON_DEVICE if args.device in DEVICES else ON_HOST)
    args.rounds = args.rounds or (6 if args.device in DEVICES else 40)
    return args


def main() -> None:
    """Prints what each case took and, with --save or --out, writes it as JSON."""
    args = options()
    if not args.alone and find_spec("torch"):
        import torch  # before our backend: an OpenMP that is there already makes PyTorch three times slower

        torch.set_num_threads(cores())
    if args.device in DEVICES:
        use(args.device)
        on_device(args)
        return
    if not args.alone or args.cases[1] == "inachus":
        use_host(args.device if args.device != "auto" else next(reversed(HOSTS)))
    if args.alone:
        alone(*args.cases)
        return
    rows = []
    for case in args.cases:
        rows.append(measure(case, args.rounds))
        print(json.dumps(rows[-1]), flush=True)
    if args.save or args.out:
        save("train", rows, folder=args.out)


if __name__ == "__main__":
    main()
