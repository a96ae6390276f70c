"""Models that encode: what BiGAN and VAE-GAN minimise, who learns from what, and the measures of codes and copies."""

import numpy as np
import pytest
import small
from hypothesis import given
from hypothesis import strategies as st

from inachus.engine import constant, data
from inachus.engine.evaluation import fidelity, reconstruction
from inachus.engine.evaluation.codes import neighbour_accuracy
from inachus.models.generation.vae import divergence

made = small.model
DIGITS = data.load("digits", limit=small.COUNT)
BARE = data.Dataset("bare", DIGITS.items)
ENCODERS = ["vaegan", "bigan"]


def batch(model, n=8):
    return small.batch(model, DIGITS, n)


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


def weights(network):
    return {name: t.data.copy() for name, t in network.named_parameters()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


# --- measures ----------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_the_neighbour_is_the_nearest(known, asked, size, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-3, 4, (known, size)), rng.integers(-3, 4, (asked, size))  # a lattice: distances are exact
    labels, truth = rng.integers(0, 3, known), rng.integers(0, 3, asked)
    right = 0
    for query, label in zip(y, truth, strict=True):
        squares = [sum((a - b) ** 2 for a, b in zip(query, row, strict=True)) for row in x]
        right += labels[squares.index(min(squares))] == label
    assert neighbour_accuracy(x, labels, y, truth) == pytest.approx(right / asked)


@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_the_ratio_compares_with_the_next_items(count, seed):
    rng = np.random.default_rng(seed)
    x, copy = rng.standard_normal((2, count, 2, 3))
    own = sum(np.sqrt(((x[i] - copy[i]) ** 2).sum()) for i in range(count))
    other = sum(np.sqrt(((x[(i + 1) % count] - copy[i]) ** 2).sum()) for i in range(count))
    assert reconstruction.ratio(x, copy) == pytest.approx(own / other)
    assert reconstruction.ratio(x, x) == 0
    assert reconstruction.ratio(x, np.broadcast_to(copy[:1], x.shape)) == pytest.approx(1)


def test_a_perfect_copy_is_as_sharp_as_the_truth_and_a_blurred_one_is_not():
    def blurred(x):
        return (x + np.roll(x, 1, axis=1) + np.roll(x, 1, axis=2)) / 3

    exact, soft = (reconstruction.reconstructions(f, BARE, BARE, lambda text: None) for f in (np.copy, blurred))
    assert exact["reconstruction_sharpness"] == exact["truth_sharpness"] == soft["truth_sharpness"]
    assert exact["truth_sharpness"] == pytest.approx(fidelity.sharpness(DIGITS.items), rel=1e-5)
    assert soft["reconstruction_sharpness"] < 0.8 * soft["truth_sharpness"]
    assert exact["feature_distance"] == exact["pixel_distance"] == 0 < soft["feature_distance"] < 1


def test_reconstructions_of_points_are_not_judged():
    points = data.load("mixture-ring8", limit=20)
    assert reconstruction.reconstructions(np.copy, points, points, lambda text: None) == {}


# --- all encoders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODERS)
def test_a_picture_has_one_code_whatever_stands_beside_it(name):
    model = made(name, "z=5")
    model.step(batch(model))
    x = DIGITS.normalised(slice(6))
    z = model.encode(x)
    assert z.shape == (6, 5) and z.dtype == np.float32
    np.testing.assert_allclose(model.encode(x[:1]), z[:1], atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(x), model.sample(6, z=constant(z)), atol=1e-5)


@pytest.mark.parametrize("name", [*ENCODERS, "vae"])
def test_it_is_examined_without_being_changed(name):
    model = made(name)
    values = model.step(batch(model))
    networks = {key: part for key, part in vars(model).items() if hasattr(part, "named_parameters")}
    before, position = {key: weights(part) for key, part in networks.items()}, model.rng.position
    result = model.examine(BARE, BARE, lambda text: None)
    assert result and np.isfinite([*result.values(), *values.values()]).all()
    assert position == model.rng.position and all(part.training for part in networks.values())
    assert all(same(before[key], weights(part)) for key, part in networks.items())


@pytest.mark.parametrize("name", ENCODERS)
def test_the_preview_shows_pictures_above_their_copies(name):
    model = made(name)
    items, columns = (model.preview(DIGITS)[key] for key in ("items", "columns"))
    for rows in (0, 2):
        x, copies = items[rows * columns : (rows + 1) * columns], items[(rows + 1) * columns : (rows + 2) * columns]
        assert all(any(np.array_equal(x[i], known) for known in DIGITS.normalised(slice(None))) for i in range(columns))
        np.testing.assert_allclose(copies, model.reconstruct(x), atol=1e-6)
    assert np.array_equal(items[4 * columns :], model.sample(len(items) - 4 * columns))


@pytest.mark.parametrize("name", ENCODERS)
def test_it_learns_points(name):
    points = data.load("mixture-ring8", limit=200)
    model = made(name, "z=2", shape=(2,), classes=8)
    values = model.step(small.batch(model, points, 16))
    assert np.isfinite(list(values.values())).all() and model.preview(points)["items"].shape == (2500, 2)
    assert model.reconstruct(points.items).shape == (200, 2)


# --- BiGAN -------------------------------------------------------------------------------------------------


def test_bigans_players_want_the_opposite():
    model = made("bigan", "lr=0", "d_lr=0")  # nobody moves, so that both losses see the same D
    x, position = batch(model), model.rng.position
    values = model.step(x)
    model.rng.position = position
    z, items = model.noise(8, model.rng), constant(x.items)
    real, fake = model.D(items, model.E(items)).numpy(), model.D(model.G(z), z).numpy()
    assert values["d_loss"] == pytest.approx(softplus(-real).mean() + softplus(fake).mean(), rel=1e-4)
    assert values["loss"] == pytest.approx(softplus(real).mean() + softplus(-fake).mean(), rel=1e-4)


def test_bigans_discriminator_sees_picture_and_code():
    model, rng = made("bigan", "z=3"), np.random.default_rng(0)
    x, z = DIGITS.normalised(slice(4)), rng.uniform(-1, 1, (4, 3)).astype(np.float32)
    scores = model.D(constant(x), constant(z)).numpy()
    assert scores.shape == (4, 1)
    for others in ((constant(x[::-1].copy()), constant(z)), (constant(x), constant(z[::-1].copy()))):
        assert np.abs(model.D(*others).numpy() - scores).max() > 1e-4


def test_bigan_trains_encoder_and_generator_against_d():
    model = made("bigan")
    before = {name: weights(getattr(model, name)) for name in "EGD"}
    model.step(batch(model))
    assert not any(same(before[name], weights(getattr(model, name))) for name in "EGD")
    mine, theirs = ({id(t) for t in o.parameters} for o in (model.optimizer, model.d_optimizer))
    assert mine == {id(t) for n in "EG" for t in getattr(model, n).parameters()} and not mine & theirs


def test_bigan_tells_classes_apart_by_its_codes(monkeypatch):
    model = made("bigan")
    monkeypatch.setattr(model, "encode", lambda x: np.ones((len(x), model.settings.z), np.float32))
    blind = model.examine(DIGITS, DIGITS, lambda text: None)
    assert blind["neighbour_codes"] == 0.1 and blind["neighbour_pixels"] == 1  # each is its own neighbour
    assert blind["reconstruction_ratio"] == pytest.approx(1)


# --- VAE-GAN -----------------------------------------------------------------------------------------------


def test_the_divergence_is_that_of_normal_distributions():
    rng = np.random.default_rng(0)
    mean, spread = rng.standard_normal((2, 5, 3)).astype(np.float32)
    nats = 0.5 * (np.exp(spread) + mean**2 - 1 - spread).sum(axis=1).mean()
    assert divergence(constant(mean), constant(spread)).item() == pytest.approx(nats, rel=1e-5)
    assert divergence(constant(0 * mean), constant(0 * spread)).item() == 0


@pytest.mark.parametrize("verdicts", [2, 3])
def test_vaegans_discriminator_has_two_verdicts_or_three(verdicts):
    model, rng = made("vaegan", f"verdicts={verdicts}"), np.random.default_rng(0)
    outputs = 1 if verdicts == 2 else 3
    assert model.D(constant(DIGITS.normalised(slice(2))))[1].shape == (2, outputs)
    real, made_ = (rng.standard_normal((n, outputs)).astype(np.float32) for n in (4, 8))
    if verdicts == 2:
        d_loss, g_loss = softplus(-real).mean() + softplus(made_).mean(), softplus(-made_).mean()
    else:
        r, m = (np.log(np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)) for s in (real, made_))
        d_loss = -r[:, 0].mean() - m[:4, 2].mean() / 2 - m[4:, 1].mean() / 2  # reconstructed first, then generated
        g_loss = -m[:, 0].mean()
    assert model.d_loss(constant(real), constant(made_)).item() == pytest.approx(d_loss, rel=1e-5)
    assert model.g_loss(constant(made_)).item() == pytest.approx(g_loss, rel=1e-5)


def test_vaegans_error_is_that_of_what_d_sees():
    model = made("vaegan")
    x, y = (constant(DIGITS.normalised(part)) for part in (slice(3), slice(3, 6)))
    seen, verdict = model.D(x)
    assert seen.shape == (3, 7, 7, 4)  # the second convolution's, raw: of either sign
    assert seen.data.min() < 0 < seen.data.max()
    np.testing.assert_allclose(verdict.numpy(), model.D.outer(seen).numpy(), rtol=1e-4)
    truth, other = seen.numpy().astype(np.float64), model.D(y)[0].numpy().astype(np.float64)
    variance = [truth[..., c].var() + 1e-6 for c in range(4)]
    expected = sum((other[n, i, j] - truth[n, i, j]) ** 2 / variance for n, i, j in np.ndindex(3, 7, 7)).sum() / 2 / 3
    assert model.error(model.D(y)[0], seen).item() == pytest.approx(expected, rel=1e-4)
    assert model.error(seen, seen).item() == 0


def after_a_step(change, *pairs):
    """{network: weights} after one step of a VAE-GAN that was changed."""
    model = made("vaegan", *pairs, seed=3)
    change(model)
    model.step(batch(model))
    return {name: weights(getattr(model, name)) for name in ("encoder", "decoder", "D")}


def test_what_d_says_does_not_reach_the_encoder():
    plain = after_a_step(lambda model: None)
    other = after_a_step(lambda model: setattr(model, "g_loss", lambda verdict: -3.0 * verdict.mean()))
    assert same(plain["encoder"], other["encoder"]) and same(plain["D"], other["D"])
    assert not same(plain["decoder"], other["decoder"])


def test_the_error_does_not_train_d():
    plain, other = after_a_step(lambda model: None), after_a_step(lambda model: None, "weight=100")
    assert same(plain["D"], other["D"]) and same(plain["encoder"], other["encoder"])
    assert not same(plain["decoder"], other["decoder"])


def test_the_vae_reconstructs_from_the_mean_code():
    model = made("vae", "z=3")
    model.step(batch(model))
    x = DIGITS.normalised(slice(5))
    model.encoder.eval()
    mean = model.encoder(constant(x)).numpy()[:, :3]
    model.encoder.train()
    np.testing.assert_allclose(model.reconstruct(x), model.sample(5, z=constant(mean)), atol=1e-5)
