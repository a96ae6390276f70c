"""The discriminator alone: what a climb does to points, and what a step does to D and to the kept negatives."""

import numpy as np
import small

from inachus.engine import constant, ops
from inachus.engine.data import Batch
from inachus.engine.random import Generator


def points(*pairs, seed=0):
    return small.model("energy", *pairs, seed=seed, shape=(2,))


def hill(x):
    """-(x - 1)^2 / 2 - (y + 0.5)^2 / 2, whose top is (1, -0.5)."""
    return -0.5 * ops.square(x - constant(np.array([[1, -0.5]], np.float32)))


def test_a_climb_without_noise_is_gradient_ascent():
    model, start = points("stride=0.25", "reach=1"), np.array([[0, 0], [2, 1]], np.float32)
    top = np.array([1, -0.5])
    found = model.climbed(hill, start, 3, None)
    np.testing.assert_allclose(found, top + (start - top) * 0.75**3, rtol=1e-5)


def test_a_step_goes_no_further_than_reach_and_stays_inside():
    model = points("stride=100", "reach=0.1")
    found = model.climbed(hill, np.array([[-2, 2]], np.float32), 5, None)
    np.testing.assert_allclose(found, [[-1.5, 1.5]], rtol=1e-5)
    away = model.climbed(lambda x: 9 * x, np.full((1, 2), 1.95, np.float32), 5, None)
    np.testing.assert_array_equal(away, [[2, 2]])


def test_noise_spreads_what_a_flat_landscape_leaves():
    model = points("noise=0.05")
    found = model.climbed(lambda x: 0 * x, np.zeros((4000, 2), np.float32), 4, Generator(1))
    np.testing.assert_allclose(found.std(axis=0), 0.05 * 4**0.5, rtol=0.05)  # 2 sqrt(1 / 8000) is 2 %


def test_a_step_moves_a_batch_of_the_negatives_and_no_other():
    model = points("kept=50", "fresh=0")
    before, weights = model.negatives.items.copy(), [p.data.copy() for p in model.D.parameters()]
    model.step(Batch(np.zeros((8, 2), np.float32)))
    moved = (model.negatives.items != before).any(axis=1)
    assert moved.sum() == 8
    assert np.abs(model.negatives.items - before).max() < 0.5
    assert all(p.requires_grad for p in model.D.parameters())
    assert any((p.data != w).any() for p, w in zip(model.D.parameters(), weights, strict=True))


def test_with_fresh_1_every_negative_begins_anywhere():
    model = points("kept=400", "fresh=1", "climb=1")
    model.negatives.items[...] = 0
    model.step(Batch(np.zeros((400, 2), np.float32)))
    assert 1.0 < model.negatives.items.std() < 1.3  # U(-2, 2): 4 / sqrt 12 = 1.15


def test_points_and_pictures_climb_differently_unless_told():
    pictures = small.model("energy", shape=(8, 8, 1))
    assert (points().settings.stride, pictures.settings.stride) == (1e-3, 10.0)
    assert points("stride=0.5").settings.stride == 0.5


def test_training_raises_d_where_the_data_are():
    model = points("width=8", "climb=5", "kept=200")
    rng = np.random.default_rng(0)
    for _ in range(60):
        model.step(Batch((rng.standard_normal((64, 2)) * 0.05 + [1, 1]).astype(np.float32)))
    model.D.eval()
    there, elsewhere = (float(model.D(constant(np.float32([p]))).data[0, 0]) for p in ([1, 1], [-1, -1]))
    assert there > elsewhere + 0.3
