"""Points of a mixture that a CSV file lists, and what becomes of a file that lists none."""

import numpy as np
import pytest

from inachus.engine.data import load
from inachus.engine.errors import DataError
from inachus.engine.evaluation import judgement
from inachus.engine.evaluation.distances import mixture_coverage


def written(tmp_path, text):
    path = tmp_path / "three.csv"
    path.write_text(text)
    return path


def test_a_file_of_centres_is_a_data_set(tmp_path):
    points = load(written(tmp_path, "0, 0, 0.5\n10, 0\n\n-5, 5, 1\n"))
    assert (points.kind, points.shape, len(points), len(points.classes)) == ("points", (2,), 100_000, 3)
    scale = 4 / 2.828 / 10  # the largest coordinate of a centre becomes that of the customary grid
    np.testing.assert_allclose(points.mixture.centres, np.array([[0, 0], [10, 0], [-5, 5]]) * scale, rtol=1e-6)
    for mode, sigma in enumerate([0.5 * scale, 0.05 / 2.828, scale]):
        mine = points.items[points.labels == mode] - points.mixture.centres[mode]
        np.testing.assert_allclose(mine.std(axis=0), sigma, rtol=0.02)


def test_it_is_judged_by_its_own_modes(tmp_path):
    path = written(tmp_path, "0,0,0.5\n10,0\n-5,5,1\n")
    train, test = load(path), load(path, split="test")
    result = judgement.judge_points(test.items, train, test)
    assert result["modes"] == 3
    assert result["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.004)  # 5 standard errors of 20,000
    assert result["spread"] == pytest.approx(1, abs=0.03)


def test_the_nearest_mode_is_nearest_in_units_of_its_width():
    centres, sigma = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.05, 1.0])
    found = mixture_coverage(np.array([[0.3, 0.0], [0.01, 0.0]]), centres, sigma)
    assert (found["modes"], found["high_quality"]) == (2, 1.0)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "0 modes"),
        ("1,2\n1\n", "line 2: expected x,y"),
        ("1,2,3,4\n", "line 1: expected x,y"),
        ("x,y\n1,2\n", "line 1: expected x,y"),
        ("1,nan\n", "line 1: needs numbers"),
        ("1,1e9\n", "line 1: needs numbers"),
        ("1,2,-1\n", "positive sigma"),
        ("0,0\n" * 1001, "1,001 modes"),
    ],
)
def test_any_other_file_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        load(written(tmp_path, text))
