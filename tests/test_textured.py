"""Digits on textures: that they are the promised difference, varied, and a function of seed, split and place."""

import numpy as np
import pytest

from inachus.engine.data import load
from inachus.engine.data.dataset import philox
from inachus.engine.data.drawn import draw_digits
from inachus.engine.data.textures import NOISY, NUMBERS, STREAM, draw_textured, textures


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path / "cache"))


def drawn(kind, count=64, size=28, seed=0):
    """Textures of one kind."""
    u = np.random.default_rng(seed).random((count, NOISY + NUMBERS), np.float32)
    u[:, NOISY] = (kind + 0.5) / 4
    return textures(u, size)


def test_they_are_like_digits_but_for_colour(tmp_path, monkeypatch):
    monkeypatch.setattr("inachus.engine.data.textures.DIGIT_COUNTS", {"train": 60, "test": 20})
    train = load("textured-digits")
    assert (train.shape, len(train), train.classes) == ((28, 28, 3), 60, load("digits", limit=1).classes)
    assert np.array_equal(train.labels, load("digits", limit=60).labels)
    assert len(list((tmp_path / "cache" / "textured-digits").iterdir())) == 1
    assert load("textured-digits").fingerprint == train.fingerprint
    np.testing.assert_array_equal(load("textured-digits", limit=7).items, train.items[:7])
    assert "textured-digits" in train.name and "60 pictures 28x28x3 in 10 classes" in train.source


def test_seed_split_and_place_decide():
    first = draw_textured(6, 28, seed=0, split=0)
    np.testing.assert_array_equal(draw_textured(3, 28, seed=0, split=0), first[:3])
    for other in (draw_textured(6, 28, seed=1, split=0), draw_textured(6, 28, seed=0, split=1)):
        assert (np.abs(other.astype(float) - first).mean(axis=(1, 2, 3)) > 5).all()


def test_a_block_ends_anywhere(monkeypatch):
    whole = draw_textured(11, 16, seed=3, split=0)
    monkeypatch.setattr("inachus.engine.data.textures.BLOCK", 4)
    np.testing.assert_array_equal(draw_textured(11, 16, seed=3, split=0), whole)


def test_they_are_the_difference_of_texture_and_digit():
    digits = draw_digits(40, 28, 0, STREAM).astype(float)
    stream = np.random.Generator(philox(0, "textures", 0))
    texture = 255 * textures(stream.random((40, NOISY + NUMBERS), np.float32), 28)
    made = draw_textured(40, 28, seed=0, split=0)
    assert np.abs(np.abs(texture - digits) - made).max() <= 0.51
    outside = np.broadcast_to(digits == 0, made.shape)
    assert np.abs(texture - made)[outside].max() <= 0.51 and outside.any(axis=(1, 2, 3)).all()


def test_sizes_and_channels_are_obeyed():
    colour, grey = (load("textured-digits", size=20, channels=channels, limit=5) for channels in (3, 1))
    assert (colour.shape, grey.shape) == ((20, 20, 3), (20, 20, 1))
    luminance = colour.items @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luminance - grey.items[..., 0]).max() <= 0.5001


@pytest.mark.parametrize("kind", range(4))
def test_each_kind_is_colourful_and_varied(kind):
    made = drawn(kind)
    assert made.shape == (64, 28, 28, 3) and made.min() >= 0 and made.max() <= 1
    assert np.abs(made[..., 0] - made[..., 2]).mean() > 0.08  # colours, not greys
    assert made.std(axis=(1, 2)).mean() > 0.06  # a pattern within each
    assert made.mean(axis=(1, 2)).std(axis=0).min() > 0.1  # and no two alike


def test_brightness_and_contrast_are_spread_as_in_photographs():
    """Of 28-pixel patches of street photographs: 0.42 on average, between them by 0.29, within them by 0.10."""
    u = np.random.default_rng(1).random((2000, NOISY + NUMBERS), np.float32)
    luminance = textures(u, 28) @ np.array([0.299, 0.587, 0.114])
    between, within = luminance.mean(axis=(1, 2)), luminance.std(axis=(1, 2))
    assert between.mean() == pytest.approx(0.42, abs=0.04) and between.std() == pytest.approx(0.29, abs=0.02)
    assert within.mean() == pytest.approx(0.10, abs=0.03)


def test_kinds_differ_in_their_patterns():
    """Stripes and checks change faster along the picture than noise and blobs do."""
    steps = [np.abs(np.diff(drawn(kind), axis=1)).mean() for kind in range(4)]
    assert min(steps[1:3]) > 1.3 * max(steps[0], steps[3])


def test_a_texture_is_the_same_at_twice_the_size():
    u = np.random.default_rng(5).random((20, NOISY + NUMBERS), np.float32)
    small, large = textures(u, 28), textures(u, 56)
    assert np.abs(large[:, ::2, ::2] - small).max() < 1e-4
