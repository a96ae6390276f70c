"""Every kernel of every backend equals its oracle on random shapes, layouts and dtypes and keeps its manners.

Manners: inputs stay as they were, bit for bit; results share no memory with them; the dtype is kept; the same
call gives the same bits. Those that change their arguments come last; random numbers are in `test_random.py`.
"""

import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import close
from strategies import dtypes, floats, geometries, scattered, shapes, slopes

from inachus.kernels import reference
from inachus.kernels.reference import conv

# --- arrays in, arrays out: how arguments are drawn, and (expected, scale, terms) of each result -----------


def of_conv2d(draw, dtype):
    g = draw(geometries())
    return draw(floats(g.x, dtype)), draw(floats(g.w, dtype)), g.stride, g.pad


def of_conv2d_dx(draw, dtype):
    g = draw(geometries())
    return draw(floats(g.y, dtype)), draw(floats(g.w, dtype)), g.x[1:3], g.stride, g.pad


def of_conv2d_dw(draw, dtype):
    g = draw(geometries())
    return draw(floats(g.x, dtype)), draw(floats(g.y, dtype)), g.w[:2], g.stride, g.pad


def of_matmul(draw, dtype):
    M, K, N = (draw(st.integers(1, 6)) for _ in range(3))
    left, right = draw(st.sampled_from([((), ()), ((2,), (2,)), ((3, 1), (2,)), ((), (2,))]))
    return draw(floats((*left, M, K), dtype)), draw(floats((*right, K, N), dtype))


def bilinear(oracle, terms):
    """A sum of products: as wrong as the sum of their absolute values allows."""
    return lambda a, b, *rest: [(oracle(a, b, *rest), oracle(np.abs(a), np.abs(b), *rest), terms(a, b))]


def of_norm(draw, dtype):
    groups, C = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    shape = (groups * draw(st.integers(1, 3)), *draw(shapes((0, 2), (1, 3))), C)
    x = draw(floats(shape, dtype)) + dtype(draw(st.sampled_from([0, 3])))
    gamma, beta = draw(floats((C,), dtype)), draw(floats((C,), dtype))
    return draw(scattered(x)), gamma, beta, groups, draw(st.sampled_from([1e-5, 1e-3])), draw(slopes)


def expect_norm(x, gamma, beta, groups, eps, slope):
    y, mean, rstd = oracles.norm(x, gamma, beta, groups, eps, slope)
    largest, M = np.abs(x).max(), x.size // mean.size
    spread = largest * rstd.max()  # an error in x - mean is as large as x and grows by rstd
    size = np.abs(gamma).max() * spread * (1 + math.sqrt(M)) + np.abs(beta).max()
    return [(y, size, M), (mean, largest, M), (rstd, spread * rstd + rstd, M)]


def of_norm_bwd(draw, dtype):
    x, gamma, beta, groups, eps, slope = of_norm(draw, dtype)
    y, mean, rstd = (a.astype(dtype) for a in oracles.norm(x, gamma, beta, groups, eps, slope))
    return draw(floats(x.shape, dtype)), draw(scattered(y)), x, gamma, mean, rstd, slope


def expect_norm_bwd(gy, y, x, gamma, mean, rstd, slope):
    spread = (np.abs(x).max() + np.abs(mean).max()) * rstd.max()
    g = np.abs(gy).max() * (1 + spread)
    gx, ggamma, gbeta = oracles.norm_bwd(gy, y, x, gamma, mean, rstd, slope)
    rows = x.size // x.shape[-1]
    size = np.abs(gamma).max() * rstd.max() * g * (1 + spread)
    return [(gx, size, rows), (ggamma, g * rows, rows), (gbeta, g * rows, rows)]


def of_bias_act(draw, dtype):
    x = draw(shapes().flatmap(lambda s: floats(s, dtype)))
    return x, draw(floats(x.shape[-1:], dtype)), draw(slopes)


def expect_bias_act(x, b, slope):
    return [(oracles.leaky_relu(x.astype(float) + b.astype(float), slope), np.abs(x) + np.abs(b), 1)]


def expect_bias_act_bwd(gy, y, slope):
    gx = oracles.leaky_relu_bwd(gy, y, slope)
    rows = gx.reshape(-1, gx.shape[-1])
    return [(gx, np.abs(gx), 1), ([math.fsum(c) for c in rows.T], np.abs(rows).sum(0), len(rows))]


def of_leaky_relu(draw, dtype):
    return draw(shapes((0, 4)).flatmap(lambda s: floats(s, dtype))), draw(slopes)


def of_leaky_relu_bwd(draw, dtype, dims=(0, 4)):
    shape = draw(shapes(dims))
    return draw(floats(shape, dtype)), draw(floats(shape, dtype)), draw(slopes)


def of_bias_act_bwd(draw, dtype):
    return of_leaky_relu_bwd(draw, dtype, (1, 4))


def of_loss(draw, dtype):
    shape = draw(shapes((0, 3)))
    return draw(floats(shape, dtype, -9, 9)), draw(floats(shape, dtype, 0, 1))


def of_loss_bwd(draw, dtype):
    return draw(floats((), dtype)), *of_loss(draw, dtype)


def mean_of(term):
    """The mean of term(s, t) over all pairs, and that of its absolute value."""
    def expect(s, t):
        values = [term(*pair) for pair in zip(map(float, s.flat), map(float, t.flat), strict=True)]
        return [(math.fsum(values) / s.size, 40, s.size)]

    return expect


def slope_of(term):
    """gy term'(s, t) / size for every pair."""
    def expect(gy, s, t):
        values = [term(*pair) for pair in zip(map(float, s.flat), map(float, t.flat), strict=True)]
        return [(np.reshape(values, s.shape) * float(gy) / s.size, 20 * abs(float(gy)) / s.size, 1)]

    return expect


PURE = {
    "conv2d": (of_conv2d, bilinear(oracles.conv2d, lambda x, w: w[..., 0].size)),
    "conv2d_dx": (of_conv2d_dx, bilinear(oracles.conv2d_dx, lambda gy, w: w[:, :, 0].size)),
    "conv2d_dw": (of_conv2d_dw, bilinear(oracles.conv2d_dw, lambda x, gy: gy[..., 0].size)),
    "matmul": (of_matmul, bilinear(oracles.matmul, lambda a, b: a.shape[-1])),
    "norm": (of_norm, expect_norm),
    "norm_bwd": (of_norm_bwd, expect_norm_bwd),
    "bias_act": (of_bias_act, expect_bias_act),
    "bias_act_bwd": (of_bias_act_bwd, expect_bias_act_bwd),
    "leaky_relu": (of_leaky_relu, lambda x, slope: [(oracles.leaky_relu(x, slope), np.abs(x), 1)]),
    "leaky_relu_bwd": (of_leaky_relu_bwd, lambda *a: [(oracles.leaky_relu_bwd(*a), np.abs(a[0]), 1)]),
    "bce_with_logits": (of_loss, lambda s, t: [(oracles.bce_with_logits(s, t), 20, s.size)]),
    "bce_with_logits_bwd": (of_loss_bwd, slope_of(lambda s, t: oracles.sigmoid(s) - t)),
    "squared_error": (of_loss, mean_of(lambda s, t: (s - t) ** 2)),
    "squared_error_bwd": (of_loss_bwd, slope_of(lambda s, t: 2 * (s - t))),
    "absolute_error": (of_loss, mean_of(lambda s, t: abs(s - t))),
    "absolute_error_bwd": (of_loss_bwd, slope_of(lambda s, t: (s > t) - (s < t))),
}
CHANGING = {"sgd": 1, "rmsprop": 1, "adam": 2, "ema": 0}  # name -> number of state arrays after (p, g)
RANDOM = {"philox", "uniform", "normal"}


def test_every_kernel_is_tested():
    assert sorted([*PURE, *CHANGING, *RANDOM]) == sorted(reference.__all__)


@pytest.mark.parametrize("name", PURE)
@given(data=st.data(), dtype=dtypes)
def test_a_kernel_equals_its_oracle_and_keeps_its_manners(kernels, name, data, dtype):
    draw_arguments, expect = PURE[name]
    arguments = draw_arguments(data.draw, dtype)
    arrays = [a for a in arguments if isinstance(a, np.ndarray)]
    before = [a.tobytes() for a in arrays]
    first, second = (as_tuple(getattr(kernels, name)(*arguments)) for _ in range(2))
    for result, again, (expected, scale, terms) in zip(first, second, expect(*arguments), strict=True):
        close(result, expected, scale=scale, terms=terms)
        assert result.dtype == dtype
        assert result.tobytes() == again.tobytes()
        assert not any(np.shares_memory(result, a) for a in arrays)
    assert [a.tobytes() for a in arrays] == before


def as_tuple(results):
    return results if isinstance(results, tuple) else (results,)


@given(st.data(), geometries(), dtypes)
def test_both_input_gradients_of_the_reference_agree(data, g, dtype):
    gy, w = data.draw(floats(g.y, dtype)), data.draw(floats(g.w, dtype))
    expected = oracles.conv2d_dx(gy, w, g.x[1:3], g.stride, g.pad)
    scale = oracles.conv2d_dx(np.abs(gy), np.abs(w), g.x[1:3], g.stride, g.pad)
    for algorithm in (conv._dx_phases, conv._dx_scatter):
        close(algorithm(gy, w, g.x[1:3], g.stride, g.pad), expected, scale=scale, terms=w[:, :, 0].size)


# --- more than fits into one block -------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_of_a_large_batch_is_that_of_its_pictures(kernels, stride):
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((45, 32, 32, 8), (4, 4, 8, 3)))
    y = kernels.conv2d(x, w, stride, 1)
    ones = [slice(i, i + 1) for i in range(len(x))]
    close(y, np.concatenate([kernels.conv2d(x[i], w, stride, 1) for i in ones]), scale=50)
    gx = kernels.conv2d_dx(y, w, (32, 32), stride, 1)
    parts = [kernels.conv2d_dx(y[i], w, (32, 32), stride, 1) for i in ones]
    close(gx, np.concatenate(parts), scale=np.abs(gx).max())
    parts = np.sum([kernels.conv2d_dw(x[i], y[i], (4, 4), stride, 1) for i in ones], axis=0, dtype=np.float64)
    close(kernels.conv2d_dw(x, y, (4, 4), stride, 1), parts, scale=np.abs(parts).max(), terms=len(x))


@pytest.mark.parametrize(("M", "K", "N"), [(701, 100, 300), (300, 100, 701), (2, 1500, 1500)])
def test_a_large_matrix_product(kernels, M, K, N):
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((M, K)).astype(np.float32), rng.standard_normal((N, K)).astype(np.float32).T
    y = kernels.matmul(a, b)
    close(y, a.astype(float) @ b.astype(float), scale=np.abs(a).astype(float) @ np.abs(b).astype(float))
    np.testing.assert_array_equal(y, kernels.matmul(a, b))


def test_normalisation_of_many_rows(kernels):
    rng = np.random.default_rng(2)
    x, gy = ((rng.standard_normal((70_000, 3)) + mean).astype(np.float32) for mean in (3, 1))
    gamma, beta = np.array([1, -2, 0], np.float32), np.array([0, 1, 2], np.float32)
    y, mean, rstd = kernels.norm(x, gamma, beta, 1, 1e-5, 1.0)
    xhat = (x - x.mean(0, dtype=float)) / np.sqrt(x.var(0, dtype=float) + 1e-5)
    close(y, xhat * gamma + beta, terms=len(x))
    gx, ggamma, gbeta = kernels.norm_bwd(gy, y, x, gamma, mean, rstd, 1.0)
    g = gy.astype(float)
    close(gx, gamma * rstd * (g - g.mean(0) - xhat * (g * xhat).mean(0)), terms=len(x))
    close(ggamma, (g * xhat).sum(0), scale=np.abs(g * xhat).sum(0), terms=len(x))
    close(gbeta, g.sum(0), scale=np.abs(g).sum(0), terms=len(x))


def test_activations_of_many_numbers(kernels):
    x, gy = (np.random.default_rng(i).standard_normal((70_001, 2)).astype(np.float32) for i in (3, 4))
    b = np.array([0.5, -0.5], np.float32)
    np.testing.assert_array_equal(kernels.leaky_relu(x, 0.2), np.where(x > 0, x, x * np.float32(0.2)))
    np.testing.assert_array_equal(kernels.bias_act(x, b, 0.0), np.where(x + b > 0, x + b, 0))
    np.testing.assert_array_equal(kernels.leaky_relu_bwd(gy, x, 0.0), np.where(x > 0, gy, 0))
    gx, gb = kernels.bias_act_bwd(gy, x, 1.0)
    np.testing.assert_array_equal(gx, gy)
    close(gb, gy.sum(0, dtype=float), scale=np.abs(gy).sum(0), terms=len(gy))


# --- kernels that change their arguments --------------------------------------------------------------------

rates = st.floats(1e-4, 1.0)
SETTINGS = {
    "sgd": lambda draw, t: (draw(rates), draw(st.sampled_from([0.0, 0.9]))),
    "rmsprop": lambda draw, t: (draw(rates), 0.9, 1e-6),
    "adam": lambda draw, t: (draw(rates), 0.5, 0.999, 1e-6, t),
    "ema": lambda draw, t: (draw(st.floats(0, 1)),),
}


@pytest.mark.parametrize("name", CHANGING)
@given(data=st.data(), dtype=dtypes, n=st.integers(1, 9))
def test_an_update_equals_its_oracle_for_every_number(kernels, name, data, dtype, n):
    p, g = (data.draw(floats((n,), dtype, layout=False)) for _ in range(2))
    state = [data.draw(floats((n,), dtype, 0, 2, layout=False)) for _ in range(CHANGING[name])]
    check_update(kernels, name, p, g, state, SETTINGS[name](data.draw, data.draw(st.integers(1, 100))))


@pytest.mark.parametrize("name", CHANGING)
def test_an_update_of_more_than_one_block(kernels, name):
    p, g, *state = np.random.default_rng(5).uniform(0.5, 2, (2 + CHANGING[name], 140_000)).astype(np.float32)
    check_update(kernels, name, p, g, state, SETTINGS[name](lambda strategy: 0.25, 3))


def check_update(kernels, name, p, g, state, options):
    gradient, arrays = g.tobytes(), (p, g, *state)
    rows = zip(*(a.tolist() for a in arrays), strict=True)
    expected = [getattr(oracles, name)(*numbers, *options) for numbers in rows]
    assert getattr(kernels, name)(*arrays, *options) is None
    for changed, column in zip((p, *state), np.transpose(expected), strict=True):
        close(changed, column, scale=4 + np.abs(column))
    assert g.tobytes() == gradient
