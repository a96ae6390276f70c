"""Networks as trees of parameters: shapes, counts, draws, names, states, flat buffers, the summary.

What the layers compute is in `test_layers.py`.
"""

import math

import numpy as np
import pytest

from inachus.engine import Tensor, constant, nn, optim
from inachus.engine.nn import init
from inachus.engine.random import Generator
from inachus.models.nets import dcgan, mlp


def data(*shape, seed=0):
    return constant(Generator(seed).normal(shape))


# --- shapes and counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "given", "expected", "parameters"), [
    (lambda: nn.Dense(3, 4), (2, 3), (2, 4), 16),
    (lambda: nn.Dense(3, 4, bias=False), (2, 5, 3), (2, 5, 4), 12),
    (lambda: nn.Conv2d(3, 4, 3), (2, 7, 6, 3), (2, 5, 4, 4), 112),
    (lambda: nn.Conv2d(3, 4, 4, stride=2, pad=1, bias=False), (2, 8, 7, 3), (2, 4, 3, 4), 192),
    (lambda: nn.ConvTranspose2d(3, 4, 4, stride=2, pad=1), (2, 4, 3, 3), (2, 8, 6, 4), 196),
    (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, pad=1, output_pad=1), (2, 4, 3, 3), (2, 8, 6, 4), 112),
    (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, pad=1), (2, 4, 3, 3), (2, 7, 5, 4), 112),
    (lambda: nn.ConvTranspose2d(1, 2, 1, stride=2), (2, 4, 3, 1), (2, 7, 5, 2), 4),
    (lambda: nn.BatchNorm(3), (4, 2, 2, 3), (4, 2, 2, 3), 12),
    (lambda: nn.InstanceNorm(3), (4, 2, 2, 3), (4, 2, 2, 3), 0),
    (lambda: nn.InstanceNorm(3, affine=True), (4, 2, 2, 3), (4, 2, 2, 3), 6),
    (lambda: nn.LayerNorm((2, 2, 3)), (4, 2, 2, 3), (4, 2, 2, 3), 24),
    (lambda: nn.Embedding(5, 3), (2, 4), (2, 4, 3), 15),
    (lambda: nn.Flatten(), (4, 2, 2, 3), (4, 12), 0),
    (lambda: nn.Reshape(2, 6), (4, 2, 2, 3), (4, 2, 6), 0),
    (lambda: nn.Upsample(3), (1, 2, 1, 3), (1, 6, 3, 3), 0),
    (lambda: nn.Tanh(), (2, 3), (2, 3), 0),
    (lambda: nn.Sigmoid(), (2, 3), (2, 3), 0),
    (lambda: nn.Dropout(), (2, 3), (2, 3), 0),
])
def test_shapes_and_parameters(layer, given, expected, parameters):
    made = layer()
    x = np.ones(given, int) if isinstance(made, nn.Embedding) else data(*given)
    assert made(x).shape == expected
    assert nn.counts(made)[0] == parameters


@pytest.mark.parametrize(("network", "counts"), [
    (lambda: mlp.generator(100, (28, 28, 1)), (562_704, 561_168, 1_536)),
    (lambda: dcgan.generator(100, 64, 3), (3_576_704 + 1_920, 3_576_704, 1_920)),
    (lambda: dcgan.discriminator(64, 3), (2_765_568 + 1_792, 2_765_568, 1_792)),
])
def test_published_parameter_counts(network, counts):
    assert nn.counts(network()) == counts


def test_frozen_parameters_are_not_trainable():
    net = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4))
    assert nn.counts(net) == (32, 24, 8)
    assert nn.counts(net.freeze()) == (32, 0, 32)
    assert nn.counts(net.freeze(False)) == (32, 24, 8)


def test_the_summary_names_layers_shapes_and_counts():
    net = mlp.generator(100, (28, 28, 1))
    text = nn.summary(net, (100,), "G")
    for word in ("G ", "Dense", "(None, 28, 28, 1)", "25,856", "562,704", "561,168", "1,536"):
        assert word in text
    assert net.training
    assert (net[2].running_mean == 0).all()


# --- draws -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("initialiser", "mean", "std"), [
    (init.normal(0.02), 0, 0.02), (init.normal(0.02, 1.0), 1, 0.02), (init.he(), 0, math.sqrt(2 / 500)),
    (init.he(0.2), 0, math.sqrt(2 / 1.04 / 500)), (init.glorot(), 0, math.sqrt(2 / 900)),
])
def test_initialisers_have_their_moments(initialiser, mean, std):
    w = initialiser(Generator(3), (500, 400), 500, 400)
    assert w.dtype == np.float32
    assert abs(w.mean() - mean) < 5 * std / math.sqrt(w.size)
    assert abs(w.std() / std - 1) < 5 / math.sqrt(2 * w.size)


def test_glorot_is_bounded_and_he_keeps_the_variance():
    assert np.abs(init.glorot()(Generator(0), (300, 100), 300, 100)).max() <= math.sqrt(6 / 400)
    net = nn.Sequential(*[m for _ in range(6) for m in (nn.Dense(400, 400), nn.LeakyReLU(0.2))])
    y = net.initialize(Generator(1), init.he(0.2))(data(100, 400))
    assert 0.5 < np.square(y.data).mean() < 2


@pytest.mark.parametrize(("layer", "fans"), [
    (nn.Dense(30, 7), (30, 7)), (nn.Conv2d(3, 8, 5, stride=2), (75, 200)),
    (nn.ConvTranspose2d(12, 5, 4, stride=2), (12 * 16 / 4, 5 * 16)),  # a pixel sees a quarter of the taps
])
def test_fans_count_inputs_and_outputs_of_a_unit(layer, fans):
    assert layer.fans == fans


def test_a_network_is_drawn_from_its_seed_and_every_layer_differently():
    def drawn(seed):
        net = nn.Sequential(nn.Dense(4, 4), nn.Dense(4, 4), nn.BatchNorm(4))
        return net.initialize(Generator(seed), init.normal(0.02), init.normal(0.02, 1.0)).state_dict()

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert all((one[name] == again[name]).all() for name in one)
    assert (one["0.weight"] != one["1.weight"]).any()
    assert (one["0.weight"] != other["0.weight"]).any()
    assert (one["0.bias"] == 0).all()
    assert 0 < np.abs(one["2.weight"] - 1).max() < 0.2


# --- names and states --------------------------------------------------------------------------------------


def small(seed=0):
    end = nn.Sequential(nn.BatchNorm(4), nn.Dense(4, 2, bias=False))
    net = nn.Sequential(nn.Dense(3, 4), nn.LeakyReLU(), end)
    return net.initialize(Generator(seed), init.he())


def test_a_state_has_names_and_goes_round():
    one, two = small(1), small(2)
    one(data(8, 3))
    assert sorted(one.state_dict()) == [
        "0.bias", "0.weight", "2.0.bias", "2.0.running_mean", "2.0.running_var", "2.0.weight", "2.1.weight"]
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one.eval()(data(5, 3)).data, two.eval()(data(5, 3)).data)
    one[0].weight.data[...] = 7
    assert (two[0].weight.data != 7).all()


def test_loading_keeps_the_flat_buffer():
    net = small()
    flat = nn.flatten(net.parameters())
    net.load_state_dict({name: np.full_like(a, 3) for name, a in small().state_dict().items()})
    assert (flat == 3).all()


@pytest.mark.parametrize(("change", "words"), [
    (lambda s: s.pop("0.weight"), r"missing \['0.weight'\]"),
    (lambda s: s.update(extra=np.ones(1)), r"unknown \['extra'\]"),
    (lambda s: s.update({"2.1.weight": np.ones(1)}), r"2\.1\.weight: \(4, 2\) here, \(1,\) there"),
])
def test_a_state_that_does_not_fit_is_refused_whole(change, words):
    net, state = small(1), dict(small(2).state_dict())
    before = net[0].bias.data.copy()
    change(state)
    with pytest.raises(ValueError, match=words):
        net.load_state_dict(state)
    np.testing.assert_array_equal(net[0].bias.data, before)


# --- flat buffers ------------------------------------------------------------------------------------------


def test_flatten_makes_views_of_one_buffer_once():
    net = small()
    before = [t.data.copy() for t in net.parameters()]
    flat = nn.flatten(net.parameters())
    assert nn.flatten(net.parameters()) is flat
    np.testing.assert_array_equal(flat, np.concatenate([a.ravel() for a in before]))
    for t, a in zip(net.parameters(), before, strict=True):
        assert np.shares_memory(t.data, flat)
        np.testing.assert_array_equal(t.data, a)
    flat[...] = 5
    assert all((t.data == 5).all() for t in net.parameters())


def test_a_view_in_another_order_is_not_taken_for_a_flat_buffer():
    parameter = Tensor(np.arange(6, dtype=np.float32).reshape(2, 3).T, requires_grad=True)
    with pytest.raises(ValueError):
        nn.flatten([parameter])


def test_part_of_a_flat_buffer_is_refused():
    net = small()
    optim.Adam(net.parameters())
    for part in (net.parameters()[:2], net.parameters()[::-1], [*net.parameters(), *small().parameters()]):
        with pytest.raises(ValueError, match="one optimizer"):
            nn.flatten(part)
    assert nn.flatten([]).size == 0
