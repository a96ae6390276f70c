"""Measures of fidelity against loops in plain Python, and against what is known of them without computing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from inachus.engine.data import Pairs
from inachus.engine.errors import NumericError, UsageError
from inachus.engine.evaluation import fidelity
from inachus.engine.evaluation.fidelity import baselines, l1, measures, nearest, psnr, sharpness, ssim


@st.composite
def pictures(draw, sets=2, least=3):
    """Some arrays uint8 (N,H,W,C) of one shape."""
    shape = *draw(st.tuples(st.integers(1, 3), st.integers(least, 15), st.integers(least, 15))), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return [rng.integers(0, 256, shape, np.uint8) for _ in range(sets)]


def smooth(n=3, side=24, seed=0):
    """Pictures uint8 (N,side,side,3) that look like something: enlarged noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, side // 4, side // 4, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC)) for c in coarse])


# --- oracles: loops over Python numbers in 0..1 -----------------------------------------------------------


def values(array):
    return (array / 255).tolist()


def mean(numbers):
    numbers = list(numbers)
    return math.fsum(numbers) / len(numbers)


def each(x, y):
    """For each picture the pairs of numbers at the same place."""
    return [list(zip(a.flat, b.flat, strict=True)) for a, b in zip(x / 255, y / 255, strict=True)]


def naive_l1(x, y):
    return mean(mean(abs(p - q) for p, q in picture) for picture in each(x, y))


def naive_psnr(x, y):
    errors = [mean((p - q) ** 2 for p, q in picture) for picture in each(x, y)]
    return mean(100.0 if error < 1e-10 else 10 * math.log10(1 / error) for error in errors)


def naive_ssim(x, y):
    n, height, width, channels = x.shape
    size = 11
    while size > min(height, width):
        size -= 2
    from_middle = [i - size // 2 for i in range(size)]
    weights = [[math.exp(-(i * i + j * j) / 4.5) for j in from_middle] for i in from_middle]
    total = sum(map(sum, weights))
    x, y, found = values(x), values(y), []
    for k in range(n):
        for c in range(channels):
            for top in range(height - size + 1):
                for left in range(width - size + 1):
                    places = [(i, j) for i in range(size) for j in range(size)]
                    w = [weights[i][j] / total for i, j in places]
                    p = [x[k][top + i][left + j][c] for i, j in places]
                    q = [y[k][top + i][left + j][c] for i, j in places]
                    m, o = sum(map(float.__mul__, w, p)), sum(map(float.__mul__, w, q))
                    v = sum(a * (b - m) ** 2 for a, b in zip(w, p, strict=True))
                    u = sum(a * (b - o) ** 2 for a, b in zip(w, q, strict=True))
                    both = sum(a * (b - m) * (d - o) for a, b, d in zip(w, p, q, strict=True))
                    found.append((2 * m * o + 1e-4) * (2 * both + 9e-4) / ((m * m + o * o + 1e-4) * (v + u + 9e-4)))
    return mean(found)


def naive_sharpness(x):
    n, height, width, channels = x.shape
    x, found = values(x), []
    for k in range(n):
        for c in range(channels):
            curved = [
                x[k][i - 1][j][c] + x[k][i + 1][j][c] + x[k][i][j - 1][c] + x[k][i][j + 1][c] - 4 * x[k][i][j][c]
                for i in range(1, height - 1)
                for j in range(1, width - 1)
            ]
            middle = mean(curved)
            found.append(mean((value - middle) ** 2 for value in curved))
    return mean(found)


@given(pictures())
def test_distances_are_what_the_loops_say(sets):
    assert l1(*sets) == pytest.approx(naive_l1(*sets), rel=1e-12)
    assert psnr(*sets) == pytest.approx(naive_psnr(*sets), rel=1e-12)


@given(pictures(least=9))
def test_ssim_is_what_the_loops_say(sets):
    sets = [pictures[:1, :12, :12] for pictures in sets]  # around the size of the window
    assert ssim(*sets) == pytest.approx(naive_ssim(*sets), abs=1e-10)


@given(pictures(sets=1))
def test_sharpness_is_what_the_loops_say(sets):
    assert sharpness(*sets) == pytest.approx(naive_sharpness(*sets), rel=1e-9, abs=1e-12)


# --- what is known without computing ----------------------------------------------------------------------


def test_black_and_white_are_as_far_apart_as_can_be():
    black, white = (np.full((2, 16, 16, 1), value, np.uint8) for value in (0, 255))
    assert l1(black, white) == 1 and psnr(black, white) == 0
    assert ssim(black, white) == pytest.approx(1e-4 / 1.0001)  # no variance: c1 / (1 + c1)


@pytest.mark.parametrize("shift", [1, 10, 100])
def test_a_constant_shift_has_known_distances(shift):
    grey = np.full((1, 12, 12, 3), 100, np.uint8)
    assert l1(grey, grey + np.uint8(shift)) == pytest.approx(shift / 255)
    assert psnr(grey, grey + np.uint8(shift)) == pytest.approx(20 * math.log10(255 / shift))


def test_equal_pictures_have_finite_scores():
    same = smooth()
    assert measures(same, same) == {
        "l1": 0, "psnr": fidelity.MOST_DB, "ssim": pytest.approx(1), "sharpness": sharpness(same),
        "sharpness_truth": sharpness(same),
    }
    other = same.copy()
    other[0, 0, 0, 0] ^= 1  # the least that can differ is less than what equality counts
    assert psnr(other[:1], same[:1]) < fidelity.MOST_DB


def test_psnr_is_the_mean_of_the_pictures_own():
    x, y = smooth(4, seed=1), smooth(4, seed=2)
    y[0] = x[0]
    assert psnr(x, y) == pytest.approx(np.mean([psnr(x[i : i + 1], y[i : i + 1]) for i in range(4)]))
    assert psnr(x, y) != pytest.approx(-10 * math.log10(np.square((x / 255) - y / 255).mean()), abs=1)


@given(pictures())
def test_nothing_depends_on_order_side_or_kind_of_numbers(sets):
    x, y = sets
    scores = l1(x, y), psnr(x, y), ssim(x, y)
    assert (l1(y, x), psnr(y, x), ssim(y, x)) == pytest.approx(scores)
    assert [f(x[::-1], y[::-1]) for f in (l1, psnr, ssim)] == pytest.approx(scores)
    assert [f(x[:, :, ::-1], y[:, :, ::-1]) for f in (l1, psnr, ssim)] == pytest.approx(scores)
    floats = [p.astype(np.float32) / 127.5 - 1 for p in sets]
    assert [f(*floats) for f in (l1, psnr, ssim)] == pytest.approx(scores, abs=1e-5)
    assert sharpness(floats[0]) == pytest.approx(sharpness(x), abs=1e-5) == sharpness(x[:, ::-1, ::-1])


def test_large_sets_go_through_in_blocks(monkeypatch):
    x, y = smooth(7, seed=1), smooth(7, seed=2)
    whole = measures(x, y)
    monkeypatch.setattr(fidelity, "BLOCK", 2 * x[0].size)
    assert measures(x, y) == pytest.approx(whole)


def test_values_beyond_the_screen_are_clipped():
    wild, white = np.full((1, 12, 12, 1), 7.0, np.float32), np.full((1, 12, 12, 1), 255, np.uint8)
    assert l1(wild, white) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_blurrier_the_less_sharp_and_like(seed):
    picture = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)).resize((48, 48), 0)
    series = [np.asarray(picture.filter(ImageFilter.GaussianBlur(r)))[None] for r in (0, 0.5, 1, 1.5, 2, 3, 4, 6)]
    near = [[f(p, series[0]) for p in series] for f in (ssim, psnr)]
    for ranked in ([sharpness(p) for p in series], *near):
        assert ranked == sorted(ranked, reverse=True) and len(set(ranked)) == len(ranked)


def test_a_hard_edge_is_sharper_than_a_soft_one_of_the_same_height():
    edge = np.repeat(np.arange(32) >= 16, 32).reshape(1, 32, 32, 1) * np.uint8(255)
    soft = np.asarray(Image.fromarray(edge[0, ..., 0]).filter(ImageFilter.GaussianBlur(2)))[None, ..., None]
    assert sharpness(edge) > 10 * sharpness(soft) > 0
    assert sharpness(np.full((1, 5, 5, 1), 200, np.uint8)) == 0


# --- baselines --------------------------------------------------------------------------------------------


def made(n=9, seed=0, shape=(8, 8, 3)):
    rng = np.random.default_rng(seed)
    return Pairs("made", *(rng.integers(0, 256, (n, *shape), np.uint8) for _ in "ab"))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32), st.sampled_from([1, 200, 2**23]))
def test_the_nearest_picture_is_the_one_a_loop_finds(n, m, seed, values):
    rng = np.random.default_rng(seed)
    inputs, known = (rng.integers(0, 4, (count, 2, 2, 1), np.uint8) for count in (n, m))  # with ties
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "LARGE", values)
        found = nearest(inputs, known)
    distances = [[int(((a.astype(int) - b) ** 2).sum()) for b in known] for a in inputs]
    assert found.tolist() == [row.index(min(row)) for row in distances]


def test_baselines_are_what_they_are_called():
    train = made()
    inputs = train.a[[4, 2]]
    found = baselines(inputs, train, (8, 8))
    np.testing.assert_array_equal(found["copy"], inputs)
    np.testing.assert_array_equal(found["nearest"], train.b[[4, 2]])
    np.testing.assert_allclose((found["mean"] + 1) * 127.5, np.broadcast_to(train.b.mean(0), (2, 8, 8, 3)), atol=1e-4)
    assert list(baselines(inputs, train.drop_pairing(), (8, 8))) == ["copy", "mean"]


def test_the_mean_beats_every_other_constant_picture_in_squares():
    train = made(20)
    mean_picture = baselines(train.a, train, (8, 8))["mean"]
    error = np.square(fidelity.unit(mean_picture) - fidelity.unit(train.b)).mean()
    for nudge in (-0.02, 0.02):
        assert np.square(fidelity.unit(mean_picture + np.float32(nudge)) - fidelity.unit(train.b)).mean() > error


def test_a_copy_takes_the_channels_and_size_of_the_target():
    grey, colour = made(shape=(8, 8, 1)), made()
    to_colour = Pairs("x", grey.a, colour.b)
    np.testing.assert_array_equal(baselines(grey.a, to_colour, (8, 8))["copy"], np.repeat(grey.a, 3, axis=3))
    to_grey = baselines(colour.a, Pairs("x", colour.a, grey.b), (8, 8))["copy"]
    assert to_grey.shape == grey.a.shape and to_grey.dtype == np.uint8
    np.testing.assert_allclose(to_grey[..., 0], np.asarray([Image.fromarray(p).convert("L") for p in colour.a]), atol=1)
    large = Pairs("x", colour.a, made(shape=(16, 16, 3)).b)
    assert l1(baselines(colour.a, large, (16, 16))["bicubic"][:, ::2, ::2], colour.a) < 0.2
    assert not {"copy", "bicubic"} & {*baselines(colour.a, Pairs("x", colour.a, made(shape=(12, 12, 3)).b), (12, 12))}


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("x, y", [((2, 8, 8, 3), (1, 8, 8, 3)), ((0, 8, 8, 3), (0, 8, 8, 3)), ((8, 8, 3), (8, 8, 3))])
def test_pictures_that_do_not_fit_are_refused(x, y):
    for function in (l1, psnr, ssim):
        with pytest.raises(UsageError, match=r"pictures \(N,H,W,C\)"):
            function(np.zeros(x, np.uint8), np.zeros(y, np.uint8))


def test_a_diverged_model_is_named():
    broken = np.full((1, 8, 8, 1), np.nan, np.float32)
    with pytest.raises(NumericError, match="diverged"):
        measures(broken, np.zeros((1, 8, 8, 1), np.uint8))
    with pytest.raises(UsageError, match="3 x 3"):
        sharpness(np.zeros((1, 2, 8, 1), np.uint8))
