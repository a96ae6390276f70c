"""Linear ops and their gradients are adjoint: <f(x), g> = <x, f*(g)>. No finite differences: float32 will do.

Together with one forward oracle the identity pins down all three convolutions, on every backend.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import close
from strategies import dtypes, floats, geometries, shapes

from inachus.engine import Tensor, constant, grad, ops


def inner(a, b):
    """(<a, b>, the sum of the absolute values of its terms, their number) in double precision."""
    products = a.data.astype(np.float64) * b.data.astype(np.float64)
    return products.sum(), np.abs(products).sum(), products.size


def same_inner(dtype, *pairs, terms=1):
    """All inner products agree, as far as sums of `terms` products in `dtype` can."""
    (first, *rest), scale = [inner(a, b)[0] for a, b in pairs], sum(inner(a, b)[1] for a, b in pairs)
    for other in rest:
        close(np.asarray(first - other, dtype), 0, scale=scale, terms=terms)


@given(st.data(), geometries(), dtypes)
def test_the_three_convolutions_are_adjoint(kernels, data, g, dtype):
    x, w, gy = (constant(data.draw(floats(shape, dtype))) for shape in (g.x, g.w, g.y))
    y = ops.conv2d(x, w, **g.place)
    gx = ops.conv2d_dx(gy, w, hw=g.x[1:3], **g.place)
    gw = ops.conv2d_dw(x, gy, khw=g.w[:2], **g.place)
    assert y.shape == g.y
    assert (gx.shape, gw.shape) == (x.shape, w.shape)
    same_inner(dtype, (y, gy), (x, gx), (w, gw), terms=max(w.size, y.size))


@given(st.data(), geometries(), dtypes)
def test_the_transposed_convolution_is_the_adjoint(kernels, data, g, dtype):
    output_pad = data.draw(st.integers(0, g.stride - 1))
    sides = [(n - 1) * g.stride + k + output_pad for n, k in zip(g.y[1:3], g.w[:2], strict=True)]
    place = {"stride": g.stride, "pad": data.draw(st.integers(0, (min(sides) - 1) // 2))}
    gy, w = constant(data.draw(floats(g.y, dtype))), constant(data.draw(floats(g.w, dtype)))
    up = ops.conv_transpose2d(gy, w, output_pad=output_pad, **place)
    assert up.shape == (g.y[0], *(n - 2 * place["pad"] for n in sides), g.x[3])
    x = constant(data.draw(floats(up.shape, dtype)))
    same_inner(dtype, (ops.conv2d(x, w, **place), gy), (x, up), terms=max(w.size, gy.size))


@st.composite
def linear_maps(draw):
    """(f, its adjoint as an op, shape of x) for the pairs of `ops/shape.py`."""
    shape = draw(shapes((1, 3), (2, 5)))
    match draw(st.sampled_from(["pad", "reflect", "getitem", "broadcast"])):
        case "pad":
            widths = tuple(draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) for _ in shape)
            return partial_pair(ops.pad, ops.unpad, widths=widths), shape
        case "reflect":
            widths = tuple(draw(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))) for n in shape)
            return partial_pair(ops.pad, ops.unpad, widths=widths, mode="reflect"), shape
        case "getitem":
            index = draw(indices(shape))
            return (lambda x: x[index], lambda g: ops.put(g, index=index, shape=shape)), shape
    small = tuple(draw(st.sampled_from([1, n])) for n in shape)[draw(st.integers(0, len(shape) - 1)) :]
    return (lambda x: ops.broadcast_to(x, shape=shape), lambda g: ops.sum_to(g, shape=small)), small


def partial_pair(f, adjoint, **params):
    return lambda x: f(x, **params), lambda g: adjoint(g, **params)


@st.composite
def indices(draw, shape):
    """Whatever NumPy takes: slices, integers, repeated integer arrays, masks, an ellipsis, new axes."""
    n = shape[0]
    first = draw(st.one_of(
        st.slices(n),
        st.integers(-n, n - 1),
        st.lists(st.integers(-n, n - 1), min_size=1, max_size=8).map(np.array),
        st.lists(st.booleans(), min_size=n, max_size=n).map(np.array),
    ))
    return draw(st.sampled_from([(first,), (first, Ellipsis), (None, first), (Ellipsis, None)]))


@given(st.data(), linear_maps(), dtypes)
def test_linear_ops_and_their_gradients_are_adjoint(data, pair, dtype):
    (f, adjoint), shape = pair
    x = Tensor(data.draw(floats(shape, dtype)), requires_grad=True)
    y = f(x)
    g = constant(data.draw(floats(y.shape, dtype, layout=False)))
    back = adjoint(g)
    assert back.shape == x.shape
    same_inner(dtype, (y, g), (x, back), terms=y.size)
    (gx,) = grad(y, [x], g)
    np.testing.assert_array_equal(gx.data, back.data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_identity_holds_through_the_dcgan_geometry(kernels, dtype):
    rng = np.random.default_rng(0)
    sizes = (8, 32, 32, 3), (4, 4, 3, 16), (8, 16, 16, 16)
    x, w, gy = (constant(rng.standard_normal(s).astype(dtype)) for s in sizes)
    gx = ops.conv2d_dx(gy, w, hw=(32, 32), stride=2, pad=1)
    gw = ops.conv2d_dw(x, gy, khw=(4, 4), stride=2, pad=1)
    same_inner(dtype, (ops.conv2d(x, w, stride=2, pad=1), gy), (x, gx), (w, gw), terms=48)
