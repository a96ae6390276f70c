"""Pictures of any size through a translator: mirrored borders, tiles that leave no trace, sizes that come back.

Files and options are in `test_cli_translate.py`.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inachus import kernels
from inachus.engine.data.dataset import normalised
from inachus.engine.errors import DataError, NumericError, UsageError
from inachus.engine.nn import init
from inachus.engine.random import Generator
from inachus.models.nets import resnet
from inachus.models.nets.unet import UNet
from inachus.models.translation import pairs
from inachus.models.translation.anysize import AnySize, reach
from inachus.models.translation.tiles import joined, mirrored, spacing, stitched

sides = st.integers(1, 40)


def noise(height, width, channels=3, seed=0):
    """Random pixels uint8 (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def floats(*shape):
    """Random float32."""
    return np.random.default_rng(0).random(shape, np.float32)


class Toy(SimpleNamespace):
    """A translator whose network is a plain function of one (H, W, C) array; it keeps the shapes and seeds it got."""

    def __init__(self, function, shape=(8, 8, 3), multiple=1, scale=1):
        super().__init__(function=function, shape=(shape, shape), multiple=multiple, scale=scale, calls=[])

    def translate(self, x, to=1, *, seed=0):
        """function(x), with the rules of a network."""
        assert x.dtype == np.float32 and len(x) == 1
        assert self.multiple is None or not (x.shape[1] % self.multiple or x.shape[2] % self.multiple)
        self.calls.append((x.shape[1:3], to, seed))
        return self.function(x[0])[None]


def enlarged(x, scale):
    """Every pixel scale x scale times."""
    return x.repeat(scale, axis=0).repeat(scale, axis=1)


# --- mirrored ----------------------------------------------------------------------------------------------


def bounced(i, n):
    """Where a ball is that starts at pixel 0 and walks i pixels between walls at 0 and n - 1."""
    place, step = 0, 1 if n > 1 else 0
    for _ in range(abs(i)):
        step = -step if not 0 <= place + step < n else step
        place += step
    return place


@given(sides, sides, sides, sides)
def test_mirrored_borders_are_what_a_bouncing_ball_meets(height, width, down, right):
    x = noise(height, width, 1)
    y, top, left = mirrored(x, height + down, width + right)
    rows, columns = ([bounced(i - start, n) for i in range(more)]
                     for start, n, more in ((top, height, height + down), (left, width, width + right)))
    np.testing.assert_array_equal(y, x[np.ix_(rows, columns)])
    assert abs(2 * top - down) <= 1 and abs(2 * left - right) <= 1  # it stands in the middle


# --- tiles -------------------------------------------------------------------------------------------------


@given(sides, sides, st.integers(1, 50), st.integers(0, 12), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]))
def test_what_works_pixel_by_pixel_does_not_see_the_tiles(height, width, tile, around, multiple, scale):
    def network(y, number=0):
        return enlarged(3 * y * y - 1, scale)

    x = floats(height, width, 2)
    blocks = stitched(network, x, tile, around, multiple, scale)
    np.testing.assert_array_equal(np.concatenate([*blocks]), network(x))


def averaged(x, around):
    """The mean over the (2 around + 1)^2 pixels about each, borders repeated, in one order of adding."""
    y = np.pad(x, ((around, around), (around, around), (0, 0)), mode="edge")
    height, width = x.shape[:2]
    window = range(2 * around + 1)
    return sum(y[i : i + height, j : j + width] for i in window for j in window) / np.float32(len(window) ** 2)


@given(st.integers(0, 4), st.integers(0, 20), st.sampled_from([1, 2]))
def test_what_sees_no_further_than_the_overlap_does_not_see_them_either(around, more, multiple):
    tile = 6 * around + 8 + more  # so that 2 around + tile / 8 is no more than half of it
    x = floats(2 * tile + 5, 3 * tile - 1, 1)
    whole = np.concatenate([*stitched(lambda y, _: averaged(y, around), x, tile, around, multiple)])
    np.testing.assert_array_equal(whole, averaged(x, around))


@given(st.integers(8, 64), st.integers(0, 40), st.integers(1, 200))
def test_tiles_that_differ_are_mixed_smoothly(tile, around, more):
    """The tiles are 0, 1, 0, 1 ...: what comes out stays in between, and never jumps."""
    x = np.zeros((1, tile + more, 1), np.float32)
    whole = np.concatenate([*stitched(lambda y, number: y + number % 2, x, tile, around)])[0, :, 0]
    step, ramp = spacing(tile, around)
    assert whole.shape == (tile + more,) and whole.min() == 0 and whole.max() <= 1
    assert np.abs(np.diff(whole)).max() <= 1.5 / ramp + 1e-6  # the steepest place of 3 t^2 - 2 t^3
    assert 0 < step <= tile and (whole[:step] == 0).sum() >= step // 2


def test_pieces_come_as_soon_as_they_are_ready():
    x, seen = floats(100, 40, 1), []
    blocks = stitched(lambda y, number: seen.append(number) or y, x, 16, 0)
    first = next(blocks)
    columns = -(-(40 - 16) // spacing(16, 0)[0]) + 1
    assert len(seen) == 2 * columns and len(first) < 16
    np.testing.assert_array_equal(np.concatenate([first, *blocks]), x)
    assert seen == [*range(len(seen))]


def test_joining_one_part_is_that_part():
    part = floats(5, 3, 1)
    np.testing.assert_array_equal(np.concatenate([*joined([(0, part)], 2)]), part)


# --- pictures of any size ----------------------------------------------------------------------------------


@given(sides, sides, st.sampled_from([1, 3]), st.sampled_from([1, 4, 8]), st.sampled_from([None, 8, 13]),
       st.sampled_from([1, 2]))
def test_a_network_that_changes_nothing_gives_the_very_picture(height, width, channels, multiple, tile, scale):
    pixels = noise(height, width, channels)
    toy = Toy(lambda x: enlarged(x, scale), (8, 8, channels), multiple, scale)
    made = AnySize(toy, tile=tile)(pixels)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, enlarged(pixels, scale))
    most = -(-tile // multiple) * multiple if tile else 1000
    assert all(8 <= n <= most for shape, _, _ in toy.calls for n in shape)  # never less than in training


def test_small_pictures_are_shown_at_the_trained_size():
    toy = Toy(lambda x: x, (12, 12, 3), multiple=4)
    AnySize(toy)(noise(1, 30))
    assert toy.calls == [((12, 32), 1, 0)]


def test_fit_shows_the_trained_scale_and_gives_the_old_size_back():
    toy = Toy(lambda x: enlarged(x, 2), (16, 16, 3), multiple=8, scale=2)
    made = AnySize(toy, to=0, fit=True)(np.full((48, 97, 3), 77, np.uint8), seed=5)
    assert toy.calls == [((16, 32), 0, 5)] and made.shape == (96, 194, 3) and (made == 77).all()
    toy.calls.clear()
    assert AnySize(toy, fit=True)(noise(4, 5)).shape == (8, 10, 3)
    assert toy.calls == [((16, 24), 1, 0)]  # 4x5 -> 16x20 -> the next multiple


def test_fit_mixes_no_colours_where_they_are_classes():
    pixels = np.where(noise(50, 70, 1) < 128, 0, 255).astype(np.uint8)
    seen = []
    toy = Toy(lambda x: seen.append(x) or x, (16, 16, 1))
    assert set(np.unique(AnySize(toy, fit=True, smooth=(False, False))(pixels))) == {0, 255}
    assert set(np.unique(seen[0])) == {-1, 1}
    assert len(np.unique(AnySize(toy, fit=True, smooth=(False, True))(pixels))) > 2
    AnySize(toy, fit=True)(pixels)
    assert len(np.unique(seen[-1])) > 2


def test_every_tile_has_noise_of_its_own_and_the_first_that_of_the_picture():
    toy = Toy(lambda x: x)
    AnySize(toy, tile=8)(noise(8, 20), seed=7)
    AnySize(toy)(noise(8, 20), seed=7)
    assert [seed for *_, seed in toy.calls] == [7, 8, 9, 7]


def test_networks_that_take_one_size_say_which():
    toy = Toy(lambda x: x, (8, 8, 3), multiple=None)
    assert AnySize(toy)(noise(8, 8)).shape == (8, 8, 3)
    assert AnySize(toy, fit=True)(noise(30, 30)).shape == (30, 30, 3)
    with pytest.raises(DataError, match=r"is 9x8 pixels, and this network takes 8x8 alone.*--fit"):
        AnySize(toy)(noise(8, 9))
    with pytest.raises(UsageError, match=r"8x8 pixels alone: leave out --tile"):
        AnySize(toy, tile=8)


def test_what_cannot_be_done_is_refused():
    with pytest.raises(UsageError, match=r"--tile must be at least 8.* not 7"):
        AnySize(Toy(lambda x: x), tile=7)
    with pytest.raises(DataError, match="too long and thin"):
        AnySize(Toy(lambda x: x, (64, 64, 3)), fit=True)(np.zeros((1, 50_000, 3), np.uint8))
    with pytest.raises(NumericError, match="not finite"):
        AnySize(Toy(lambda x: x * np.nan))(noise(8, 8))


# --- networks ----------------------------------------------------------------------------------------------


@pytest.fixture
def reference(monkeypatch):
    """The plain backend: these networks are too small for the threads of another."""
    monkeypatch.setattr(kernels, "_host", None)
    kernels.use_host("reference")


def network_of(kind):
    """A translator around a real network that normalises by running statistics, and its trained size."""
    network = {"unet": lambda: UNet(32, 1, 1, width=2, dropout=0.0),
               "resnet": lambda: resnet.generator(1, 1, width=2, blocks=1, norm="batch")}[kind]()
    network.initialize(Generator(0), init.normal(0.3))
    size = {"unet": 32, "resnet": 4}[kind]
    toy = Toy(lambda x: pairs.translated(network, x[None], size)[0], (size, size, 1), size)
    toy.G = network
    return toy


@pytest.mark.parametrize("kind", ["unet", "resnet"])
def test_reach_is_a_bound_of_what_a_pixel_depends_on(reference, kind):
    toy = network_of(kind)
    middle, most = 128, reach(toy)
    plain = np.zeros((256, 256, 1), np.float32)
    before, furthest = toy.function(plain), 0
    for shift in (0, 1, toy.multiple // 2, toy.multiple - 1):  # wherever it falls among the strides
        dotted = plain.copy()
        dotted[middle + shift, middle + shift] = 1
        rows, columns = np.nonzero((toy.function(dotted) != before)[..., 0])
        furthest = max(furthest, *(np.abs(axis - middle - shift).max() for axis in (rows, columns)))
    assert furthest <= most <= 2 * furthest + toy.multiple


def test_tiles_of_a_real_network_leave_no_trace(reference):
    toy = network_of("resnet")
    around = reach(toy)
    tile = 6 * around // 4 * 4 + 8
    pixels = noise(tile + 36, 2 * tile - 20, 1)
    whole, tiled = AnySize(toy)(pixels), AnySize(toy, tile=tile)(pixels)
    assert len(toy.calls) > 4
    assert np.abs(whole.astype(int) - tiled).max() <= 1  # rounding of float32 on the way to a byte


def test_a_translation_at_the_trained_size_is_the_models_own(reference):
    toy = network_of("unet")
    pixels = noise(32, 64, 1)
    made = AnySize(toy)(pixels)
    np.testing.assert_allclose(normalised(made), toy.function(normalised(pixels)), atol=1 / 255 + 1e-6)
