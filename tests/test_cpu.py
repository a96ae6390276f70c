"""What only the compiled backend has: several ways for one product, threads, buffers that are kept, compilation.

That it computes what the others compute is in `test_kernels.py`.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import close
from strategies import dtypes, floats

from inachus import kernels
from inachus.kernels import reference

pytest.importorskip("numba")
from inachus.kernels import cpu
from inachus.kernels.cpu import conv, loops, winograd

DIRECT = {"conv2d": reference.conv2d, "conv2d_dx": reference.conv2d_dx, "conv2d_dw": reference.conv2d_dw}


def arguments(name, x, w, gy, stride, pad):
    """Of one of the three products of a convolution."""
    if name == "conv2d":
        return x, w, stride, pad
    return (gy, w, x.shape[1:3], stride, pad) if name == "conv2d_dx" else (x, gy, w.shape[:2], stride, pad)


def agree(module, name, x, w, gy, stride, pad):
    """The product equals the reference's in double precision, up to roundings of numbers as large as the largest."""
    wide = [a.astype(np.float64) for a in (x, w, gy)]
    expected = DIRECT[name](*arguments(name, *wide, stride, pad))
    scale = np.abs(DIRECT[name](*arguments(name, *map(np.abs, wide), stride, pad))).max()
    close(getattr(module, name)(*arguments(name, x, w, gy, stride, pad)), expected, scale=max(scale, 1e-30), terms=64)


def images(rng, x, w, stride, pad, dtype=np.float32):
    """x, w and a gradient of the output."""
    N, H, W, _ = x
    KH, KW, _, outputs = w
    y = N, (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1, outputs
    return [rng.standard_normal(shape).astype(dtype) for shape in (x, w, y)]


@pytest.mark.parametrize("name", DIRECT)
@given(data=st.data(), dtype=dtypes, kind=st.sampled_from(sorted(conv.WINOGRAD)))
def test_winograd_equals_the_definition_for_every_shape(name, data, dtype, kind):
    (K, stride), pad = kind, data.draw(st.integers(0, 3))
    side = st.integers(max(1, K - 2 * pad), 13)
    N, H, W, C, outputs = (data.draw(s) for s in (st.integers(1, 3), side, side, st.integers(1, 9), st.integers(1, 40)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    agree(winograd, name, *images(rng, (N, H, W, C), (K, K, C, outputs), stride, pad, dtype), stride, pad)


WAYS = {  # what a shape is an example of: (x, w, stride, pad)
    "winograd in several chunks": ((40, 32, 32, 16), (4, 4, 16, 32), 2, 1),
    "winograd, odd sizes": ((9, 17, 15, 18), (3, 3, 18, 50), 1, 1),
    "kernel as large as the picture": ((7, 4, 4, 40), (4, 4, 40, 33), 1, 0),
    "1 x 1": ((3, 9, 9, 30), (1, 1, 30, 70), 1, 0),
    "few outputs": ((2, 40, 40, 24), (7, 7, 24, 3), 1, 3),
    "few inputs": ((2, 40, 40, 3), (7, 7, 3, 24), 1, 0),
    "many columns": ((3, 60, 60, 20), (5, 5, 20, 21), 1, 2),
    "thin, stride 2": ((64, 32, 32, 3), (4, 4, 3, 40), 2, 1),
    "stride 3, not square": ((2, 19, 23, 5), (3, 2, 5, 6), 3, 1),
    "few pictures, many weights": ((1, 8, 8, 200), (4, 4, 200, 130), 2, 1),
}


@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_a_convolution_gives_the_same(way, name):
    x, w, stride, pad = WAYS[way]
    agree(cpu, name, *images(np.random.default_rng(0), x, w, stride, pad), stride, pad)


@given(st.data(), dtypes, *[st.integers(1, 150)] * 2, st.one_of(st.integers(1, 150), st.integers(2000, 5000)))
def test_a_product_of_any_shape_stored_either_way(data, dtype, M, N, K):
    a, b = (data.draw(floats(shape, dtype, layout=False)) for shape in ((M, K), (K, N)))
    a, b = (np.asfortranarray(m) if data.draw(st.booleans()) else m for m in (a, b))
    wide = a.astype(np.float64), b.astype(np.float64)
    close(cpu.matmul(a, b), wide[0] @ wide[1], scale=np.abs(wide[0]) @ np.abs(wide[1]), terms=K)


def step_of_everything():
    """Bytes of every kernel's results on arrays large enough for all threads."""
    rng, out = np.random.default_rng(1), []
    for x, w, stride, pad in WAYS.values():
        arrays = images(rng, x, w, stride, pad)
        out += [getattr(cpu, name)(*arguments(name, *arrays, stride, pad)) for name in DIRECT]
    x, gy = (rng.standard_normal((70, 16, 16, 24), dtype=np.float32) for _ in range(2))
    gamma, beta = rng.standard_normal((2, 24), dtype=np.float32)
    y, mean, rstd = cpu.norm(x, gamma, beta, 2, 1e-5, 0.2)
    out += [y, mean, rstd, *cpu.norm_bwd(gy, y, x, gamma, mean, rstd, 0.2), *cpu.bias_act_bwd(gy, y, 0.2)]
    out += [*cpu.bce_with_logits(x, y), cpu.normal(3, 4, 5, (9999,), np.float32)]
    return [np.asarray(a).tobytes() for a in out]


def test_the_bits_do_not_depend_on_the_thread_count():
    try:
        loops.use_threads(1)
        one = step_of_everything()
    finally:
        loops.use_threads(kernels.cores())
    assert step_of_everything() == one


def test_two_threads_of_python_do_not_share_a_buffer():
    rng = np.random.default_rng(2)
    cases = [images(rng, (64, 16, 16, 16), (4, 4, 16, 32), 2, 1), images(rng, (8, 32, 32, 20), (3, 3, 20, 16), 1, 1)]

    def run(i):
        return [cpu.conv2d(*cases[i][:2], 2 - i, 1).tobytes() for _ in range(60)]

    with ThreadPoolExecutor(2) as pool:
        for results in pool.map(run, range(2)):
            assert len(set(results)) == 1


def test_arrays_that_cannot_be_written_are_only_read():
    x = np.random.default_rng(3).standard_normal((4, 4), dtype=np.float32)
    x.flags.writeable = False
    np.testing.assert_array_equal(cpu.leaky_relu(x, 0.0), np.maximum(x, 0))
    np.testing.assert_array_equal(cpu.matmul(x, np.eye(4, dtype=np.float32)), x)


SMALL = """
import numpy as np
from inachus import kernels
print(kernels.host().__name__, kernels.host().leaky_relu(np.ones(3, np.float32), 0.0))
"""


def small(before="", **environment):
    command = [sys.executable, "-c", before + SMALL]
    result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return result.stdout, result.stderr


def test_compilation_is_announced_once_and_kept(tmp_path):
    first, second = (small(NUMBA_CACHE_DIR=str(tmp_path))[1] for _ in range(2))
    assert first == "inachus: compiling the cpu kernels for this machine, once; it takes a minute\n"
    assert second == ""


def test_without_numba_the_reference_computes():
    assert small("import sys\nsys.modules['numba'] = None\n") == ("inachus.kernels.reference [1. 1. 1.]\n", "")


@pytest.mark.parametrize(
    ("quota", "most"), [("100000 100000", 1), ("150000 100000", 2), ("5000 100000", 1), ("max 100000", 9999)]
)
def test_a_quota_of_the_control_group_limits_the_cores(monkeypatch, tmp_path, quota, most):
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(kernels, "Path", lambda path: tmp_path / "cpu.max")
    assert kernels.cores() == min(most, len(os.sched_getaffinity(0)))
