"""Distances between sets of points: the coverage of a mixture, sliced Wasserstein, and the real-against-real floor.

The distances between features are in `test_distances.py`.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inachus.engine.evaluation.distances import floor, mixture_coverage, sliced_wasserstein

SEEDS, DIMS = st.integers(0, 2**32 - 1), st.integers(1, 8)
examples = settings(max_examples=40, deadline=None)

# --- mixtures

STEPS, ANGLES = np.arange(-4.0, 5, 2), np.arange(8) * math.pi / 4
GRID = np.array([(a, b) for a in STEPS for b in STEPS])
RING = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


@pytest.mark.parametrize(("centres", "sigma"), [(RING, 0.01), (GRID, 0.05)], ids=["ring", "grid"])
def test_a_perfect_sampler_covers_the_mixture(centres, sigma):
    rng, n, modes, ideal = np.random.default_rng(0), 20_000, len(centres), 1 - math.exp(-4.5)
    points = centres[rng.integers(modes, size=n)] + sigma * rng.standard_normal((n, 2))
    result = mixture_coverage(points, centres, sigma)
    assert result["modes"] == modes
    assert result["high_quality"] == pytest.approx(ideal, abs=4 * math.sqrt(ideal * (1 - ideal) / n))
    # 2 N KL is chi-squared with K-1 degrees of freedom
    assert abs(2 * n * result["reverse_kl"] - (modes - 1)) < 4 * math.sqrt(2 * (modes - 1))
    assert result["spread"] == pytest.approx(1, abs=4 / math.sqrt(4 * n))
    assert mixture_coverage(rng.permutation(points), centres, sigma) == pytest.approx(result, rel=1e-9)


def test_mixture_coverage_sees_lost_modes_shrinkage_and_strays():
    rng = np.random.default_rng(0)
    points = GRID[rng.integers(5, size=5000)] + 0.03 + 0.02 * rng.standard_normal((5000, 2))  # off centre
    points[:1000] = 50.0
    result = mixture_coverage(points, GRID, 0.05)
    assert result["modes"] == 5 and result["high_quality"] == pytest.approx(0.8)
    assert result["reverse_kl"] == pytest.approx(math.log(5), abs=0.01)
    assert result["spread"] == pytest.approx(0.4 / 0.974, rel=0.03)


def test_mixture_coverage_of_too_few_good_points_is_undefined_not_perfect():
    lost, one_each = mixture_coverage(np.full((10, 2), 9.0), RING, 0.01), mixture_coverage(RING, RING, 0.01)
    assert lost["modes"] == lost["high_quality"] == 0
    assert math.isnan(lost["reverse_kl"]) and math.isnan(lost["spread"])
    assert one_each["modes"] == 8 and math.isnan(one_each["spread"])


# --- sliced Wasserstein and the floor


@examples
@given(SEEDS, st.integers(1, 8), st.integers(1, 8))
def test_sliced_wasserstein_in_one_dimension_is_the_integral_of_quantile_differences(seed, n, m):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal(n), rng.standard_normal(m)
    repeated = zip(sorted([*x] * m), sorted([*y] * n), strict=True)  # the same laws as n m points each
    expected = sum(abs(a - b) for a, b in repeated) / (n * m)
    assert sliced_wasserstein(x[:, None], y[:, None], directions=3) == pytest.approx(expected, abs=1e-12)


@examples
@given(SEEDS, DIMS, st.integers(1, 20), st.integers(1, 20))
def test_sliced_wasserstein_is_a_metric(seed, d, n, m):
    rng = np.random.default_rng(seed)
    x, y, z = (rng.standard_normal((k, d)) for k in (n, m, 7))
    value = sliced_wasserstein(x, y)
    assert sliced_wasserstein(x, rng.permutation(x)) == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein(y, rng.permutation(x)) == pytest.approx(value, abs=1e-12)
    assert value <= sliced_wasserstein(x, z) + sliced_wasserstein(z, y) + 1e-12


def test_sliced_wasserstein_of_a_shift_in_the_plane():
    x = np.random.default_rng(0).standard_normal((100, 2))
    mean, std = 2 / math.pi, math.sqrt(1 / 2 - 4 / math.pi**2)  # of |cos| of a random angle
    value = sliced_wasserstein(x, x + np.array([3, 4]))
    assert value == pytest.approx(5 * mean, abs=5 * 4 * std / math.sqrt(512))


@examples
@given(SEEDS, st.integers(2, 30))
def test_floor_compares_disjoint_halves(seed, n):
    x = np.arange(2 * n).reshape(n, 2)
    a, b = floor(x, lambda a, b: (a, b), seed=seed)
    assert len(a) == len(b) == n // 2
    assert len(set(a[:, 0]) | set(b[:, 0])) == 2 * (n // 2)
    assert set(a[:, 0]) | set(b[:, 0]) <= set(x[:, 0])
    assert np.array_equal(a, floor(x, lambda a, b: a, seed=seed))
    many = np.arange(100)[:, None]
    assert not np.array_equal(*(floor(many, lambda a, b: a, seed=s) for s in (seed, seed + 1)))
