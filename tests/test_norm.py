"""Fused ops equal their composite twins: values, gradients, second derivatives; large means are harmless."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import close
from strategies import floats, shapes, slopes

from inachus.engine import Tensor, check_grads, constant, grad, ops
from inachus.engine.ops.norm import norm
from inachus.engine.tensor import OPS

TWINNED = {name: op for name, op in OPS.items() if op.twin}


@st.composite
def of_norm(draw):
    """Groups 1 (BatchNorm), 2 (real and fake apart) or N (InstanceNorm); gamma may be 0 or left out."""
    groups = draw(st.integers(1, 3))
    shape = (groups * draw(st.integers(1, 2)), *draw(shapes((1, 2), (2, 3))), draw(st.integers(1, 3)))
    affine = st.none() | st.just(np.zeros(shape[-1:])) | floats(shape[-1:], np.float64)
    x, gamma, beta = draw(floats(shape, np.float64)), draw(affine), draw(affine)
    return (x, gamma, beta), {"groups": groups, "eps": 1e-3, "slope": draw(slopes)}


@st.composite
def of_bias_act(draw):
    shape = draw(shapes())
    return (draw(floats(shape, np.float64)), draw(floats(shape[-1:], np.float64))), {"slope": draw(slopes)}


@st.composite
def of_loss(draw):
    shape = draw(shapes((0, 3)))
    return (draw(floats(shape, np.float64)), draw(floats(shape, np.float64, 0, 1))), {}


@st.composite
def of_hinge(draw):
    return (draw(floats(draw(shapes((0, 3))), np.float64)),), {"sign": draw(st.sampled_from([-1.0, 1.0]))}


ARGUMENTS = {"norm": of_norm(), "bias_act": of_bias_act(),
             "_bce": of_loss(), "_squared": of_loss(), "_absolute": of_loss(), "_hinge": of_hinge()}


def test_every_op_with_a_twin_is_compared_with_it():
    assert sorted(ARGUMENTS) == sorted(TWINNED)


def leaves_of(arrays):
    return [None if a is None else Tensor(a, requires_grad=True) for a in arrays]


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data())
def test_fused_equals_composite(kernels, name, data):
    op, (arrays, params) = TWINNED[name], data.draw(ARGUMENTS[name])
    one, two = leaves_of(arrays), leaves_of(arrays)
    fused, twin = op(*one, **params), op.twin(*two, **params)
    close(fused.data, twin.data, scale=30)
    gy = constant(data.draw(floats(fused.shape, np.float64)))
    wanted = [[x for x in leaves if x is not None] for leaves in (one, two)]
    for a, b in zip(grad(fused, wanted[0], gy), grad(twin, wanted[1], gy), strict=True):
        close(a.data, b.data, scale=300)
    differentiable = grad(op(*one, **params), wanted[0], gy, create_graph=True)
    for a, b in zip(differentiable, grad(op.twin(*two, **params), wanted[1], gy), strict=True):
        close(a.data, b.data, scale=300)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_norm_to_second_order(groups, slope):
    rng = np.random.default_rng(groups)
    x, gamma, beta = rng.standard_normal((4, 3, 2)), rng.uniform(0.5, 2, 2), rng.uniform(0.5, 1, 2)
    check_grads(lambda *a: norm(*a, groups=groups, eps=1e-5, slope=slope), [x, gamma, beta])
    check_grads(lambda *a: norm(*a, groups=groups, eps=1e-5, slope=slope), [x, np.zeros(2), beta])


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_any_choice_of_gradients_is_the_same_as_all(wanted):
    rng = np.random.default_rng(3)
    leaves = leaves_of([rng.standard_normal((4, 3)), rng.uniform(1, 2, 3), rng.uniform(1, 2, 3)])
    for create_graph in (False, True):
        everything = grad(ops.batch_norm(*leaves, slope=0.2), leaves, create_graph=create_graph)
        y = ops.batch_norm(*leaves, slope=0.2)
        chosen = grad(y, [leaves[i] for i in wanted], create_graph=create_graph)
        for i, g in zip(wanted, chosen, strict=True):
            np.testing.assert_array_equal(g.data, everything[i].data)


def test_one_tensor_in_two_places_collects_both_gradients():
    x = Tensor(np.random.default_rng(4).standard_normal((1, 3)), requires_grad=True)
    for create_graph in (False, True):
        row = ops.reshape(x, shape=(3,))
        (g,) = grad(ops.bias_act(x, row, slope=1.0), [x], create_graph=create_graph)
        close(g.data, np.full((1, 3), 2.0))
        b = Tensor(np.array([0.5, -0.5]), requires_grad=True)
        (g,) = grad(ops.bias_act(b, b, slope=0.2), [b], create_graph=create_graph)
        close(g.data, [2.0, 0.4])


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "composite"])
@pytest.mark.parametrize("groups", [1, 8])
def test_a_large_mean_costs_no_more_than_its_own_rounding(kernels, fused, groups):
    rng = np.random.default_rng(6)
    x = (1e3 + rng.standard_normal((8, 16, 16, 4))).astype(np.float32)
    gy, gamma, beta = (rng.standard_normal(s).astype(np.float32) for s in (x.shape, 4, 4))
    f = norm if fused else norm.twin
    results = []
    for dtype in (np.float32, np.float64):
        leaves = leaves_of([a.astype(dtype) for a in (x, gamma, beta)])
        y = f(*leaves, groups=groups, eps=1e-5, slope=1.0)
        results.append([y, *grad(y, leaves, constant(gy.astype(dtype)))])
    for single, double in zip(*results, strict=True):  # a mean sums numbers of 1e3 deviations
        close(single.data, double.data, scale=1e3, terms=x.size // 4, c=4)


def test_statistics_of_one_group_know_nothing_of_another():
    rng = np.random.default_rng(7)
    x = rng.standard_normal((4, 3, 3, 2))
    whole = norm(constant(x), None, None, groups=2, eps=1e-5).data
    for half in (slice(0, 2), slice(2, 4)):
        part = norm(constant(x[half]), None, None, groups=1, eps=1e-5).data
        np.testing.assert_allclose(whole[half], part, rtol=1e-12)
        np.testing.assert_allclose(part.mean((0, 1, 2)), 0, atol=1e-12)
