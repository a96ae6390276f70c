"""A generator that collapsed and a discriminator that won are told in words, once; a healthy training says nothing."""

import numpy as np
import pytest
import small
from test_loop import BATCH, assert_same, made, outcome, train

from inachus.engine import constant, data
from inachus.engine.training import health, loop
from inachus.engine.training.health import Episode, apart, certain


@pytest.fixture
def impatient(monkeypatch):
    """What must last some hundred steps lasts six."""
    monkeypatch.setattr(health, "LASTING", {"certain": 6, "alike": 6})


def warnings(said):
    """The lines about collapse and certainty."""
    return [line for line in said if line.startswith(("mode collapse", "the discriminator has won"))]


def trained(model, folder, steps=12, **plan):
    said = []
    train(model, folder, steps, said.append, **{"sample_every": 2} | plan)
    return warnings(said)


# --- what is measured --------------------------------------------------------------------------------------


def test_an_episode_begins_once_and_again_after_a_break_as_long():
    episode = Episode(3)
    told = [step for step, held in enumerate("_###_####_#___#####____####") if episode.begins(step, held == "#")]
    assert told == [8, 26]
    assert not any(Episode(3).begins(step, step % 2 == 0) for step in range(99))


@pytest.mark.parametrize("values, sure", [
    ({"d_loss": 0.01, "D(x)": 0.997, "D(G(z))": 0.004}, True),
    ({"d_loss": 0.05, "D(x)": 0.96, "D(G(z))": 0.004}, False),
    ({"d_loss": 0.01, "D(x)": 0.997, "D(G(z))": 0.02}, False),
    ({"d_loss": 0.3, "D(x)": 1.1, "D(G(z))": -0.7}, False),  # hinge, which still learns
    ({"d_loss": 0.004, "g_loss": 1.0}, True),
    ({"d_loss": 0.03, "g_loss": 1.0}, False),
    ({"loss": 0.0, "error": 0.0}, False),  # nobody discriminates
    ({"D(x)": 5.0, "D(climbed)": -5.0}, False),
])
def test_certainty(values, sure):
    assert certain(values) is sure


def test_how_far_apart_items_are():
    x = np.random.default_rng(0).standard_normal((9, 4, 3, 1)).astype(np.float32)
    nearest = [min(np.sqrt(np.mean((a - b) ** 2)) for b in x[np.arange(9) != i]) for i, a in enumerate(x)]
    assert apart(x) == pytest.approx(np.median(nearest), rel=1e-6)
    assert apart(np.ones((5, 2), np.float32)) == 0


# --- told while training -----------------------------------------------------------------------------------


def test_a_generator_that_ignores_its_noise_is_told_once(tmp_path, impatient):
    model = made("gan")
    model.noise = lambda n, rng: constant(np.zeros((n, model.settings.z), np.float32))
    told = trained(model, tmp_path)
    assert len(told) == 1 and "mode collapse" in told[0] and "0.0%" in told[0]
    assert "--set lr=5e-05" in told[0] and "--batch" in told[0]


def test_a_discriminator_that_wins_is_told_once(tmp_path, impatient):
    model = made("gan")
    model.g_optimizer.lr, model.d_optimizer.lr = 0.0, 100 * model.d_optimizer.lr
    told = trained(model, tmp_path, 60, sample_every=100)
    assert len(told) == 1 and "the discriminator has won" in told[0] and "D(x) 1, D(G(z)) " in told[0]


def test_a_critic_whose_loss_is_no_probability_never_wins(tmp_path, impatient):
    said = []
    watching = health.Health(made("wgangp"), small.dataset("wgangp"), said.append)
    for step in range(99):
        watching.read(step, {"d_loss": -3.0 if step == 0 else 0.001})
    assert not said


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_watching_changes_nothing(name, tmp_path, monkeypatch, impatient):
    train(made(name), tmp_path / "watched", 8)
    monkeypatch.setattr(loop.Health, "sampled", lambda self, step: None)
    monkeypatch.setattr(loop.Health, "read", lambda self, step, values: None)
    train(made(name), tmp_path / "alone", 8)
    assert_same(outcome(tmp_path / "watched"), outcome(tmp_path / "alone"))


def test_data_without_any_difference_are_no_measure(tmp_path, impatient, monkeypatch):
    flat = data.Dataset("flat", np.full((BATCH, 28, 28, 1), 7, np.uint8), np.arange(BATCH) % 10, list("0123456789"))
    monkeypatch.setattr(small, "dataset", lambda name, count=0: flat)
    assert not trained(made("gan"), tmp_path)


HEALTHY = {"gan": (), "dcgan": ("width=8",), "nsgan": ("width=8",), "wgangp": ("width=8",), "vae": ("width=8",),
           "pix2pix": ("width=8",)}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_is_left_alone(name, tmp_path, monkeypatch):
    monkeypatch.setattr(health, "LASTING", {"certain": 40, "alike": 60})
    digits = data.load("digits", limit=600, size=small.SIZES.get(name))
    monkeypatch.setattr(small, "dataset", lambda name, count=0: small_pairs(digits) if name == "pix2pix" else digits)
    model = small.model(name, *HEALTHY[name], shape=(28, 28, 1) if name != "pix2pix" else ((32, 32, 1),) * 2)
    assert not trained(model, tmp_path, 120, sample_every=20, log_every=10)


def small_pairs(digits):
    """Digits of 32 x 32, and their negatives."""
    return data.Pairs("digits", digits.items, 255 - digits.items, True, ("dark", "bright"))
