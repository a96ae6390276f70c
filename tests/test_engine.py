"""The graph: what is recorded, differentiated and freed. What is refused is in `test_refusals.py`."""

import gc
import weakref

import numpy as np
import pytest

from inachus.engine import Tensor, constant, grad, losses, nn, no_grad, op, ops, tensor


def leaf(*numbers, dtype=np.float64):
    return Tensor(np.array(numbers, dtype), requires_grad=True)


def values(tensors):
    return [t.data.tolist() for t in tensors]


@pytest.fixture
def new_ops(monkeypatch):
    """Ops made by the test stay out of the table of all ops."""
    monkeypatch.setattr(tensor, "OPS", {})


# --- graphs of every form ----------------------------------------------------------------------------------


def test_reuse_and_fan_out_add_up():
    x = leaf(2.0, 3.0)
    h = x * x
    y = h * h + h * x + x
    expected = 4 * x.data**3 + 3 * x.data**2 + 1
    np.testing.assert_allclose(grad(y, [x])[0].data, expected)


def test_a_chain_of_5000_nodes():
    x = leaf(1.0)
    y = x
    for _ in range(5000):
        y = y + x * 0.001
    np.testing.assert_allclose(grad(y, [x])[0].data, 6.0)


def test_a_chain_of_5000_nodes_differentiated_twice():
    x = leaf(0.5)
    y = x * x
    for _ in range(5000):
        y = y * 1.0
    (g,) = grad(y, [x], create_graph=True)
    assert values(grad(g, [x])) == [[2.0]]


def test_a_sum_of_5000_terms():
    x = leaf(3.0)
    y = constant(np.zeros(1))
    for term in [x * float(i) for i in range(5000)]:
        y = y + term
    assert values(grad(y, [x])) == [[5000 * 4999 / 2]]


def test_third_and_higher_derivatives():
    x = leaf(1.5, -2.0)
    y, factor = x**4, 1
    for order in range(1, 5):
        factor *= 5 - order
        (y,) = grad(y, [x], create_graph=True)
        np.testing.assert_allclose(y.data, factor * x.data ** (4 - order))


def test_the_gradient_of_a_linear_function_has_gradient_zero():
    x = leaf(1.0, 2.0)
    (g,) = grad((3 * x + 1).sum(), [x], create_graph=True)
    assert values(grad(g.sum(), [x])) == [[0, 0]]


def test_inputs_that_are_not_reached_get_zeros():
    x, unused = leaf(1.0), leaf(1.0, 2.0, dtype=np.float32)
    gx, gu = grad(x * 2, [x, unused])
    assert values([gx, gu]) == [[2], [0, 0]]
    assert gu.dtype == np.float32


def test_an_intermediate_tensor_does_not_block_the_total_derivative():
    x = leaf(3.0)
    h = x * x
    y = h * x
    for create_graph in (True, False):
        assert values(grad(y, [h, x, y], create_graph=create_graph)) == [[3], [27], [1]]


def test_gy_weighs_the_outputs():
    x = leaf(1.0, 2.0)
    assert values(grad(x * x, [x], constant(np.array([10.0, 1.0])))) == [[20, 4]]
    with pytest.raises(ValueError, match=r"\(1,\).*\(2,\)"):
        grad(x * x, [x], constant(np.ones(1)))


def test_the_gradient_of_a_constant_is_refused_because_only_a_part_of_it_was_recorded():
    x, c = leaf(2.0), constant(np.array([3.0]))
    with pytest.raises((TypeError, ValueError)):
        grad(x * c + c * c, [c])


# --- what is kept and what is freed ------------------------------------------------------------------------


def test_grad_frees_the_graph_and_a_second_one_says_so():
    x = leaf(1.0, 2.0)
    h = ops.exp(x)
    inner, y = weakref.ref(h), ops.square(h).sum()
    del h
    assert inner() is not None
    grad(y, [x])
    assert inner() is None
    with pytest.raises(RuntimeError, match=r"freed.*create_graph"):
        grad(y, [x])
    with pytest.raises(RuntimeError, match="freed"):
        grad(y * 2, [x])


def test_create_graph_keeps_the_graph():
    x = leaf(1.0)
    y = ops.exp(x)
    first = grad(y, [x], create_graph=True)
    assert values(first) == values(grad(y, [x], create_graph=True)) == values(grad(y, [x]))


def test_a_dropped_graph_needs_no_garbage_collector():
    x = leaf(1.0)
    gc.disable()
    try:
        h = ops.tanh(x)
        (g,) = grad(ops.sigmoid(h * x), [x], create_graph=True)
        alive = weakref.ref(h)
        del h, g
        assert alive() is None
    finally:
        gc.enable()


def test_backward_accumulates_in_the_leaves_alone():
    x, w, c = leaf(2.0), leaf(5.0), constant(np.array([7.0]))
    for times in (1, 2):
        h = x * w + c
        (h * 3).backward()
        assert values([x.grad, w.grad]) == [[15 * times], [6 * times]]
        assert h.grad is None
        assert c.grad is None
    assert not x.grad.requires_grad


def test_nothing_is_recorded_under_no_grad():
    x = leaf(1.0)
    with no_grad():
        assert not (x * 2).requires_grad
        with no_grad(False):
            assert not (x * 2).requires_grad
    with no_grad(False):
        assert (x * 2).requires_grad
    assert not (constant(np.ones(1)) * 2).requires_grad
    assert (x * 2).detach().node is None


def test_an_exception_leaves_recording_as_it_was(new_ops):
    @op
    def broken(x):
        return x * 2

    @broken.vjp
    def _(gy, y, x):
        raise ArithmeticError("from the rule")

    x = leaf(1.0)
    for create_graph in (False, True):
        with pytest.raises(ArithmeticError):
            grad(broken(x), [x], create_graph=create_graph)
        assert (x * 2).requires_grad
    with pytest.raises(ArithmeticError):
        y = broken(x)
        with no_grad():
            grad(y, [x], create_graph=True)
    assert (x * 2).requires_grad


def test_a_rule_with_a_gradient_of_another_shape_is_found_out(new_ops):
    @op
    def doubled(x):
        return x * 2

    @doubled.vjp
    def _(gy, y, x):
        return (gy.sum(),)

    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=r"doubled.*\(\).*\(2,\)"):
        grad(doubled(x), [x])


# --- gradients that nobody asked for cost nothing -----------------------------------------------------------


@pytest.fixture
def calls(kernels, monkeypatch):
    """Counts the calls of the kernels by name, as far as the test asks for them."""
    counted = {}

    def watch(name, kernel):
        def counting(*args):
            counted[name] += 1
            return kernel(*args)

        return counting

    for name in ("conv2d", "conv2d_dx", "conv2d_dw"):
        counted[name] = 0
        monkeypatch.setattr(kernels, name, watch(name, getattr(kernels, name)))
    return counted


def critic():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.LeakyReLU(), nn.Conv2d(2, 2, 3), nn.LeakyReLU(), nn.Flatten())


def test_the_first_layer_computes_no_gradient_of_the_data(calls):
    net, x = critic(), constant(np.ones((1, 6, 6, 1), np.float32))
    grad(net(x).sum(), net.parameters())
    assert calls == {"conv2d": 2, "conv2d_dx": 1, "conv2d_dw": 2}


@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "not among xs"])
def test_passing_through_a_network_computes_no_gradient_of_its_weights(calls, freeze):
    net, x = critic().freeze(freeze), Tensor(np.ones((1, 6, 6, 1), np.float32), requires_grad=True)
    grad(net(x).sum(), [x])
    assert calls == {"conv2d": 2, "conv2d_dx": 2, "conv2d_dw": 0}


def test_a_frozen_network_on_data_is_not_recorded(calls):
    y = critic().freeze()(constant(np.ones((1, 6, 6, 1), np.float32)))
    assert not y.requires_grad
    assert y.node is None


def test_a_gradient_penalty_computes_only_what_it_needs(calls):
    net, x = critic(), constant(np.ones((1, 6, 6, 1), np.float32))
    penalty = losses.gradient_penalty(net, x)
    assert calls == {"conv2d": 2, "conv2d_dx": 2, "conv2d_dw": 0}
    grad(penalty, [net[0].weight])
    assert calls["conv2d_dw"] == 1
