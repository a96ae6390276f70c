"""What depends on the pixels of pairs: class maps, conversions, the test split by content, and the real sets."""

import os

import numpy as np
import pytest
from data_writers import encoded, picture, write_tree, write_zip
from PIL import Image

from inachus.engine.data import load_pairs
from inachus.engine.data.pairs.maps import classes_of, voc_colours
from inachus.engine.errors import DataError

REAL = os.environ.get("INACHUS_DATA")
real_data = pytest.mark.skipif(not REAL, reason="set INACHUS_DATA to the folder of real data sets")
ALL = {"hold_out": 0}


def write_maps(folder, side: str, count=4, shape=(24, 24), values=(0, 1, 2, 11), image=Image.fromarray):
    rng = np.random.default_rng(5)
    maps = np.array(values, np.uint8)[rng.integers(0, len(values), (count, *shape))]
    for i, each in enumerate(maps):
        (folder / side).mkdir(parents=True, exist_ok=True)
        (folder / side / f"{i}.png").write_bytes(encoded(image(each)))
    return maps


def write_photographs(folder, side: str, count=4, size=(24, 24)):
    return write_tree(folder / side, [f"{i}.png" for i in range(count)], size=size)


def colours(pictures: np.ndarray) -> set:
    return {tuple(colour) for colour in pictures.reshape(-1, pictures.shape[-1]).tolist()}


# --- class maps --------------------------------------------------------------------------------------------


def test_index_maps_become_colours_and_are_never_interpolated(tmp_path):
    maps = write_maps(tmp_path, "labels")
    write_photographs(tmp_path, "photos")
    pairs = load_pairs(tmp_path, **ALL)
    assert pairs.sides == ("labels", "photos")
    np.testing.assert_array_equal(pairs.a, voc_colours()[maps])
    np.testing.assert_array_equal(pairs.palettes[0], voc_colours()[[0, 1, 2, 11]])
    assert pairs.palettes[1] is None
    np.testing.assert_array_equal(np.array([0, 1, 2, 11])[classes_of(pairs.a, pairs.palettes[0])], maps)
    small = load_pairs(tmp_path, size=7, channels=3, direction="BtoA", **ALL)
    assert colours(small.b) <= colours(small.palettes[1])
    assert small.shape == ((7, 7, 3), (7, 7, 3)) and small.palettes[0] is None
    assert not colours(load_pairs(tmp_path, size=7, maps="", **ALL).a) <= colours(maps[..., None])
    assert "labels: class maps of 4 classes, as colours" in pairs.notes


def test_voc_colours_are_vocs():
    assert voc_colours()[[0, 1, 2, 3, 15, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [192, 128, 128], [224, 224, 192],
    ]


def test_a_palette_beside_or_inside_gives_the_colours(tmp_path):
    table = np.random.default_rng(1).integers(0, 256, (12, 3), np.uint8)
    maps = write_maps(tmp_path / "beside", "labels")
    write_photographs(tmp_path / "beside", "photos")
    (tmp_path / "beside" / "palette").mkdir()
    (tmp_path / "beside" / "palette" / "p.png").write_bytes(encoded(Image.fromarray(table[None])))
    np.testing.assert_array_equal(load_pairs(tmp_path / "beside", **ALL).a, table[maps])

    def with_palette(values):
        image = Image.fromarray(values)
        image.putpalette(table.tobytes())
        return image

    write_maps(tmp_path / "inside", "labels", image=with_palette)
    write_photographs(tmp_path / "inside", "photos")
    pairs = load_pairs(tmp_path / "inside", size=9, **ALL)
    assert colours(pairs.a) <= colours(table)
    assert pairs.palettes[0].shape == (4, 3)


@pytest.mark.parametrize("values, classes", [((0, 255), False), ((0, 1, 255), True), ((3, 64), False), ((5,), True)])
def test_which_grey_pictures_are_class_maps(tmp_path, values, classes):
    write_maps(tmp_path, "a", values=values)
    write_photographs(tmp_path, "b")
    pairs = load_pairs(tmp_path, **ALL)
    assert (pairs.palettes[0] is not None) == classes
    assert pairs.shape[0] == (24, 24, 3 if classes else 1)
    told = load_pairs(tmp_path, maps="a", **ALL)
    assert told.palettes[0].shape == (len(values), 3)


def test_maps_in_flat_colours_must_be_said_to_be_maps(tmp_path):
    table = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250]], np.uint8)
    write_maps(tmp_path, "a", values=(0, 1, 2), image=lambda values: Image.fromarray(table[values]))
    write_photographs(tmp_path, "b")
    pairs = load_pairs(tmp_path, size=7, maps="a", **ALL)
    assert colours(pairs.a) == colours(pairs.palettes[0]) == colours(table)
    assert not colours(load_pairs(tmp_path, size=7, **ALL).a) <= colours(table)
    with pytest.raises(DataError, match="more than 256 colours: no class maps"):
        load_pairs(tmp_path, maps="b", **ALL)


def test_maps_beside_their_photographs_in_one_picture(tmp_path):
    table = np.array([[250, 0, 0], [0, 250, 0]], np.uint8)
    label = table[np.random.default_rng(0).integers(0, 2, (24, 24))]
    joined = np.concatenate([label, np.asarray(picture(size=(24, 24)))], axis=1)
    (tmp_path / "1.png").write_bytes(encoded(Image.fromarray(joined)))
    pairs = load_pairs(tmp_path, size=9, maps="a")
    assert colours(pairs.a) <= colours(table) and pairs.palettes[1] is None
    assert len(colours(pairs.b)) > 40


# --- conversions -------------------------------------------------------------------------------------------


def test_each_side_has_its_own_channels_and_conversions(tmp_path):
    values = np.full((8, 8), 32_896, np.uint16)
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    turned = picture(size=(8, 8))
    exif = Image.Exif()
    exif[0x0112] = 3
    for name, content in {
        "a/deep.png": encoded(Image.fromarray(values)), "b/deep.png": encoded(clear),
        "a/turned.png": encoded(picture(mode="L")), "b/turned.png": encoded(turned, exif=exif),
        "a/grey.png": encoded(Image.new("LA", (8, 8), (0, 128))), "b/grey.png": encoded(picture(mode="P")),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    pairs = load_pairs(tmp_path, **ALL)
    assert pairs.names[0] == ["a/deep.png", "a/grey.png", "a/turned.png"]
    assert pairs.shape == ((8, 8, 1), (8, 8, 3))
    assert (pairs.a[0] == 128).all() and (pairs.a[1] == 127).all() and (pairs.b[0] == 255).all()
    np.testing.assert_array_equal(pairs.b[2], np.asarray(turned)[::-1, ::-1])
    assert load_pairs(tmp_path, channels=3, **ALL).shape == ((8, 8, 3), (8, 8, 3))
    for phrase in ("a: 1 of 3 pictures scaled from 16", "b: 1 of 3 pictures converted", "b: 1 of 3 pictures turned"):
        assert any(note.startswith(phrase) for note in pairs.notes)


# --- a test split by content -------------------------------------------------------------------------------


def write_aliases(folder):
    """120 pairs with aliases, repeated pairs and equal pictures."""
    files = {}
    for i in range(120):
        a, b = i % 100, 200 + (i % 100) // 2  # the last 20 are repeated, two neighbours share their b
        files[f"A/p{i}.png"], files[f"B/p{i}.png"] = encoded(picture(a)), encoded(picture(b), compress_level=i % 9)
    for side in "AB":
        files[f"{side}/same.png"] = encoded(picture(999))
    return write_zip(folder / "set.zip", files)


@pytest.mark.parametrize("paired", [None, False])
def test_no_picture_lies_on_both_sides_of_the_split(tmp_path, paired):
    path = write_aliases(tmp_path)
    train, test = (load_pairs(path, split=split, paired=paired) for split in ("train", "test"))
    assert (len(train), len(test)) == (90, 10)  # 50 groups of two
    seen = [{p.tobytes() for p in side} for side in (train.a, train.b, test.a, test.b)]
    assert not (seen[0] | seen[1]) & (seen[2] | seen[3])
    np.testing.assert_array_equal(load_pairs(path, split="test").a, test.a)
    assert "10 pairs are the test split, chosen by content" in test.notes
    assert any("1 pairs left out: whose two pictures are equal" in note for note in train.notes + test.notes)
    assert any("pairs left out: repeated" in note for note in train.notes)


def test_the_split_does_not_depend_on_size_names_or_order(tmp_path):
    path = write_aliases(tmp_path)
    test = load_pairs(path, split="test", size=8)
    assert load_pairs(path, split="test", size=4).names == test.names
    assert len(load_pairs(path, hold_out=0)) == 121
    assert 48 <= len(load_pairs(path, split="test", hold_out=0.5)) <= 52

    def named(number) -> dict[str, bytes]:
        return {f"{side}/q{number(i)}.png": encoded(picture(seed + i)) for i in range(60)
                for side, seed in (("A", 0), ("B", 100))}

    tests = [load_pairs(write_zip(tmp_path / f"{name}.zip", named(number)), split="test")
             for name, number in (("up", lambda i: i), ("down", lambda i: 99 - i))]
    assert len({frozenset(p.tobytes() for p in each.a) for each in tests}) == 1 and len(tests[0]) == 6


def test_heaps_are_divided_too(tmp_path):
    files = {f"train{side}/{i}.png": encoded(picture(seed + i))
             for side, seed in (("A", 0), ("B", 15)) for i in range(30)}
    path = write_zip(tmp_path / "set.zip", files)
    train, test = (load_pairs(path, split=split, hold_out=0.3) for split in ("train", "test"))
    assert len(train.a) + len(test.a) == len(train.b) + len(test.b) == 30
    seen = [{p.tobytes() for p in side} for side in (train.a, train.b, test.a, test.b)]
    assert not (seen[0] | seen[1]) & (seen[2] | seen[3])


# --- real data ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@real_data
def test_real_emoji_are_pairs_without_leaks(monkeypatch):
    monkeypatch.setenv("INACHUS_DATA", REAL)
    name = "emoji/openmoji.zip,emoji/twemoji.zip"
    train, test = (load_pairs(name, split=split, size=72) for split in ("train", "test"))
    assert (train.shape, train.paired, train.sides) == (((72, 72, 3),) * 2, True, ("openmoji", "twemoji"))
    assert len(train) + len(test) == 3366 and 250 < len(test) < 420
    seen = [{p.tobytes() for p in side} for side in (train.a, train.b, test.a, test.b)]
    assert not seen[0] & seen[2] and not seen[1] & seen[3]
    for pairs in (train, test):
        assert not any(np.array_equal(*each) for each in zip(pairs.a, pairs.b, strict=True))
        assert [n.partition("/")[2] for n in pairs.names[0]] == [n.partition("/")[2] for n in pairs.names[1]]


@real_data
def test_real_class_maps(monkeypatch):
    monkeypatch.setenv("INACHUS_DATA", REAL)
    train, test = (load_pairs("camvid", split=split, size=64, direction="BtoA") for split in ("train", "test"))
    assert (len(train), len(test), train.shape) == (74, 20, ((64, 64, 3),) * 2)
    assert train.palettes[0].shape == (12, 3) and train.palettes[0][0].tolist() == [128, 128, 128]  # sky
    assert colours(train.a) <= colours(train.palettes[0]) and colours(test.a) <= colours(train.palettes[0])
