"""Triple-GAN: which labels are used, its losses against NumPy, what each player moves, and what is measured."""

import numpy as np
import pytest
import small
from test_cli import done, run, write_squares

from inachus.engine import constant, data, no_grad
from inachus.engine.data import Dataset, FewLabels, few
from inachus.engine.errors import DataError, UsageError
from inachus.engine.training import state

made = small.model
DIGITS = data.load("digits", limit=200)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path / "cache"))


# --- few labels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10, 20, 37, 100])
def test_the_choice_is_balanced_and_a_function_of_the_seed(count):
    chosen = few(DIGITS, count, seed=4)
    per_class = np.bincount(DIGITS.labels[chosen], minlength=10)
    assert len(np.unique(chosen)) == count and per_class.max() - per_class.min() <= 1
    assert np.array_equal(chosen, few(DIGITS, count, seed=4)) and not np.array_equal(chosen, few(DIGITS, count, seed=5))


def test_labels_that_cannot_be_chosen_are_refused():
    with pytest.raises(UsageError, match=r"9 labels for 10 classes.*--set labels=100"):
        few(DIGITS, 9)
    with pytest.raises(DataError, match="class '0' has 20 items, and 21 labels"):
        few(DIGITS, 201)
    with pytest.raises(DataError, match="has no labels to learn from"):
        few(Dataset("bare", DIGITS.items), 10)


def test_batches_hold_the_chosen_labels_and_no_others():
    loader = FewLabels(DIGITS, 32, seed=1, count=20)
    known, seen = few(DIGITS, 20, 1), []
    pictures = {DIGITS.normalised(slice(i, i + 1)).tobytes(): i for i in range(200)}
    for position in range(5):
        batch = loader.batch_at(position)
        assert batch.items.shape == (48, 28, 28, 1) and batch.labels.shape == (16,)
        places = [pictures[item[None].tobytes()] for item in batch.items]
        assert set(places[:16]) <= set(known) and np.array_equal(DIGITS.labels[places[:16]], batch.labels)
        seen += places[16:]
    assert len(set(seen)) == 160  # an epoch is not over: none twice
    again = FewLabels(DIGITS, 32, seed=1, count=20).batch_at(3)
    np.testing.assert_array_equal(again.items, loader.batch_at(3).items)


def test_all_labels_fit_a_batch_that_is_larger():
    batch = FewLabels(DIGITS, 100, seed=1, count=20).batch_at(0)
    assert sorted(np.bincount(batch.labels)) == [2] * 10 and len(batch.items) == 120


def test_labels_that_were_not_chosen_change_nothing():
    other = Dataset("other", DIGITS.items, DIGITS.labels.copy(), DIGITS.classes)
    unknown = np.setdiff1d(np.arange(200), few(DIGITS, 20, 0))
    outcomes = []
    for dataset in (DIGITS, other):
        model, loader = made("triplegan"), FewLabels(DIGITS, 8, 0, 20)
        loader.dataset = dataset
        for i in range(2):
            model.step(loader.batch_at(i))
        outcomes.append(state.collect(model)[0])
        other.labels[unknown] = (other.labels[unknown] + 3) % 10
    assert all(np.array_equal(outcomes[0][name], outcomes[1][name]) for name in outcomes[0])


# --- losses ------------------------------------------------------------------------------------------------


def softplus(x):
    return np.log1p(np.exp(x))


def test_the_discriminators_loss_is_that_of_four_kinds_of_pairs():
    model, rng = made("triplegan", classes=3), np.random.default_rng(0)
    scores = {kind: rng.normal(size=(4, 3)).astype(np.float32) for kind in ("true", "guessed", "made")}
    classes = {kind: np.eye(3, dtype=np.float32)[rng.integers(0, 3, 4)] for kind in scores}
    model.D = lambda x: x
    loss = model.d_loss(*((constant(scores[k]), constant(classes[k])) for k in scores)).item()
    s = {k: (scores[k] * classes[k]).sum(1) for k in scores}
    expected = softplus(-s["true"]).mean() + softplus(-s["guessed"]).mean()
    expected += 0.5 * softplus(s["guessed"]).mean() + 0.5 * softplus(s["made"]).mean()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_what_needs_no_labels_is_what_the_paper_says():
    model, rng = made("triplegan", classes=3), np.random.default_rng(1)
    logits, scores = (rng.normal(size=(5, 3)).astype(np.float32) for _ in range(2))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = np.eye(3, dtype=np.float32)[[0, 2, 1, 1, 0]]
    model.D, model.C = lambda x: constant(scores), lambda x: constant(logits)
    x = constant(np.zeros((5, 6, 6, 1), np.float32))
    total, parts = model.unlabelled(constant(logits), constant(p), x, (constant(y), constant(y)))
    expected = {
        "adversarial": (p * softplus(-scores)).sum(1).mean(),
        "entropy": -(p * np.log(p)).sum(1).mean(),
        "balance": (p.mean(0) * np.log(p.mean(0))).sum(),
        "pseudo": -np.log((p * y).sum(1)).mean(),
        "consistency": -(p * np.log(p)).sum(1).mean(),
    }
    assert set(parts) == set(expected)
    for name, value in expected.items():
        assert parts[name].item() == pytest.approx(value, rel=1e-4), name
    weights = vars(model.settings)
    assert total.item() == pytest.approx(sum(weights[name] * value for name, value in expected.items()), rel=1e-4)


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_pictures_are_moved_each_by_its_own_way(shift):
    model = made("triplegan", f"shift={shift}")
    x = np.random.default_rng(2).normal(size=(200, 5, 7, 2)).astype(np.float32)
    wide = np.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    seen = set()
    for picture, result in zip(wide, model.moved(constant(x)).numpy(), strict=True):
        places = [(i, j) for i, j in np.ndindex(2 * shift + 1, 2 * shift + 1)
                  if np.array_equal(picture[i : i + 5, j : j + 7], result)]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) > 0.9 * (2 * shift + 1) ** 2


def test_the_players_move_their_own_weights(monkeypatch):
    """Without C's optimizer C stays as it is while D and G move, and so on."""
    for still in "CGD":
        model = made("triplegan")
        optimizer = getattr(model, f"{still.lower()}_optimizer")
        monkeypatch.setattr(optimizer, "update", lambda *given: None)
        before = {n: [p.data.copy() for p in getattr(model, n).parameters()] for n in "CGD"}
        model.step(small.batch(model, DIGITS, 8))
        pairs = ((n, zip(before[n], getattr(model, n).parameters(), strict=True)) for n in "CGD")
        assert {n for n, both in pairs if any((a != p.data).any() for a, p in both)} == set("CGD") - {still}


def test_the_pairing_adds_a_picture_and_its_class():
    model = made("triplegan")
    x = constant(DIGITS.normalised(slice(4)))
    model.D.eval()
    with no_grad():
        both, pairs = model.D.network(x).numpy(), model.D(x).numpy()
    model.D.train()
    np.testing.assert_allclose(pairs, both[:, :1] + both[:, 1:], rtol=1e-6)


# --- what is made and measured -----------------------------------------------------------------------------


def test_the_generator_listens_to_the_class():
    model = made("triplegan")
    for i in range(3):
        model.step(small.batch(model, DIGITS, 8, i))
    z = model.noise(4, model.rng.spawn("test"))
    ones, twos = (model.sample(4, z=z, labels=np.full(4, k)) for k in (1, 2))
    assert np.abs(ones - twos).max() > 1e-4
    assert np.array_equal(model.sample(12), model.sample(12, labels=np.arange(12) % 10))


def test_the_examination_counts_right_guesses_and_trains_the_rival_once(monkeypatch):
    monkeypatch.setattr("inachus.models.inference.triplegan.ALONE", 40)
    model, said = made("triplegan", "width=4", "dropout=0.1"), []
    for i in range(2):
        model.step(small.batch(model, DIGITS, 8, i))
    before, values = ({n: a.copy() for n, a in state.collect(model)[0].items()}, state.collect(model)[1])
    train = DIGITS
    first = model.examine(train, DIGITS, said.append)
    assert first["accuracy"] == (model.classify(DIGITS.normalised(slice(None))) == DIGITS.labels).mean()
    assert first["labels_alone"] > 0.3 and set(first) == {"accuracy", "labels_alone"}
    assert model.examine(train, DIGITS, said.append) == first and len(said) == 1
    assert all(np.array_equal(before[n], a) for n, a in state.collect(model)[0].items())
    assert values == state.collect(model)[1]


@pytest.mark.parametrize("shape, classes", [((28, 28, 1), 0), ((28, 28, 1), 1), ((2,), 8)])
def test_what_it_cannot_learn_from_is_refused(shape, classes):
    with pytest.raises(DataError, match="triplegan needs pictures with labels"):
        made("triplegan", shape=shape, classes=classes)


def test_as_a_user(tmp_path, monkeypatch):
    monkeypatch.setattr("inachus.models.inference.triplegan.ALONE", 40)
    squares, folder = write_squares(tmp_path / "squares.npz"), tmp_path / "run"
    words = ["--data", squares, "--batch", 8, *small.words("triplegan")]
    done("train", "triplegan", *words, "--steps", 2, "--out", folder)
    done("train", "--resume", folder, "--steps", 3)
    done("sample", folder, "--label", "3", "--n", 4)
    result = run("evaluate", folder, "--n", 100)
    assert result.code == 0 and "accuracy" in result.out and "labels alone" in result.out
