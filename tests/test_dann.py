"""Domain adaptation: two data sets as domains, the reversed gradient, both trainings, what is measured and refused."""

from dataclasses import replace

import numpy as np
import pytest
import small
from test_cli import done, run, write_squares
from test_cli_faults import refused

from inachus.engine import Tensor, constant, data, grad, losses, ops
from inachus.engine.data import Dataset, Domains
from inachus.engine.errors import DataError, UsageError
from inachus.engine.training import state

made = small.model


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path / "cache"))


def domains(count=40, labels=True, names="01"):
    """Bright and dark pictures, of which the target's are turned round."""
    y = np.arange(count) % 2
    items = np.where(y[:, None, None, None] == 1, 220, 40) + np.arange(count)[:, None, None, None] % 7
    items = np.broadcast_to(items, (count, 8, 8, 1)).astype(np.uint8)
    known = Dataset("known", items, y, list("01"), "known")
    target = Dataset("target", 255 - items, y if labels else None, list(names) if labels else [], "target")
    return Domains(known, target)


# --- the data ----------------------------------------------------------------------------------------------


def test_two_names_are_two_domains():
    both = data.load_domains("digits,textured-digits", limit=30)
    assert (both.shape, len(both), both.kind, both.classes[3]) == ((28, 28, 3), 30, "domains", "3")
    grey = data.load("digits", limit=30).items
    np.testing.assert_array_equal(both.known.items, np.broadcast_to(grey, (30, 28, 28, 3)))
    np.testing.assert_array_equal(both.target.items, data.load("textured-digits", limit=30).items)
    assert both.fingerprint != data.load_domains("textured-digits,digits", limit=30).fingerprint


@pytest.mark.parametrize("name", ["digits", "digits,digits,digits"])
def test_one_or_three_sources_are_refused(name):
    with pytest.raises(UsageError, match="--data SOURCE,TARGET"):
        data.load_domains(name, limit=5)


def test_unlike_domains_are_refused():
    both = domains()
    with pytest.raises(DataError, match=r"8x8 and 4x8 pixels: pass one size.*--set size"):
        Domains(both.known, replace(both.target, items=both.target.items[:, :, :4]))
    with pytest.raises(DataError, match=r"known: has no labels, and the first source must"):
        Domains(replace(both.known, labels=None), both.target)
    with pytest.raises(DataError, match="points have no domains"):
        data.load_domains("mixture-ring8,mixture-ring8", limit=9)


def test_the_targets_labels_count_the_sources_classes(tmp_path):
    items = np.zeros((6, 4, 4, 1), np.uint8)
    for name, classes in (("a", "xyz"), ("b", "zx"), ("c", "zq")):
        for i, c in enumerate(classes):
            folder = tmp_path / name / c
            folder.mkdir(parents=True)
            for j in range(2):
                small.Image.fromarray(items[0, ..., 0] + np.uint8(10 * i + j)).save(folder / f"{j}.png")
    same = data.load_domains(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    assert same.target.classes == ["x", "y", "z"] and same.target.labels.tolist() == [0, 0, 2, 2]
    other = data.load_domains(f"{tmp_path / 'a'},{tmp_path / 'c'}")
    assert other.target.labels is None and any("no class 'q'" in note for note in other.notes)


def test_a_batch_holds_both_domains_and_the_labels_of_one():
    both = domains()
    loader = data.DomainBatches(both, 10, seed=3)
    seen = [loader.batch_at(i) for i in range(4)]
    for batch in seen:
        assert batch.items.shape == (20, 8, 8, 1) and batch.labels.shape == (10,)
        assert ((batch.items[:10].mean(axis=(1, 2, 3)) > 0) == batch.labels).all()
    dark = np.concatenate([batch.items[10:, 0, 0, 0] for batch in seen])
    assert np.array_equal(np.sort(dark), np.sort(both.target.normalised(slice(None))[:, 0, 0, 0]))  # an epoch
    again = data.DomainBatches(both, 10, seed=3).batch_at(2)
    np.testing.assert_array_equal(again.items, seen[2].items)
    with pytest.raises(UsageError, match="--batch"):
        data.DomainBatches(both, 41)


def test_the_targets_labels_change_nothing():
    """A training on a target whose labels are wrong, or missing, is the same bit for bit."""
    right, wrong, none = domains(), domains(), domains(labels=False)
    wrong.target.labels = 1 - wrong.target.labels
    outcomes = []
    for both in (right, wrong, none):
        model = made("dann", shape=both.shape, classes=2)
        for i in range(3):
            model.step(small.batch(model, both, 8, i))
        outcomes.append(state.collect(model)[0])
    for other in outcomes[1:]:
        assert all(np.array_equal(outcomes[0][name], other[name]) for name in other)


# --- the training ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.0, 0.25, 3.0])
def test_a_reversed_gradient_is_minus_strength_times_it(strength):
    x = Tensor(np.array([0.5, -2.0]), requires_grad=True)
    y = ops.reverse_gradient(x, strength)
    np.testing.assert_array_equal(y.data, x.data)
    (g,) = grad(ops.square(y).sum(), [x], create_graph=True)
    np.testing.assert_allclose(g.data, -strength * 2 * x.data)
    (second,) = grad(g.sum(), [x])  # the gradient of -s 2 y, in which y is reversed once more
    np.testing.assert_allclose(second.data, strength**2 * 2 * np.ones(2))


def moved(training, *pairs):
    """How far one step of a tiny model moves C's and D's weights, from the same start on the same batch."""
    both = domains()
    plain = f"training={training}", "consistency=0", "entropy=0", "beta1=0"
    model = made("dann", *plain, *pairs, shape=(8, 8, 1), classes=2)
    model.ramp.t[...] = 1e6  # at the end, where the strength is 1
    batch = small.batch(model, both, 8)
    before = [p.data.copy() for network in (model.C, model.D) for p in network.parameters()]
    values = model.step(batch)
    after = [p.data for network in (model.C, model.D) for p in network.parameters()]
    count = len(model.C.parameters())
    steps = [a - b for a, b in zip(after, before, strict=True)]
    return model, values, steps[:count], steps[count:]


def test_without_adaptation_only_the_classifier_learns():
    _, values, of_c, of_d = moved("none")
    assert set(values) == {"loss"} and any(step.any() for step in of_c) and not any(step.any() for step in of_d)


@pytest.mark.parametrize("training", ["reversal", "alternating"])
def test_features_go_up_ds_loss_and_d_goes_down(training):
    """With a weight that drowns the classes, a step of C alone raises D's loss, and one of D lowers it."""
    model, values, of_c, of_d = moved(training, "strength=1e6", "lr=1e-4")
    fresh, *_ = moved("none", "lr=0")
    batch = small.batch(model, domains(), 8)

    def d_loss(c, d):
        for network, steps in ((fresh.C, c), (fresh.D, d)):
            for p, step in zip(network.parameters(), steps or [0] * 99, strict=False):
                p.data[...] += step
        x = constant(batch.items)
        f = ops.concat([fresh.C.facing(t).features(part) for t, part in ((False, x[:8]), (True, x[8:]))], axis=0)
        loss = fresh.d_loss(fresh.D(f)).item()
        for network, steps in ((fresh.C, c), (fresh.D, d)):
            for p, step in zip(network.parameters(), steps or [0] * 99, strict=False):
                p.data[...] -= step
        return loss

    usual = d_loss(None, None)
    assert usual == pytest.approx(values["d_loss"], rel=1e-4)
    assert d_loss(of_c, None) > usual > d_loss(None, of_d)


def test_the_strength_rises_as_in_the_paper():
    model = made("dann", "decay=200")
    seen = [float(model.ramp.climb()) for _ in range(201)]
    p = np.arange(201) / 200
    np.testing.assert_allclose(seen, 2 / (1 + np.exp(-10 * p)) - 1, atol=1e-6)


def test_each_domain_has_its_statistics():
    both = domains()
    model = made("dann", shape=both.shape, classes=2)
    for i in range(3):
        model.step(small.batch(model, both, 8, i))
    norm = model.C.features[1]
    assert np.abs(norm.running_mean - norm.target_mean).max() > 1e-3
    x = both.known.normalised(slice(6))
    known, target = (model.C.facing(t).eval().features(constant(x)).numpy() for t in (False, True))
    model.C.train()
    assert np.abs(known - target).max() > 1e-3


def test_colours_vary_within_the_range_of_pictures():
    model = made("dann")
    x = np.random.default_rng(0).uniform(-1, 1, (50, 4, 4, 3)).astype(np.float32)
    y = model.recoloured(constant(x)).numpy()
    slope, level = np.empty((50, 3)), np.empty((50, 3))
    for i, c in np.ndindex(50, 3):
        slope[i, c], level[i, c] = np.polyfit(x[i, ..., c].ravel(), y[i, ..., c].ravel(), 1)
    np.testing.assert_allclose(y, x * slope[:, None, None] + level[:, None, None], atol=1e-5)
    assert np.abs(y).max() <= 1 + 1e-5 and np.abs(slope).min() >= 0.3 - 1e-4 and np.abs(slope).max() <= 1 + 1e-4
    assert 0.3 < (slope < 0).mean() < 0.7


def test_entropy_and_distillation_are_those_of_the_softmax():
    logits, teacher = np.random.default_rng(1).normal(size=(2, 5, 4)) * 3
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (logits, teacher))
    assert losses.entropy(constant(logits)).item() == pytest.approx(-(p * np.log(p)).sum(1).mean())
    taught, untaught = (Tensor(z, requires_grad=True) for z in (logits, teacher))
    loss = losses.distillation(taught, untaught)
    assert loss.item() == pytest.approx(-(q * np.log(p)).sum(1).mean())
    g, none = grad(loss, [taught, untaught])
    np.testing.assert_allclose(g.data, (p - q) / 5, atol=1e-12)
    assert not none.data.any()


# --- what is measured and shown ----------------------------------------------------------------------------


def test_the_examination_counts_right_guesses_and_trains_the_rival_once(monkeypatch):
    both, said = domains(), []
    model = made("dann", shape=both.shape, classes=2)
    for i in range(6):
        model.step(small.batch(model, both, 8, i))
    arrays = {name: a.copy() for name, a in state.collect(model)[0].items()}
    values = state.collect(model)[1]
    first = model.examine(both, both, said.append)
    expected = (model.classify(both.target.normalised(slice(None))) == both.target.labels).mean()
    assert first["target_accuracy"] == expected and set(first) == {"target_accuracy", "source_accuracy", "source_only"}
    assert model.examine(both, both, said.append) == first and len(said) == 1
    assert all(np.array_equal(arrays[name], a) for name, a in state.collect(model)[0].items())
    assert state.collect(model)[1] == values
    rival = made("dann", "training=none", shape=both.shape, classes=2)
    for i in range(6):
        rival.step(small.batch(rival, both, 8, i))
    alone = rival.examine(both, both, said.append)
    assert alone["target_accuracy"] == first["source_only"] and "source_only" not in alone


def test_a_target_without_labels_has_no_score():
    both = domains(labels=False)
    with pytest.raises(DataError, match="target has no labels to score by"):
        made("dann", shape=both.shape, classes=2).examine(both, both, print)


def test_the_preview_sorts_the_target_by_its_guesses():
    both = domains()
    model = made("dann", shape=both.shape, classes=2)
    guesses = model.classify(both.target.normalised(slice(None)))
    view = model.preview(both)
    assert view["columns"] == 2 and view["titles"] == ["0", "1"]
    for k in range(2):
        found = both.target.normalised(slice(None))[guesses == k][:8]
        column = view["items"][k::2]
        np.testing.assert_array_equal(column[: len(found)], found)
        assert not column[len(found) :].any()


def test_what_it_cannot_learn_from_is_refused():
    for shape, classes in (((28, 28, 1), 1), ((2,), 10)):
        with pytest.raises(DataError, match="dann needs pictures of two or more classes"):
            made("dann", shape=shape, classes=classes)


def test_as_a_user(tmp_path, monkeypatch):
    """Train on two files, resume, evaluate; and be told what this model does not do."""
    squares, folder = write_squares(tmp_path / "squares.npz"), tmp_path / "run"
    words = ["--data", f"{squares},{squares}", "--batch", 8, *small.words("dann")]
    done("train", "dann", *words, "--steps", 2, "--out", folder)
    done("train", "--resume", folder, "--steps", 3)
    result = run("evaluate", folder)
    assert result.code == 0 and "target accuracy" in result.out and "source only" in result.out
    refused(2, "dann does not sample, it classifies pictures: inachus evaluate", "sample", folder)
    scored = "--evaluate-every", 1, "--out", tmp_path / "b"
    refused(2, "makes no samples", "train", "dann", *words, "--steps", 2, *scored)
    refused(2, "--data SOURCE,TARGET", "train", "dann", "--data", squares, "--out", tmp_path / "c")
