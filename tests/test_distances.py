"""Distances between sets of features: closed forms, naive loops in plain Python, and known expectations.

Nothing is trained and no image is read. Points on an integer lattice make every distance exact, so ties and
duplicates, where `<` and `<=` part, are covered too.
"""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inachus.engine.errors import NumericError, UsageError
from inachus.engine.evaluation import distances
from inachus.engine.evaluation.distances import (
    class_statistics,
    floor,
    frechet,
    kid,
    mixture_coverage,
    prdc,
    precision_recall,
    sliced_wasserstein,
)

SEEDS, DIMS = st.integers(0, 2**32 - 1), st.integers(1, 8)
examples = settings(max_examples=40, deadline=None)


def white(rng, n, d):
    """n > d points whose mean is 0 and whose unbiased covariance is the identity, exactly."""
    points = rng.standard_normal((n, d))
    q, _ = np.linalg.qr(points - points.mean(axis=0))
    return q * math.sqrt(n - 1)


def lattice(rng, n, d):
    return rng.integers(-2, 3, (n, d)).astype(np.float64)


# --- Frechet


@examples
@given(SEEDS, st.integers(1, 130), st.integers(2, 60), st.integers(1, 130))
def test_frechet_of_identical_sets_is_zero(seed, d, n, rank):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d))  # singular when n <= d or rank < d
    assert 0 <= frechet(x, x.copy()) < 1e-6


@examples
@given(SEEDS, DIMS, st.integers(0, 30), st.booleans())
def test_frechet_of_exact_moments_is_the_closed_form(seed, d, extra, equal):
    rng = np.random.default_rng(seed)
    (a, b), (real_std, fake_std) = rng.standard_normal((2, d)), rng.uniform(0, 3, (2, d))
    mix = rng.standard_normal((d, d)) if equal else np.eye(d)
    fake_std = real_std if equal else fake_std
    x = white(rng, d + 2 + extra, d) * real_std @ mix + a
    y = white(rng, d + 9, d) * fake_std @ mix + b
    expected = np.square(a - b).sum() + np.square(real_std - fake_std).sum()
    assert frechet(x, y) == pytest.approx(expected, abs=1e-9)


@examples
@given(SEEDS, DIMS, st.floats(0.01, 100))
def test_frechet_ignores_rotation_order_and_direction_and_scales_quadratically(seed, d, scale):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((20, d)), rng.standard_normal((25, d)) * 2 + 1
    rotation, _ = np.linalg.qr(rng.standard_normal((d, d)))
    value = frechet(x, y)
    same = pytest.approx(value, rel=1e-9)
    assert frechet(x @ rotation, y @ rotation) == same
    assert frechet(rng.permutation(x), rng.permutation(y)) == same
    assert frechet(y, x) == same
    assert frechet(x * scale, y * scale) == pytest.approx(value * scale**2, rel=1e-9)


@examples
@given(SEEDS, st.integers(1, 40), st.integers(2, 20), st.integers(2, 20), st.integers(0, 3))
def test_frechet_of_singular_covariances_is_the_gap_between_centred_data(seed, d, n, m, rank):
    # the cross term is also the sum of the singular values of X_c Y_c^T, which needs no covariance at all
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((k, rank)) @ rng.standard_normal((rank, d)) for k in (n, m))
    xc, yc = ((z - z.mean(axis=0)) / math.sqrt(len(z) - 1) for z in (x, y))
    cross = np.linalg.svd(xc @ yc.T, compute_uv=False).sum()
    shift = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    total = np.square(xc).sum() + np.square(yc).sum()
    assert frechet(x, y) == pytest.approx(shift + total - 2 * cross, abs=1e-9 * (1 + total))


def test_frechet_takes_float32_and_computes_in_float64():
    x = (np.random.default_rng(0).standard_normal((50, 3)) + 1000).astype(np.float32)
    y = x + np.float32(1)
    assert frechet(x, y) == frechet(x.astype(np.float64), y.astype(np.float64)) == pytest.approx(3, abs=1e-6)
    assert distances.enough_samples(6, 3) and not distances.enough_samples(5, 3)


# --- kernel distance


def naive_mmd(x, y):
    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    m, indices = len(x), range(len(x))
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i in indices for j in indices if i != j)
    return within / (m * (m - 1)) - 2 / m**2 * sum(k(x[i], y[j]) for i in indices for j in indices)


@examples
@given(SEEDS, DIMS, st.integers(2, 12))
def test_kid_equals_the_double_loop(seed, d, n):
    x, y = np.random.default_rng(seed).standard_normal((2, n, d))
    mean, std = kid(x, y, subsets=2, size=n + 5)
    both = np.vstack([x, y])
    scale = np.abs((both @ both.T / d + 1) ** 3).max()
    assert mean == pytest.approx(naive_mmd(x.tolist(), y.tolist()), abs=1e-12 * scale)
    assert std <= 1e-12 * scale  # every subset is the whole set


def test_kid_is_unbiased_seeded_and_sees_a_shift():
    x, y = np.random.default_rng(0).standard_normal((2, 4000, 4))
    mean, std = kid(x, y, size=200)
    assert std > 0 and abs(mean) < 4 * std / math.sqrt(4000 / 200)  # 20 disjoint subsets at most
    assert kid(x, y, size=200) == (mean, std) != kid(x, y, size=200, seed=1)
    assert kid(x, y + 1, size=200)[0] > 10 * std


# --- balls around points


def squared_distance(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def naive_radii(points, k):
    others = [[squared_distance(a, b) for j, b in enumerate(points) if j != i] for i, a in enumerate(points)]
    return [sorted(row)[k - 1] for row in others]


def naive_balls(real, fake, k, closed):
    def inside(a, b, radius):
        return squared_distance(a, b) <= radius if closed else squared_distance(a, b) < radius

    in_real = [[inside(f, r, c) for r, c in zip(real, naive_radii(real, k), strict=True)] for f in fake]
    in_fake = [[inside(f, r, c) for f, c in zip(fake, naive_radii(fake, k), strict=True)] for r in real]
    return {
        "precision": sum(any(row) for row in in_real) / len(fake),
        "recall": sum(any(row) for row in in_fake) / len(real),
        "density": sum(map(sum, in_real)) / (k * len(fake)),
        "coverage": sum(any(column) for column in zip(*in_real, strict=True)) / len(real),
    }


@examples
@given(SEEDS, st.integers(1, 3), st.integers(2, 50), st.integers(2, 50), st.data())
def test_ball_scores_equal_the_naive_loops_with_ties_and_duplicates(seed, d, n, m, data):
    rng = np.random.default_rng(seed)
    k = data.draw(st.integers(1, min(n, m) - 1))
    real, fake = lattice(rng, n, d), lattice(rng, m, d)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "BLOCK_BYTES", data.draw(st.sampled_from([1, 8 * 3 * n, 2**26])))
        closed, opened = precision_recall(real, fake, k=k), prdc(real, fake, k=k)
    expected = naive_balls(real.tolist(), fake.tolist(), k, closed=True)
    assert closed == pytest.approx({name: expected[name] for name in ("precision", "recall")}, abs=1e-12)
    assert opened == pytest.approx(naive_balls(real.tolist(), fake.tolist(), k, closed=False), abs=1e-12)


@examples
@given(SEEDS, DIMS)
def test_ball_scores_ignore_the_order_of_points(seed, d):
    rng = np.random.default_rng(seed)
    real, fake = lattice(rng, 30, d), lattice(rng, 20, d)
    assert precision_recall(real, fake) == precision_recall(rng.permutation(real), rng.permutation(fake))
    assert prdc(real, fake) == prdc(rng.permutation(real), rng.permutation(fake))


def test_ball_scores_of_a_set_against_itself_and_of_a_collapsed_generator():
    real = np.random.default_rng(0).standard_normal((200, 16))
    assert precision_recall(real, real.copy()) == {"precision": 1, "recall": 1}
    collapsed = np.repeat(real[:1], 100, axis=0)
    assert prdc(real, collapsed)["precision"] == 1 and prdc(real, collapsed)["coverage"] < 0.3
    assert precision_recall(real, collapsed)["recall"] <= 1 / 200
    assert prdc(real, real + 100) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


@pytest.mark.parametrize("k", [1, 3, 5])
def test_identical_distributions_cover_one_minus_two_to_the_minus_k_at_density_one(k):
    rng, n, trials = np.random.default_rng(k), 400, 20
    scores = [prdc(*rng.standard_normal((2, n, 3)), k=k) for _ in range(trials)]
    # a ball is empty when its centre's k nearest among the N-1 other reals and the N fakes are all real
    expected = 1 - math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    assert expected == pytest.approx(1 - 2**-k, abs=0.01)
    # four sigma: variance at most 1/4 a ball, and about k neighbouring balls share their fakes
    coverage = np.mean([s["coverage"] for s in scores])
    assert coverage == pytest.approx(expected, abs=2 * math.sqrt(k / n / trials))
    assert np.mean([s["density"] for s in scores]) == pytest.approx(1, abs=0.1)


def test_ball_scores_stay_within_their_memory(monkeypatch):
    x, y = np.random.default_rng(0).standard_normal((2, 2000, 4))
    monkeypatch.setattr(distances, "BLOCK_BYTES", 2**20)  # the 2000 x 2000 distances are 32 MB
    tracemalloc.start()
    prdc(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


# --- classifier


def test_class_statistics_by_hand():
    p = np.array([[0.9, 0.1, 0, 0], [0.6, 0.4, 0, 0], [0, 1, 0, 0], [0.5, 0.1, 0.2, 0.2]])
    kls = [sum(a * math.log(a / b) for a, b in zip(row, p.mean(axis=0), strict=True) if a) for row in p]
    expected = {
        "histogram": [3, 1, 0, 0],
        "total_variation": 0.5,
        "classes_present": 2,
        "mean_confidence": pytest.approx(0.75),
        "classifier_score": pytest.approx(math.exp(sum(kls) / 4)),
    }
    assert class_statistics(p) == expected == class_statistics(p[[2, 0, 3, 1]].astype(np.float32))
    assert class_statistics(p, reference=np.array([3, 1, 0, 0]))["total_variation"] == 0


def test_class_statistics_of_perfect_and_collapsed_generators():
    perfect = class_statistics(np.eye(10)[np.arange(1000) % 10])
    assert perfect["classifier_score"] == pytest.approx(10)
    assert perfect["total_variation"] == pytest.approx(0, abs=1e-12)
    for strays, present in ((10, 1), (11, 2)):  # up to 1 % of all samples may be the judge's own mistakes
        collapsed = class_statistics(np.eye(10)[(np.arange(1000) < strays).astype(int)])
        assert collapsed["classes_present"] == present
        assert collapsed["total_variation"] == pytest.approx(0.9 - strays / 1000)


# --- refusals

GOOD, HALVES = np.random.default_rng(0).standard_normal((10, 2)), np.full((4, 2), 0.5)
PAIRS = [frechet, kid, precision_recall, prdc, sliced_wasserstein]


@pytest.mark.parametrize("distance", PAIRS)
def test_sets_that_do_not_fit_are_refused_and_good_ones_left_alone(distance):
    for bad in (GOOD[:0], GOOD[0], GOOD[:, :1], GOOD[None]):
        with pytest.raises(UsageError, match=distance.__name__):
            distance(GOOD, bad)
    with pytest.raises(NumericError, match="NaN"):
        distance(GOOD, GOOD * np.nan)
    x, y = GOOD.copy(), GOOD[::-1].copy()
    distance(x, y)
    assert np.array_equal(x, GOOD) and np.array_equal(y, GOOD[::-1])


WRONG = {
    "one row": lambda: frechet(GOOD, GOOD[:1]),
    "no subset": lambda: kid(GOOD, GOOD, subsets=0),
    "subsets of one": lambda: kid(GOOD, GOOD, size=1),
    "k not below N": lambda: prdc(GOOD, GOOD[:5], k=5),
    "k of zero": lambda: precision_recall(GOOD, GOOD, k=0),
    "logits": lambda: class_statistics(GOOD),
    "sums of 2": lambda: class_statistics(HALVES * 2),
    "long reference": lambda: class_statistics(HALVES, reference=np.ones(3)),
    "negative reference": lambda: class_statistics(HALVES, reference=np.array([-1.0, 2])),
    "empty reference": lambda: class_statistics(HALVES, reference=np.zeros(2)),
    "sigma of zero": lambda: mixture_coverage(GOOD, GOOD[:8], 0.0),
    "3-D mixture": lambda: mixture_coverage(np.ones((4, 3)), np.ones((2, 3)), 1.0),
    "no direction": lambda: sliced_wasserstein(GOOD, GOOD, directions=0),
    "nothing to halve": lambda: floor(GOOD[:1], frechet),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_wrong_settings_are_refused(call):
    with pytest.raises(UsageError):
        call()
