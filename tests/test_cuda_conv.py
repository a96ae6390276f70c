"""The tensor-core convolutions: every tile, every precision, every way a shape can be ragged.

Operands are rounded as the kernels round them and multiplied again in double precision, so that a wrong index cannot
hide behind the rounding. The kernels run on the emulator; with INACHUS_TEST_DEVICE=cuda on the GPU.
"""

import json

import numpy as np
import pytest
from conftest import BACKENDS
from hypothesis import given
from hypothesis import strategies as st
from strategies import Geometry, floats, geometries, slopes

import inachus.kernels
from inachus.kernels import emulator, fetch, reference
from inachus.kernels.cuda.convolution import conv, linear, tiles
from inachus.kernels.cuda.launch import launch

ON_GPU = BACKENDS == ["cuda"]
OPS = ("conv2d", "conv2d_dx", "conv2d_dw")
ALLOWED = 1e-4 if ON_GPU else 1e-5  # of the largest sum of absolute products; tensor cores cut off where IEEE rounds

pytestmark = pytest.mark.skipif(not ON_GPU and not emulator.available(), reason=str(emulator.missing()))


@pytest.fixture(scope="module", autouse=True)
def put():
    """Moves an array to the device; the precision is put back at the end."""
    before = conv.precision()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inachus.kernels, "_home", inachus.kernels._home)
        if ON_GPU:
            inachus.kernels.use("cuda")
        yield inachus.kernels.place
    conv.use_precision(before)


each_op = pytest.mark.parametrize("op", OPS)
each_precision = pytest.mark.parametrize("precision", conv.PRECISIONS)


@pytest.fixture(autouse=True)
def default_precision():
    conv.use_precision("tf32")


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def geometry(x, w, stride, pad):
    OH, OW = ((n + 2 * pad - k) // stride + 1 for n, k in zip(x[1:3], w[:2], strict=True))
    return Geometry(x, w, (x[0], OH, OW, w[3]), stride, pad)


def arguments(op, g, draw):
    """(operands, static arguments, channels of the result) of an operation; draw(shape) gives numbers."""
    if op == "conv2d":
        return (draw(g.x), draw(g.w)), (g.stride, g.pad), g.w[3]
    if op == "conv2d_dx":
        return (draw(g.y), draw(g.w)), (g.x[1:3], g.stride, g.pad), g.w[2]
    return (draw(g.x), draw(g.y)), (g.w[:2], g.stride, g.pad), 0


def check(op, g, draw, put, *epilogue):
    """One operation against the reference in double precision, on operands rounded as the kernel does it."""
    (a, b), rest, _ = arguments(op, g, draw)
    y = fetch(getattr(conv, op)(put(a), put(b), *rest, *(put(e) if isinstance(e, np.ndarray) else e for e in epilogue)))
    wide = [conv.rounded(np.ascontiguousarray(v)).astype(float) for v in (a, b)]
    in_double = [e.astype(float) if isinstance(e, np.ndarray) else e for e in epilogue]
    expected = getattr(reference, op)(*wide, *rest, *in_double)
    size = getattr(reference, op)(*map(np.abs, wide), *rest).max() + (in_double != [] and np.abs(expected).max())
    assert y.shape == expected.shape and y.dtype == np.float32 and y.flags.c_contiguous
    assert np.isfinite(y).all()
    assert np.abs(y - expected).max() <= ALLOWED * size
    return y


def normal(rng):
    return lambda shape: rng.standard_normal(shape).astype(np.float32)


# --- every operation on every kind of shape --------------------------------------------------------------------


@each_precision
@each_op
@given(data=st.data(), g=geometries())
def test_small_shapes(put, op, precision, data, g):
    conv.use_precision(precision)
    channels = arguments(op, g, lambda shape: None)[2]
    epilogue = ()
    if channels and data.draw(st.booleans()):
        epilogue = data.draw(floats((channels,))), data.draw(slopes)
    check(op, g, lambda shape: data.draw(floats(shape)), put, *epilogue)


LARGE = [
    geometry((2, 8, 8, 32), (4, 4, 32, 64), 2, 1),  # aligned everywhere
    geometry((2, 9, 7, 68), (3, 3, 68, 70), 2, 1),  # tiles and phases end inside
    geometry((1, 12, 11, 8), (4, 4, 8, 132), 3, 2),  # stride 3, pixels in no window
    geometry((2, 8, 8, 3), (4, 4, 3, 64), 2, 1),  # pictures in: phases are computed together
    geometry((3, 4, 4, 64), (4, 4, 64, 1), 1, 0),  # a window as large as the picture
    geometry((2, 6, 6, 64), (7, 7, 64, 3), 1, 3),  # a window larger than the picture
    geometry((1, 5, 6, 1), (1, 2, 1, 5), 3, 0),  # taps fewer than the stride
    geometry((2, 5, 5, 5), (2, 2, 5, 8), 2, 3),  # pad larger than the window
]


@pytest.mark.parametrize("g", LARGE, ids=lambda g: f"{g.x}-{g.w}-{g.stride}-{g.pad}")
@each_op
def test_large_shapes(put, rng, op, g):
    channels = arguments(op, g, lambda shape: None)[2]
    check(op, g, normal(rng), put, *((normal(rng)((channels,)), 0.2) if channels else ()))


AWKWARD = geometry((3, 9, 7, 36), (3, 3, 36, 20), 2, 1)
COMPILED_ANYWAY = ("square", "thin")  # by other tests; the rest costs a compilation each, and runs with the slow ones
VARIANTS = [pytest.param(p, t, s, marks=() if t in COMPILED_ANYWAY else pytest.mark.slow)
            for p in conv.PRECISIONS for t in tiles.CANDIDATES[p] for s in (1, 3)
            if p != "bf16" or t in ("wide", "thin")]


@each_op
@pytest.mark.parametrize(("precision", "tile", "splits"), VARIANTS)
def test_every_tile_and_split(put, rng, precision, op, tile, splits):
    conv.use_precision(precision)
    epilogue = () if op == "conv2d_dw" else (normal(rng)((36 if op == "conv2d_dx" else 20,)), 0.2)
    with tiles.forced(tile, splits):
        before = launch.counts["add_parts"]
        check(op, AWKWARD, normal(rng), put, *epilogue)
    assert launch.counts["add_parts"] - before == (splits > 1)


def test_many_parts_of_a_sum(put, rng):
    with tiles.forced("thin", 20):
        check("conv2d", geometry((2, 2, 2, 200), (2, 2, 200, 3), 1, 0), normal(rng), put, normal(rng)((3,)), 0.0)


@each_op
def test_one_thread_an_output_agrees(put, rng, op):
    g = geometry((2, 10, 9, 20), (4, 4, 20, 24), 2, 1)
    operands, rest, _ = arguments(op, g, lambda shape: put(normal(rng)(shape)))
    conv.use_precision("fp32")
    with tiles.forced(tiles.NAIVE):
        naive = fetch(getattr(conv, op)(*operands, *rest))
    fast = fetch(getattr(conv, op)(*operands, *rest))
    assert np.abs(naive - fast).max() <= ALLOWED * np.abs(naive).max()


@each_op
def test_double_precision(put, rng, op):
    g = geometry((2, 7, 6, 5), (3, 2, 5, 4), 2, 1)
    (a, b), rest, channels = arguments(op, g, rng.standard_normal)
    rest = *rest, *((rng.standard_normal(channels), 0.2) if channels else ())
    y = fetch(getattr(conv, op)(*map(put, (a, b)), *(put(v) if isinstance(v, np.ndarray) else v for v in rest)))
    np.testing.assert_allclose(y, getattr(reference, op)(a, b, *rest), rtol=1e-12, atol=1e-12)


# --- what the kernels promise beyond the numbers ---------------------------------------------------------------


@given(data=st.data(), g=geometries())
def test_the_three_are_adjoint(put, data, g):
    conv.use_precision("fp32")
    x, w, gy = (data.draw(floats(shape, layout=False)) for shape in (g.x, g.w, g.y))
    X, W, G = map(put, (x, w, gy))
    pairs = [(gy, conv.conv2d(X, W, g.stride, g.pad)), (x, conv.conv2d_dx(G, W, g.x[1:3], g.stride, g.pad)),
             (w, conv.conv2d_dw(X, G, g.w[:2], g.stride, g.pad))]
    sums = [np.vdot(a.astype(float), fetch(b).astype(float)) for a, b in pairs]
    size = np.vdot(np.abs(gy), reference.conv2d(np.abs(x), np.abs(w), g.stride, g.pad))
    assert max(sums) - min(sums) <= ALLOWED * size


@pytest.mark.skipif(ON_GPU, reason="the order of threads is the emulator's to choose")
@pytest.mark.parametrize("splits", [1, 3])
@each_op
def test_the_order_of_threads_does_not_matter(rng, op, splits):
    operands, rest, _ = arguments(op, AWKWARD, normal(rng))
    with tiles.forced("square", splits):
        emulator.agree(lambda: getattr(conv, op)(*operands, *rest), range(4))


@pytest.mark.parametrize(("first", "channels"), [(4, 8), (3, 8), (8, 3)])
def test_a_part_of_the_channels_is_read_where_it_lies(put, rng, first, channels):
    wide, w = np.full((2, 7, 6, 20), np.nan, np.float32), normal(rng)((3, 3, channels, 8))
    part = wide[..., first : first + channels]
    part[...] = normal(rng)(part.shape)
    g = geometry(part.shape, w.shape, 2, 1)
    there, rest = put(wide)[..., first : first + channels], (2, 1)
    gy, gy_wide = normal(rng)(g.y), np.full((*g.y[:3], 12), np.nan, np.float32)
    gy_wide[..., 4:] = gy
    calls = [(conv.conv2d, (there, put(w), *rest), (part.copy(), w, *rest)),
             (conv.conv2d_dw, (there, put(gy_wide)[..., 4:], (3, 3), *rest), (part.copy(), gy, (3, 3), *rest)),
             (conv.conv2d_dx, (put(gy_wide)[..., 4:], put(w), (7, 6), *rest), (gy, w, (7, 6), *rest))]
    for call, parts, whole in calls:
        copied = fetch(call(*(put(v) if isinstance(v, np.ndarray) else v for v in whole)))
        assert np.abs(fetch(call(*parts)) - copied).max() <= ALLOWED * np.abs(copied).max()


@each_precision
def test_nan_goes_where_it_belongs_and_nowhere_else(put, rng, precision):
    conv.use_precision(precision)
    x, w = normal(rng)((2, 6, 6, 8)), normal(rng)((3, 3, 8, 16))
    for bits in (0x7FFFFFFF, 0x7FC00000, 0xFFC00000, 0x7F800001):
        x[1, 0, 0, 3] = np.uint32(bits).view(np.float32)
        y = fetch(conv.conv2d(put(x), put(w), 1, 1))
        assert np.isnan(y[1, :2, :2]).all() and np.isfinite(y).sum() == y.size - 4 * 16
    x[1, 0, 0, 3] = np.inf
    assert not np.isfinite(fetch(conv.conv2d(put(x), put(w), 1, 1))[1, :2, :2]).any()


def test_more_than_a_launch_can_address_goes_in_halves(put, rng, monkeypatch):
    monkeypatch.setattr(conv, "LIMIT", 600)
    g = geometry((5, 8, 8, 4), (3, 3, 4, 8), 2, 1)
    for op in OPS:
        before = launch.counts["weights"] + launch.counts["gather"]
        check(op, g, normal(rng), put)
        assert launch.counts["weights"] + launch.counts["gather"] - before > 1
    monkeypatch.setattr(conv, "LIMIT", 100)
    with pytest.raises(ValueError, match="in one piece"):
        check("conv2d", g, normal(rng), put)


# --- the matrix product ----------------------------------------------------------------------------------------

LAYOUTS = {"rows": lambda a: a, "columns": lambda a: np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2),
           "part": lambda a: np.repeat(a, 2, -1)[..., ::2]}

MATRICES = [((6, 8), (8, 36)), ((2, 6, 5), (2, 5, 8)), ((3, 4, 8), (8, 4)), ((5, 7), (3, 7, 2)),
            ((2, 1, 4, 8), (3, 8, 4))]


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("shapes", MATRICES, ids=str)
def test_matmul(put, rng, left, right, shapes):
    a, b = (layout(normal(rng)(shape)) for layout, shape in zip((LAYOUTS[left], LAYOUTS[right]), shapes, strict=True))
    y = fetch(linear.matmul(put(a), put(b)))
    expected = conv.rounded(np.ascontiguousarray(a)).astype(float) @ conv.rounded(np.ascontiguousarray(b)).astype(float)
    assert y.shape == expected.shape and np.abs(y - expected).max() <= ALLOWED * (np.abs(a) @ np.abs(b)).max()
    a, b = a.astype(float), b.astype(float)
    np.testing.assert_allclose(fetch(linear.matmul(put(a), put(b))), a @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shapes", [((0, 4), (4, 3)), ((2, 0), (0, 3)), ((2, 4), (4, 0)), ((0, 2, 4), (4, 3))], ids=str)
def test_matmul_of_nothing(put, shapes):
    a, b = (np.ones(shape, np.float32) for shape in shapes)
    np.testing.assert_array_equal(fetch(linear.matmul(put(a), put(b))), a @ b)


# --- precision and the choice of tiles -------------------------------------------------------------------------


def test_precision():
    with pytest.raises(ValueError, match="one of tf32, fp32, bf16"):
        conv.use_precision("fp8")
    x = np.float32([1 + 2**-11, 1 + 3 * 2**-12, -(1 + 2**-11), 1 + 2**-8, 1 + 3 * 2**-8, np.inf, np.nan])
    tf32, bf16 = conv.rounded(x, "tf32"), conv.rounded(x, "bf16")
    np.testing.assert_array_equal(tf32[:5], [1 + 2**-10, 1 + 2**-10, -(1 + 2**-10), 1 + 2**-8, 1 + 3 * 2**-8])
    np.testing.assert_array_equal(bf16[:5], [1, 1, -1, 1, 1 + 2**-6])
    assert np.isinf(tf32[5]) and np.isnan(bf16[6]) and conv.rounded(x, "fp32") is x


def test_few_tiles_get_parts_of_the_sum_and_many_do_not():
    def choose(*sizes):
        return tiles.choose(tiles.Product(*sizes), "tf32", np.empty(0))

    assert choose("conv2d", 1, 512, 8192, 1).splits > 1
    assert choose("conv2d_dw", 1024, 64, 131072, 1).splits > 1
    assert choose("conv2d", 1 << 20, 128, 1024, 1).splits == 1
    assert tiles.TILES[choose("conv2d", 1 << 20, 128, 1024, 1).tile].BN == 128
    assert tiles.TILES[choose("conv2d", 1 << 17, 3, 1024, 1).tile].BN < 32


def test_a_small_device_gets_tiles_that_fit_into_its_shared_memory():
    product = tiles.Product("conv2d", 1 << 20, 128, 1024, 1)
    for bytes_of_a_block in (227 << 10, 99 << 10, 64 << 10):
        choice = tiles._choose(product, "tf32", tiles.Device("some GPU", 80, bytes_of_a_block))
        assert tiles.TILES[choice.tile].shared("conv2d") <= bytes_of_a_block


def test_the_tuner_keeps_the_fastest(put, monkeypatch, tmp_path):
    monkeypatch.setattr(tiles, "cache_file", lambda: tmp_path / "inachus" / "tiles.json")
    tiles.reload()
    shape, asked = ((1, 2, 2, 64), (2, 2, 64, 8), 1, 0), []

    def timer(run):
        run()
        asked.append(tiles._forced)
        return (tiles._forced != ("square", 2)) + len(asked) / 1000

    try:
        best = tiles.tune("conv2d", shape, "tf32", put(np.empty(0, np.float32)), timer, rounds=1)
        assert best == ("square", 2) and {name for name, _ in asked} == set(tiles.CANDIDATES["tf32"])
        (table,) = json.loads((tmp_path / "inachus" / "tiles.json").read_text()).values()
        assert table == {"conv2d/tf32/0,3,8,0": ["square", 2]}
        assert tiles.choose(tiles.Product("conv2d", 1, 8, 256, 1), "tf32", put(np.empty(0, np.float32))) == best
    finally:
        monkeypatch.undo()
        tiles.reload()
