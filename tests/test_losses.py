"""Losses equal their definitions, survive extreme logits, and the gradient penalty can be differentiated."""

import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import close
from strategies import dtypes, floats, shapes

from inachus.engine import Tensor, check_grads, constant, grad, losses, nn, ops
from inachus.engine.nn import init
from inachus.engine.random import Generator

sigmoid = oracles.sigmoid
SCORED = {  # name -> the term that the loss averages
    "bce_with_logits": lambda s, t: -t * math.log(sigmoid(s)) - (1 - t) * math.log(sigmoid(-s)),
    "mse": lambda s, t: (s - t) ** 2,
    "l1": lambda s, t: abs(s - t),
}


@pytest.mark.parametrize("name", SCORED)
@given(data=st.data(), shape=shapes((0, 3)), dtype=dtypes)
def test_a_loss_is_the_mean_of_its_terms(kernels, name, data, shape, dtype):
    loss, term = getattr(losses, name), SCORED[name]
    s, t = data.draw(floats(shape, dtype, -6, 6)), data.draw(floats(shape, dtype, 0, 1))
    for target, numbers in ((constant(t), t), (1, np.ones(shape)), (0.25, np.full(shape, 0.25))):
        pairs = zip(map(float, s.flat), map(float, numbers.flat), strict=True)
        y = loss(constant(s), target)
        assert y.shape == ()
        close(y.data, np.mean([term(*pair) for pair in pairs]), scale=50, terms=s.size)


@pytest.mark.parametrize("sign", [1, -1])
def test_hinge(sign):
    s = np.array([-3.0, -0.5, 0.5, 3.0])
    assert losses.hinge(constant(s), sign).item() == pytest.approx(np.mean([max(0, 1 - sign * v) for v in s]))


@pytest.mark.parametrize("labels", [[2, 0], np.array([2, 0], np.uint8), constant(np.array([2, 0]))], ids=type)
def test_cross_entropy(labels):
    x = np.array([[1.0, -2.0, 0.5], [3.0, 0.0, 0.0]])
    p = oracles.softmax(x)
    expected = -np.log([p[0, 2], p[1, 0]]).mean()
    assert losses.cross_entropy(constant(x), labels).item() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f", [
    lambda s: losses.bce_with_logits(s, 1.0), lambda s: losses.bce_with_logits(s, 0.0),
    lambda s: losses.bce_with_logits(s, 0.3), lambda s: losses.hinge(s, 1), lambda s: losses.hinge(s, -1),
    lambda s: losses.mse(s, 1.0), lambda s: losses.l1(s, 1.0),
    lambda s: losses.cross_entropy(ops.reshape(s, shape=(1, 2)), [0]),
    lambda s: losses.cross_entropy(ops.reshape(s, shape=(1, 2)), [1]),
])
@pytest.mark.parametrize("create_graph", [False, True])
def test_logits_of_ten_thousand_do_no_harm(f, dtype, create_graph):
    s = Tensor(np.array([1e4, -1e4], dtype), requires_grad=True)
    y = f(s)
    (g,) = grad(y, [s], create_graph=create_graph)
    assert np.isfinite(y.data)
    assert np.isfinite(g.data).all()
    assert y.dtype == g.dtype == dtype


def test_bce_at_extreme_logits_is_linear():
    s = Tensor(np.array([1e4, -1e4]), requires_grad=True)
    y = losses.bce_with_logits(s, 0.0)
    assert y.item() == 5e3
    assert grad(y, [s])[0].data.tolist() == [0.5, 0.0]


# --- gradient penalty --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("norm", "penalty"), [(1.0, 0.0), (3.0, 4.0), (0.25, 0.5625)])
def test_the_penalty_of_a_linear_critic_is_known(norm, penalty):
    w = np.random.default_rng(0).standard_normal((6, 1))
    w = Tensor(norm * w / np.linalg.norm(w), requires_grad=True)
    x = constant(np.random.default_rng(1).standard_normal((4, 3, 2)))
    y = losses.gradient_penalty(lambda x: ops.dense(ops.reshape(x, shape=(4, 6)), w), x)
    assert y.item() == pytest.approx(penalty, abs=1e-10)
    (g,) = grad(y, [w])
    np.testing.assert_allclose(g.data, 2 * (norm - 1) * w.data / norm, atol=1e-9)  # d (|w| - 1)^2 / dw


def test_the_target_may_be_zero_and_the_weights_of_the_penalty_do_not_reach_the_data():
    w = constant(np.array([[3.0], [4.0]]))
    x = Tensor(np.ones((5, 2)), requires_grad=True)
    y = losses.gradient_penalty(lambda x: (x * x) @ w, x, target=0.0)
    assert y.item() == pytest.approx((2 * 3) ** 2 + (2 * 4) ** 2)
    assert (grad(y, [x])[0].data == 0).all()


CRITICS = {
    "mlp": lambda: [nn.Flatten(), nn.Dense(50, 6), nn.Tanh(), nn.Dense(6, 5), nn.LeakyReLU(), nn.Dense(5, 1)],
    "instance": lambda: [nn.Conv2d(2, 3, 3, stride=2, pad=1), nn.InstanceNorm(3, affine=True), nn.LeakyReLU(),
                         nn.Conv2d(3, 1, 3), nn.Flatten()],
    "layer": lambda: [nn.Conv2d(2, 3, 3, stride=2, pad=1), nn.LayerNorm((3, 3, 3)), nn.LeakyReLU(),
                      nn.Conv2d(3, 1, 3), nn.Flatten()],
}


@pytest.mark.parametrize("name", CRITICS)
def test_the_penalty_of_a_network_agrees_with_differences(kernels, name):
    net = nn.Sequential(*CRITICS[name]()).initialize(Generator(1), init.he(), init.normal(0.1, 1.0))
    x = constant(Generator(2).normal((3, 5, 5, 2), dtype=np.float64))
    owners = [(m, key) for _, m in net.modules() for key, t in vars(m).items() if isinstance(t, Tensor)]

    def penalty(*weights):
        for (module, key), w in zip(owners, weights, strict=True):
            setattr(module, key, w)
        return losses.gradient_penalty(net, x)

    weights = [t.data.astype(np.float64) for t in net.parameters()]
    check_grads(penalty, weights, order=1, rtol=1e-6)
    leaves = [Tensor(w, requires_grad=True) for w in weights]
    assert all((g.data != 0).any() for g in grad(penalty(*leaves), leaves[:1]))
