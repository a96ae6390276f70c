"""Tensor's operators and indexing behave like NumPy's, with gradients; and what happens at kinks."""

import math
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from oracles import close

from inachus.engine import Tensor, check_grads, constant, grad, losses, ops
from inachus.engine.random import Generator


@pytest.mark.parametrize("f", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow,
                               lambda a, b: ops.maximum(a, b) if isinstance(a, Tensor) else np.maximum(a, b)])
@given(pair=mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
def test_broadcasting_is_numpys(f, pair):
    a, b = (np.random.default_rng(i).uniform(0.5, 2, shape) for i, shape in enumerate(pair.input_shapes))
    y = f(constant(a), constant(b))
    assert y.shape == pair.result_shape
    close(y.data, f(a, b))
    check_grads(f, [a, b], order=1)


@pytest.mark.parametrize("f", [
    lambda x: 2 - x, lambda x: 2 / x, lambda x: 2**x, lambda x: x**2, lambda x: x**-1.5, lambda x: -x,
    abs, lambda x: 2 + x, lambda x: 2 * x, lambda x: x - 2, lambda x: x / 2, lambda x: x + 2, lambda x: x * 2,
    lambda x: True * x,
])
def test_operators_with_numbers(f):
    x = np.linspace(0.5, 2, 6).reshape(2, 3)
    close(f(constant(x)).data, f(x))
    check_grads(f, [x])


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_comparisons_give_boolean_arrays(compare):
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    t, u = constant(x), constant(y)
    results = [compare(t, u), compare(t, y), compare(x, u), compare(t, 2), compare(2, t)]
    expected = [compare(x, y)] * 3 + [compare(x, 2), compare(2, x)]
    for result, array in zip(results, expected, strict=True):
        assert type(result) is np.ndarray
        assert result.dtype == bool
        np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("index", [
    0, -1, slice(1, None), slice(None, None, -2), Ellipsis, None, (0, 1), (slice(None), None, 2), (..., -1),
    ([0, 2],), (np.array([0, 0, 2]), np.array([1, 1, 3])), (slice(None), np.array([[3, 3], [0, 3]])),
    np.array([True, False, True]), np.arange(12).reshape(3, 4) % 5 == 0, (np.int64(1), slice(0, 2)),
], ids=str)
def test_getitem_is_numpys_and_its_gradient_counts_how_often_a_place_was_read(index):
    x = Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    np.testing.assert_array_equal(x[index].data, x.data[index])
    (g,) = grad(x[index], [x])
    read = x.data[index].ravel().astype(int)  # the numbers are their own places
    np.testing.assert_array_equal(g.data.ravel(), np.bincount(read, minlength=12))


def test_integer_tensors_index():
    x = Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    labels = constant(np.array([2, 0, 2]))
    np.testing.assert_array_equal(x[labels].data, x.data[[2, 0, 2]])
    np.testing.assert_array_equal(ops.embedding(labels, x).data, x.data[[2, 0, 2]])


# --- at the edges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("f", "x", "expected"), [
    (ops.abs, 0.0, 0.0), (ops.relu, 0.0, 0.0), (lambda x: ops.maximum(x, 0), 0.0, 0.5),
    (lambda x: ops.minimum(0, x), 0.0, 0.5), (lambda x: ops.clip(x, -1, 1), 1.0, 1.0),
    (lambda x: ops.clip(x, -1, 1), 1.5, 0.0),
    (ops.sigmoid, -1e4, 0.0), (ops.softplus, 1e4, 1.0), (ops.tanh, 1e4, 0.0),
    (lambda x: x**2, 0.0, 0.0), (lambda x: x**1, 0.0, 1.0), (lambda x: x**2, -3.0, -6.0),
])
def test_gradients_at_kinks_and_in_saturation(f, x, expected):
    leaf = Tensor(np.array(x), requires_grad=True)
    y = f(leaf)
    assert np.isfinite(y.data)
    assert grad(y, [leaf])[0].item() == expected


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_power_has_derivatives_at_zero_to_every_order(n):
    x = Tensor(np.zeros(1), requires_grad=True)
    y = x**n
    for order in range(1, 4):
        (y,) = grad(y, [x], create_graph=True)
        assert y.item() == (math.factorial(n) if order == n else 0)


def test_the_first_of_equal_maxima_gets_the_gradient():
    x = Tensor(np.zeros((1, 2, 2, 1)), requires_grad=True)
    (g,) = grad(ops.max_pool2d(x, size=2), [x])
    assert g.data.ravel().tolist() == [1, 0, 0, 0]


def test_dropout_scales_what_it_keeps():
    x = constant(np.ones(100_000))
    y = ops.dropout(x, Generator(2), rate=0.3).data
    assert set(np.unique(y)) == {0.0, 1 / 0.7}
    assert abs((y == 0).mean() - 0.3) < 5 * (0.3 * 0.7 / y.size) ** 0.5
    np.testing.assert_array_equal(ops.dropout(x, Generator(2), rate=0.0).data, x.data)


@pytest.mark.parametrize(("call", "word"), [
    (lambda x: ops.pad(x, widths=((1, 1), (0, 0)), mode="edge"), "edge"),
    (lambda x: ops.pad(x, widths=((4, 0), (0, 0)), mode="reflect"), "reflection"),
    (lambda x: ops.leaky_relu(x, slope=1.5), "slope"),
    (lambda x: ops.bias_act(x, x[0], slope=1.5), "slope"),
    (lambda x: ops.batch_norm(x, x[0], x[0], slope=-0.1), "slope"),
    (lambda x: ops.dropout(x, Generator(0), rate=1.0), "rate"),
    (lambda x: ops.embedding([3], x), "index"),
    (lambda x: ops.embedding([-1], x), "index"),
    (lambda x: ops.pixel_shuffle(x[None, None], scale=3), "channels"),
    (lambda x: losses.cross_entropy(x, np.array([-1, 0, 0])), "label"),
    (lambda x: losses.cross_entropy(x, np.array([[1], [0], [0]])), "label"),
    (lambda x: losses.mse(x, x[0]), "differ"),
])
def test_what_would_be_silently_wrong_is_refused(call, word):
    with pytest.raises(ValueError, match=word):
        call(constant(np.ones((3, 4))))
