"""Folders and zips of pictures: order, classes and splits, and the conversions a picture may need."""

import numpy as np
import pytest
from data_writers import encoded, picture, write_tree, write_zip
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inachus.engine.data import load
from inachus.engine.data.pictures import natural
from inachus.engine.errors import DataError


def test_class_folders_sorted_naturally_and_flattened(tmp_path):
    names = ["c10/a.png", "c2/b10.png", "c2/b9.png", "c2/deep/er/z.png", ".hidden/x.png", "c2/.h.png"]
    write_tree(tmp_path / "set", names)
    (tmp_path / "set" / "c2" / "readme.txt").write_text("not a picture")
    dataset = load(tmp_path / "set")
    assert dataset.classes == ["c2", "c10"]
    assert dataset.labels.tolist() == [0, 0, 0, 1]
    for item, seed in zip(dataset.items, (2, 1, 3, 0), strict=True):
        np.testing.assert_array_equal(item, np.asarray(picture(seed)))
    assert "1 files that are no pictures ignored" in dataset.notes


@pytest.mark.parametrize("names, split, count, classes", [
    (["b.png", "a.png"], "train", 2, []),
    (["wrap/inner/a/1.png", "wrap/inner/b/1.png"], "train", 2, ["a", "b"]),
    (["wrap/1.png", "wrap/1/2.png"], "train", 2, []),
    (["train/a/1.png", "train/b/1.png", "test/a/1.png"], "train", 2, ["a", "b"]),
    (["train/a/1.png", "train/b/1.png", "test/a/1.png"], "test", 1, ["a"]),
    (["train/1.png", "trainannot/1.png", "test/2.png"], "train", 1, []),
    (["car/1.png", "train/1.png"], "train", 2, ["car", "train"]),
    (["x/test/a/1.png"], "test", 1, ["a"]),
    (["__MACOSX/a/1.png", "a/1.png", "b/1.png"], "train", 2, ["a", "b"]),
])
def test_folder_and_zip_agree_on_splits_and_classes(tmp_path, names, split, count, classes):
    folder = write_tree(tmp_path / "set", names)
    archive = write_zip(tmp_path / "set.zip", {name: (folder / name).read_bytes() for name in names})
    from_folder, from_zip = load(folder, split=split), load(archive, split=split)
    assert (len(from_folder), from_folder.classes) == (count, classes)
    assert from_folder.fingerprint == from_zip.fingerprint


def test_a_source_without_the_split_says_so(tmp_path):
    with pytest.raises(DataError, match="no test split: put the pictures"):
        load(write_tree(tmp_path / "flat", ["a.png"]), split="test")
    with pytest.raises(DataError, match="no folder 'train': it holds only test"):
        load(write_tree(tmp_path / "tested", ["test/a.png"]))


FILE_NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=6)


@given(st.lists(FILE_NAMES, max_size=8, unique=True))
def test_natural_order_is_total(names):
    ordered = sorted(((name,) for name in names), key=natural)
    assert ordered == sorted(((name,) for name in reversed(names)), key=natural)


def test_numbers_sort_by_value():
    names = [("10",), ("9",), ("1b",), ("1",), ("a2",), ("a10",), ("01",)]
    assert [n for n, in sorted(names, key=natural)] == ["01", "1", "1b", "9", "10", "a2", "a10"]


def test_limit_spreads_over_the_classes(tmp_path):
    folder = write_tree(tmp_path, [f"{c}/{i}.png" for c in "abc" for i in range(6)])
    seen = []
    dataset = load(folder, limit=6, progress=lambda *now: seen.append(now))
    assert dataset.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert seen == [(done, 6) for done in range(1, 7)]
    assert len(load(folder, limit=99)) == 18


def one(tmp_path, content: bytes, name="a.png", **options):
    path = tmp_path / "one"
    path.mkdir(exist_ok=True)
    (path / name).write_bytes(content)
    return load(path, **options)


def test_transparency_is_laid_over_white(tmp_path):
    clear = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    clear.putpixel((1, 0), (10, 20, 30, 255))
    dataset = one(tmp_path, encoded(clear))
    assert dataset.items[0, 0].tolist() == [[255, 255, 255], [10, 20, 30]]
    assert dataset.notes == ["1 of 1 pictures laid over white (they have transparency)"]
    grey = one(tmp_path, encoded(Image.new("LA", (2, 2), (0, 128))))
    assert grey.shape == (2, 2, 1)
    assert (grey.items == 127).all()
    palette = picture(mode="P")
    dataset = one(tmp_path, encoded(palette, transparency=palette.getpixel((0, 0))))
    assert dataset.items[0, 0, 0].tolist() == [255, 255, 255]
    assert "1 of 1 pictures converted from palette to RGB" in dataset.notes


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    dataset = one(tmp_path, encoded(Image.fromarray(values)))
    assert dataset.items.ravel().tolist() == [0, 1, 128, 255]
    assert dataset.notes == ["1 of 1 pictures scaled from 16 to 8 bit"]
    assert one(tmp_path, encoded(Image.fromarray(values)), size=1, channels=3).shape == (1, 1, 3)


# orientation -> the corner (row, column) where the picture's first pixel is shown
CORNERS = {2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", CORNERS)
def test_exif_orientation_is_applied(tmp_path, orientation, format):
    image = Image.new("L", (24, 16), 255)
    image.paste(0, (0, 0, 8, 8))  # a black mark in one corner tells all eight apart
    exif = Image.Exif()
    exif[0x0112] = orientation
    dataset = one(tmp_path, encoded(image.convert("RGB"), format, exif=exif), channels=1)
    assert dataset.shape == ((24, 16, 1) if orientation >= 5 else (16, 24, 1))
    assert dataset.items[0, *CORNERS[orientation], 0] < 60
    assert (dataset.items < 60).sum() == 8 * 8
    assert "1 of 1 pictures turned as their EXIF orientation says" in dataset.notes


@pytest.mark.parametrize("format, mode", [
    ("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("BMP", "RGB"), ("GIF", "P"), ("WEBP", "RGB"),
    ("TIFF", "RGB"), ("PPM", "RGB"), ("PPM", "L"), ("PNG", "1"), ("PNG", "RGB"),
])
def test_every_allowed_format_is_read(tmp_path, format, mode):
    dataset = one(tmp_path, encoded(picture(mode=mode), format))
    assert dataset.shape == (8, 8, 1 if mode in ("L", "1") else 3)


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    dataset = one(tmp_path, animation, "a.gif", channels=1)
    assert (dataset.items == 10).all()
    assert "1 of 1 pictures reduced to the first frame of an animation" in dataset.notes


def test_grey_and_colour_mixed_become_colour(tmp_path):
    write_tree(tmp_path / "set", ["a.png", "b.png"], mode="L")
    assert load(tmp_path / "set").shape == (8, 8, 1)
    write_tree(tmp_path / "set", ["c.png"])
    mixed = load(tmp_path / "set")
    assert mixed.shape == (8, 8, 3)
    assert mixed.notes == ["2 of 3 pictures converted from grey to RGB"]
    assert load(tmp_path / "set", channels=1).notes == ["1 of 3 pictures converted from colour to grey"]


def test_size_crops_the_centre_square(tmp_path):
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 200
    dataset = one(tmp_path, encoded(Image.fromarray(wide)), size=4)
    assert dataset.shape == (4, 4, 1)
    assert (dataset.items == 200).all()
    large = one(tmp_path, encoded(Image.new("RGB", (900, 700), (9, 99, 199)), "JPEG"), size=16)
    assert np.abs(large.items.astype(int) - [9, 99, 199]).max() <= 3


def test_different_sizes_are_refused_with_the_remedy(tmp_path):
    folder = write_tree(tmp_path / "set", ["a.png", "b.png"])
    write_tree(folder, ["c.png"], size=(9, 8))
    with pytest.raises(DataError, match=r"8x8 \(2\), 9x8 \(1\).*--set size=64"):
        load(folder)
    assert load(folder, size=8).shape == (8, 8, 3)
