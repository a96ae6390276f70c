"""Scores of translators that are no networks, so that what they deserve is known; and the segmenter, which is one."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inachus import kernels
from inachus.engine.data import Dataset, Pairs
from inachus.engine.data.dataset import normalised
from inachus.engine.evaluation import segmenter as segmenters
from inachus.engine.evaluation import verdict
from inachus.engine.evaluation.segmenter import Segmenter, agreement, segmenter
from inachus.engine.evaluation.translation import Domains, judge_of, spread

PALETTE = np.array([(0, 0, 0), (200, 30, 30), (30, 200, 30), (30, 30, 220)], np.uint8)
SKIN = np.array([(90, 120, 90), (160, 160, 60), (60, 110, 160), (120, 60, 120)])  # what a photo shows of each class


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path))


def coarse(n, seed=0, size=16):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, size // 4, size // 4, 3), np.uint8).repeat(4, 1).repeat(4, 2)


def recoloured(n, seed=0, paired=True):
    """Pairs of which b is the negative of a."""
    return Pairs("recoloured", coarse(n, seed), 255 - coarse(n, seed), paired, ("day", "night"))


def negative(pictures, to):
    return -normalised(pictures) if pictures.dtype == np.uint8 else -pictures


def same(pictures, to):
    return normalised(pictures) if pictures.dtype == np.uint8 else pictures


def maps(n, seed=0, size=16):
    """Pairs of a class map and a noisy photo of it."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, (n, 2, 2)).repeat(size // 2, 1).repeat(size // 2, 2)
    photos = SKIN[classes] + rng.integers(-25, 26, (n, size, size, 3))
    return Pairs("maps", PALETTE[classes], photos.astype(np.uint8), sides=("maps", "photos"), palettes=(PALETTE, None))


def judged(translate, train, test, paired=True, n=100):
    told = []
    return judge_of(train, test, paired, n, told.append)(translate), told


# --- with a truth -----------------------------------------------------------------------------------------


def test_the_perfect_translator_is_perfect():
    results, told = judged(negative, recoloured(12), recoloured(6, seed=1))
    scores = results["day to night"]
    assert list(results) == ["day to night"] and not told and scores["pictures"] == 6
    assert scores["l1"] == pytest.approx(0, abs=1e-7) and scores["ratio"] == pytest.approx(0, abs=1e-6)
    assert scores["psnr"] == 100 and scores["ssim"] == pytest.approx(1)
    assert scores["sharpness"] == pytest.approx(scores["sharpness_truth"], rel=1e-5)
    assert set(scores["baselines"]) == {"copy", "mean", "nearest"} and "labels" not in scores


def test_who_learned_nothing_scores_as_the_baseline_he_is():
    train, test = recoloured(12), recoloured(6, seed=1)
    scores = judged(same, train, test)[0]["day to night"]
    for measure in ("l1", "psnr", "ssim", "sharpness"):
        assert scores[measure] == pytest.approx(scores["baselines"]["copy"][measure], rel=1e-5)
    best = scores["best_baseline"]
    assert scores["baselines"][best]["l1"] == min(each["l1"] for each in scores["baselines"].values())
    assert scores["ratio"] == pytest.approx(scores["l1"] / scores["baselines"][best]["l1"])


def test_two_heaps_are_scored_both_ways_and_there_and_back():
    results, _ = judged(negative, recoloured(12), recoloured(6, seed=1), paired=False)
    assert list(results) == ["day to night", "night to day"]
    for scores in results.values():
        assert scores["l1"] == pytest.approx(0, abs=1e-7) and scores["cycle_l1"] == pytest.approx(0, abs=1e-7)
        assert set(scores["baselines"]) == {"copy", "mean"}  # who saw no pairs knows no nearest one
    half = judged(lambda x, to: 0.5 * negative(x, to), recoloured(12), recoloured(6), paired=False)[0]["day to night"]
    way_back = np.abs(normalised(coarse(6))) * (1 - 0.25) / 2
    assert half["cycle_l1"] == pytest.approx(way_back.mean(), rel=1e-5)


def test_fewer_pictures_are_spread_over_all():
    seen = []

    def watched(pictures, to):
        seen.append(pictures)
        return negative(pictures, to)

    test = recoloured(10, seed=1)
    assert judged(watched, recoloured(4), test, n=5)[0]["day to night"]["pictures"] == 5
    np.testing.assert_array_equal(seen[0], test.a[::2])
    assert len(spread(test.a, 99)) == 10


# --- without ----------------------------------------------------------------------------------------------


class Eye:
    """A judge that sees brightness: class 1 is bright."""

    classes, accuracy = 2, 0.75

    def features(self, items):
        means = items.mean(axis=(1, 2))
        return np.concatenate([means, means[:, :1] ** 2], axis=1)

    def probabilities(self, items):
        bright = (items.mean(axis=(1, 2, 3)) > 0).astype(float)
        return np.stack([1 - bright, bright], axis=1)


def shades(n, low, high, seed):
    rng = np.random.default_rng(seed)
    return np.broadcast_to(rng.integers(low, high, (n, 1, 1, 3)), (n, 8, 8, 3)).astype(np.uint8)


def test_without_a_truth_the_judge_looks_at_translations():
    dark, bright = shades(40, 0, 100, 1), shades(30, 156, 256, 2)
    told = []
    exam = Domains([dark, bright], ["dark", "bright"], (1, 0), Eye(), True, told.append)
    good, bad = exam(negative), exam(same)
    assert list(good) == ["dark to bright", "bright to dark"]
    assert [each["pictures"] for each in good.values()] == [40, 30]
    for way in good:
        assert (good[way]["target_rate"], bad[way]["target_rate"]) == (1, 0)
        assert good[way]["cycle_l1"] == pytest.approx(0, abs=1e-7) and good[way]["judge_accuracy"] == 0.75
        assert good[way]["frechet"] < 0.1 * bad[way]["frechet"] and good[way]["compared"] == 30
        assert "l1" not in good[way]
    one_way = Domains([dark, bright], ["dark", "bright"], (1,), None, False, told.append)(negative)
    assert set(one_way["dark to bright"]) == {"pictures", "sharpness", "sharpness_truth"}


def test_heaps_are_scored_with_a_judge_of_the_two():
    sides = [(shades(n, 0, 100, n), shades(n, 156, 256, n + 1)) for n in (40, 20)]
    heaps = [Pairs("shades", *both, False, ("dark", "bright")) for both in sides]
    results, told = judged(negative, *heaps, paired=False)
    scores = results["dark to bright"]
    assert scores["features"] == "classifier" and scores["target_rate"] == 1 and scores["judge_accuracy"] == 1
    assert "training the judge" in told[0] and "biased" in told[-1] and scores["biased"]


def test_domains_of_other_shapes_have_no_judge():
    heaps = Pairs("grey", shades(6, 0, 100, 1)[..., :1], shades(6, 156, 256, 2), False, ("grey", "bright"))
    results, _ = judged(lambda x, to: same(x, to)[..., :1].repeat((1, 3)[to], axis=3), heaps, heaps, paired=False)
    assert {"cycle_l1", "sharpness"} <= set(results["grey to bright"]) and "frechet" not in results["grey to bright"]


def test_many_domains_are_translated_into_each_that_has_pictures():
    items = np.concatenate([shades(5, low, low + 50, low) for low in (0, 100, 200)])
    test = Dataset("three", items, np.repeat([0, 1, 3], 5), ["a", "b", "none", "d"])
    asked = Counter()

    def brightened(pictures, to):
        asked[to] += len(pictures)
        return np.full(pictures.shape, (-0.8, 0, 0, 0.8)[to], np.float32)

    exam = Domains([test.items[test.labels == k] for k in range(4)], test.classes, (0, 1, 3), None, True, print)
    assert list(exam(brightened)) == ["others to a", "others to b", "others to d"]
    assert asked == {0: 20, 1: 20, 3: 20}  # ten there, and ten from the two others back


# --- labels -----------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 2**32))
def test_agreement_is_what_loops_count(classes, pixels, seed):
    rng = np.random.default_rng(seed)
    found, truth = rng.integers(0, classes, (2, 1, 1, pixels))
    pairs = list(zip(found.ravel().tolist(), truth.ravel().tolist(), strict=True))
    accuracies = [
        sum(f == t for f, t in pairs if t == k) / sum(t == k for _, t in pairs)
        for k in range(classes) if any(t == k for _, t in pairs)
    ]
    overlaps = [
        sum(f == t == k for f, t in pairs) / sum(k in pair for pair in pairs)
        for k in range(classes) if any(k in pair for pair in pairs)
    ]
    scores = agreement(found, truth, classes)
    assert scores["pixel_accuracy"] == pytest.approx(sum(f == t for f, t in pairs) / pixels)
    assert scores["class_accuracy"] == pytest.approx(math.fsum(accuracies) / len(accuracies))
    assert scores["class_iou"] == pytest.approx(math.fsum(overlaps) / len(overlaps))


def test_maps_out_of_photos_are_compared_class_by_class():
    train, test = maps(6).swapped(), maps(4, seed=1).swapped()
    truth = normalised(test.b)
    noisy = truth + np.random.default_rng(0).uniform(-0.2, 0.2, truth.shape).astype(np.float32)
    for answer in (truth, noisy):
        labels = judged(lambda x, to, answer=answer: answer, train, test)[0]["photos to maps"]["labels"]
        assert labels == {"kind": "maps", "classes": 4, "pixel_accuracy": 1, "class_accuracy": 1, "class_iou": 1}
    black = judged(lambda x, to: np.full_like(truth, -1), train, test)[0]["photos to maps"]["labels"]
    assert black["class_accuracy"] == 0.25
    assert black["pixel_accuracy"] == pytest.approx((test.b == 0).all(axis=-1).mean())


def test_photos_out_of_maps_are_scored_by_a_segmenter_that_is_trained_once(monkeypatch):
    monkeypatch.setattr(segmenters, "STEPS", 60)
    train, test = maps(16), maps(6, seed=1)
    photos = normalised(test.b)
    answers = {"real": photos, "shuffled": photos[::-1], "grey": np.zeros_like(photos)}
    exam = judge_of(train, test, True, 6, (told := []).append)
    scores = {k: exam(lambda x, to, v=v: v)["maps to photos"]["labels"] for k, v in answers.items()}
    assert scores["real"]["kind"] == "photos" and scores["real"]["real"]["pixel_accuracy"] > 0.9
    for measure, value in scores["real"]["real"].items():
        assert scores["real"][measure] == value  # the ceiling, reached by the photos themselves
        assert scores["grey"][measure] < value and scores["shuffled"][measure] < value
    again = judge_of(train, test, True, 6, told.append)(lambda x, to: photos)["maps to photos"]["labels"]
    assert again == scores["real"] and [text.split(" of ")[0] for text in told] == ["training the segmenter"]
    assert "FCN score" in verdict.line("x", exam(lambda x, to: photos)["maps to photos"])


def test_a_segmenter_needs_pairs():
    heaps = maps(6).drop_pairing()
    results, told = judged(lambda x, to: np.zeros(x.shape, np.float32), heaps, maps(4), paired=False)
    assert "labels" not in results["maps to photos"] and "true pairs to learn from" in told[0]


@pytest.mark.parametrize("height, width, channels", [(16, 16, 3), (13, 9, 1), (1, 3, 3)])
def test_the_segmenter_answers_every_pixel(height, width, channels):
    found = Segmenter(channels, 5).predict(np.zeros((2, height, width, channels), np.uint8))
    assert found.shape == (2, height, width) and found.dtype == np.int64 and 0 <= found.min() <= found.max() < 5


def test_a_broken_segmenter_in_the_cache_is_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr(segmenters, "STEPS", 1)
    told, pairs = [], maps(4).swapped()
    first = segmenter(pairs, PALETTE, told.append)
    for file in tmp_path.rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    second = segmenter(pairs, PALETTE, told.append)
    assert len(told) == 2
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(value, second.state_dict()[name])


@pytest.mark.usefixtures("emulated")
def test_what_learned_on_a_device_is_kept_for_all(monkeypatch):
    for name, value in {"STEPS": 1, "BATCH": 2, "WIDTHS": (4, 8, 8, 8)}.items():
        monkeypatch.setattr(segmenters, name, value)
    told, pairs = [], maps(4, size=8).swapped()
    first = segmenter(pairs, PALETTE, told.append)
    assert first.predict(pairs.a).shape == (4, 8, 8)
    kernels.use("reference")
    second = segmenter(pairs, PALETTE, told.append)
    assert len(told) == 1
    for name, value in second.state_dict().items():
        np.testing.assert_array_equal(value, kernels.fetch(first.state_dict()[name]))


# --- as text ----------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_everyone():
    exam = judge_of(recoloured(8), recoloured(4, seed=1), True, 4, print)
    scores = {name: exam(f)["day to night"] for name, f in (("good", negative), ("idle", same))}
    rows = verdict.table(scores).splitlines()
    assert [row.split()[0] for row in rows] == ["L1", "good", "idle", "copy", "mean", "nearest", "truth"]
    assert rows[2].split()[1:] == rows[3].split()[1:] and len({len(row) for row in rows}) == 1
    assert verdict.heading("good", scores["good"])[:3] == ["good", "L1 0.0000", "PSNR 100.00"]
    assert verdict.line("a to b", scores["idle"]).startswith(f"a to b: L1 {scores['idle']['l1']:.4f} (")
