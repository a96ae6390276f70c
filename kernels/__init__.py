"""Arrays in, arrays out: which backend computes an array, and nothing about Tensors.

A backend is a module; every backend exports the same names with the same signatures, and `reference` is their
definition. The array knows where it lives, so dispatch is `backend(x).conv2d(x, w, stride, pad)`.
Read `reference/conv.py` next, then `cpu/vectors.py`.
"""

if not __name__.startswith("inachus."):
    raise ImportError("import inachus.kernels, not kernels: two names would make two different Tensor classes")

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy

HOSTS = {"reference": "inachus.kernels.reference"}  # what may compute NumPy arrays, best last
if find_spec("numba"):
    HOSTS["cpu"] = "inachus.kernels.cpu"
_host: ModuleType | None = None


def use_host(name: str) -> ModuleType:
    """Selects the backend of NumPy arrays, one of `HOSTS`, for the whole process; raises KeyError for another."""
    global _host
    _host = import_module(HOSTS[name])
    return _host


def host() -> ModuleType:
    """The selected backend of NumPy arrays; the best one if none was selected."""
    return _host or use_host(next(reversed(HOSTS)))


def cores() -> int:
    """The cores this process may use: by its affinity, and by the quota of its control group."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    share, period = quota.read_text().split() if quota.exists() else ("max", "1")
    return allowed if share == "max" else max(1, min(allowed, -(-int(share) // int(period))))


def use_threads(n: int) -> None:
    """Runs the kernels of NumPy arrays on n threads; otherwise they use every core that this process may use."""
    os.environ["OPENBLAS_NUM_THREADS"] = str(n)  # what the reference reads, and what child processes inherit
    if hasattr(host(), "use_threads"):
        host().use_threads(n)


def backend(x: Any) -> ModuleType:
    """The module whose kernels compute `x`. Raises TypeError for an array that no backend knows."""
    if type(x) is numpy.ndarray or known(x):
        return _host or host()
    raise TypeError(f"no backend computes {type(x).__module__}.{type(x).__name__}; NumPy arrays are known")


def xp(x: Any) -> ModuleType:
    """The array module of `x` (`numpy`), for maths so simple that it needs no kernel."""
    backend(x)
    return numpy


def known(x: Any) -> bool:
    """True for an array that some backend computes."""
    return isinstance(x, (numpy.ndarray, numpy.generic))


def device(x: Any) -> str:
    """Where `x` lives: "host"."""
    if type(x) is numpy.ndarray or known(x):
        return "host"
    raise TypeError(f"{type(x).__module__}.{type(x).__name__} lives on no known device")


def cuda_available() -> bool:
    """True if a CUDA backend is installed and finds a device."""
    return False
