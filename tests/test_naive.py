"""The Numba kernels equal the reference, thread by thread in Numba's simulator, which raises for an index past the end.

Whether Numba simulates is settled when it is imported, so all checks run in one process of their own, which says for
each what went wrong; a test reads its line. Shapes are small and fixed: every CUDA thread is a thread of Python's.
"""

import inspect
import json
import math
import os
import subprocess
import sys
import traceback
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from oracles import close

PACKAGE = "inachus.kernels.cuda.naive"
GEOMETRIES = [  # (N, C, O), (OH, OW), (KH, KW), stride, pad, rows and columns of pixels in no window
    ((2, 3, 4), (4, 3), (3, 3), 1, 1, (0, 0)),
    ((1, 1, 1), (5, 4), (1, 2), 1, 2, (0, 0)),  # windows that see nothing
    ((2, 1, 3), (2, 3), (4, 4), 2, 1, (1, 0)),
    ((1, 3, 2), (3, 1), (2, 1), 3, 0, (2, 1)),  # pixels that nobody sees
    ((1, 3, 2), (2, 2), (5, 3), 3, 1, (1, 2)),
]
PRODUCTS = [((3, 5), (5, 2)), ((4, 4), (4, 8)), ((2, 1, 5, 9), (3, 9, 6)), ((1, 13), (13, 1))]
NORMS = [((3, 2, 5, 3), 1), ((4, 3), 2), ((2, 3, 1, 1), 2), ((3, 4, 1), 3)]  # shape, groups
TYPES, SLOPES = (np.float32, np.float64), (0.0, 0.2, 1.0)


def numbers(dtype, *shape, seed=0):
    """Numbers in [-2, 2), one in eight of them 0, in an order that is not C's."""
    rng = np.random.default_rng([seed, *shape])
    values = np.where(rng.random(shape) < 1 / 8, 0, rng.uniform(-2, 2, shape)).astype(dtype)
    return np.asfortranarray(values) if values.ndim > 1 else np.repeat(values, 2)[::2]


def shapes(geometry):
    """Those of x, w and y: H = (OH-1) S + KH - 2P + r."""
    (N, C, O), out, kernel, S, P, rest = geometry
    hw = [(n - 1) * S + k - 2 * P + r for n, k, r in zip(out, kernel, rest, strict=True)]
    return (N, *hw, C), (*kernel, C, O), (N, *out, O)


def agree(name, arguments, scales, terms):
    """The kernel equals the reference in double precision, changes no argument and returns arrays of its own."""
    kernels, reference = import_module(PACKAGE), import_module("inachus.kernels.reference")
    arrays = [a for a in arguments if isinstance(a, np.ndarray)]
    before = [a.tobytes() for a in arrays]
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
    results, expected = as_tuple(getattr(kernels, name)(*arguments)), as_tuple(getattr(reference, name)(*wide))
    for got, right, scale in zip(results, expected, scales, strict=True):
        close(got, right, scale=scale, terms=terms)
        assert type(got) is np.ndarray and got.dtype == arrays[0].dtype and got.flags.c_contiguous
        assert not any(np.shares_memory(got, a) for a in arrays)
    assert [a.tobytes() for a in arrays] == before


def as_tuple(results):
    """One result or several."""
    return results if isinstance(results, tuple) else (results,)


def bilinear(name, a, b, *rest, terms):
    """A sum of products is as wrong as the sum of their absolute values allows."""
    reference = getattr(import_module("inachus.kernels.reference"), name)
    agree(name, (a, b, *rest), [reference(*(np.abs(v).astype(float) for v in (a, b)), *rest)], terms)


def inner(a, b):
    """<a, b>."""
    return math.fsum((a * b).flat)


# --- the checks: each runs in the simulator and raises if something is wrong --------------------------------


def conv2d():
    """y."""
    for dtype, g in product(TYPES, GEOMETRIES):
        x, w, _ = (numbers(dtype, *shape) for shape in shapes(g))
        bilinear("conv2d", x, w, *g[3:5], terms=w[..., 0].size)


def conv2d_dx():
    """gx."""
    for dtype, g in product(TYPES, GEOMETRIES):
        x, w, gy = (numbers(dtype, *shape) for shape in shapes(g))
        bilinear("conv2d_dx", gy, w, x.shape[1:3], *g[3:5], terms=w[:, :, 0].size)


def conv2d_dw():
    """gw."""
    for dtype, g in product(TYPES, GEOMETRIES):
        x, w, gy = (numbers(dtype, *shape) for shape in shapes(g))
        bilinear("conv2d_dw", x, gy, w.shape[:2], *g[3:5], terms=gy[..., 0].size)


def adjoint():
    """<conv2d(x, w), gy> = <x, conv2d_dx(gy, w)> = <w, conv2d_dw(x, gy)>, and <im2col(x), cols> = <x, col2im(cols)>."""
    k = import_module(PACKAGE)
    for g in GEOMETRIES:
        (x, w, gy), place = (numbers(np.float64, *shape) for shape in shapes(g)), g[3:5]
        hw, khw = x.shape[1:3], w.shape[:2]
        size = {"scale": inner(k.conv2d(np.abs(x), np.abs(w), *place), np.abs(gy)), "terms": w.size}
        close(inner(x, k.conv2d_dx(gy, w, hw, *place)), inner(k.conv2d(x, w, *place), gy), **size)
        close(inner(w, k.conv2d_dw(x, gy, khw, *place)), inner(k.conv2d(x, w, *place), gy), **size)
        cols = numbers(np.float64, *gy.shape[:3], w[..., 0].size)
        size = {"scale": inner(k.im2col(np.abs(x), khw, *place), np.abs(cols)), "terms": cols.size}
        close(inner(x, k.col2im(cols, khw, hw, *place)), inner(k.im2col(x, khw, *place), cols), **size)


def columns():
    """im2col and one product make a convolution; the product and col2im its gradient."""
    k, reference = import_module(PACKAGE), import_module("inachus.kernels.reference")
    for dtype, g in product(TYPES, GEOMETRIES):
        (x, w, gy), place, (C, O) = (numbers(dtype, *shape) for shape in shapes(g)), g[3:5], g[0][1:]
        y, size = (reference.conv2d(*pair, *place) for pair in ((x, w), (np.abs(x), np.abs(w))))
        close(k.conv2d_as_matmul(x, w, *place), y, scale=size, terms=w[..., 0].size)
        cols = k.im2col(x, w.shape[:2], *place)
        assert cols.dtype == dtype and cols.shape == (*y.shape[:3], w[..., 0].size)
        back = k.col2im((gy.reshape(-1, O) @ w.reshape(-1, O).T).reshape(cols.shape), w.shape[:2], x.shape[1:3], *place)
        size = reference.conv2d_dx(np.abs(gy), np.abs(w), x.shape[1:3], *place)
        close(back, reference.conv2d_dx(gy, w, x.shape[1:3], *place), scale=size, terms=w[:, :, 0].size)
        assert back.dtype == dtype and back.shape[3] == C


def matmul(name="matmul"):
    """Transposed, batched and broadcast; sides that are multiples of the tile and others."""
    for dtype, (left, right) in product(TYPES, PRODUCTS):
        matmul_case(name, numbers(dtype, *left), numbers(dtype, *right, seed=1))


def matmul_case(name, a, b):
    """One product."""
    wide = a.astype(float), b.astype(float)
    y, reference = getattr(import_module(PACKAGE), name)(a, b), import_module("inachus.kernels.reference").matmul
    close(y, reference(*wide), scale=reference(*map(np.abs, wide)), terms=a.shape[-1])
    assert y.dtype == a.dtype and y.flags.c_contiguous


def matmul_tiled():
    """The same through shared memory."""
    matmul("matmul_tiled")


def norm():
    """Statistics and result; the last case has its mean far from 0, where one pass for the variance would fail."""
    for (dtype, (shape, groups)), slope, shift in zip(product(TYPES, NORMS), SLOPES * 3, (0, 3) * 4, strict=False):
        norm_case(dtype, shape, groups, slope, shift)
    norm_case(np.float32, (5, 7, 1), 1, 0.2, 1000)


def norm_case(dtype, shape, groups, slope, shift):
    """One shape: norm and, from its result, norm_bwd."""
    x, gy, C = numbers(dtype, *shape) + dtype(shift), numbers(dtype, *shape, seed=1), shape[-1]
    gamma, beta, M = numbers(dtype, C), numbers(dtype, C, seed=1), x.size // C // groups
    y, mean, rstd = import_module("inachus.kernels.reference").norm(x, gamma, beta, groups, 1e-3, slope)
    spread = 2 * np.abs(x).max() * rstd.max()  # an error in x - mean is as large as x and grows by rstd
    size, g = 2 * spread * (1 + math.sqrt(M)) + 2, 2 * (1 + spread)
    agree("norm", (x, gamma, beta, groups, 1e-3, slope), [size, np.abs(x).max(), spread * rstd + rstd], M)
    sizes = [2 * rstd.max() * g * (1 + spread), g * M * groups, g * M * groups]
    agree("norm_bwd", (gy, y, x, gamma, mean, rstd, slope), sizes, M * groups)


def activation():
    """leaky_relu, bias_act and their gradients."""
    for dtype, shape, slope in product(TYPES, [(5,), (3, 2, 4), (2, 3, 5, 1)], SLOPES):
        x, gy, b = numbers(dtype, *shape), numbers(dtype, *shape, seed=1), numbers(dtype, shape[-1])
        agree("leaky_relu", (x, slope), [np.abs(x)], 1)
        agree("leaky_relu_bwd", (gy, x, slope), [np.abs(gy)], 1)
        agree("bias_act", (x, b, slope), [np.abs(x) + np.abs(b)], 1)
        sums = np.abs(gy).reshape(-1, shape[-1]).sum(0, dtype=float)
        agree("bias_act_bwd", (gy, x, slope), [np.abs(gy), sums], x.size // shape[-1])


def whole_blocks():
    """Blocks as large as on a GPU, more than one of them."""
    agree("leaky_relu", (numbers(np.float32, 270), 0.2), [2], 1)
    matmul_case("matmul_tiled", numbers(np.float32, 17, 18), numbers(np.float32, 18, 3))
    norm_case(np.float32, (140, 1), 1, 0.2, 0)


def simulator():
    """It does check indices: a kernel that writes past the end raises."""
    launch, cuda = import_module(f"{PACKAGE}.launch"), import_module("numba.cuda")

    def past_the_end(y):
        y[y.size] = 0

    with pytest.raises(IndexError):
        launch.launch(cuda.jit(past_the_end), 1, 1, np.zeros(3))


def laziness():
    """Numba's CUDA comes with these kernels, not with `inachus.kernels`."""
    import_module("inachus.kernels")
    assert "numba.cuda" not in sys.modules


def signatures():
    """Parameters are those of the reference, but for what a fused epilogue needs."""
    kernels, reference = import_module(PACKAGE), import_module("inachus.kernels.reference")
    for name in set(kernels.__all__) & set(reference.__all__):
        mine, expected = ([*inspect.signature(getattr(m, name)).parameters] for m in (kernels, reference))
        assert mine == [p for p in expected if p in mine] and {*expected} - {*mine} <= {"b", "slope"}, name


CHECKS = {check.__name__: check for check in (laziness, signatures, simulator, whole_blocks, conv2d, conv2d_dx,
                                              conv2d_dw, adjoint, columns, matmul, matmul_tiled, norm, activation)}
AS_ON_A_GPU = (laziness, signatures, simulator, whole_blocks)


# --- the process, and the tests that read what it says ------------------------------------------------------


@contextmanager
def small_blocks():
    """Blocks of few threads, so that small arrays take many blocks and few threads idle."""
    with ExitStack() as stack:
        for module, name, threads in (("launch", "THREADS", 32), ("norm", "THREADS", 4), ("matmul", "TILE", 4)):
            stack.enter_context(mock.patch.object(import_module(f"{PACKAGE}.{module}"), name, threads))
        yield


def shared_array(self, shape, dtype):
    """Numba's simulator looks a block's array up and makes it in two steps, between which another thread of the block
    makes its own and writes there; here it is one step. An array is known by the line that asks for it."""
    from numba import types
    from numba.np.numpy_support import as_dtype

    dtype = as_dtype(dtype) if isinstance(dtype, types.Type) else dtype
    frame = sys._getframe(1)
    line = frame.f_code.co_filename, frame.f_lineno
    return self._allocations.setdefault(line, np.empty(shape, dtype))


def report():
    """Runs all checks; prints {name: what went wrong, or nothing}."""
    sys.setswitchinterval(1e-4)  # threads that wait give way soon: several times faster
    found = {}
    for name, check in CHECKS.items():
        try:
            if check is not laziness:  # which sees that nobody has imported Numba's CUDA yet
                import_module("numba.cuda.simulator.kernelapi").FakeCUDAShared.array = shared_array
            with nullcontext() if check in AS_ON_A_GPU else small_blocks():
                check()
            found[name] = ""
        except Exception:
            found[name] = traceback.format_exc()
    print(json.dumps(found))


@pytest.fixture(scope="module")
def reported():
    """What the process printed."""
    if not find_spec("numba"):
        pytest.skip("numba is not installed")
    command = [sys.executable, "-W", "error", "-c", "import test_naive; test_naive.report()"]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    where = Path(__file__).parent
    result = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", CHECKS)
def test_in_the_simulator(reported, name):
    assert not reported[name], reported[name]
