"""InfoGAN: what its information is, whom it moves, how codes are matched to classes, what its preview shows."""

from itertools import permutations

import numpy as np
import pytest
import small
from hypothesis import given
from hypothesis import strategies as st

from inachus.engine import constant, data, grad
from inachus.engine.errors import UsageError
from inachus.engine.evaluation import codes
from inachus.engine.random import Generator
from inachus.engine.training import state

made = small.model
DIGITS = data.load("digits", limit=small.COUNT)
UNLABELLED = data.Dataset("bare", DIGITS.items)


def batch(model, n=8):
    return small.batch(model, DIGITS, n)


def copies(model):
    arrays, values = state.collect(model)
    return {name: array.copy() for name, array in arrays.items()}, values


# --- codes and classes -------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_the_assignment_is_the_best_of_all(rows, columns, high, seed):
    worth = np.random.default_rng(seed).integers(-high, high + 1, (rows, columns))  # many ties
    i, j = codes.assigned(worth)
    assert len(set(i)) == len(set(j)) == len(i) == min(rows, columns) and (np.diff(i) > 0).all()
    wide = worth if rows <= columns else worth.T
    choices = permutations(range(wide.shape[1]), len(wide))
    best = max(sum(wide[r, c] for r, c in enumerate(chosen)) for chosen in choices)
    assert worth[i, j].sum() == best


@pytest.mark.parametrize("worth", [np.zeros(3), [[1.0, np.nan]], [[np.inf]]])
def test_an_assignment_needs_finite_numbers(worth):
    with pytest.raises(UsageError, match="matrix of finite numbers"):
        codes.assigned(np.asarray(worth))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_code_match_is_the_best_naming_of_the_codes(values, classes, seed):
    rng = np.random.default_rng(seed)
    found, labels = rng.integers(0, values, 30), rng.integers(0, classes, 30)
    names = [*range(classes), *[-1] * values]  # a code may be named after no class
    best = max(sum(named[c] == y for c, y in zip(found, labels, strict=True)) for named in permutations(names, values))
    assert codes.code_match(found, labels, values, classes) == pytest.approx(best / 30)


def test_code_match_does_not_count_a_class_twice():
    assert codes.code_match(np.array([0, 0, 1, 1]), np.array([5, 5, 5, 5]), 2, 6) == 0.5


def test_information_is_between_nothing_and_the_entropy():
    c = np.arange(12) % 4
    sure = np.where(np.eye(4)[c] > 0, 0.0, -50.0)
    assert codes.information(sure, c) == pytest.approx(np.log(4))
    assert codes.information(np.full((12, 4), -np.log(4)), c) == pytest.approx(0)
    half = np.log(np.where(np.isin(np.arange(4)[None] // 2, 0) == (c[:, None] // 2 == 0), 0.5, 1e-9))  # one bit of two
    assert codes.information(half, c) == pytest.approx(np.log(2))


# --- the loss ----------------------------------------------------------------------------------------------


def test_the_loss_is_what_q_does_not_know():
    model, rng = made("infogan", "categories=3", "codes=2", "weight=2", "code_weight=0.5"), np.random.default_rng(0)
    guess, told = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 5), (6, 2)))
    category = rng.integers(0, 3, 6)
    loss, values = model.ignorance(constant(guess), category, constant(told))
    e = np.exp(guess[:, :3].astype(np.float64))
    unknown = -np.log(e / e.sum(axis=1, keepdims=True))[np.arange(6), category].mean()
    off = (np.square(guess[:, 3:].astype(np.float64) - told).sum(axis=1) / 2).mean()
    assert values["category"].item() == pytest.approx(unknown, rel=1e-5)
    assert loss.item() == pytest.approx(2 * unknown + 0.5 * off, rel=1e-5)


@pytest.mark.parametrize("weights", [("weight=0", "code_weight=0"), ("weight=1", "code_weight=0.1")])
def test_the_information_is_in_both_losses(weights):
    """Without it Q's own layers stay where they are and G's step is another one."""
    model = made("infogan", *weights)
    before = {name: t.data.copy() for name, t in model.D.heads[1].named_parameters()}
    model.step(batch(model))
    moved = any(not np.array_equal(t.data, before[name]) for name, t in model.D.heads[1].named_parameters())
    assert moved == (weights[0] != "weight=0")
    z, category, told = model.drawn(8, model.rng)
    loss, _ = model.ignorance(model.D(model.G(model.joined(z, category, told)))[1], category, told)
    steepest = max(np.abs(g.data).max() for g in grad(loss, model.G.parameters()))
    assert (steepest > 0) == moved


def test_q_learns_to_guess():
    """On pictures that show their code, the first pixels being the one-hot row, D's optimizer alone makes Q see it."""
    model = made("infogan", "width=4", "lr=0.01", "codes=0", "norm=false")
    category = np.arange(32) % 10
    x = np.full((32, 28, 28, 1), -1, np.float32)
    for i, c in enumerate(category):
        x[i, 2 * c : 2 * c + 3, 4:24] = 1
    seen = []
    for _ in range(60):
        loss, values = model.ignorance(model.D(constant(x))[1], category, None)
        seen.append(values["category"].item())
        model.d_optimizer.minimize(loss)
    assert seen[-1] < 0.1 < 2 < seen[0]


# --- codes -------------------------------------------------------------------------------------------------


def test_the_noise_holds_its_codes():
    model = made("infogan", "z=4", "categories=3", "codes=2")
    noise = model.noise(3000, Generator(1)).numpy()
    assert noise.shape == (3000, model.network_inputs()["G"][0])
    each = noise[:, 4:7]
    assert set(each.reshape(-1)) == {0, 1} and (each.sum(axis=1) == 1).all()
    assert each.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.04)
    others = np.delete(noise, [4, 5, 6], axis=1)
    assert -1 <= others.min() < -0.99 and 0.99 < others.max() < 1
    np.testing.assert_allclose(others.var(axis=0), 1 / 3, rtol=0.1)


@pytest.mark.parametrize("categories, count", [(10, 2), (2, 0), (25, 1)])
def test_the_preview_moves_one_code_at_a_time(categories, count, monkeypatch):
    model, seen = made("infogan", "z=3", f"categories={categories}", f"codes={count}"), []
    monkeypatch.setattr(model, "sample", lambda n, z: seen.append(z.numpy()))
    columns = model.preview(DIGITS)["columns"]
    rows = seen[0].reshape(-1, columns, 3 + categories + count)
    assert columns == min(categories, 20) and len(rows) == 5 + 3 * count
    assert (rows[:5, :, 3 : 3 + categories].argmax(axis=2) == np.arange(columns)).all()
    for code in range(count):
        np.testing.assert_allclose(rows[5 + 3 * code, :, 3 + categories + code], np.linspace(-2, 2, columns), rtol=1e-6)
    for i, row in enumerate(rows):
        moved = np.flatnonzero(np.ptp(row, axis=0))
        expected = range(3, 3 + columns) if i < 5 else [3 + categories + (i - 5) // 3]
        assert set(moved) == set(expected)


def test_it_is_examined_without_being_changed():
    model = made("infogan", "categories=4")
    model.step(batch(model))
    before = copies(model)
    result = model.examine(UNLABELLED, UNLABELLED, lambda text: None)
    assert result.keys() == {"information", "information_share"}  # no classes to match
    assert result["information"] == pytest.approx(result["information_share"] * np.log(4)) and result["information"] < 1
    after = copies(model)
    assert before[1] == after[1] and all(np.array_equal(a, after[0][name]) for name, a in before[0].items())
    assert model.D.training and model.G.training and not model.average.network.training


def test_a_judge_says_which_class_a_code_makes(monkeypatch):
    """With a generator that draws a bright or a dark picture by its code, and a judge that sees just that."""
    from inachus.models.conditional import infogan

    class Brightness:
        classes = 2

        def probabilities(self, items):
            light = items.reshape(len(items), -1).mean(axis=1, keepdims=True) > 0
            return np.concatenate([light, ~light], axis=1)

    model = made("infogan", "z=3", "categories=2", "codes=0")
    monkeypatch.setattr(infogan, "chosen_judge", lambda *_: (Brightness(), "classifier"))
    monkeypatch.setattr(model, "sample", lambda n, z: np.broadcast_to(
        (2 * z.numpy()[:, 4] - 1).reshape(-1, 1, 1, 1), (len(z), 28, 28, 1)).astype(np.float32))
    assert model.examine(DIGITS, DIGITS, lambda text: None)["code_match"] == 1


def test_it_learns_points():
    points = data.load("mixture-ring8", limit=200)
    model = made("infogan", "categories=8", shape=(2,), classes=8)
    values = model.step(small.batch(model, points, 16))
    assert np.isfinite(list(values.values())).all() and model.preview(points)["items"].shape[1] == 2
    assert model.examine(points, points, lambda text: None).keys() == {"information", "information_share"}
