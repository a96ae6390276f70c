"""Every kernel of every backend equals its oracle on random shapes, layouts and dtypes and keeps its manners.

Manners: inputs stay as they were, bit for bit; results are contiguous and share no memory with them; the dtype is
kept; the same call gives the same bits. Those that change their arguments come last; random numbers are in
`test_random.py`.
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
from inachus.kernels.reference import conv, optim

# --- arrays in, arrays out: how arguments are drawn, and (expected, scale, terms) of each result -----------


def of_conv2d(draw, dtype):
    g = draw(geometries())
    return draw(floats(g.x, dtype)), draw(floats(g.w, dtype)), g.stride, g.pad, *epilogue(draw, g.w[3], dtype)


def of_conv2d_dx(draw, dtype):
    g = draw(geometries())
    rest = g.x[1:3], g.stride, g.pad, *epilogue(draw, g.w[2], dtype)
    return draw(floats(g.y, dtype)), draw(floats(g.w, dtype)), *rest


def epilogue(draw, channels, dtype):
    return draw(floats((channels,), dtype)) if draw(st.booleans()) else None, draw(slopes)


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


def convolution(oracle, terms):
    """A bilinear product, then bias and leaky ReLU."""
    def expect(a, w, *rest):
        *rest, b, slope = rest
        [(y, size, n)] = bilinear(oracle, terms)(a, w, *rest)
        b = 0.0 if b is None else b.astype(float)
        return [(oracles.leaky_relu(y + b, slope), size + np.abs(b), n + 1)]

    return expect


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


def of_numbers(draw, dtype):
    return (draw(shapes((0, 4)).flatmap(lambda s: floats(s, dtype, -9, 9))),)


def each(function):
    """A function of one number, as exact as that number is."""
    def expect(x):
        y = np.reshape([function(v) for v in map(float, x.flat)], x.shape)
        return [(y, np.abs(y), 1)]

    return expect


def of_tanh_bwd(draw, dtype):
    return of_leaky_relu_bwd(draw, dtype)[:2]


def of_loss(draw, dtype):
    shape = draw(shapes((0, 3)))
    return draw(floats(shape, dtype, -9, 9)), draw(floats(draw(st.sampled_from([shape, ()])), dtype, 0, 1))


def of_hinge(draw, dtype):
    return draw(shapes((0, 3)).flatmap(lambda s: floats(s, dtype))), draw(st.sampled_from([1.0, -1.0]))


def mean_of(term):
    """The mean of term(s, t) over all pairs, and its gradient."""
    def expect(s, t):
        loss, gs = oracles.averaged(term, s, t)
        return [(loss, 40, s.size), (gs, 20 / s.size, 1)]

    return expect


def of_picture(draw, dtype, multiple=1):
    N, H, W, C = (draw(st.integers(1, 4)) for _ in range(4))
    return draw(floats((N, H, W, C * multiple), dtype))


def of_reflect_pad(draw, dtype):
    x = of_picture(draw, dtype)
    return x, *(tuple(draw(st.integers(0, n - 1)) for _ in range(2)) for n in x.shape[1:3])


def of_upsample(draw, dtype):
    return of_picture(draw, dtype), draw(st.integers(1, 3))


def of_pixel_shuffle(draw, dtype):
    scale = draw(st.integers(1, 3))
    return of_picture(draw, dtype, scale**2), scale


def move(arguments, oracle):
    """Numbers that are only moved stay what they are."""
    return arguments, lambda *a: [(oracle(*a), 0, 1)]


def move_back(arguments, oracle, before, terms=1):
    """The adjoint, where up to `terms` numbers come together; `before` tells H, W, C from those of gy."""
    def of_adjoint(draw, dtype):
        x, *rest = arguments(draw, dtype)
        return draw(floats(oracle(x, *rest).shape, dtype)), *rest

    def expect(gy, *rest):
        x = gy.shape[0], *(int(n) for n in before(np.array(gy.shape[1:]), *rest))
        return [(*(oracles.sent_back(lambda a: oracle(a, *rest), g, x) for g in (gy, np.abs(gy))), terms)]

    return of_adjoint, expect


def of_dropout(draw, dtype):
    x = draw(shapes((0, 4)).flatmap(lambda s: floats(s, dtype)))
    return x, *(draw(st.integers(0, 2**40)) for _ in range(3)), draw(st.sampled_from([0.0, 0.25, 0.7]))


def expect_dropout(x, seed, stream, start, rate):
    rate = float(x.dtype.type(rate))
    return [(oracles.dropout(x, seed, stream, start, rate), np.abs(x) / (1 - rate), 2)]


def of_concat(draw, dtype):
    lead = draw(shapes((0, 3), (1, 3)))
    widths = [draw(st.integers(1, 3)) for _ in range(draw(st.sampled_from([1, 2, 3, 18])))]
    return ([draw(floats((*lead, width), dtype)) for width in widths],)


PURE = {
    "conv2d": (of_conv2d, convolution(oracles.conv2d, lambda x, w: w[..., 0].size)),
    "conv2d_dx": (of_conv2d_dx, convolution(oracles.conv2d_dx, lambda gy, w: w[:, :, 0].size)),
    "conv2d_dw": (of_conv2d_dw, bilinear(oracles.conv2d_dw, lambda x, gy: gy[..., 0].size)),
    "matmul": (of_matmul, bilinear(oracles.matmul, lambda a, b: a.shape[-1])),
    "norm": (of_norm, expect_norm),
    "norm_bwd": (of_norm_bwd, expect_norm_bwd),
    "bias_act": (of_bias_act, expect_bias_act),
    "bias_act_bwd": (of_bias_act_bwd, expect_bias_act_bwd),
    "leaky_relu": (of_leaky_relu, lambda x, slope: [(oracles.leaky_relu(x, slope), np.abs(x), 1)]),
    "leaky_relu_bwd": (of_leaky_relu_bwd, lambda *a: [(oracles.leaky_relu_bwd(*a), np.abs(a[0]), 1)]),
    "tanh": (of_numbers, each(math.tanh)),
    "tanh_bwd": (of_tanh_bwd, lambda gy, y: [(gy * (1 - y.astype(float) ** 2), np.abs(gy) * (1 + y**2), 1)]),
    "sigmoid": (of_numbers, each(oracles.sigmoid)),
    "softplus": (of_numbers, each(oracles.softplus)),
    "bce_with_logits": (of_loss, mean_of(oracles.bce)),
    "squared_error": (of_loss, mean_of(oracles.squared)),
    "absolute_error": (of_loss, mean_of(oracles.absolute)),
    "hinge": (of_hinge, mean_of(oracles.hinge)),
    "reflect_pad": move(of_reflect_pad, oracles.reflect_pad),
    "reflect_pad_bwd": move_back(of_reflect_pad, oracles.reflect_pad,
                                 lambda sides, rows, cols: sides - (sum(rows), sum(cols), 0), 9),
    "upsample": move(of_upsample, oracles.upsample),
    "upsample_bwd": move_back(of_upsample, oracles.upsample, lambda sides, s: sides // (s, s, 1), 9),
    "pixel_shuffle": move(of_pixel_shuffle, oracles.pixel_shuffle),
    "pixel_unshuffle": move_back(of_pixel_shuffle, oracles.pixel_shuffle,
                                 lambda sides, s: sides * (1, 1, s * s) // (s, s, 1)),
    "dropout": (of_dropout, expect_dropout),
    "concat": move(of_concat, lambda xs: np.concatenate(xs, axis=-1)),
}
ADJOINT = {  # of the kernels that are linear in a picture
    "reflect_pad": "reflect_pad_bwd", "upsample": "upsample_bwd", "pixel_shuffle": "pixel_unshuffle",
    "dropout": "dropout",
}
CHANGING = {"sgd": 1, "rmsprop": 1, "adam": 2, "ema": 0}  # name -> number of state arrays after (p, g)
RANDOM = {"philox", "uniform", "normal"}


def test_every_kernel_is_tested():
    assert sorted([*PURE, *CHANGING, *RANDOM, "track"]) == sorted(reference.__all__)


@pytest.mark.parametrize("name", PURE)
@given(data=st.data(), dtype=dtypes)
def test_a_kernel_equals_its_oracle_and_keeps_its_manners(kernels, name, data, dtype):
    draw_arguments, expect = PURE[name]
    arguments = draw_arguments(data.draw, dtype)
    lists = (a if isinstance(a, list) else [a] for a in arguments)
    arrays = [a for some in lists for a in some if isinstance(a, np.ndarray)]
    before = [a.tobytes() for a in arrays]
    first, second = (as_tuple(getattr(kernels, name)(*arguments)) for _ in range(2))
    for result, again, (expected, scale, terms) in zip(first, second, expect(*arguments), strict=True):
        close(result, expected, scale=scale, terms=terms)
        assert result.dtype == dtype
        assert result.tobytes() == again.tobytes()
        assert result.flags.c_contiguous
        assert not any(np.shares_memory(result, a) for a in arrays)
    assert [a.tobytes() for a in arrays] == before


def as_tuple(results):
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("name", ADJOINT)
@given(data=st.data(), dtype=dtypes)
def test_what_is_linear_has_its_adjoint(kernels, name, data, dtype):
    x, *rest = PURE[name][0](data.draw, dtype)
    y = getattr(kernels, name)(x, *rest)
    gy = data.draw(floats(y.shape, dtype))
    gx = getattr(kernels, ADJOINT[name])(gy, *rest)
    size = np.vdot(np.abs(gx), np.abs(x)) + np.vdot(np.abs(y), np.abs(gy))
    close(np.vdot(gx, x), np.vdot(y.astype(float), gy.astype(float)), scale=size, terms=x.size)


@given(st.data(), geometries(), dtypes)
def test_both_input_gradients_of_the_reference_agree(data, g, dtype):
    gy, w = data.draw(floats(g.y, dtype)), data.draw(floats(g.w, dtype))
    expected = oracles.conv2d_dx(gy, w, g.x[1:3], g.stride, g.pad)
    scale = oracles.conv2d_dx(np.abs(gy), np.abs(w), g.x[1:3], g.stride, g.pad)
    for algorithm in (conv._dx_phases, conv._dx_scatter):
        close(algorithm(gy, w, g.x[1:3], g.stride, g.pad, None, 1.0), expected, scale=scale, terms=w[:, :, 0].size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_activation_overflows(kernels, dtype):
    x = np.array([-1e4, -200, 200, 1e4], dtype)
    close(kernels.tanh(x), [-1, -1, 1, 1])
    close(kernels.sigmoid(x), [0, math.exp(-200), 1, 1], scale=[0, 2e-87, 1, 1])
    close(kernels.softplus(x), [0, math.exp(-200), 200, 1e4], scale=[0, 2e-87, 200, 1e4])
    for s in (x[:1], x[3:]):
        loss, gs = kernels.bce_with_logits(s, np.array(0.5, dtype))
        close(loss, 5e3)
        close(gs, np.sign(s) / 2)


LAYERS = {  # one for each way that a convolution may go: (x, w, stride, pad)
    "kernel as large as the picture": ((3, 4, 4, 5), (4, 4, 5, 6), 1, 0),
    "1 x 1": ((2, 3, 3, 20), (1, 1, 20, 18), 1, 0),
    "kernel 4 stride 2": ((2, 16, 16, 16), (4, 4, 16, 16), 2, 1),
    "kernel 3 stride 1": ((2, 8, 8, 16), (3, 3, 16, 16), 1, 1),
    "few outputs": ((1, 6, 6, 9), (3, 3, 9, 1), 1, 1),
    "few inputs": ((1, 6, 6, 2), (5, 5, 2, 9), 1, 2),
    "stride 3": ((2, 7, 7, 2), (3, 3, 2, 4), 3, 1),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_bias_and_activation_may_come_with_the_convolution(kernels, layer):
    (x, w, stride, pad), rng = LAYERS[layer], np.random.default_rng(7)
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in (x, w))
    y = kernels.conv2d(x, w, stride, pad)
    b, size = rng.standard_normal(y.shape[3]).astype(np.float32), np.abs(y).max()
    for bias, slope in ((b, 0.2), (b, 1.0), (None, 0.0)):
        expected = kernels.bias_act(y, 0 * b if bias is None else bias, slope)
        close(kernels.conv2d(x, w, stride, pad, bias, slope), expected, scale=size)
    gx, c = kernels.conv2d_dx(y, w, x.shape[1:3], stride, pad), rng.standard_normal(x.shape[3]).astype(np.float32)
    finished = kernels.conv2d_dx(y, w, x.shape[1:3], stride, pad, c, 0.2)
    close(finished, kernels.bias_act(gx, c, 0.2), scale=np.abs(gx).max())


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


def test_losses_of_many_numbers(kernels):
    s, t = (np.random.default_rng(i).standard_normal(20_001).astype(np.float32) for i in (8, 9))
    wide = s.astype(float)
    for target in (t, np.array(0.5, np.float32)):
        loss, gs = kernels.squared_error(s, target)
        close(loss, ((wide - target) ** 2).mean(), terms=len(s))
        close(gs, 2 * (wide - target) / len(s))
        loss, gs = kernels.absolute_error(s, target)
        close(loss, np.abs(wide - target).mean(), terms=len(s))
        np.testing.assert_array_equal(gs, np.sign(s - target) * gs.max())
    loss, gs = kernels.hinge(s, -1.0)
    close(loss, np.maximum(0, 1 + wide).mean(), terms=len(s))
    close(gs, (1 + wide > 0) / len(s))


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


@pytest.mark.parametrize("name", CHANGING)
@given(data=st.data(), dtype=dtypes, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_an_update_in_parts_is_the_update_bit_for_bit(kernels, name, data, dtype, sizes):
    p, g = (data.draw(floats((sum(sizes),), dtype, layout=False)) for _ in range(2))
    state = [data.draw(floats(p.shape, dtype, 0, 2, layout=False)) for _ in range(CHANGING[name])]
    options = SETTINGS[name](data.draw, 3)
    whole, parted = ([a.copy() for a in (p, *state)] for _ in range(2))
    parts = [data.draw(scattered(part.reshape(1, -1, 1))) for part in np.split(g, np.cumsum(sizes)[:-1])]
    getattr(kernels, name)(whole[0], g, *whole[1:], *options)
    if name == "ema":
        kernels.ema(np.split(parted[0], np.cumsum(sizes)[:-1]), parts, *options)
    else:
        getattr(kernels, name)(parted[0], parts, *parted[1:], *options)
    assert [a.tobytes() for a in parted] == [a.tobytes() for a in whole]


def test_a_gradient_of_another_size_is_refused():
    for g in (np.ones(4), [np.ones(2)], [np.ones(3), np.ones((2, 1))]):
        with pytest.raises(ValueError, match="3 numbers to change"):
            optim.parts(np.ones(3), g)


@given(st.data(), dtypes, st.integers(1, 5), st.integers(1, 9))
def test_running_statistics_equal_their_oracle_for_every_channel(kernels, data, dtype, C, count):
    running = [data.draw(floats((C,), dtype, 0.5, 2, layout=False)) for _ in range(2)]
    batch = [data.draw(floats((1, C), dtype, 0.5, 2)) for _ in range(2)]
    before, options = [a.tobytes() for a in batch], (1e-5, data.draw(st.floats(0, 1)), count)
    numbers = zip(*(a.ravel().tolist() for a in (*running, *batch)), strict=True)
    expected = np.transpose([oracles.track(*channel, *options) for channel in numbers])
    assert kernels.track(*running, *batch, *options) is None
    for changed, column in zip(running, expected, strict=True):
        close(changed, column, scale=10)
    assert [a.tobytes() for a in batch] == before


# --- views of one number: what the gradient of a mean looks like ----------------------------------------------


@pytest.mark.parametrize("C", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_repeated_numbers_are_read_as_often_as_they_stand_there(kernels, C, dtype):
    rng = np.random.default_rng(8)
    x, w = rng.standard_normal((2, 4, 4, 2)).astype(dtype), rng.standard_normal((3, 3, 2, C)).astype(dtype)
    for gy in (np.broadcast_to(dtype(0.5), (2, 4, 4, C)), np.broadcast_to(x[:, :1, :1, :1], (2, 4, 4, C))):
        plain, rows = np.ascontiguousarray(gy), np.ascontiguousarray(gy).reshape(-1, C)
        same = [
            (kernels.conv2d_dx(gy, w, (4, 4), 1, 1), kernels.conv2d_dx(plain, w, (4, 4), 1, 1)),
            (kernels.conv2d_dw(x, gy, (3, 3), 1, 1), kernels.conv2d_dw(x, plain, (3, 3), 1, 1)),
            (kernels.matmul(gy[0, 0], w[0, 0].T), kernels.matmul(plain[0, 0], w[0, 0].T)),
            (kernels.bias_act_bwd(gy, plain, 0.2)[1], kernels.bias_act_bwd(plain, plain, 0.2)[1]),
            (kernels.concat([gy, plain]), np.concatenate([plain, plain], axis=-1)),
        ]
        ones = np.ones(C, dtype)
        y, mean, rstd = kernels.norm(plain + np.arange(C, dtype=dtype), ones, ones, 2, 1e-3, 1.0)
        some = rng.standard_normal(gy.shape).astype(dtype)
        same += zip(*(kernels.norm_bwd(g, y, some, ones, mean, rstd, 1.0) for g in (gy, plain)), strict=True)
        for a, b in same:
            close(a, b, scale=np.abs(rows).max() * 100, terms=9)
