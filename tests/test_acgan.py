"""ACGAN: what it is told and asked for, its losses against formulas of their own, and what it measures of itself.

What every model promises is tried in `test_models.py`, that a stopped training goes on as if it had not been in
`test_loop.py`; the faces and the reader of their colours in `test_faces.py`.
"""

import json
from functools import partial

import numpy as np
import pytest
import small

from inachus import kernels
from inachus.engine import constant, data, no_grad
from inachus.engine.data import Dataset
from inachus.engine.data.faces import draw_faces
from inachus.engine.errors import DataError, UsageError
from inachus.engine.training import state
from inachus.kernels.steps import WARM_UP, Stepper
from inachus.models import runs
from inachus.models.cli import main
from inachus.models.conditional import acgan

NAMES = [f"{hair} hair, {eyes} eyes" for hair in ("aqua", "red", "pink") for eyes in ("blue", "green")]
TABLE = [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
LOGITS = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)  # real and fake: logit, 3 hair, 2 eyes
WANTED = np.array([0, 5, 3, 2])


def made(*pairs, classes=NAMES, shape=(8, 8, 3)):
    """A tiny ACGAN."""
    return small.model("acgan", *pairs, classes=classes, shape=shape)


def answering(model, answers):
    """The model, its D giving these answers whatever it sees."""
    model.D.network = lambda x: constant(answers)
    return model


def batch(model, size=4, position=0):
    """Grey noise with the classes in turn."""
    items = np.random.default_rng(position).uniform(-1, 1, (size, *model.shape)).astype(np.float32)
    return data.Batch(items, np.arange(size) % model.classes)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def log_p(answers):
    """log p(hair) + log p(eyes) of the wanted tags, picture by picture."""
    hair, eyes = log_softmax(answers[:, 1:4]), log_softmax(answers[:, 4:])
    return np.array([h[TABLE[label][0]] + e[TABLE[label][1]] for h, e, label in zip(hair, eyes, WANTED, strict=True)])


# --- losses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("right, fakes", [(1, 0), (1, 1), (0.5, 0.25), (0, 1)])
def test_the_losses_are_those_of_the_paper(right, fakes):
    model, x = made(f"right={right}", f"fakes={fakes}"), constant(np.zeros((4, 8, 8, 3), np.float32))
    (tags,) = model.condition(WANTED)
    real, fake = (answering(model, answers).D(x, tags) for answers in LOGITS)
    s, t = LOGITS[0, :, 0], LOGITS[1, :, 0]
    d_loss = np.log1p(np.exp(-s)).mean() + np.log1p(np.exp(t)).mean()
    d_loss -= right * (log_p(LOGITS[0]).mean() + fakes * log_p(LOGITS[1]).mean())
    g_loss = np.log1p(np.exp(-t)).mean() - right * log_p(LOGITS[1]).mean()
    assert model.d_loss(real, fake).item() == pytest.approx(d_loss, rel=1e-5)
    assert model.g_loss(fake).item() == pytest.approx(g_loss, rel=1e-5)


def test_the_log_shows_the_chance_of_the_right_class():
    model, x = made(), constant(np.zeros((4, 8, 8, 3), np.float32))
    real, fake = (answering(model, answers).D(x, *model.condition(WANTED)) for answers in LOGITS)
    shown = {name: value.numpy().mean() for name, value in model.verdicts(real, fake).items()}
    assert shown["log p(c|x)"] == pytest.approx(log_p(LOGITS[0]).mean(), rel=1e-5)
    assert shown["log p(c|G(z))"] == pytest.approx(log_p(LOGITS[1]).mean(), rel=1e-5)
    assert shown["D(x)"] == pytest.approx((1 / (1 + np.exp(-LOGITS[0, :, 0]))).mean(), rel=1e-5)


# --- what it is told ---------------------------------------------------------------------------------------


def test_names_of_tags_are_told_tag_by_tag_and_others_one_by_one():
    told = made().condition(np.array([0, 5]))[0].numpy()
    assert told.tolist() == [[1, 0, 0, 1, 0], [0, 0, 1, 0, 1]]
    for classes in (4, ["a", "b", "c", "d"]):
        assert made(classes=classes).condition(np.array([2]))[0].numpy().tolist() == [[0, 0, 1, 0]]


def test_the_generator_is_told_each_tag():
    model = made()
    z = constant(np.repeat(model.noise(1, model.rng).numpy(), 6, axis=0))
    with no_grad():
        items = model.G(z, *model.condition(np.arange(6))).numpy()  # by the norms of these six
    assert all(np.abs(a - b).max() > 1e-3 for i, a in enumerate(items) for b in items[:i])


def test_samples_take_the_classes_in_turn():
    model = made()
    assert np.array_equal(model.sample(8, seed=1), model.sample(8, seed=1, labels=[0, 1, 2, 3, 4, 5, 0, 1]))


@pytest.mark.parametrize("shape, classes", [((8, 8, 3), 0), ((8, 8, 3), []), ((2,), 8)])
def test_what_has_no_labels_or_is_no_picture_is_refused(shape, classes):
    with pytest.raises(DataError, match=r"pictures with labels.*faces"):
        made(shape=shape, classes=classes)


def test_sides_must_be_multiples_of_four():
    with pytest.raises(UsageError, match=r"multiples of 4.*--set size=32"):
        made(shape=(30, 30, 3))


# --- what it shows and measures ----------------------------------------------------------------------------


def faces(count=264):
    """Two of each class, or fewer."""
    return data.load("faces", limit=count)


def test_the_preview_has_a_column_for_each_value():
    model = made()
    view = model.preview(None)
    assert view["columns"] == 5 and len(view["items"]) == 5 * acgan.ROWS
    assert view["titles"] == [["aqua", "hair"], ["red", "hair"], ["pink", "hair"], ["blue", "eyes"], ["green", "eyes"]]
    assert made(classes=200).preview(None)["columns"] == acgan.COLUMNS


def test_a_row_of_the_preview_has_one_noise_and_a_column_its_value(monkeypatch):
    model, seen = made(), {}
    monkeypatch.setattr(model, "sample", lambda n, *, z, labels: seen.update(z=z.numpy(), labels=labels))
    model.preview(None)
    z, labels = seen["z"].reshape(acgan.ROWS, 5, -1), seen["labels"].reshape(acgan.ROWS, 5)
    assert (z == z[:, :1]).all() and (z[0, 0] != z[1, 0]).any()
    table = np.array(TABLE)
    assert (table[labels[:, :3], 0] == np.arange(3)).all() and (table[labels[:, 3:], 1] == np.arange(2)).all()


class Drawing:
    """In place of a generator that learned: draws the faces that it is asked for, but all hair as `hair` if given."""

    def __init__(self, monkeypatch, hair=None):
        self.model = small.model("acgan", shape=(32, 32, 3), classes=faces(1).classes)
        drawn = draw_faces(132, 32, 7, "test") / np.float32(127.5) - 1

        def sample(n, *, seed, labels):
            asked = labels if hair is None else 11 * hair + labels % 11
            return drawn[asked]

        monkeypatch.setattr(self.model, "sample", sample)


@pytest.mark.parametrize("hair, expected", [(None, (1, 1, 1)), (4, (1 / 12, 1, 1 / 12))])
def test_obedience_is_what_the_pixels_show(monkeypatch, hair, expected):
    found = Drawing(monkeypatch, hair).model.examine(faces(), faces(), print)
    assert list(found) == ["hair_agreement", "eyes_agreement", "both_agreement", "both_on_truth"]
    assert list(found.values()) == pytest.approx([*expected, 1.0], abs=0.005)


def test_pictures_that_cannot_be_read_give_no_number(monkeypatch):
    true, said = faces(), []
    upside_down = Dataset("others", true.items[:, ::-1].copy(), true.labels, true.classes)
    found = Drawing(monkeypatch).model.examine(true, upside_down, said.append)
    assert list(found) == ["both_on_truth"] and found["both_on_truth"] < 0.5
    assert "others cannot be read" in said[0]


def test_other_data_is_not_examined():
    digits = data.load("digits", limit=20, size=8)
    assert small.model("acgan", shape=digits.shape).examine(digits, digits, print) == {}


# --- on the command line -----------------------------------------------------------------------------------


def test_train_and_sample_by_tag(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("inachus.engine.data.faces.dataset.COUNTS", {"train": 264, "test": 132})
    run = tmp_path / "run"
    assert main(["train", "acgan", "--steps", "2", "--batch", "8", "--out", str(run), *small.words("acgan")]) == 0
    assert json.loads((run / "options.json").read_text())["data"] == "faces"
    model, _, _ = runs.open_run(run, print)
    assert [len(part) for part in model.tags.parts] == [12, 11]
    words = ["sample", str(run), "--n", "3", "--each", str(tmp_path / "each")]
    assert main([*words, "--label", "Blonde hair, blue eyes"]) == 0
    assert len(list((tmp_path / "each").iterdir())) == 3
    assert main([*words, "--label", "blue eyes,blonde hair"]) == 0
    assert main(["sample", str(run)]) == 0
    capsys.readouterr()
    assert main([*words, "--label", "blond hair, blue eyes"]) == 2
    assert "did you mean 'blonde hair, blue eyes'?" in capsys.readouterr().err
    assert main([*words, "--label", "?"]) == 2
    assert "known are aqua hair, aqua eyes, " in (said := capsys.readouterr().err) and "and 92 more" in said


def test_samples_without_a_label_are_spread_over_the_classes(monkeypatch):
    seen = []
    model = small.model("acgan", shape=(32, 32, 3), classes=faces(1).classes)
    with no_grad():
        items = model.sample(132)
    monkeypatch.setattr(model, "sample", lambda n, *, seed, labels: seen.append(labels) or items[:n])
    options = {"classes": faces(1).classes, "model": "acgan"}
    monkeypatch.setattr("inachus.models.cli.sample.opened", lambda args: (model, options, 1))
    monkeypatch.setattr("inachus.models.cli.sample.check_can", lambda *words: None)
    monkeypatch.setattr("inachus.engine.training.pictures.save_png", lambda *words: None)
    for n in (12, 64, 132):
        assert main(["sample", "run", "--n", str(n)]) == 0
        assert len(set(seen[-1])) == n and seen[-1].max() >= 0.8 * 132 - 132 / n


# --- on a device -------------------------------------------------------------------------------------------


def told(where, capture=False, steps=WARM_UP + 3):
    """(numbers of every step, the whole state, what was said) of a training on a device."""
    backend, said = kernels.use(where), []
    if where != "reference":
        backend.use_precision("fp32")
    model = made()
    counts = partial(state.counters, model), partial(state.set_counters, model)
    stepper = Stepper(model.step, *counts, said.append, capture)
    for position in range(steps):
        stepper(position, batch(model, 2, position))
    return [values for _, values in stepper.read()], state.collect(model), said


def test_a_device_tells_what_the_reference_tells_captured_or_not(a_device):
    expected, _, _ = told("reference")
    found, (arrays, values), said = told("emulated")
    for step, (a, b) in enumerate(zip(found, expected, strict=True), 1):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-4), f"step {step}"
    captured, (same_arrays, same_values), said = told("emulated", capture=True)
    assert (said, captured, same_values) == ([], found, values)
    assert all(np.array_equal(array, same_arrays[name]) for name, array in arrays.items())
