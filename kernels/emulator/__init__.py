"""Runs the `.cu` files of `kernels/cuda` on a CPU: g++ compiles them, and every CUDA thread is a fiber.

    emulator.h     what a `.cu` file sees instead of CUDA's headers
    runtime.cpp    the order of threads, barriers, shuffles, copies; with product.h, fault.h, fiber.h
    compiler.py    g++, and the cache of what it made
    arrays.py      arrays of the emulated device, as strict as CuPy's; device.py, the device itself

It is there to find mistakes. Shared memory is NaN until it is written, and the target of a copy until the copy was
waited for; threads, warps and blocks run in an order drawn from a seed. What threads may not do raises EmulationError
with kernel, block, thread and line: waiting for each other in different places, leaving shared memory, bad addresses.

    with emulator.schedule(3): launch(...)          another order; INACHUS_EMULATOR_SEED is the default, 0 the fixed one
    emulator.agree(lambda: kernel(x), range(5))     the result, if five orders give the same bits
    emulator.sanitizer_environment()                for a process that also checks every address in global memory
    INACHUS_EMULATOR_FLAGS=-O0 gdb --args python one_launch.py
      (gdb) break norm.cu:40                        pending; then run, next, print x, print *emulator::thread

`printf` works in kernels, as on a GPU. Not modelled: time, registers, memory order between two waits; products are not
fused with sums, as a GPU does where it can. Needs g++: `available()`. Read `runtime.cpp` next.
"""

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from inachus.kernels.emulator.compiler import EmulationError as EmulationError
from inachus.kernels.emulator.compiler import available as available
from inachus.kernels.emulator.compiler import compiled, refuse_half_a_sanitizer, runtime
from inachus.kernels.emulator.compiler import missing as missing
from inachus.kernels.emulator.compiler import sanitizer_environment as sanitizer_environment

_lock = threading.Lock()  # the runtime knows one launch at a time
_message = ctypes.create_string_buffer(2000)
_seed = int(os.environ.get("INACHUS_EMULATOR_SEED") or 0)


class Parameter(NamedTuple):
    """A kernel's parameter: f(loat), i(nteger), s(truct), in capitals of what a pointer points at (V: void)."""

    kind: str
    size: int


class Kernel:
    """One `__global__` function of a compiled file."""

    def __init__(self, name: str, library: ctypes.CDLL):
        self.name = name
        self.limit = ctypes.c_int.in_dll(library, f"emulator_limit_{name}").value  # of threads a block; 0: none
        self._call = ctypes.cast(library[f"emulator_call_{name}"], ctypes.c_void_p)
        describe = library[f"emulator_parameters_{name}"]
        describe.restype = ctypes.POINTER(ctypes.c_int)
        codes = iter(describe())
        self.parameters = [Parameter(chr(code >> 24), code & 0xFFFFFF) for code in iter(lambda: next(codes), 0)]

    def run(self, grid: tuple, block: tuple, values: bytes, shared: int) -> None:
        """Runs every block to its end; `values`: the arguments' bytes, without gaps. Raises EmulationError."""
        with _lock:
            _message[0] = b"\0"
            if _runtime()(self._call, values, *grid, *block, shared, _seed, _message, len(_message)):
                said = _message.value.decode(errors="replace")
                raise EmulationError(f"kernel {self.name}, {_located(said)}")


@cache
def kernels(name: str, source: str, defines: tuple[tuple[str, str], ...] = ()) -> dict[str, Kernel]:
    """The kernels of a resolved `.cu` text by name; `name` is that of its file. Raises EmulationError."""
    refuse_half_a_sanitizer()
    library = ctypes.CDLL(str(compiled(name, source, defines)))
    listed = ctypes.c_char_p.in_dll(library, "emulator_kernels").value.decode().split()
    return {kernel: Kernel(kernel, library) for kernel in listed}


@cache
def _runtime():
    run = ctypes.CDLL(str(runtime())).emulator_run
    address, size = ctypes.c_void_p, ctypes.c_size_t
    run.argtypes = [address, ctypes.c_char_p, *[ctypes.c_uint] * 6, size, ctypes.c_uint64, ctypes.c_char_p, size]
    return run


def _located(message: str) -> str:
    """The message, with the line of the instruction at fault instead of its address."""
    text, _, code = message.partition("\n@")
    library, _, offset = code.rpartition("+")
    try:  # the line, then the one that called it if it was inlined, and so on
        command = ["addr2line", "--inlines", "-e", library, offset]
        lines = code and subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):  # no binutils: then without the line
        lines = ""
    known = [line.split(" ")[0] for line in lines if "emulator.h:" not in line and not line.startswith("?")]
    return f"{text} in {known[0]}" if known else text


@contextmanager
def schedule(seed: int) -> Iterator[None]:
    """Inside, threads run in the order of this seed; 0: in the fixed order."""
    global _seed
    before, _seed = _seed, seed
    try:
        yield
    finally:
        _seed = before


def agree(function: Callable[[], Any], seeds: Iterable[int] = range(4)) -> Any:
    """The result of `function`, arrays or tuples of them. Raises EmulationError if a seed gives it other bits."""
    first = None
    for seed in seeds:
        with schedule(seed):
            result = function()
        first = first or (seed, result, _bits(result))
        if _bits(result) != first[2]:
            raise EmulationError(f"the result depends on the order of threads: seeds {first[0]} and {seed} differ")
    return first[1]


def _bits(result):
    if isinstance(result, tuple | list):
        return [_bits(part) for part in result]
    return (result.get() if hasattr(result, "get") else np.asarray(result)).tobytes()
