"""inachus doctor: what this machine offers, and whether the engine computes correctly on it."""

import argparse
import os
import platform
import shutil
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("doctor", help="report versions, backends, threads and speed, and check the gradients")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the report; 1 if a check fails."""
    import numpy
    import PIL
    import safetensors

    from inachus import __version__, kernels
    from inachus.kernels.memory import described

    numba = f", numba {version('numba')}" if find_spec("numba") else ""
    rows = {
        "inachus": f"{__version__} (python {platform.python_version()}, {platform.system()} {platform.machine()})",
        "libraries": f"numpy {numpy.__version__}{numba}, "
        f"pillow {PIL.__version__}, safetensors {safetensors.__version__}",
        "backends": ", ".join(kernels.HOSTS),
        **{name: kernels.problem(name) or described(name) for name in kernels.DEVICES},
        "threads": f"{kernels.cores()} of {os.cpu_count()} cores",
        "disk": f"{shutil.disk_usage('.').free / 1e9:.1f} GB free here",
        "INACHUS_DATA": os.environ.get("INACHUS_DATA", "not set"),
        "speed": _speed(),
        "gradients": _gradients(),
    }
    for name, text in rows.items():
        print(f"{name:14}{text}")
    return 0 if rows["gradients"].startswith("ok") else 1


def _speed() -> str:
    """GFLOP/s of a matrix product, which is what a convolution becomes, on each backend."""
    import numpy as np

    from inachus import kernels

    a, speeds = np.ones((1024, 1024), np.float32), []
    for name in kernels.HOSTS:  # the best one is the last, and stays chosen
        matmul, best = kernels.use_host(name).matmul, 1e9
        for _ in range(5):
            start = time.perf_counter()
            matmul(a, a)
            best = min(best, time.perf_counter() - start)
        speeds.append(f"{name} {2 * 1024**3 / best / 1e9:.0f}")
    return f"GFLOP/s in a float32 matrix product: {', '.join(speeds)}"


def _gradients() -> str:
    from inachus.engine import check_grads, ops
    from inachus.engine.random import Generator

    draw = Generator(0).normal
    try:
        check_grads(
            lambda x, w: ops.tanh(ops.conv2d(x, w, stride=2, pad=1)), [draw((2, 6, 6, 3)), draw((4, 4, 3, 2))], 2
        )
        return "ok: a convolution's first and second derivatives agree with finite differences"
    except AssertionError as error:
        print(f"gradients are wrong on this machine: {error}", file=sys.stderr)
        return f"WRONG: {error}"
