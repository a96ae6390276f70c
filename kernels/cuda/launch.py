"""One launch of a `.cu` kernel, for both kinds of device arrays: CuPy on a GPU, the emulator on a CPU.

    launch("loops/norm.cu", "statistics", grid, block, args, like=x, shared=0, defines={"REAL": "float"})

The array's type chooses the executor; the `.cu` text, the arguments and the limits are the same. Nothing waits for
the device. Not here: what kernels may use (`device.cuh`), how they run without a GPU (`kernels/emulator`).
"""

import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from inachus.kernels import address, emulator
from inachus.kernels.emulator.arrays import execute

HERE = Path(__file__).parent
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)".*$', re.MULTILINE)
LIMITS = {"grid": (2**31 - 1, 65535, 65535), "block": (1024, 1024, 64)}
THREADS, SHARED = 1024, 227 << 10  # of a block; bytes
LETTERS = {"f": "f", "i": "i", "u": "i", "b": "i", "V": "s"}  # NumPy's kinds of numbers and the emulator's


def launch(file, kernel, grid, block, args, *, like, shared=0, defines=None):
    """Starts grid x block threads of a kernel of `file` (relative to kernels/cuda) on the device of `like`.

    args, in the kernel's order: an array or None for a pointer; NumPy scalars by value; int, bool -> int32; float ->
    float32; a one-element NumPy array of a structured dtype -> that struct. grid, block: ints or up to three;
    shared: bytes of dynamic shared memory; defines: macros. Raises ValueError for what a GPU would refuse,
    TypeError for arguments that do not fit the parameters, OverflowError for an int beyond int32.
    """
    grid, block = _three(kernel, "grid", grid), _three(kernel, "block", block)
    if block[0] * block[1] * block[2] > THREADS:
        raise ValueError(f"{kernel}: a block of {block}, more than {THREADS} threads")
    if not 0 <= shared <= SHARED:
        raise ValueError(f"{kernel}: {shared} bytes of shared memory, more than {SHARED}")
    values = [_value(arg) for arg in args]
    defines = tuple(sorted((name, str(value)) for name, value in defines.items())) if defines else ()
    launch.counts[kernel] += 1
    start = _on_gpu if type(like).__module__.partition(".")[0] == "cupy" else _emulated
    start(str(file), kernel, grid, block, values, int(shared), defines)


launch.counts = Counter()


def _three(kernel, what, size):
    """A grid or block in three directions. Raises ValueError for more than a GPU allows."""
    x, y, z = (*size, 1, 1)[:3] if isinstance(size, tuple) else (size, 1, 1)
    X, Y, Z = LIMITS[what]
    if not (0 < x <= X and 0 < y <= Y and 0 < z <= Z):
        raise ValueError(f"{kernel}: a {what} of {size}, allowed are 1 to {LIMITS[what]}")
    return int(x), int(y), int(z)


def _value(arg):
    """What a kernel gets for an argument: a NumPy scalar, a struct (copied), an array or None."""
    if isinstance(arg, np.generic):  # before float, which np.float64 is too
        return arg
    if isinstance(arg, (bool, int)):
        if not -(2**31) <= arg < 2**31:
            raise OverflowError(f"{arg} does not fit int32: pass np.int64(...) to a parameter of 64 bits")
        return np.int32(arg)
    if isinstance(arg, float):
        return np.float32(arg)
    if isinstance(arg, np.ndarray) and arg.dtype.names:
        return np.array(arg)  # as it is now: the caller may change his
    return arg


# --- the text of a kernel ---------------------------------------------------------------------------------------


@cache
def resolve(file):
    """The text of a `.cu` file with what it includes in place, and `#line` wherever the file changes."""
    return _resolved(HERE / file, set())


def _resolved(path, seen):
    """`path` with its includes in place, each file once."""
    path = path.resolve()
    seen.add(path)
    name = path.relative_to(HERE) if path.is_relative_to(HERE) else path
    text = path.read_text()

    def included(found):
        inner = next((p for p in (path.parent / found[1], HERE / found[1]) if p.is_file()), None)
        if inner is None:
            raise FileNotFoundError(f"{name} includes {found[1]}, which is not in kernels/cuda")
        if inner.resolve() in seen:
            return ""
        line = text.count("\n", 0, found.end()) + 2
        return f'{_resolved(inner, seen)}\n#line {line} "{name}"'

    return f'#line 1 "{name}"\n' + INCLUDE.sub(included, text.replace("#pragma once", ""))


# --- on a CPU ---------------------------------------------------------------------------------------------------


def _emulated(file, name, grid, block, values, shared, defines):
    found = emulator.kernels(file, resolve(file), defines)
    if name not in found:
        raise ValueError(f"{file} has no kernel {name}, but {', '.join(found)}")
    kernel = found[name]
    if kernel.limit and block[0] * block[1] * block[2] > kernel.limit:
        raise ValueError(f"{name}: a block of {block}, its __launch_bounds__ are {kernel.limit} threads")
    if len(values) != len(kernel.parameters):
        raise TypeError(f"{name} takes {len(kernel.parameters)} arguments, {len(values)} are given")
    pairs = zip(values, kernel.parameters, strict=True)
    packed = b"".join([_bytes(name, i, value, parameter) for i, (value, parameter) in enumerate(pairs)])

    def run(alive=values):  # a captured step runs this later: the arrays must still be there
        kernel.run(grid, block, packed, shared)

    execute(name, run)


def _bytes(kernel, i, value, parameter):
    """An argument as the kernel reads it. Raises TypeError if the parameter is of another kind."""
    if value is None:
        fits, data = parameter.kind.isupper(), bytes(8)
    elif isinstance(value, np.generic) or value.dtype.names:
        own = LETTERS.get(value.dtype.kind), value.dtype.itemsize
        fits, data = own == parameter and value.size == 1, value.tobytes()
    else:
        own = LETTERS.get(value.dtype.kind, "?").upper(), value.dtype.itemsize
        fits, data = own == parameter or parameter.kind in ("V", "S"), address(value).to_bytes(8, sys.byteorder)
    if not fits:
        given = "a null pointer" if value is None else f"{type(value).__name__} of {value.dtype}"
        raise TypeError(f"{kernel}: argument {i} is {given}, the parameter is {_words(parameter)}")
    return data


def _words(parameter):
    names = {"f": "float", "i": "int", "s": "struct", "v": "void"}
    text = f"{names[parameter.kind.lower()]} of {parameter.size} bytes"
    return f"a pointer to {text}" if parameter.kind.isupper() else text


# --- on a GPU ---------------------------------------------------------------------------------------------------


def _on_gpu(file, name, grid, block, values, shared, defines):
    import cupy

    if any(isinstance(value, np.ndarray) and not value.dtype.names for value in values):
        raise TypeError(f"{name}: a NumPy array among arrays of the GPU")  # CuPy would pass a small one by value
    function = _function(file, name, defines, cupy.cuda.Device().id)
    function(grid, block, tuple(values), shared_mem=shared)  # on the current stream


@cache
def _function(file, name, defines, device):
    """The loaded kernel, compiled by NVRTC unless CuPy's cache has it; it may use all shared memory of the device."""
    import cupy

    options = ("--std=c++17", *(f"-D{key}={value}" for key, value in defines))
    kernel = cupy.RawModule(code=resolve(file), options=options).get_function(name)
    kernel.max_dynamic_shared_size_bytes = cupy.cuda.Device(device).attributes["MaxSharedMemoryPerBlockOptin"]
    return kernel.kernel  # CuPy's Function: its call asks for no device
