"""The CUDA kernels that wait for memory, on the emulator: every way through each of them equals the reference.

`test_kernels.py` has small arrays; here are several blocks and chunks, rows that begin at no multiple of 16 bytes, more
parts than fit into a launch, and the same bits whatever the order of threads. `reference` computes in double.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import close
from strategies import dtypes

from inachus import kernels
from inachus.kernels import emulator, reference

pytestmark = pytest.mark.skipif(not emulator.available(), reason=emulator.missing())

if emulator.available():
    from inachus.kernels.cuda.graph import CapturedStep
    from inachus.kernels.cuda.launch import launch
    from inachus.kernels.cuda.loops import activation, columns, image, losses, norm, optim, random

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def numbers(seed, *shape, dtype=np.float32, offset=0, mean=0.0):
    """Normal numbers around `mean`; with `offset` they begin so many numbers beyond a multiple of 16 bytes."""
    values = np.random.default_rng(seed).standard_normal(shape) + mean
    memory = np.empty(values.size + 8, dtype)
    first = -memory.__array_interface__["data"][0] % 16 // memory.itemsize + offset
    x = memory[first : first + values.size].reshape(shape)
    x[...] = values
    return x


def wide(*arrays):
    """The same in double."""
    return [a.astype(np.float64) for a in arrays]


def launched(function):
    """(what function() gives, the names of the kernels it launched)."""
    before = launch.counts.copy()
    return function(), dict(launch.counts - before)


# --- normalisation -----------------------------------------------------------------------------------------

COLUMNS = [  # groups, rows of a group, channels: one chunk or several, packs or single channels, one tile or several
    *((1, 1, 4), (1, 5, 3), (4, 16, 512), (3, 64, 1), (600, 3, 4)),
    *((2, 700, 12), (1, 4200, 64), (1, 5000, 3), (1, 1000, 39)),
]


@each_dtype
@pytest.mark.parametrize("slope", [0.2, 1.0])
@pytest.mark.parametrize(("groups", "M", "C"), COLUMNS)
def test_normalisation(groups, M, C, slope, dtype):
    x, gy = (numbers(i, groups * M, C, dtype=dtype, mean=mean) for i, mean in ((1, 3), (2, 0)))
    gamma, beta = numbers(3, C, dtype=dtype), numbers(4, C, dtype=dtype)
    forward, names = launched(lambda: norm.norm(x, gamma, beta, groups, 1e-3, slope))
    expected = reference.norm(*wide(x, gamma, beta), groups, 1e-3, slope)
    small = "normalise_small" in names
    assert names == ({"normalise_small": 1} if small else {"statistics": 1, "normalise": 1})
    for got, by_channel, right in zip(forward, norm.naive(x, gamma, beta, groups, 1e-3, slope), expected, strict=True):
        close(got, right, scale=3 * np.abs(right).max(), terms=M)
        close(by_channel, right, scale=3 * np.abs(right).max(), terms=M)
    backward, names = launched(lambda: norm.norm_bwd(gy, forward[0], x, gamma, *forward[1:], slope))
    assert sum(names.values()) == (1 if small else 2)
    expected = reference.norm_bwd(*wide(gy, forward[0], x, gamma, *forward[1:]), slope)
    sizes = [np.abs(a).max() * np.abs(gy).max() for a in (gamma * forward[2], M * groups, M * groups)]
    for got, right, size in zip(backward, expected, sizes, strict=True):
        close(got, right, scale=9 * size, terms=M)


@pytest.mark.parametrize("first", [100, 90])
@pytest.mark.parametrize(("M", "C"), [(64, 4), (3000, 3)])
def test_statistics_at_a_large_mean_are_those_of_the_numbers(M, C, first):
    x = (100 + 1e-2 * np.random.default_rng(5).standard_normal((M, C))).astype(np.float32)
    x[0] = first  # from which a thread measures: it may tell nothing about the others
    gamma, beta = np.ones(C, np.float32), np.zeros(C, np.float32)
    y, mean, rstd = norm.norm(x, gamma, beta, 1, 1e-12, 1.0)
    exact, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    close(mean[0], exact, c=2)
    close(rstd[0], 1 / deviation, terms=16)
    close(y, (x - exact) / deviation, scale=100 / deviation, c=2)


@pytest.mark.parametrize(("M", "C"), [(40, 8), (3000, 4), (40, 3)])
def test_a_gradient_may_be_a_part_of_the_channels(M, C):
    x, gamma, beta = numbers(1, M, C), numbers(3, C), numbers(4, C)
    y, mean, rstd = norm.norm(x, gamma, beta, 1, 1e-3, 0.2)
    for total, first in ((3 * C, C), (2 * C, 1), (C + 1, 0)):
        part = numbers(2, M, total)[:, first : first + C]
        assert columns.pixels(part)[0] is part
        for kernel, rest in ((norm.norm_bwd, (y, x, gamma, mean, rstd, 0.2)), (activation.bias_act_bwd, (y, 0.2))):
            for got, right in zip(kernel(part, *rest), kernel(part.copy(), *rest), strict=True):
                close(got, right, scale=np.abs(right).max(), terms=M)


def test_other_views_are_copied():
    x = numbers(1, 4, 6, 8)
    for view in (x[:, ::-1], x[..., ::2], x.transpose(1, 0, 2), np.broadcast_to(x[:1], x.shape), x[:, 1:3]):
        copy, stride = columns.pixels(view)
        assert copy.flags.c_contiguous
        assert stride == view.shape[-1]
    for view, numbers_apart in ((x[:, :, 2:5], 8), (x[:, ::2], 16), (x[:1, :, 5:], 8), (x, 8), (x[:1, :1], 8)):
        same, stride = columns.pixels(view)
        assert same is view
        assert stride == numbers_apart


@each_dtype
def test_running_statistics(dtype):
    running, batch = numbers(1, 2, 300, dtype=dtype), np.abs(numbers(2, 2, 1, 300, dtype=dtype)) + 1
    expected = np.transpose([oracles.track(*channel, 1e-5, 0.1, 7)
                             for channel in zip(*wide(*running, *batch[:, 0]), strict=True)])
    norm.track(*running, *batch, 1e-5, 0.1, 7)
    close(running, expected, scale=4)


# --- activations -------------------------------------------------------------------------------------------

SIZES = [0, 1, 5, 4096, 9001]


@each_dtype
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("n", SIZES)
def test_activations(n, offset, dtype):
    x, gy = (numbers(i, n, dtype=dtype, offset=offset) for i in (1, 2))
    for name in ("tanh", "sigmoid", "softplus"):
        expected = getattr(reference, name)(*wide(x))
        close(getattr(activation, name)(x), expected, scale=np.abs(expected))
    np.testing.assert_array_equal(activation.leaky_relu(x, 0.2), np.where(x > 0, x, dtype(0.2) * x))
    np.testing.assert_array_equal(activation.leaky_relu_bwd(gy, x, 0.2), np.where(x > 0, gy, dtype(0.2) * gy))
    close(activation.tanh_bwd(gy, x), reference.tanh_bwd(*wide(gy, x)), scale=np.abs(gy) * (1 + x**2))


@each_dtype
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize(("M", "C"), [(1, 1), (7, 3), (9, 40), (5000, 3), (3000, 32)])
def test_bias(M, C, offset, dtype):
    x, gy = (numbers(i, M, C, dtype=dtype, offset=offset) for i in (1, 2))
    b = numbers(3, C, dtype=dtype, offset=1)
    y = activation.bias_act(x, b, 0.2)
    np.testing.assert_array_equal(y, np.where(x + b > 0, x + b, dtype(0.2) * (x + b)))
    (gx, gb), names = launched(lambda: activation.bias_act_bwd(gy, y, 0.2))
    assert names == {"bias_act_bwd": 1}
    np.testing.assert_array_equal(gx, np.where(y > 0, gy, dtype(0.2) * gy))
    close(gb, gx.sum(0, dtype=float), scale=np.abs(gx).sum(0), terms=32)


# --- losses ------------------------------------------------------------------------------------------------

LOSSES = {"bce_with_logits": oracles.bce, "squared_error": oracles.squared, "absolute_error": oracles.absolute}


@each_dtype
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("n", [1, 6, 2048, 11_003])
def test_losses(n, offset, dtype):
    s, t = (numbers(i, n, dtype=dtype, offset=offset) for i in (1, 2))
    for name, term in LOSSES.items():
        for target in (t, np.array(0.25, dtype)):
            (loss, gs), names = launched(partial(getattr(losses, name), s, target))
            assert names == {name: 1}
            check_loss(loss, gs, *oracles.averaged(term, s, target))
    for sign in (1.0, -1.0):
        check_loss(*losses.hinge(s, sign), *oracles.averaged(oracles.hinge, s, sign))


def check_loss(loss, gs, mean, slopes):
    assert loss.shape == ()
    assert loss.dtype == gs.dtype
    close(loss, mean, scale=10)
    close(gs, slopes, scale=10 / gs.size)


def test_a_loss_of_what_is_no_number_is_none():
    s = np.array([1, np.nan, -1], np.float32)
    for name in LOSSES:
        assert np.isnan(getattr(losses, name)(s, np.array(1, np.float32))[0])
    assert np.isnan(losses.hinge(s, 1.0)[0])


# --- optimizers --------------------------------------------------------------------------------------------

UPDATES = {"sgd": (1, (0.1, 0.9)), "rmsprop": (1, (0.1, 0.9, 1e-6)), "adam": (2, (0.1, 0.5, 0.999, 1e-6, 3)),
           "ema": (0, (0.75,))}
SPLITS = {"one": [9000], "many": [1, 3, 0, 4, 4096, 2048, 2049, *[5] * 70]}  # sizes of the parts


@each_dtype
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", UPDATES)
def test_updates_in_parts(name, split, dtype):
    sizes, (states, options) = SPLITS[split], UPDATES[name]
    n, cuts = sum(sizes), np.cumsum(sizes)[:-1]
    before = [numbers(i, n, dtype=dtype) for i in range(2)]
    before += [np.abs(numbers(i, n, dtype=dtype)) for i in range(2, 2 + states)]
    whole, parted = ([a.copy() for a in before] for _ in range(2))
    getattr(optim, name)(whole[0], whole[1], *whole[2:], *options)
    parts = [numbers(0, size, dtype=dtype, offset=i % 3) for i, size in enumerate(sizes)]
    for part, values in zip(parts, np.split(parted[1], cuts), strict=True):
        part[...] = values
    first = np.split(parted[0], cuts) if name == "ema" else parted[0]
    _, names = launched(lambda: getattr(optim, name)(first, parts, *parted[2:], *options))
    assert names == {name: -(-np.count_nonzero(sizes) // optim.PARTS)}
    assert [a.tobytes() for a in parted] == [a.tobytes() for a in whole]
    expected = wide(*before)
    getattr(reference, name)(*expected, *options)
    for got, right in zip(whole, expected, strict=True):
        close(got, right, scale=4 + np.abs(right))


class Batch(NamedTuple):
    """What a step is captured with."""

    items: np.ndarray
    labels: np.ndarray | None = None


def test_numbers_may_change_from_replay_to_replay(emulated):
    home, counts = kernels.home(), {"t": 0}
    step, batch = CapturedStep(Batch(np.zeros(1))), Batch(np.zeros(1))

    def count():
        counts["t"] += 1
        return counts["t"]

    def updates(t, where, p, g, m, v):
        optim.adam(p, g, m, v, 0.1, 0.5, 0.9, 1e-6, t)
        optim.sgd(m, g, v, where, 0.9)  # an int: a double on the device all the same
        optim.ema(v, p, where)
        return random.uniform(1, 2, where, (9,), np.float32), image.dropout(p, 1, 2, where, 0.5)

    start = [numbers(i, 9) ** 2 for i in range(4)]
    captured, results = [home.asarray(a) for a in start], []
    step.record(lambda _: results.extend(updates(step.live(count), step.live(lambda: counts["t"] % 2), *captured)))
    eager = [home.asarray(a) for a in start]
    for t in (1, 2, 3):
        step.replay(batch)
        expected = updates(t, t % 2, *eager)
        for got, right in zip((*captured, *results), (*eager, *expected), strict=True):
            np.testing.assert_array_equal(got.get(), right.get())


def test_a_gradient_of_another_length_is_refused():
    p, v = np.zeros((2, 5), np.float32)
    with pytest.raises(ValueError, match="5 numbers to change, 4"):
        optim.sgd(p, [v[:3], v[:1]], v, 0.1, 0.0)


# --- random numbers ----------------------------------------------------------------------------------------

words = st.integers(0, 2**64 - 1)


@given(words, words, st.integers(0, 2**64 - 2000), st.sampled_from([0, 1, 3, 4, 1025, 5003]), dtypes)
def test_random_numbers_are_those_of_the_reference(seed, stream, start, n, dtype):
    bits = random.philox(seed, stream, start, n // 4)
    np.testing.assert_array_equal(bits, reference.philox(seed, stream, start, n // 4))
    u = random.uniform(seed, stream, start, (n,), dtype)
    np.testing.assert_array_equal(u, reference.uniform(seed, stream, start, (n,), dtype))
    z = random.normal(seed, stream, start, (n,), dtype)
    expected = reference.normal(seed, stream, start, (n,), np.float64)
    assert bits.dtype == np.uint32
    assert u.dtype == z.dtype == dtype
    close(z, expected, scale=np.abs(expected) if dtype == np.float32 else 6, c=2)


# --- pictures ----------------------------------------------------------------------------------------------

PICTURES = [(1, 1, 1, 1), (2, 3, 5, 3), (1, 4, 9, 4), (2, 2, 40, 8), (1, 3, 2, 130)]
MOVES = {  # name -> (its adjoint, arguments for a picture of H, W, the shape it needs of (N, H, W, C))
    "reflect_pad": ("reflect_pad_bwd", lambda H, W: ((H - 1, min(H - 1, 1)), (W // 2, W - 1)), 1),
    "upsample": ("upsample_bwd", lambda H, W: (2,), 1),
    "upsample by 3": ("upsample_bwd", lambda H, W: (3,), 1),
    "pixel_shuffle": ("pixel_unshuffle", lambda H, W: (2,), 4),
    "pixel_shuffle by 3": ("pixel_unshuffle", lambda H, W: (3,), 9),
}


@each_dtype
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("shape", PICTURES)
@pytest.mark.parametrize("name", MOVES)
def test_pictures_are_moved_and_moved_back(name, shape, offset, dtype):
    adjoint, arguments, channels = MOVES[name]
    *lead, C = shape
    x, name, rest = numbers(1, *lead, C * channels, dtype=dtype, offset=offset), name.split()[0], arguments(*shape[1:3])
    y = getattr(image, name)(x, *rest)
    np.testing.assert_array_equal(y, getattr(reference, name)(x, *rest))
    gy = numbers(2, *y.shape, dtype=dtype, offset=offset)
    gx = getattr(image, adjoint)(gy, *rest)
    close(gx, getattr(reference, adjoint)(*wide(gy), *rest), scale=9)
    sizes = np.vdot(np.abs(gx), np.abs(x)) + np.vdot(np.abs(gy), np.abs(y))
    close(np.vdot(gx, x), np.vdot(*wide(gy, y)), scale=sizes, terms=x.size)


@each_dtype
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("n", SIZES)
def test_dropout_is_the_mask_of_the_reference(n, offset, dtype):
    x = numbers(1, n, dtype=dtype, offset=offset)
    for rate in (0.0, 0.3):
        y = image.dropout(x, 2**63, 5, 2**32 - 3, rate)
        np.testing.assert_array_equal(y, reference.dropout(x, 2**63, 5, 2**32 - 3, rate))


@each_dtype
@pytest.mark.parametrize("channels", [[4, 8], [3, 3], [4, 1, 8], [1] * 19, [600, 4], [0, 5]])
def test_arrays_are_joined(channels, dtype):
    xs = [numbers(i, 2, 37, C, dtype=dtype) for i, C in enumerate(channels)]
    y, names = launched(lambda: image.concat(xs))
    assert names == {"concat": -(-len(xs) // 16)}
    np.testing.assert_array_equal(y, np.concatenate(xs, axis=-1))


# --- all of them -------------------------------------------------------------------------------------------

A, B, MANY = numbers(1, 40, 12), numbers(2, 40, 12), numbers(1, 2000, 12)
RUNS = {
    "norm": lambda: norm.norm(A, A[0], B[0], 2, 1e-3, 0.2),
    "norm in chunks": lambda: norm.norm(MANY, A[0], B[0], 1, 1e-3, 0.2),
    "naive": lambda: norm.naive(A, A[0], B[0], 2, 1e-3, 0.2),
    "norm_bwd": lambda: norm.norm_bwd(B, A, A, A[0], A[:2], B[:2], 0.2),
    "norm_bwd in chunks": lambda: norm.norm_bwd(MANY, MANY, MANY, A[0], A[:1], B[:1], 0.2),
    "bias_act_bwd": lambda: activation.bias_act_bwd(MANY, MANY, 0.2),
    "bias_act": lambda: activation.bias_act(A, B[0], 0.2),
    "tanh": lambda: activation.tanh(A),
    "squared_error": lambda: losses.squared_error(MANY, MANY[::-1]),
    "hinge": lambda: losses.hinge(MANY, 1.0),
    "normal": lambda: random.normal(1, 2, 3, (100,), np.float32),
    "reflect_pad_bwd": lambda: image.reflect_pad_bwd(A.reshape(5, 4, 2, 12), (1, 1), (0, 0)),
    "pixel_unshuffle": lambda: image.pixel_unshuffle(A.reshape(5, 4, 2, 12), 2),
    "concat": lambda: image.concat([A, B]),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_order_of_threads_changes_no_bit(name):
    emulator.agree(RUNS[name], range(5))


def test_tickets_are_handed_out_in_turn_and_given_back():
    before = columns.tickets(A, 3)
    assert columns.tickets(A, 3).__array_interface__["data"][0] == before.__array_interface__["data"][0] + 12
    for _ in range(math.ceil(columns.POOL / 1000) + 1):
        assert not columns.tickets(A, 1000).any()
    losses.hinge(MANY, 1.0)
    assert not columns.tickets(A, columns.POOL).any()
