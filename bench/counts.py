"""What can be counted without a GPU: launches and bytes of a training step, registers and spills of every kernel.

`python bench/counts.py` prints what differs from bench/results/counts.json, `--save` writes it. A step is captured on
the emulated device, which counts and runs nothing; kernels are compiled by nvcc for sm_80 and sm_90. Counts, not
timings: they say what a change did before a clock can.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from inachus import kernels
from inachus.engine.data import Batch
from inachus.kernels.cuda.convolution.tiles import CANDIDATES, TILES
from inachus.kernels.cuda.launch import resolve
from inachus.kernels.emulator import device
from inachus.kernels.steps import Stepper
from inachus.models import MODELS

FILE = Path(__file__).parent / "results" / "counts.json"
ARCHITECTURES = ("sm_80", "sm_90")
# name: (model, settings, shape, batch)
STEPS = {
    "gan": ("gan", {}, (28, 28, 1), 64),
    "dcgan-64:64": ("dcgan", {}, (64, 64, 3), 64),
    "dcgan-64:128": ("dcgan", {}, (64, 64, 3), 128),
}
LOOPS = ("activation", "image", "losses", "norm", "optim", "random", "readings")


def step(name: str) -> dict:
    """Launches, by kernel too, and bytes that one captured step allocates; a first one has filled the caches."""
    model_name, settings, shape, batch = STEPS[name]
    kernels.use("emulated")
    cls = MODELS[model_name]
    model, items = cls(shape, 0, 0, cls.Settings(**settings)), Batch(np.zeros((batch, *shape), np.float32))
    stepper = Stepper(model.step, dict, lambda counts: None, print)
    for _ in range(2):
        device.counts.clear()
        before = device.memory.allocated
        stepper.capture(items)
    launches = Counter({k: n for k, n in device.counts.items() if k != "upload"})
    by_kernel = dict(sorted(launches.items(), key=lambda kv: (-kv[1], kv[0])))
    return {"launches": launches.total(), "megabytes": round((device.memory.allocated - before) / 1e6), "by": by_kernel}


def variants() -> dict[str, tuple[str, dict]]:
    """name: (file, macros) of everything that a training may compile, in single precision."""
    found = {}
    for precision, names in CANDIDATES.items():
        number = ("tf32", "fp32", "bf16").index(precision)
        for tile in names:
            sizes = {**TILES[tile]._asdict(), "PRECISION": number}
            few = TILES[tile].BN % 32 != 0
            for mode in (0, 1, 2) if few else (0, 1):
                macros = {**sizes, "TRANSPOSED": mode, "VA": 4, "VB": 1 if few and mode != 1 else 4}
                found[f"gather {tile} {precision} transposed {mode}"] = "convolution/gather.cu", macros
            found[f"weights {tile} {precision}"] = "convolution/weights.cu", {**sizes, "VA": 4, "VB": 1 if few else 4}
    for name in LOOPS:
        for width in (1, 4) if name in ("activation", "norm") else (1,):
            found[f"{name} width {width}"] = f"loops/{name}.cu", {"REAL": "float", "WIDTH": width}
    return found


def compiled(file: str, macros: dict) -> dict:
    """{kernel: {architecture: registers}}; raises RuntimeError for a spill, a stack frame or an error."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.cu"
        source.write_text(resolve(file))
        arch = [f"-gencode=arch=compute_{a[3:]},code={a}" for a in ARCHITECTURES]
        defines = [f"-D{k}={v}" for k, v in macros.items()]
        command = ["nvcc", "-std=c++17", "-fatbin", "-Xptxas", "-v", *arch, *defines, source, "-o", f"{source}.fatbin"]
        told = subprocess.run(command, capture_output=True, text=True)
    if told.returncode:
        raise RuntimeError(f"{file} {macros}: {told.stderr}")
    found: dict[str, dict[str, int]] = {}
    entry = r"entry function '(\w+)' for '(sm_\d+)'.*?(\d+) bytes stack frame, (\d+) bytes spill.*?Used (\d+) registers"
    for kernel, target, stack, spilled, registers in re.findall(entry, told.stderr, re.DOTALL):
        if int(stack) or int(spilled):
            raise RuntimeError(f"{file} {macros}: {kernel} for {target} spills {spilled} bytes, stack {stack}")
        found.setdefault(kernel, {})[target] = int(registers)
    return found


def registers(names: list[str] | None = None) -> dict:
    """Registers of every kernel of every variant, without the naive ones, which are the same in all."""
    todo = {name: v for name, v in variants().items() if names is None or name in names}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda v: compiled(*v), todo.values()))
    wanted = {"gather": ("gather",), "weights": ("weights",)}
    return {
        name: {k: r for k, r in found.items() if k in wanted.get(name.split()[0], found)}
        for name, found in zip(todo, results, strict=True)
    }


def nvcc() -> str | None:
    """The release of nvcc, on which registers depend, such as "13.0"; None without one."""
    if not shutil.which("nvcc"):
        return None
    told = subprocess.run(["nvcc", "--version"], capture_output=True, text=True).stdout
    return re.search(r"release ([\d.]+)", told)[1]


def counted() -> dict:
    """All there is to count."""
    return {"nvcc": nvcc(), "steps": {name: step(name) for name in STEPS}, "registers": registers()}


def differences(before: dict, now: dict, path: str = "") -> list[str]:
    """A line for each number that is another one."""
    lines = []
    for key in sorted(before.keys() | now.keys()):
        a, b = before.get(key), now.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{path}{key} / ")
        elif a != b:
            lines.append(f"{path}{key}: {a} -> {b}")
    return lines


def main() -> int:
    """Prints the differences; 1 if there are some and they are not saved."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--save", action="store_true", help="the new counts are right")
    args = p.parse_args()
    now = counted()
    changed = differences(json.loads(FILE.read_text()) if FILE.exists() else {}, now)
    print("\n".join(changed) or "no count has changed")
    if args.save:
        FILE.write_text(json.dumps(now, indent=1) + "\n")
    return 1 if changed and not args.save else 0


if __name__ == "__main__":
    sys.exit(main())
