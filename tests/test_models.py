"""What every model of the table promises, and what each of them does for itself. Tiny networks, few digits.

How a training survives being stopped is in `test_loop.py`; that pictures become good, a training shows.
"""

from collections import Counter

import numpy as np
import pytest
import small

from inachus import kernels
from inachus.engine import data, nn, no_grad, ops
from inachus.engine.errors import DataError, UsageError
from inachus.engine.random import Generator
from inachus.engine.tensor import constant
from inachus.engine.training import state
from inachus.models import MODELS
from inachus.models.generation.gan import GAN

BATCH = 8
ROUNDING = 4 * 512 * np.finfo(np.float32).eps  # BLAS sums the 512 products of a pixel in another order
DIGITS = data.load("digits", limit=200)
NAMES = {cls: name for name, cls in MODELS.items()}
ADVERSARIAL = [name for name, cls in MODELS.items() if issubclass(cls, GAN)]

every_model = pytest.mark.parametrize("name", MODELS)
every_generator = pytest.mark.parametrize("name", small.GENERATORS)
every_translator = pytest.mark.parametrize("name", small.TRANSLATORS)
every_gan = pytest.mark.parametrize("name", ADVERSARIAL)
made = small.model


def trained(model, steps=1, dataset=None):
    """The model after some steps, and the values of the last one."""
    dataset = dataset or small.dataset(NAMES[type(model)])
    for position in range(steps):
        values = model.step(small.batch(model, dataset, BATCH, position))
    return model, values


def whole_state(model):
    """Copies of all arrays of a model, and its generators' positions."""
    arrays, values = state.collect(model)
    return {name: array.copy() for name, array in arrays.items()}, values


def same(a, b):
    """Bit for bit the same arrays under the same names."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def weights(network):
    """Copies of the parameters."""
    return {name: t.data.copy() for name, t in network.named_parameters()}


# --- all models --------------------------------------------------------------------------------------------


@every_model
def test_a_step_gives_finite_numbers_and_moves_the_weights(name):
    model = made(name)
    before, _ = whole_state(model)
    _, values = trained(model)
    assert values and all(type(v) is float and np.isfinite(v) for v in values.values())
    after, _ = whole_state(model)
    assert state.broken(after) is None and not same(before, after)


@every_model
def test_the_seed_decides_everything(name):
    first, again, other = (trained(made(name, seed=seed), 2)[0] for seed in (3, 3, 4))
    assert same(whole_state(first)[0], whole_state(again)[0])
    assert whole_state(first)[1] == whole_state(again)[1]
    assert not same(whole_state(first)[0], whole_state(other)[0])


@every_generator
def test_samples_are_pictures(name):
    model, _ = trained(made(name))
    for n in (1, 7):
        items = model.sample(n)
        assert items.shape == (n, *model.shape) and items.dtype == np.float32
        assert np.abs(items).max() <= 1


@every_generator
def test_sampling_is_a_function_of_the_seed_and_leaves_the_training_alone(name):
    model, _ = trained(made(name))
    arrays, values = whole_state(model)
    first = model.sample(6, seed=5)
    model.preview(small.dataset(name))
    assert np.array_equal(first, model.sample(6, seed=5))
    assert not np.array_equal(first, model.sample(6, seed=6))
    assert same(arrays, whole_state(model)[0]) and values == state.collect(model)[1]
    assert all(part.training for part in vars(model).values() if isinstance(part, nn.Module))


@every_model
def test_the_preview_can_be_drawn(name):
    from inachus.engine.training.loop import draw

    model = made(name)
    view = model.preview(small.dataset(name))
    assert len(view["items"]) % view["columns"] == 0
    assert draw(**view).mode == "RGB"


@every_model
def test_the_summary_knows_each_network(name):
    model = made(name)
    networks = [key for key, part in vars(model).items() if isinstance(part, nn.Module)]
    assert sorted(model.network_inputs()) == sorted(networks)


# --- two networks, two optimizers --------------------------------------------------------------------------


def losses_of(model):
    """(D's loss, G's loss) on one batch, as `step` computes them."""
    batch = data.Batches(DIGITS, BATCH).batch_at(0)
    given = model.condition(batch.labels)
    fake = model.G(model.noise(BATCH, model.rng), *given)
    d_loss = model.d_loss(model.D(constant(batch.items), *given), model.D(fake.detach(), *given))
    return d_loss, model.g_loss(model.D(fake, *given))


@every_gan
def test_each_optimizer_moves_its_own_network_alone(name):
    model = made(name)
    moves = [("D", model.d_optimizer, 0), ("G", model.g_optimizer, 1)]
    for mine, optimizer, loss in moves:
        before = {network: weights(getattr(model, network)) for network in "GD"}
        optimizer.minimize(losses_of(model)[loss])
        still = [network for network in "GD" if same(before[network], weights(getattr(model, network)))]
        assert still == ["G" if mine == "D" else "D"]


def counted(function, name, calls):
    """The function, counting its calls under `name`."""
    def count(*args):
        calls[name] += 1
        return function(*args)

    return count


def test_the_generators_step_computes_no_weight_gradient_of_the_discriminator(monkeypatch):
    model = made("dcgan")
    backend, calls = kernels.host(), Counter()
    for kernel in ("conv2d_dx", "conv2d_dw"):
        monkeypatch.setattr(backend, kernel, counted(getattr(backend, kernel), kernel, calls))
    d_loss, g_loss = losses_of(model)
    convs = {name: sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for _, m in network.modules())
             for name, network in (("G", model.G), ("D", model.D))}
    calls.clear()
    model.g_optimizer.minimize(g_loss)
    assert calls == {"conv2d_dw": convs["G"], "conv2d_dx": convs["D"]}
    calls.clear()
    model.d_optimizer.minimize(d_loss)
    twice = {"conv2d_dw": 2 * convs["D"], "conv2d_dx": 2 * (convs["D"] - 1)}  # real and fake; none to x
    assert calls == twice


def test_nor_do_dense_layers(monkeypatch):
    model = made("gan")
    _, g_loss = losses_of(model)
    backend, calls = kernels.host(), Counter()
    monkeypatch.setattr(backend, "matmul", counted(backend.matmul, "matmul", calls))
    model.g_optimizer.minimize(g_loss)
    assert calls["matmul"] == 3 + (2 + 3)  # through D: inputs; through G: inputs but the noise, and weights


@every_gan
def test_k_discriminator_steps_for_one_of_the_generator(name):
    model, _ = trained(made(name, "k=3"), 2)
    assert model.batches == 3
    assert (model.d_optimizer.steps, model.g_optimizer.steps, model.average.steps) == (6, 2, 2)


@every_gan
@pytest.mark.parametrize("pairs", [["loss=minimax"], ["prior=uniform"], ["z=3"], ["ema=0"]], ids=str)
def test_the_settings_are_obeyed(name, pairs):
    if pairs == ["loss=minimax"] and not hasattr(MODELS[name].Settings, "loss"):
        with pytest.raises(UsageError, match="unknown setting 'loss'"):
            made(name, *pairs)
        return
    model, values = trained(made(name, *pairs))
    assert np.isfinite(list(values.values())).all()
    z = model.noise(500, Generator(0)).numpy()
    assert z.shape == (500, model.settings.z)
    if model.settings.prior == "uniform":
        assert -1 <= z.min() < -0.9 and 0.9 < z.max() < 1
    if pairs == ["loss=minimax"]:
        assert values["g_loss"] < 0
    if model.settings.ema == 0:
        assert same(weights(model.G), weights(model.average.network))


def test_the_losses_are_those_of_the_paper():
    logits = constant(np.array([[-2.0], [0.5]], np.float32))
    d = 1 / (1 + np.exp(-logits.numpy()))
    cases = {"non-saturating": -np.log(d).mean(), "minimax": np.log(1 - d).mean()}
    for loss, expected in cases.items():
        model = made("gan", f"loss={loss}")
        assert model.g_loss(logits).item() == pytest.approx(expected, rel=1e-5)
        both = -np.log(d).mean() - np.log(1 - d).mean()
        assert model.d_loss(logits, logits).item() == pytest.approx(both, rel=1e-5)


# --- one by one --------------------------------------------------------------------------------------------


def test_gan_has_the_courses_sizes():
    model = MODELS["gan"]((28, 28, 1))
    assert nn.counts(model.G)[:2] == (562_704, 561_168)
    assert nn.counts(model.D)[1] == 784 * 512 + 512 + 512 * 256 + 256 + 256 + 1


def test_gan_learns_points():
    points = data.load("mixture-ring8", limit=500)
    model, values = trained(made("gan", shape=points.shape, classes=8), 3, points)
    assert np.isfinite(list(values.values())).all()
    assert model.sample(9).shape == (9, 2) and model.preview(points)["items"].shape == (2500, 2)


def test_dcgan_has_the_papers_sizes():
    model = MODELS["dcgan"]((64, 64, 3))
    assert nn.counts(model.G)[1] == 3_576_704 and nn.counts(model.D)[1] == 2_765_568


@pytest.mark.parametrize("upsample", ["transpose", "nearest"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 32, 64])
def test_dcgan_makes_these_pictures(size, channels, upsample):
    shape = size, size, channels
    model = made("dcgan", "width=2", "z=5", f"upsample={upsample}", shape=shape)
    items = np.zeros((2, *shape), np.float32)
    values = model.step(data.Batch(items))
    assert np.isfinite(list(values.values())).all()
    assert model.sample(2).shape == (2, *shape)


@pytest.mark.parametrize("size", [1, 16, 30, 128])
def test_dcgan_names_the_sizes_it_makes(size):
    with pytest.raises(UsageError, match=f"28, 32, 64 pixels, not {size}: .*--set size"):
        made("dcgan", shape=(size, size, 1))


@pytest.mark.parametrize("join", ["multiply", "concat"])
def test_cgan_listens_to_the_label(join):
    model, _ = trained(made("cgan", f"join={join}"), 3)
    z = model.noise(4, Generator(1))
    ones, twos = (model.sample(4, z=z, labels=np.full(4, label)) for label in (1, 2))
    assert np.abs(ones - twos).max() > 1e-3
    mixed = model.sample(4, z=z, labels=[1, 2, 1, 2])
    np.testing.assert_allclose(mixed[::2], ones[::2], atol=ROUNDING)
    np.testing.assert_allclose(mixed[1::2], twos[1::2], atol=ROUNDING)
    logits = [model.D(constant(ones), np.full(4, label)).numpy() for label in (1, 2)]
    assert not np.allclose(*logits)


def test_cgan_takes_the_classes_in_turn():
    model = made("cgan", classes=3)
    assert np.array_equal(model.sample(5), model.sample(5, labels=[0, 1, 2, 0, 1]))


def test_cgan_refuses_data_without_labels():
    with pytest.raises(DataError, match="needs labels"):
        made("cgan", classes=0)


def test_the_autoencoder_learns():
    model = made("autoencoder")
    first = trained(model)[1]["loss"]
    _, last = trained(model, 60)
    assert last["loss"] < first / 2


def test_the_autoencoder_decodes_what_it_encodes():
    model, _ = trained(made("autoencoder", "code=3"), 3)
    with no_grad():
        codes = model.encoder(constant(DIGITS.normalised(slice(10)))).numpy()
    assert codes.shape == (10, 3) and np.abs(codes).max() < 1
    together, alone = model.decode(codes), model.decode(codes[:1])  # whatever stands beside a code
    np.testing.assert_allclose(together[:1], alone, atol=ROUNDING)


def test_a_no_grad_step_leaves_no_graph():
    model = made("gan")
    with no_grad():
        assert model.G(model.noise(2, model.rng)).node is None
    assert ops.sigmoid(model.D(constant(np.zeros((2, 28, 28, 1), np.float32)))).node is not None
