"""StarGAN: its networks' sizes, its losses against formulas of their own, who learns in a step, and what it is told.

What every model promises is tried in `test_models.py`, that a stopped training goes on as if it had not been in
`test_loop.py`; here is what only this one does. Its data, several domains, is in `test_data_domains.py`.
"""

from functools import partial

import numpy as np
import oracles
import pytest
import small

from inachus import kernels
from inachus.engine import constant, data, nn, no_grad
from inachus.engine.errors import DataError, UsageError
from inachus.engine.random import Generator
from inachus.engine.training import state
from inachus.kernels.steps import WARM_UP, Stepper
from inachus.models.nets import stargan

COLOURS = 3  # domains: pictures that are red, green or blue
SIZE = 16


def coloured(count=30, size=SIZE, seed=0):
    """Grey blocks seen through a red, a green or a blue glass: domain k keeps channel k and darkens the others."""
    grey = small.pictures(count, size, seed)[..., :1] // 2 + 64
    labels = np.arange(count) % COLOURS
    glass = np.where(np.arange(COLOURS) == labels[:, None], 1.0, 0.25)[:, None, None]
    return data.Dataset("coloured", (grey * glass).astype(np.uint8), labels, ["red", "green", "blue"])


def made(*pairs, seed=0):
    """A tiny StarGAN of the three colours."""
    return small.model("stargan", "layers=2", *pairs, seed=seed, shape=(SIZE, SIZE, 3), classes=COLOURS)


def batch(model, size=4, position=0):
    """A batch of coloured pictures for one step."""
    return model.loader(coloured(), size * model.batches, 0).batch_at(position)


def weights(network):
    """Copies of the parameters."""
    return [p.data.copy() for p in network.parameters()]


def same(a, b):
    """Bit for bit."""
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# --- networks ----------------------------------------------------------------------------------------------


def test_the_networks_have_the_papers_sizes():
    assert nn.counts(stargan.generator(3 + 5, 3))[0] == 8_430_528
    assert nn.counts(stargan.Discriminator((128, 128, 3), 5))[0] == 44_762_048


@pytest.mark.parametrize(
    "shape, layers, patches", [((64, 64, 3), 5, (2, 2)), ((28, 28, 1), 2, (7, 7)), ((8, 12, 3), 1, (4, 6))]
)
def test_the_discriminator_answers_twice(shape, layers, patches):
    D = stargan.Discriminator(shape, 4, width=2, layers=layers)
    score, domain = D(constant(np.zeros((3, *shape), np.float32)))
    assert score.shape == (3, *patches, 1) and domain.shape == (3, 4)


def test_pictures_that_the_layers_use_up_are_refused():
    with pytest.raises(UsageError, match=r"5 layers halve 16 x 16 pixels to nothing.*--set layers="):
        made("layers=5")


@pytest.mark.parametrize("shape, classes, error, words", [
    ((16, 16, 3), 1, DataError, "two or more domains"), ((16, 16, 3), 0, DataError, "two or more domains"),
    ((2,), 8, DataError, "pictures"), ((18, 16, 3), 2, UsageError, "16 x 18: --set size=64"),
])
def test_what_is_no_domains_is_refused(shape, classes, error, words):
    with pytest.raises(error, match=words):
        small.model("stargan", shape=shape, classes=classes)


# --- the step ----------------------------------------------------------------------------------------------


def test_the_wanted_domain_is_one_plane_of_ones():
    model, x = made(), np.random.default_rng(0).random((4, 8, 8, 3)).astype(np.float32)
    told = model.told(constant(x), np.array([0, 2, 1, 2])).numpy()
    np.testing.assert_array_equal(told[..., :3], x)
    np.testing.assert_array_equal(told[..., 3:], np.eye(3)[[0, 2, 1, 2]][:, None, None] * np.ones((1, 8, 8, 1)))


def test_a_step_of_one_network_leaves_the_other_bit_for_bit():
    model, pictures = made(), batch(made("n_critic=1"))
    x, labels, to = constant(pictures.items), pictures.labels, np.array([1, 2, 0, 1])
    y = model.G(model.told(x, to))
    G, D = weights(model.G), weights(model.D)
    model.discriminator_step(x, y.detach(), labels)
    assert same(G, weights(model.G)) and not same(D, weights(model.D))
    D = weights(model.D)
    model.generator_step(x, y, labels, to)
    assert same(D, weights(model.D)) and not same(G, weights(model.G))


@pytest.mark.parametrize("n", [1, 3])
def test_so_many_steps_of_the_discriminator_for_one_of_the_generator(n):
    model = made(f"n_critic={n}")
    for position in range(2):
        model.step(batch(model, position=position))
    assert (model.d_optimizer.steps, model.g_optimizer.steps) == (2 * n, 2)


def test_the_penalty_is_that_of_a_network_differentiated_by_hand():
    model = small.model("stargan", "layers=1", "width=3", shape=(4, 4, 3), classes=2)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 3, 4, 4, 3)).astype(np.float32)
    part = Generator(0)
    part.load_state(model.rng.state())
    part = part.uniform((3, 1, 1, 1))
    (w, b), v = (p.data.astype(float) for p in model.D.trunk.parameters()), model.D.score.weight.data.astype(float)
    between = part * x + (1 - part) * y
    slopes = np.where(oracles.conv2d(between, w, 2, 1) + b > 0, 1, 0.01)
    back = oracles.conv2d_dx(np.ones((3, 2, 2, 1)), v, (2, 2), 1, 1)
    slope = oracles.conv2d_dx(slopes * back, w, (4, 4), 2, 1)
    expected = np.mean((np.sqrt(np.square(slope).sum(axis=(1, 2, 3))) - 1) ** 2)
    values = model.discriminator_step(constant(x), constant(y), np.array([0, 1, 0]))
    assert values["penalty"].item() == pytest.approx(expected, rel=1e-5)


def test_the_losses_are_those_of_the_paper(monkeypatch):
    model, minimised = made("domain=2", "cycle=3", "penalty=5"), []
    pictures = batch(made("n_critic=1"))
    x, labels, to = constant(pictures.items), pictures.labels, np.array([1, 2, 0, 1])
    y = model.G(model.told(x, to))
    for optimizer in (model.d_optimizer, model.g_optimizer):
        monkeypatch.setattr(optimizer, "minimize", lambda loss: minimised.append(loss.item()))
    values = model.discriminator_step(x, y.detach(), labels) | model.generator_step(x, y, labels, to)
    (real, seen), (fake, seen_fake) = (tuple(a.numpy() for a in model.D(pictures)) for pictures in (x, y))
    back = model.G(model.told(y, labels)).numpy()
    both = (seen, labels), (seen_fake, to)
    wrong = [-np.log(oracles.softmax(logits))[np.arange(4), k].mean() for logits, k in both]
    d_loss = fake.mean() - real.mean() + 2 * wrong[0] + 5 * values["penalty"].item()
    g_loss = -fake.mean() + 2 * wrong[1] + 3 * np.abs(back - pictures.items).mean()
    assert minimised == pytest.approx([d_loss, g_loss], rel=1e-4)


def test_the_learning_rates_fall_together():
    model = made("decay=10", "n_critic=4", "lr=0.5")
    for step, rate in ((0, 0.5), (5, 0.5), (10, 0.005)):
        model.g_optimizer.steps, model.d_optimizer.steps = step, 4 * step
        assert (model.g_optimizer.rate(), model.d_optimizer.rate()) == pytest.approx((rate, rate))


# --- on a device -------------------------------------------------------------------------------------------


def told(where, capture=False, steps=WARM_UP + 3):
    """(numbers of every step, the whole state, what was said) of a training on a device."""
    backend, said = kernels.use(where), []
    if where != "reference":
        backend.use_precision("fp32")
    model = small.model("stargan", "layers=2", "n_critic=2", shape=(8, 8, 3), classes=COLOURS)
    batches = model.loader(coloured(size=8), 2 * model.batches, 0)
    counts = partial(state.counters, model), partial(state.set_counters, model)
    stepper = Stepper(model.step, *counts, said.append, capture)
    for position in range(steps):
        stepper(position, batches.batch_at(position))
    return [values for _, values in stepper.read()], state.collect(model), said


def test_a_device_tells_what_the_reference_tells_captured_or_not(a_device):
    expected, _, _ = told("reference")
    found, (arrays, values), said = told("emulated")
    for step, (a, b) in enumerate(zip(found, expected, strict=True), 1):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-4), f"step {step}"
    captured, (same_arrays, same_values), said = told("emulated", capture=True)
    assert (said, captured, same_values) == ([], found, values)
    assert all(np.array_equal(array, same_arrays[name]) for name, array in arrays.items())


# --- translating -------------------------------------------------------------------------------------------


def test_translations_follow_the_domain_and_leave_the_training_alone():
    model, x = made(), coloured(4).normalised(slice(None))
    model.step(batch(model))
    before = state.collect(model)
    before = {name: array.copy() for name, array in before[0].items()}, before[1]
    ways = [model.translate(x, to) for to in range(COLOURS)]
    assert all(y.shape == x.shape and y.dtype == np.float32 and np.abs(y).max() <= 1 for y in ways)
    assert not np.array_equal(ways[0], ways[1]) and not np.array_equal(ways[1], ways[2])
    with no_grad():
        inside = model.G(model.told(constant(x), np.full(4, 2))).numpy()
    np.testing.assert_array_equal(ways[2], inside)
    model.preview(coloured())
    after = state.collect(model)
    assert before[1] == after[1] and all(np.array_equal(a, after[0][name]) for name, a in before[0].items())


@pytest.mark.parametrize("to", [-1, 3])
def test_a_domain_there_is_not_is_refused(to):
    with pytest.raises(UsageError, match=f"no domain {to}: this model knows 0 to 2"):
        made().translate(np.zeros((1, 16, 16, 3), np.float32), to)


def test_other_sizes_are_translated_if_they_are_multiples_of_four():
    assert made().translate(np.zeros((1, 8, 20, 3), np.float32)).shape == (1, 8, 20, 3)
    with pytest.raises(UsageError, match="multiples of 4, not 18 x 16"):
        made().translate(np.zeros((1, 16, 18, 3), np.float32))


def test_the_preview_shows_every_domain_beside_the_input():
    view, dataset = made().preview(coloured()), coloured()
    assert view["titles"] == ["input", "red", "green", "blue"] and view["columns"] == 4
    rows = np.arange(8) * len(dataset) // 8
    np.testing.assert_array_equal(view["items"][::4], dataset.normalised(rows))
    many = small.model("stargan", shape=(8, 8, 1), classes=10).preview(data.load("digits", size=8, limit=20))
    assert many["columns"] == 9 and many["items"].shape == (8 * 9, 8, 8, 3)


def test_a_loader_may_mirror_and_stays_a_function_of_its_position():
    plain, mirrored = (made(f"flip={flip}", "n_critic=1").loader(coloured(), 20, 5) for flip in ("off", "on"))
    a, b = plain.batch_at(3), mirrored.batch_at(3)
    np.testing.assert_array_equal(a.labels, b.labels)
    turned = [not np.array_equal(x, y) and np.array_equal(x, y[:, ::-1]) for x, y in zip(a.items, b.items, strict=True)]
    still = [np.array_equal(x, y) for x, y in zip(a.items, b.items, strict=True)]
    assert any(turned) and any(still) and all(t != s for t, s in zip(turned, still, strict=True))
    np.testing.assert_array_equal(b.items, mirrored.batch_at(3).items)
