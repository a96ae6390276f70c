"""Philox and what is made of it: known answers, streams that can be cut anywhere, moments; the Generator."""

import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import close
from strategies import dtypes, shapes

from inachus.engine.random import Generator

words, places = st.integers(0, 2**64 - 1), st.integers(0, 2**40)
ANSWERS = {  # of Philox4x32-10: (key 0, 1), (counter 0, 1, 2, 3) -> four words. Random123, kat_vectors
    ((0, 0), (0, 0, 0, 0)): (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ((2**32 - 1,) * 2, (2**32 - 1,) * 4): (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ((0xA4093822, 0x299F31D0), (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)): (
        0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
}


@pytest.mark.parametrize(("at", "expected"), ANSWERS.items())
def test_philox_gives_the_known_answers(kernels, at, expected):
    key, counter = at
    assert oracles.philox4x32(counter, key) == expected
    seed, start, stream = (low + (high << 32) for low, high in (key, counter[:2], counter[2:]))
    assert kernels.philox(seed, stream, start, 1).tolist() == [list(expected)]


@given(words, words, words, st.integers(1, 5))
def test_philox_equals_its_oracle_anywhere(kernels, seed, stream, start, blocks):
    start = min(start, 2**64 - blocks)
    bits = kernels.philox(seed, stream, start, blocks)
    assert bits.dtype == np.uint32
    np.testing.assert_array_equal(bits, oracles.philox(seed, stream, start, blocks))


@pytest.mark.parametrize("name", ["uniform", "normal"])
@given(seed=words, start=places, blocks=st.integers(0, 3), more=st.integers(1, 9), dtype=dtypes)
def test_a_stream_drawn_in_two_parts_is_the_stream(kernels, name, seed, start, blocks, more, dtype):
    draw = getattr(kernels, name)
    whole = draw(seed, 5, start, (4 * blocks + more,), dtype)
    parts = draw(seed, 5, start, (4 * blocks,), dtype), draw(seed, 5, start + blocks, (more,), dtype)
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert whole.dtype == dtype


@given(words, places, shapes((0, 3)), dtypes)
def test_uniform_and_normal_are_what_they_say_of_the_bits(kernels, seed, start, shape, dtype):
    n = math.prod(shape)
    bits = [r >> 8 for block in oracles.philox(seed, 7, start, -(-n // 4)) for r in block]
    u = kernels.uniform(seed, 7, start, shape, dtype)
    np.testing.assert_array_equal(u, np.reshape([b / 2**24 for b in bits[:n]], shape))  # exact
    z = []
    for a, b in zip(bits[::2], bits[1::2], strict=True):
        radius, angle = math.sqrt(-2 * math.log((a + 1) / 2**24)), 2 * math.pi * b / 2**24
        z += [radius * math.cos(angle), radius * math.sin(angle)]
    close(kernels.normal(seed, 7, start, shape, dtype), np.reshape(z[:n], shape), scale=6)


@pytest.mark.parametrize(("name", "mean", "variance", "fourth"),
                         [("uniform", 1 / 2, 1 / 12, 1 / 80), ("normal", 0, 1, 3)])
def test_moments(kernels, name, mean, variance, fourth):
    n = 200_000
    x = getattr(kernels, name)(11, 0, 0, (n,), np.float64)
    error = 5 * math.sqrt(variance / n)  # five standard deviations of a mean of n numbers
    assert abs(x.mean() - mean) < error
    assert abs(((x - mean) ** 2).mean() - variance) < 5 * math.sqrt((fourth - variance**2) / n)
    assert abs(((x[1:] - mean) * (x[:-1] - mean)).mean()) < error * math.sqrt(variance)
    assert name == "normal" or (x.min() >= 0 and x.max() < 1)


# --- Generator ---------------------------------------------------------------------------------------------


def drawn(generator: Generator):
    """A few draws of every kind, as one list of bytes."""
    return [generator.normal((3, 2)).tobytes(), generator.uniform((5,), -1, 1).tobytes(),
            generator.integers((4,), 10).tobytes()]


@given(words, words)
def test_equal_seeds_give_equal_numbers_and_successive_draws_differ(seed, stream):
    one, two = Generator(seed, stream), Generator(seed, stream)
    first = drawn(one)
    assert first == drawn(two)
    assert first[0] != drawn(one)[0]


@given(words, st.integers(0, 9))
def test_a_state_continues_where_it_was_taken(seed, skipped):
    generator, other = Generator(seed), Generator(0, 3)
    generator.uniform((skipped,))
    other.load_state(generator.state())
    assert drawn(generator) == drawn(other)


@given(words, st.lists(st.integers(0, 9), max_size=5))
def test_successive_draws_never_overlap(seed, sizes):
    generator = Generator(seed)
    bits = [generator.uniform((n,), dtype=np.float64) for n in sizes]
    drawn_blocks = [-(-n // 4) for n in sizes]
    stream = np.reshape([r >> 8 for block in oracles.philox(seed, 0, 0, sum(drawn_blocks)) for r in block], (-1, 4))
    parts = np.split(stream, np.cumsum(drawn_blocks)[:-1]) if sizes else []
    for u, n, part in zip(bits, sizes, parts, strict=True):
        np.testing.assert_array_equal(u * 2**24, part.ravel()[:n])


def test_spawned_generators_depend_on_their_name_and_seed_alone():
    fresh, worn = Generator(4), Generator(4)
    worn.normal((1000,))
    assert drawn(fresh.spawn("G")) == drawn(worn.spawn("G"))
    family = [fresh, fresh.spawn("G"), fresh.spawn("D"), fresh.spawn("G").spawn("D"), Generator(5).spawn("G")]
    streams = [g.normal((4000,)) for g in family]
    correlations = np.corrcoef(streams) - np.eye(len(family))
    assert np.abs(correlations).max() < 5 / math.sqrt(4000)


@given(words, st.integers(1, 20))
def test_ranges_and_dtypes(seed, n):
    generator = Generator(seed)
    integers, u = generator.integers((200,), n), generator.uniform((200,), -3, 5)
    assert integers.dtype == np.int64
    assert u.dtype == np.float32
    assert 0 <= integers.min() <= integers.max() < n
    assert -3 <= u.min() <= u.max() < 5
    assert generator.normal((2, 3), dtype=np.float64).dtype == np.float64


def test_integers_are_uniform_and_normal_has_its_mean_and_deviation():
    generator, n = Generator(8), 60_000
    counts = np.bincount(generator.integers((n,), 6))
    assert ((counts - n / 6) ** 2 / (n / 6)).sum() < 25.7  # chi-square with 5 degrees of freedom, p = 1e-4
    z = generator.normal((n,), mean=2.0, std=0.5)
    assert abs(z.mean() - 2) < 5 * 0.5 / math.sqrt(n)
    assert abs(z.std() - 0.5) < 5 * 0.5 / math.sqrt(2 * n)
