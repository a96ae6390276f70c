"""Arrays in, arrays out: which backend computes an array, where new arrays live, and nothing about Tensors.

A backend is a module; every backend exports the same names with the same signatures, and `reference` is their
definition. The array knows where it lives, so dispatch is `backend(x).conv2d(x, w, stride, pad)`.
Read `reference/conv.py` next, then `cpu/vectors.py`; for the GPU `cuda/naive/conv.py` and `cuda/convolution/gather.cu`.
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
CUDA = "inachus.kernels.cuda"  # computes the arrays of the devices below, and NumPy arrays too, on the emulator
DEVICES = {"emulated": "inachus.kernels.emulator.arrays", "cuda": "cupy"}  # whose arrays they are
NAMES = ("cuda", "cpu", "reference", "emulated")  # of all that computes, best first
_host: ModuleType | None = None
_home: ModuleType = numpy
_stream: Any = None  # of the GPU: one for everything, and one that can be captured
NUMBERS: dict[tuple, Any] = {}  # what `number` made on a device


def use(name: str) -> ModuleType:
    """Computes on `name`, one of HOSTS or DEVICES, from now on: new arrays are made there. Returns its backend.

    Raises KeyError for another name, and what the device says if it is not there.
    """
    global _home, _stream
    if name not in DEVICES:
        _home = numpy
        return use_host(name)
    _home = arrays_of(name)
    if name == "cuda":
        _stream = _stream or _home.cuda.Stream(non_blocking=True)
        _stream.use()
    return import_module(CUDA)


def arrays_of(name: str) -> ModuleType:
    """The array module of a device, one of DEVICES."""
    return import_module(DEVICES[name])


def selected() -> ModuleType:
    """The backend of new arrays."""
    return host() if _home is numpy else import_module(CUDA)


def home() -> ModuleType:
    """The array module of new arrays: `numpy`, `cupy` or the emulator's."""
    return _home


def place(x: Any) -> Any:
    """An array where new arrays live: NumPy arrays are copied to the selected device, others are there."""
    return x if _home is numpy or not isinstance(x, numpy.ndarray) else _home.asarray(x)


def native(x: Any) -> Any:
    """The same numbers as kernels compute them: in this byte order, and float16, which none knows, as float32."""
    wanted = numpy.float32 if x.dtype.char == "e" else x.dtype.newbyteorder("=")
    return x if x.dtype == wanted else x.astype(wanted)


def fetch(x: Any) -> numpy.ndarray:
    """An array as a NumPy array; from a device it is a copy, and waits for it."""
    return x if isinstance(x, (numpy.ndarray, numpy.generic)) else x.get()


def number(value: float, dtype: Any, shape: tuple[int, ...] = ()) -> Any:
    """One number as an array where new arrays live: on a device the same one for all who ask, so never write it."""
    if _home is numpy:
        return numpy.full(shape, value, dtype) if shape else numpy.asarray(value, dtype)
    key = _home.__name__, str(value), numpy.dtype(dtype).char, shape
    if key not in NUMBERS:
        NUMBERS[key] = _home.full(shape, value, dtype)
    return NUMBERS[key]


def forget_numbers(known: set) -> None:
    """Drops what `number` made since its keys were `known`: in a recording that failed they were never written."""
    for key in NUMBERS.keys() - known:
        del NUMBERS[key]


def wait() -> None:
    """Returns when the selected device has done all that was queued: for clocks."""
    if _home.__name__ == "cupy":
        _home.cuda.get_current_stream().synchronize()


def use_host(name: str) -> ModuleType:
    """Selects the backend of NumPy arrays, one of `HOSTS` or "emulated", for the process; KeyError for another."""
    global _host
    _host = import_module({**HOSTS, "emulated": CUDA}[name])
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
    if type(x) is numpy.ndarray or device(x) == "host":
        return _host or host()
    return import_module(CUDA)


def xp(x: Any) -> ModuleType:
    """The array module of `x` (`numpy`, `cupy` or the emulator's), for maths so simple that it needs no kernel."""
    where = device(x)
    return numpy if where == "host" else arrays_of(where)


def known(x: Any) -> bool:
    """True for an array that some backend computes."""
    return _device(x) is not None


def device(x: Any) -> str:
    """Where `x` lives: "host", "emulated" or "cuda". Raises TypeError for an array that no backend knows."""
    if (where := _device(x)) is None:
        raise TypeError(f"no backend computes {type(x).__module__}.{type(x).__name__}; NumPy and CuPy arrays are known")
    return where


def _device(x: Any) -> str | None:
    if isinstance(x, (numpy.ndarray, numpy.generic)):
        return "host"
    if not hasattr(x, "get"):
        return None
    module = type(x).__module__
    return next((name for name, arrays in DEVICES.items() if module == arrays or module.startswith(f"{arrays}.")), None)


def address(x: Any) -> int:
    """Where the first element of `x` lies in the memory of its device."""
    if isinstance(x, numpy.ndarray):
        return x.__array_interface__["data"][0]
    return x.data.ptr  # CuPy's name for it


def best() -> str:
    """The first of NAMES that can compute here."""
    return next(name for name in NAMES if problem(name) is None)


def problem(name: str) -> str | None:
    """Why `name`, one of NAMES, cannot compute here; None if it can."""
    if name == "cuda":
        return cuda_problem()
    if name == "emulated":
        from inachus.kernels import emulator

        return emulator.missing() if not emulator.available() else None
    return None if name in HOSTS else "it needs Numba: pip install numba"


def cuda_available() -> bool:
    """True if CuPy is installed and finds a device."""
    return cuda_problem() is None


def cuda_problem() -> str | None:
    """Why there is no CUDA here, None if there is."""
    if not find_spec("cupy"):
        return "CuPy is not installed: pip install 'inachus[cuda13]' (or [cuda12] for an older driver)"
    try:
        found = import_module("cupy").cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy raises its own kinds, by the state of the driver
        return f"CuPy finds no usable GPU ({type(error).__name__}: {error}); `nvidia-smi` tells what the driver sees"
    return None if found else "CuPy finds no GPU; `nvidia-smi` tells what the driver sees"
