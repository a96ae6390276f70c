"""The emulator computes what CUDA promises, whatever order its threads run in, and finds every mistake planted in a
kernel.

The kernels are in `emulated.cu`, the wrong ones in `emulated_faults.cu`. Needs a C++ compiler. Not here: what is
refused before a kernel runs (`test_launch.py`).
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inachus.kernels import emulator
from inachus.kernels.cuda import launch as launcher
from inachus.kernels.cuda.launch import launch
from inachus.kernels.emulator import EmulationError

pytestmark = pytest.mark.skipif(not emulator.available(), reason=emulator.missing())

RIGHT, WRONG = Path(__file__).with_name("emulated.cu"), Path(__file__).with_name("emulated_faults.cu")
SEEDS = range(5)
reals = pytest.mark.parametrize("real", [np.float32, np.float64])


def run(kernel, *args, grid=1, block=32, shared=0, real=np.float32, file=RIGHT):
    """One launch of a test kernel over the type of numbers `real`."""
    name = {np.float32: "float", np.float64: "double"}[real]
    launch(file, kernel, grid, block, args, like=np.empty(0), shared=shared, defines={"REAL": name})


def wrong(kernel, *args, block=64):
    """The same of a kernel with a mistake, in 256 bytes of shared memory."""
    run(kernel, *args, grid=2, block=block, shared=256, file=WRONG)


def fault(word):
    """Where a mistake was planted, as messages name it."""
    lines = WRONG.read_text().splitlines()
    return f"{WRONG}:{next(i for i, line in enumerate(lines, 1) if f'// fault: {word}' in line)}"


def numbers(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def nearest(x, bits, ties_away=False):
    """float32 rounded to `bits` fewer bits of mantissa: to the nearest, ties to even or away from zero."""
    u = x.view(np.uint32).astype(np.uint64)
    up = (1 << (bits - 1)) if ties_away else (1 << (bits - 1)) - 1 + (u >> bits & 1)
    return ((u + up) >> bits << bits).astype(np.uint32).view(np.float32)


def products(a, b):
    """a @ b in float32, one k after the other."""
    sums = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        sums += a[:, k, None] * b[k]
    return sums


# --- what CUDA promises ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounded", [True, False])
def test_tf32_products(rounded):
    a, b, start = numbers(16, 40), numbers(40, 8, seed=1), numbers(16, 8, seed=2)
    narrow = [nearest(x, 13, True) if rounded else (x.view(np.uint32) & 0xFFFFE000).view(np.float32) for x in (a, b)]

    def product():
        c = start.copy()
        run("product_tf32", a, b, c, 40, rounded)
        return c

    np.testing.assert_array_equal(emulator.agree(product, SEEDS), start + products(*narrow))


def test_bf16_products():
    a, b, start = numbers(16, 48), numbers(48, 8, seed=1), numbers(16, 8, seed=2)

    def product():
        c = start.copy()
        run("product_bf16", a, b, c, 48)
        return c

    np.testing.assert_array_equal(emulator.agree(product, SEEDS), start + products(nearest(a, 16), nearest(b, 16)))


def test_rounding():
    bits = np.array([0x3F800000, 0x3F801000, 0x3F803000, 0x3F800FFF, 0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x00000001])
    x = np.concatenate([bits.astype(np.uint32).view(np.float32), [np.inf, 0.0]]).astype(np.float32)
    x = np.concatenate([x, -x, numbers(44)])
    rounded = np.zeros((2, x.size), np.uint32)
    run("rounding", x, rounded, x.size, block=x.size)
    np.testing.assert_array_equal(rounded[0].view(np.float32), nearest(x, 13, True))
    halves = nearest(x, 16).view(np.uint32) >> 16
    np.testing.assert_array_equal(rounded[1], halves | halves[::-1] << 16)
    x[:] = np.nan
    run("rounding", x, rounded, x.size, block=x.size)
    assert np.isnan(rounded[0].view(np.float32)).all() and np.isnan((rounded[1] << 16).view(np.float32)).all()


@reals
def test_shuffles(real):
    x, lane = numbers(128, dtype=real), np.arange(128) % 32
    warp = np.arange(128) - lane

    def shuffles():
        y = np.zeros((5, 128), real)
        run("shuffles", x, y, 128, grid=2, block=64, real=real)
        return y

    y = emulator.agree(shuffles, SEEDS)
    np.testing.assert_array_equal(y[0], x[warp + (lane ^ 5)])
    np.testing.assert_array_equal(y[1], x[warp + np.where(lane + 3 < 32, lane + 3, lane)])
    np.testing.assert_array_equal(y[2], x[warp + lane // 8 * 8 + 2])
    np.testing.assert_array_equal(y[3], x[warp + np.where(lane % 16 + 4 < 16, lane + 4, lane)])
    np.testing.assert_allclose(y[4], x.reshape(4, 32).sum(1).repeat(32), rtol=1e-5)


def test_halves_of_a_warp_shuffle_on_their_own():
    y, lane = np.zeros(32, np.int32), np.arange(32)
    run("halves", y)
    np.testing.assert_array_equal(y, np.where(lane < 16, lane ^ 1, lane ^ 2))


@reals
def test_atomic_sums_and_the_order_of_threads(real):
    x = numbers(4 * 96).round(1).astype(real)
    orders = []
    for seed in (0, 1, 1, 2):
        total, ticket, tickets = np.zeros(2, real), np.zeros(1, np.uint32), np.zeros(x.size, np.uint32)
        with emulator.schedule(seed):
            run("atomics", x, total, ticket, tickets, grid=4, block=96, real=real)
        np.testing.assert_allclose(total, [x.size, x.sum()], atol=1e-4)
        np.testing.assert_array_equal(np.sort(tickets), np.arange(x.size))
        orders.append(tickets)
    np.testing.assert_array_equal(orders[0], np.arange(x.size))  # 0 is the order of their numbers
    np.testing.assert_array_equal(orders[1], orders[2])
    assert (orders[1] != orders[0]).any() and (orders[1] != orders[3]).any()


@pytest.mark.parametrize("wide", [True, False])
def test_copies_arrive_when_they_are_waited_for(wide):
    x, y = numbers(20, 8), np.zeros((20, 2, 2, 4), np.float32)
    run("copies", x, y, wide, block=20, shared=20 * 32)
    expected = x.reshape(20, 2, 4).copy()
    if wide:
        expected[1::2] = 0
    else:
        expected[:, :, 3] = 0
    np.testing.assert_array_equal(y[:, 1], expected)
    np.testing.assert_array_equal(y[:, 0, 0], expected[:, 0])
    assert np.isnan(y[:, 0, 1]).all()


@reals
def test_a_struct_is_passed_by_value_as_it_is_when_launched(real, monkeypatch):
    x, y, later = numbers(70, dtype=real), np.zeros(70, real), []
    line = np.array([(60, 3.0, 0.5)], np.dtype([("n", "i4"), ("slope", "f8"), ("shift", "f4")], align=True))
    monkeypatch.setattr(launcher, "execute", lambda name, function: later.append(function))
    run("line", x, y, line, grid=2, block=64, real=real)
    line["slope"] = 0
    assert not y.any()
    later[0]()
    np.testing.assert_array_equal(y, np.where(np.arange(70) < 60, real(3.0 * x.astype(float) + 0.5), 0))


def test_indices():
    y = np.zeros((5 * 3 * 2 * 24, 4), np.int32)
    run("indices", y, grid=(5, 3, 2), block=(4, 3, 2))
    assert len({tuple(at) for at in y[:, :3]}) == len(y)
    np.testing.assert_array_equal(y.max(0), [19, 8, 3, 23])
    np.testing.assert_array_equal(y[7 * 24 + 13], [2 * 4 + 1, 1 * 3 + 0, 1, 13])


@pytest.mark.parametrize("threads", [1, 32, 128])
def test_a_tree_of_sums_whose_threads_return_early(threads):
    x, y = numbers(3, threads, 4), np.zeros(3, np.float32)

    def sums():
        run("sums", x, y, grid=3, block=threads, shared=4 * threads)
        return y.copy()

    np.testing.assert_allclose(emulator.agree(sums, SEEDS), x.sum((1, 2)), rtol=1e-4, atol=1e-5)


def test_printf(capfd):
    run("hello", 7, grid=2, block=4)
    assert capfd.readouterr().out == "block 0, n = 7\nblock 1, n = 7\n"


# --- planted mistakes --------------------------------------------------------------------------------------------


def test_a_missing_barrier_shows_as_nan():
    for seed in SEEDS:
        y = numbers(64)
        with emulator.schedule(seed):
            wrong("no_barrier", y)
        assert np.isnan(y).any()


def test_a_race_shows_as_results_that_depend_on_the_order():
    def moved():
        y = numbers(64)
        wrong("overwritten", y, 3)
        return y, y

    with pytest.raises(EmulationError, match="depends on the order of threads: seeds 0 and"):
        emulator.agree(moved, SEEDS)


@pytest.mark.parametrize("kernel", ["no_wait", "no_commit"])
def test_a_copy_that_is_not_waited_for_shows_as_nan(kernel):
    y = np.zeros(64, np.float32)
    wrong(kernel, numbers(64), y)
    assert np.isnan(y).all()


@pytest.mark.parametrize(("kernel", "block", "words"), [
    ("divergent", 64, ["different barriers", "40 wait at __syncthreads", "24 wait at __syncthreads"]),
    ("one_way", 64, ["wait for ever", "40 wait at __syncthreads", "24 wait at a shuffle", "0 have returned"]),
    ("missing_lane", 64, ["wait for ever", "31 wait at a shuffle", "33 have returned"]),
    ("half_a_warp", 16, ["a matrix product needs 32 lanes"]),
])
@pytest.mark.parametrize("seed", [0, 1])
def test_threads_that_wait_for_each_other_in_vain_are_found(kernel, block, words, seed):
    with emulator.schedule(seed), pytest.raises(EmulationError) as found:
        wrong(kernel, np.zeros(64, np.float32), block=block)
    for word in [f"kernel {kernel}, block (", str(WRONG), *words]:
        assert word in str(found.value)


@pytest.mark.parametrize(("kernel", "args", "words"), [
    ("past", (1,), ["thread (63, 0, 0): byte 256 of shared memory, the block has 256", fault("past")]),
    ("past", (9999,), ["thread (0, 0, 0): byte 39996 of shared memory", fault("past")]),
    ("past", (-1,), ["a thread wrote before the block's 256 bytes"]),
    ("crooked", (), ["thread (0, 0, 0): copy16: an address is no multiple of 16", fault("crooked")]),
    ("outside", (), ["copy4: the destination is outside the block's 256 bytes of shared memory"]),
    ("beyond", (np.int64(1 << 50),), ["thread (0, 0, 0): ", fault("beyond")]),
    ("deep", (), ["the thread's stack of 262144 bytes overflows"]),
])
def test_bad_addresses_are_found(kernel, args, words):
    with pytest.raises(EmulationError) as found:
        wrong(kernel, np.zeros(64, np.float32), *args)
    for word in [f"kernel {kernel}, block (0, 0, 0)", *words]:
        assert word in str(found.value)
    test_halves_of_a_warp_shuffle_on_their_own()  # and the next launch runs as if nothing had happened


def test_the_sanitizer_finds_every_bad_address_and_nothing_else():
    environment = emulator.sanitizer_environment()
    if not Path(environment["LD_PRELOAD"]).is_file():
        pytest.skip("g++ has no libasan")
    code = "import test_emulator as t\nt.test_bf16_products(), t.test_shuffles(t.np.float32), print('well')\n"
    code += "t.wrong('beyond', t.np.zeros(64, 'f'), t.np.int64(64))"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, cwd=WRONG.parent, capture_output=True, text=True, timeout=300)
    assert result.stdout == "well\n" and result.returncode
    assert "heap-buffer-overflow" in result.stderr and f"in beyond {fault('beyond')}" in result.stderr


def test_the_sanitizer_must_be_there_from_the_start(monkeypatch):
    monkeypatch.setenv("INACHUS_EMULATOR_ASAN", "1")
    with pytest.raises(EmulationError, match=r"when Python starts: INACHUS_EMULATOR_ASAN=1 .*LD_PRELOAD="):
        emulator.kernels("none.cu", "// sanitized")
