"""Grids, clouds and films: sizes, the right pixel in the right place, and files that are whole or refused."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inachus.engine.errors import DataError, ResourceError, UsageError
from inachus.engine.training.pictures import HOLD, PAPER, animate, grid, save_png, scatter, spread


@given(st.integers(1, 11), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.data())
def test_every_image_is_at_its_place(n, height, width, channels, data):
    columns, pad, scale = (data.draw(st.integers(low, 5)) for low in (1, 0, 1))
    values = np.random.default_rng(n).integers(0, 256, (n, height, width, channels))
    sheet = np.asarray(grid((values / 127.5 - 1).astype(np.float32), columns, pad, scale))
    down, across = height * scale + pad, width * scale + pad
    assert sheet.shape == (-(-n // columns) * down + pad, columns * across + pad, 3)
    for index, image in enumerate(values):
        top, left = pad + index // columns * down, pad + index % columns * across
        tile = sheet[top : top + height * scale : scale, left : left + width * scale : scale]
        np.testing.assert_array_equal(tile, np.broadcast_to(image, (height, width, 3)))


def test_defaults_make_a_square_of_pleasant_size():
    assert grid(np.zeros((16, 28, 28, 1), np.float32)).size == (4 * 58 + 2, 4 * 58 + 2)
    assert grid(np.zeros((17, 64, 64, 3), np.float32)).size == (5 * 66 + 2, 4 * 66 + 2)


def test_values_out_of_range_are_clipped_and_nan_is_black():
    wild = np.array([9.0, -9.0, np.nan, np.inf, -np.inf, 0.0], np.float32).reshape(6, 1, 1, 1)
    row = np.asarray(grid(wild, columns=6, pad=0, scale=1))[0, :, 0]
    assert row.tolist() == [255, 0, 0, 255, 0, 128]


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 4, 4, 2), (0, 4, 4, 3), (2, 0, 4, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UsageError, match=r"got shape \("):
        grid(np.zeros(shape, np.float32))


def test_titles_stand_above_their_columns():
    images = np.zeros((6, 28, 28, 1), np.float32)
    plain, titled = grid(images, 3), grid(images, 3, titles=["cat", "a very long name\nindeed " * 3, ""])
    head = np.asarray(titled)[: titled.height - plain.height]
    np.testing.assert_array_equal(np.asarray(titled)[len(head) :], np.asarray(plain))
    inked = (head != PAPER).any(axis=(0, 2))  # by column of pixels
    assert inked[2:58].any() and inked[60:116].any() and not inked[118:].any()
    assert grid(images, titles=["a", "b"]).width == 2 * 58 + 2
    with pytest.raises(UsageError, match="2 titles for 3 columns"):
        grid(images, 3, titles=["a", "b"])


def test_points_land_where_they_belong_and_stray_ones_nowhere():
    empty = np.asarray(scatter(np.zeros((0, 2)), span=2, side=200))
    points = [[1, 1.5], [5, 0], [np.nan, 0], [0, np.inf]]
    dotted = np.asarray(scatter(np.array(points), span=2, side=200, centres=np.array([[-1.5, -1.0]])))
    assert dotted.shape == (200, 200, 3)
    rows, columns = np.nonzero((dotted != empty).any(axis=-1))
    right = columns > 100  # the point; the ring is on the left
    assert abs(rows[right].mean() - 25) < 1.5 and abs(columns[right].mean() - 150) < 1.5
    assert abs(rows[~right].mean() - 150) < 1.5 and abs(columns[~right].mean() - 25) < 1.5


def test_scatter_refuses_other_shapes():
    for points, span in ((np.zeros((3, 3)), 1), (np.zeros(2), 1), (np.zeros((1, 2)), 0)):
        with pytest.raises(UsageError, match="scatter: expected points"):
            scatter(points, span)


@given(st.integers(0, 500), st.integers(1, 80))
def test_spread_keeps_the_ends(count, most):
    chosen = spread(count, most)
    assert chosen == sorted(set(chosen)) and len(chosen) == min(count, most)
    assert not chosen or chosen[-1] == count - 1
    if len(chosen) > 1:
        gaps = np.diff(chosen)
        assert chosen[0] == 0 and gaps.max() - gaps.min() <= 1


def film(folder, count, size=(8, 6)):
    shades = np.linspace(0, 250, count).astype(int)
    return [
        save_png(Image.new("RGB", size, (int(shade),) * 3), folder / f"{index:06}.png")
        for index, shade in enumerate(shades)
    ]


def test_a_film_has_first_and_last_and_holds_the_last(tmp_path):
    out = animate(film(tmp_path, 25), tmp_path / "out/samples.gif", seconds=1.0, most=10)
    with Image.open(out) as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (10, (8, 6), 0)
        shades, durations = [], []
        for index in range(10):
            gif.seek(index)
            shades.append(gif.convert("L").getpixel((0, 0)))
            durations.append(gif.info["duration"])
    assert shades[0] == 0 and shades[-1] == 250 and shades == sorted(shades)
    assert durations == [100] * 9 + [HOLD]


def test_a_film_of_one_or_of_unequal_or_large_pictures(tmp_path):
    paths = film(tmp_path / "a", 2) + film(tmp_path / "b", 1, (1500, 10))
    for chosen, size in ((paths[:1], (8, 6)), (paths[:1] + paths[2:], (720, 5))):
        with Image.open(animate(chosen, tmp_path / "film.gif")) as gif:
            assert gif.size == size


def test_a_film_of_nothing_or_of_torn_pictures_is_refused(tmp_path):
    with pytest.raises(UsageError):
        animate([], tmp_path / "film.gif")
    good = film(tmp_path, 2)
    whole = good[1].read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"<html>", None):
        good[1].unlink(missing_ok=True)
        if content is not None:
            good[1].write_bytes(content)
        with pytest.raises(DataError, match=r"000001\.png: is not a whole PNG"):
            animate(good, tmp_path / "film.gif")
    assert not (tmp_path / "film.gif").exists()


def test_png_files_are_replaced_whole(tmp_path, monkeypatch):
    image = grid(np.zeros((4, 8, 8, 3), np.float32))
    path = save_png(image, tmp_path / "samples/000000.png")
    before = path.read_bytes()
    with Image.open(path) as again:
        np.testing.assert_array_equal(np.asarray(again), np.asarray(image))

    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ResourceError, match=r"000000\.png.*No space left"):
        save_png(image.rotate(90), path)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1
