"""Optimizers follow their scalar definitions, change their own parameters only, and continue bit for bit."""

import numpy as np
import oracles
import pytest
from oracles import close

from inachus.engine import Tensor, constant, nn, optim
from inachus.engine.nn import init
from inachus.engine.random import Generator


def network(seed=0):
    net = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4), nn.LeakyReLU(), nn.Dense(4, 2))
    return net.initialize(Generator(seed), init.normal(0.5), init.normal(0.1, 1.0))


def loss_of(net, seed=0):
    x = constant(Generator(seed, 9).normal((8, 3)))
    return (net(x) * net(x)).mean()


def snapshot(net):
    return {name: a.copy() for name, a in net.state_dict().items()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


MAKERS = {
    "sgd": lambda p, lr=0.1: optim.SGD(p, lr),
    "momentum": lambda p, lr=0.1: optim.SGD(p, lr, momentum=0.9),
    "adam": lambda p, lr=0.01: optim.Adam(p, lr, betas=(0.5, 0.999)),
    "rmsprop": lambda p, lr=0.01: optim.RMSProp(p, lr),
}
UPDATES = {
    "sgd": lambda p, g, state, t: oracles.sgd(p, g, *state, 0.1, 0.0),
    "momentum": lambda p, g, state, t: oracles.sgd(p, g, *state, 0.1, 0.9),
    "adam": lambda p, g, state, t: oracles.adam(p, g, *state, 0.01, 0.5, 0.999, 1e-8, t),
    "rmsprop": lambda p, g, state, t: oracles.rmsprop(p, g, *state, 0.01, 0.99, 1e-8),
}
every = pytest.mark.parametrize("name", MAKERS)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_follow_the_definition(kernels, name, dtype):
    rng = np.random.default_rng(1)
    starts = [rng.standard_normal(shape).astype(dtype) for shape in ((2, 3), (4,), (1, 1, 2))]
    parameters = [Tensor(a, requires_grad=True) for a in starts]
    numbers = [(float(v), [0.0] * (2 if name == "adam" else 1)) for t in parameters for v in t.data.flat]
    optimizer = MAKERS[name](parameters)
    for step in range(1, 7):
        gradients = [rng.standard_normal(t.shape).astype(dtype) for t in parameters]
        flat = np.concatenate([g.ravel() for g in gradients]).tolist()
        updated = [UPDATES[name](p, g, state, step) for (p, state), g in zip(numbers, flat, strict=True)]
        numbers = [(p, state) for p, *state in updated]
        optimizer.step([Tensor(g) for g in gradients])
        weights = np.concatenate([t.data.ravel() for t in parameters])
        assert weights.dtype == dtype
        close(weights, [p for p, _ in numbers], scale=4, terms=step)


@every
def test_minimize_is_backward_and_step(name):
    one, two = network(), network()
    a, b = MAKERS[name](one.parameters()), MAKERS[name](two.parameters())
    for seed in range(3):
        a.minimize(loss_of(one, seed))
        loss_of(two, seed).backward()
        b.step()
        b.zero_grad()
    assert same(one.state_dict(), two.state_dict())
    assert all(t.grad is None for net in (one, two) for t in net.parameters())


@every
def test_minimize_leaves_other_networks_alone(name):
    G, D = network(1), nn.Sequential(nn.Dense(2, 3), nn.LeakyReLU(), nn.Dense(3, 1))
    optimizer, other = MAKERS[name](G.parameters()), MAKERS[name](D.parameters())
    before, weights = snapshot(D), snapshot(G)
    x = constant(Generator(3).normal((5, 3)))
    optimizer.minimize(D(G(x)).mean())
    assert same(before, D.state_dict())
    assert all(t.grad is None for t in D.parameters())
    assert all((a == 0).all() for a in other.arrays.values())
    assert not same(weights, G.state_dict())


def test_frozen_parameters_are_left_out():
    net = network()
    net[0].freeze()
    before = snapshot(net[0])
    optimizer = optim.Adam(net.parameters(), 0.1)
    assert optimizer.flat.size == sum(t.size for t in net.parameters() if t.requires_grad)
    optimizer.minimize(loss_of(net))
    assert same(before, net[0].state_dict())


def test_a_parameter_without_gradient_counts_as_zero():
    a, b = (Tensor(np.ones(2, np.float32), requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([a, b], 0.5)
    (a * 1.0).sum().backward()
    optimizer.step()
    assert (a.data.tolist(), b.data.tolist()) == ([0.5, 0.5], [1, 1])


@every
def test_a_saved_state_continues_bit_for_bit(name):
    one, two = network(1), network(2)
    a, b = MAKERS[name](one.parameters()), MAKERS[name](two.parameters())
    for seed in range(3):
        a.minimize(loss_of(one, seed))
    two.load_state_dict(snapshot(one))
    b.load_state_dict({key: np.array(value) for key, value in a.state_dict().items()})
    for seed in range(3, 6):
        a.minimize(loss_of(one, seed))
        b.minimize(loss_of(two, seed))
    assert same(one.state_dict(), two.state_dict())
    assert same(a.state_dict(), b.state_dict())


def test_linear_decay():
    schedule = optim.linear_decay(2.0, 10, 20)
    assert [schedule(t) for t in (0, 10, 15, 20, 30)] == [2, 2, 1, 0, 0]
    assert optim.linear_decay(1.0, 5, 5)(4) == 1
    assert optim.linear_decay(1.0, 5, 5)(5) == 0


def test_a_schedule_sees_steps_from_zero():
    p, seen = Tensor(np.zeros(1, np.float32), requires_grad=True), []
    optimizer = optim.SGD([p], lambda step: seen.append(step) or 10.0**-step)
    for _ in range(3):
        optimizer.step([Tensor([1.0])])
    assert seen == [0, 1, 2]
    close(p.data, [-1.11])


# --- EMA ---------------------------------------------------------------------------------------------------


def test_the_average_follows_its_definition(kernels):
    net = network()
    average = optim.EMA(net, decay=0.2)
    expected = {name: a.astype(float) for name, a in snapshot(net).items()}
    optimizer = optim.Adam(net.parameters(), 0.1)
    for step in range(5):
        optimizer.minimize(loss_of(net, step))
        average.update()
        decay = min(0.2, (1 + step) / (10 + step))
        for name, a in net.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * a
    for name, a in average.network.state_dict().items():
        close(a, expected[name], scale=4)


def test_the_average_is_a_network_of_its_own():
    net = network()
    average, before = optim.EMA(net), snapshot(net)
    optim.SGD(net.parameters(), 0.1).minimize(loss_of(net))
    assert same(before, average.network.state_dict())
    assert not any(t.requires_grad for t in average.network.parameters())
    assert not average.network.training
    assert net.training
    assert all(t.requires_grad for t in net.parameters())


def test_a_saved_average_continues_bit_for_bit():
    net = network()
    one, two = optim.EMA(net), optim.EMA(network(5))
    two.source = net
    optimizer = optim.SGD(net.parameters(), 0.1)
    for step in range(4):
        optimizer.minimize(loss_of(net, step))
        one.update()
        if step == 1:
            two.load_state_dict({key: np.array(value) for key, value in one.state_dict().items()})
        elif step > 1:
            two.update()
    assert same(one.state_dict(), two.state_dict())


def test_a_half_frozen_network_has_an_average():
    net = network()
    net[0].freeze()
    optimizer, average = optim.Adam(net.parameters(), 0.1), optim.EMA(net)
    optimizer.minimize(loss_of(net))
    average.update()
    np.testing.assert_array_equal(average.network[0].weight.data, net[0].weight.data)


def test_the_average_of_a_constant_is_the_constant():
    net = network()
    average = optim.EMA(net)
    for _ in range(3):
        average.update()
    assert same(net.state_dict(), average.network.state_dict())
