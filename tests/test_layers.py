"""What layers compute: modes, running statistics, dropout; and that fusing an activation changes nothing."""

import numpy as np
import pytest
from oracles import close

from inachus.engine import Tensor, constant, grad, nn, no_grad
from inachus.engine.nn import init
from inachus.engine.random import Generator


def data(*shape, seed=0, mean=0.0, std=1.0):
    return constant(Generator(seed).normal(shape, mean, std))


# --- BatchNorm and the modes -------------------------------------------------------------------------------


def test_train_and_eval_reach_every_layer():
    net = nn.Sequential(nn.Dense(2, 2), nn.Sequential(nn.BatchNorm(2), nn.Dropout()))
    for mode, training in ((net.eval, False), (net.train, True)):
        assert mode() is net
        assert {m.training for _, m in net.modules()} == {training}


def test_running_statistics_follow_their_definition(kernels):
    layer, mean, var = nn.BatchNorm(3, momentum=0.3), np.zeros(3), np.ones(3)
    for seed in range(4):
        x = data(4, 3, 3, 3, seed=seed, mean=2.0, std=3.0)
        layer(x)
        mean = 0.7 * mean + 0.3 * x.data.mean((0, 1, 2), dtype=float)
        var = 0.7 * var + 0.3 * x.data.var((0, 1, 2), ddof=1, dtype=float)  # the unbiased one
    close(layer.running_mean, mean, terms=36)
    close(layer.running_var, var, terms=36)


def test_evaluation_uses_the_running_statistics_and_moves_nothing():
    layer = nn.BatchNorm(2, eps=1e-3)
    layer(data(16, 2, mean=1.0, std=2.0))
    layer.weight.data[...], layer.bias.data[...] = [2, -1], [0, 3]
    mean, var = layer.running_mean.copy(), layer.running_var.copy()
    x = data(5, 2, seed=3)
    y = layer.eval()(x).data
    close(y, (x.data - mean) / np.sqrt(var + 1e-3) * [2, -1] + [0, 3], scale=10)
    np.testing.assert_array_equal(layer.running_mean, mean)
    np.testing.assert_array_equal(layer.running_var, var)
    assert layer(data(1, 2)).shape == (1, 2)


def test_batch_statistics_in_evaluation_on_request():
    layer = nn.BatchNorm(2)
    x = data(16, 2, mean=5.0)
    expected = layer(x).data
    mean = layer.running_mean.copy()
    layer.statistics = "batch"
    np.testing.assert_array_equal(layer.eval()(x).data, expected)
    np.testing.assert_array_equal(layer.running_mean, mean)


def test_statistics_stand_still_without_a_graph():
    layer = nn.BatchNorm(2)
    with no_grad():
        layer(data(16, 2, mean=5.0))
    assert (layer.running_mean == 0).all()


@pytest.mark.parametrize("layer", [nn.BatchNorm(3), nn.InstanceNorm(3), nn.LayerNorm((4, 4, 3))])
def test_norms_normalise_over_their_axes(layer):
    axes = {"BatchNorm": (0, 1, 2), "InstanceNorm": (1, 2), "LayerNorm": (1, 2, 3)}[type(layer).__name__]
    y = layer(data(6, 4, 4, 3, mean=3.0, std=2.0)).data.astype(float)
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(axes), 1, atol=1e-4)


# --- dropout -----------------------------------------------------------------------------------------------


def test_dropout_is_off_in_evaluation_unless_always():
    x = constant(np.ones((50, 50), np.float32))
    off, on = nn.Dropout(0.5).eval(), nn.Dropout(0.5, always=True).eval()
    np.testing.assert_array_equal(off(x).data, x.data)
    assert set(np.unique(on(x).data)) == {0.0, 2.0}
    assert (on(x).data != on(x).data).any()


def test_masks_come_from_the_networks_generator():
    def masks(seed):
        net = nn.Sequential(nn.Dropout(), nn.Dropout()).initialize(Generator(seed), init.he())
        return [m(constant(np.ones(64))).data for m in net]

    one, again, other = masks(1), masks(1), masks(2)
    np.testing.assert_array_equal(one, again)
    assert (one[0] != one[1]).any()
    assert (one[0] != other[0]).any()


# --- fusion ------------------------------------------------------------------------------------------------

FUSED = {
    "dense": lambda: nn.Dense(3, 4),
    "dense without bias": lambda: nn.Dense(3, 4, bias=False),
    "conv": lambda: nn.Conv2d(3, 4, 3, pad=1),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 4, stride=2, pad=1),
    "batch": lambda: nn.BatchNorm(3),
    "instance": lambda: nn.InstanceNorm(3, affine=True),
    "layer": lambda: nn.LayerNorm((4, 4, 3)),
    "batch in evaluation": lambda: nn.BatchNorm(3).eval(),
}


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("name", FUSED)
def test_fusion_changes_neither_value_nor_gradient(kernels, name, slope):
    layer, activation = FUSED[name](), nn.LeakyReLU(slope)
    x = Tensor(data(2, 4, 4, 3).data, requires_grad=True)
    wanted, results = [x, *layer.parameters()], []
    for f in (nn.Sequential(layer, activation), lambda x: activation(layer(x))):
        y = f(x)
        gy = data(*y.shape, seed=5)
        (gx,) = grad(f(x), [x], gy, create_graph=True)
        results.append([y, *grad(f(x), wanted, gy), *grad((gx * gx).sum(), wanted)])
    for fused, apart in zip(*results, strict=True):
        close(fused.data, apart.data, terms=32, scale=1 + np.abs(apart.data).max())


def test_a_whole_network_equals_its_layers_one_by_one(kernels):
    net = nn.Sequential(
        nn.Reshape(1, 1, 5), nn.ConvTranspose2d(5, 4, 3), nn.BatchNorm(4), nn.ReLU(), nn.LeakyReLU(),
        nn.Upsample(2), nn.Conv2d(4, 2, 3, pad=1), nn.InstanceNorm(2), nn.LeakyReLU(), nn.Tanh(),
    )
    net.initialize(Generator(1), init.he())
    x = y = data(6, 5)
    for layer in net:
        y = layer(y)
    close(net(x).data, y.data, terms=32)
    assert [type(m).__name__ for m in (net[0], net[-1])] == ["Reshape", "Tanh"]
    assert len(net) == 10


def test_a_network_shared_by_two_batches_collects_both_gradients():
    net = nn.Sequential(nn.Dense(3, 4), nn.LeakyReLU(), nn.Dense(4, 1)).initialize(Generator(2), init.he())
    one, two = data(5, 3), data(7, 3, seed=1)
    together = grad(net(one).sum() + net(two).sum(), net.parameters())
    apart = [grad(net(x).sum(), net.parameters()) for x in (one, two)]
    for g, a, b in zip(together, *apart, strict=True):
        close(g.data, a.data + b.data, terms=12)


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Empty"):
        type("Empty", (nn.Module,), {})()(data(1))
