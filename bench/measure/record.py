"""What the numbers depend on, and where they are written: bench/results/BENCH-[DEVICE-]DATE.json."""

import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from inachus.kernels import cores

RESULTS = Path(__file__).parents[1] / "results"
SMI = ("name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.draw", "power.limit")


def environment(gpu: bool = False) -> dict:
    """Versions, commit, processor; with `gpu` also the card, its clocks and power now, and CUDA's versions."""
    facts = {"numpy": np.__version__, "python": platform.python_version(), "cores": cores()}
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        lines = cpu.read_text().splitlines()
        facts["cpu"] = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), "unknown")
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    facts["commit"] = os.environ.get("INACHUS_COMMIT") or _output(git)
    if "torch" in sys.modules:
        facts["torch"] = sys.modules["torch"].__version__
    return facts | (_gpu() if gpu else {})


def _gpu() -> dict:
    import cupy

    runtime = cupy.cuda.runtime
    facts = {"cupy": cupy.__version__, "cuda": runtime.runtimeGetVersion(), "cuda_driver": runtime.driverGetVersion()}
    found = cupy.cuda.Device()
    facts |= {"compute_capability": found.compute_capability, "l2_bytes": found.attributes["L2CacheSize"]}
    facts["multiprocessors"] = found.attributes["MultiProcessorCount"]
    facts["name"] = runtime.getDeviceProperties(found.id)["name"].decode()
    facts |= clocks()
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        facts |= {"cudnn": torch.backends.cudnn.version(), "torch_cuda": torch.version.cuda}
    return facts


def clocks() -> dict:
    """What nvidia-smi says about the first card now; empty without it."""
    line = _output(["nvidia-smi", f"--query-gpu={','.join(SMI)}", "--format=csv,noheader", "--id=0"])
    return dict(zip(SMI, (word.strip() for word in line.split(",")), strict=False)) if line else {}


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def save(bench: str, rows: list[dict], facts: dict | None = None, folder: Path | None = None) -> Path:
    """Writes the rows with what they depend on, under the name of the card if there is one. Returns the file."""
    facts = facts or environment()
    card = re.sub(r"[^a-z0-9]+", "-", facts.get("name", "").lower().replace("nvidia", "")).strip("-")
    out = (folder or RESULTS) / f"{'-'.join(filter(None, (bench, card, time.strftime('%Y-%m-%d'))))}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"environment": facts, "rows": rows}, indent=1) + "\n")
    return out
