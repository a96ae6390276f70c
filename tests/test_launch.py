"""`launch` refuses what a GPU would refuse, hands CuPy's arrays to CuPy, and compiles a text for the emulator once.

The kernels are in `emulated.cu`; what they compute is tested in `test_emulator.py`.
"""

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inachus.kernels import emulator
from inachus.kernels.cuda.launch import launch, resolve
from inachus.kernels.emulator import EmulationError, compiler

FILE = Path(__file__).with_name("emulated.cu")

emulated = pytest.mark.skipif(not emulator.available(), reason=emulator.missing())


def run(kernel, *args, grid=1, block=32, shared=0):
    """One launch of a test kernel on the emulator."""
    launch(FILE, kernel, grid, block, args, like=np.empty(0), shared=shared, defines={"REAL": "float"})


# --- what a GPU would refuse -------------------------------------------------------------------------------------


@emulated
@pytest.mark.parametrize(("size", "words"), [
    ({"grid": (1, 65536)}, r"a grid of \(1, 65536\)"),
    ({"grid": 0}, "a grid of 0"),
    ({"block": (1, 1, 65)}, r"a block of \(1, 1, 65\)"),
    ({"block": (32, 33)}, "more than 1024 threads"),
    ({"block": 129}, "its __launch_bounds__ are 128 threads"),
    ({"shared": 232449}, "more than 232448"),
])
def test_limits_of_a_launch(size, words):
    with pytest.raises(ValueError, match=words):
        run("sums", np.zeros(4, np.float32), np.zeros(1, np.float32), **size)


@emulated
@pytest.mark.parametrize(("args", "words"), [
    ((np.zeros(4, np.float32),), "takes 3 arguments, 1 are given"),
    ((np.zeros(4), 0, 0), "argument 0 is ndarray of float64, the parameter is a pointer to float"),
    ((np.zeros(4, np.float32), 7, 0), "argument 1 is int32 of int32, the parameter is a pointer to float"),
    ((np.zeros(4, np.float32), None, 1.5), "argument 2 is float32 of float32, the parameter is int of 4"),
    ((np.zeros(4, np.float32), None, np.int64(1)), "argument 2 is int64"),
])
def test_arguments_that_do_not_fit(args, words):
    with pytest.raises(TypeError, match=words):
        run("shuffles", *args)


@emulated
def test_an_int_beyond_32_bits_and_an_unknown_kernel():
    with pytest.raises(OverflowError, match="2147483648 does not fit int32"):
        run("shuffles", None, None, 2**31)
    with pytest.raises(ValueError, match="has no kernel tangent, but product_tf32, "):
        run("tangent")


@emulated
def test_launches_are_counted(monkeypatch):
    monkeypatch.setattr(launch, "counts", Counter())
    run("halves", np.zeros(32, np.int32)), run("halves", np.zeros(32, np.int32))
    assert launch.counts == {"halves": 2}


class Cupy:
    """What `launch` uses of CuPy, and a record of it."""

    def __init__(self):
        self.ndarray = type("ndarray", (), {"__module__": "cupy"})
        self.cuda = SimpleNamespace(Device=lambda *which: SimpleNamespace(id=5, attributes=dict.fromkeys([OPTIN], 99)))
        self.kernel = SimpleNamespace(kernel=lambda *args, **how: self.launches.append((args, how)))
        self.modules, self.launches = [], []

    def RawModule(self, **how):
        self.modules.append(how)
        return SimpleNamespace(get_function=lambda name: self.kernel)


OPTIN = "MaxSharedMemoryPerBlockOptin"


def test_arrays_of_cupy_are_launched_through_cupy(monkeypatch):
    cupy = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    x, line = cupy.ndarray(), np.array([(1,)], [("n", "i4")])
    for _ in range(2):
        args = x, None, 3, 2.5, True, np.float64(4), line
        launch(FILE, "line", (7, 2), 32, args, like=x, shared=64 << 10, defines={"REAL": "float", "N": 1})
    assert cupy.modules == [{"code": resolve(str(FILE)), "options": ("--std=c++17", "-DN=1", "-DREAL=float")}]
    assert cupy.kernel.max_dynamic_shared_size_bytes == 99
    (grid, block, given), how = cupy.launches[1]
    assert (grid, block, how) == ((7, 2, 1), (32, 1, 1), {"shared_mem": 64 << 10})
    assert given[:2] == (x, None) and given[2:6] == (3, 2.5, 1, 4) and given[6] == line
    assert [type(value) for value in given[2:6]] == [np.int32, np.float32, np.int32, np.float64]
    with pytest.raises(TypeError, match="line: a NumPy array among arrays of the GPU"):
        launch(FILE, "line", 1, 32, (x, np.zeros(1)), like=x)


# --- the compiler ------------------------------------------------------------------------------------------------


@emulated
def test_includes_are_put_in_place_once_and_lines_keep_their_numbers(tmp_path):
    (tmp_path / "inner.cuh").write_text("#pragma once\nint inner;\n")
    (tmp_path / "broken.cu").write_text('#include "inner.cuh"\n#include "inner.cuh"\n\nint broken = "no number";\n')
    text = resolve(tmp_path / "broken.cu")
    assert text.count("int inner;") == 1 and "#pragma" not in text
    with pytest.raises(EmulationError, match=r"broken.cu:4:14: error"):
        emulator.kernels("broken.cu", text)
    (tmp_path / "lost.cu").write_text('#include "nowhere.cuh"\n')
    with pytest.raises(FileNotFoundError, match=r"lost.cu includes nowhere.cuh"):
        resolve(tmp_path / "lost.cu")


@emulated
def test_a_text_is_compiled_once(tmp_path, monkeypatch):
    calls, compile = [], compiler._run
    monkeypatch.setattr(compiler, "_run", lambda *words: calls.append(words) or compile(*words))
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:  # at once, as two processes would
        names = {*pool.map(lambda _: compiler._library("x", "int x = X;", ["-DX=1"], []), range(2))}
    assert len(names) == 1 and calls
    calls.clear()
    assert compiler._library("x", "int x = X;", ["-DX=1"], []) in names and not calls
    assert compiler._library("x", "int x = X;", ["-DX=2"], []) not in names and calls
    with pytest.raises(EmulationError, match="error"):
        compiler._library("x", "int x = X;", [], [])
    assert len([*(tmp_path / "emulator").iterdir()]) == 2  # nothing half done


def test_without_a_compiler_the_remedy_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert not emulator.available()
    with pytest.raises(EmulationError, match=r"needs a C\+\+ compiler: apt-get install g\+\+"):
        emulator.kernels("none.cu", "// not compiled")
