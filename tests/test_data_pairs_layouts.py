"""The layouts pairs come in, right and wrong: what is found where, and the message that says what is understood."""

from pathlib import Path

import numpy as np
import pytest
from data_writers import encoded, picture, write_tree, write_zip
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inachus.engine.data import NoSplit, check, lasting, load_pairs
from inachus.engine.data.pairs.layouts import of_one
from inachus.engine.errors import DataError, UsageError

ALL = {"hold_out": 0}


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test sees the user's data."""
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INACHUS_DATA", raising=False)


def pixels(seed: int, **options) -> np.ndarray:
    return np.asarray(picture(seed, **options))


def same(side: np.ndarray, seeds: list[int]) -> bool:
    return len(side) == len(seeds) and all(np.array_equal(p, pixels(s)) for p, s in zip(side, seeds, strict=True))


def zipped(folder, names):
    return write_zip(folder.with_suffix(".zip"), {name: (folder / name).read_bytes() for name in names})


# names (each picture is its number), split -> the numbers of a and b, paired?, sides
LAYOUTS = [
    (["A/1.png", "A/2.png", "B/1.png", "B/2.png"], {"train": ([0, 1], [2, 3])}, True, ("A", "B")),
    (["x/photos/a10.jpg.png", "x/photos/a9.png", "x/edges/a9.png", "x/edges/a10.jpg.png"],
     {"train": ([2, 3], [1, 0])}, True, ("edges", "photos")),
    (["l/deep/1.png", "l/2.png", "r/2.png", "r/deep/1.png"], {"train": ([1, 0], [2, 3])}, True, ("l", "r")),
    (["train/A/1.png", "train/B/1.png", "test/A/2.png", "test/B/2.png"],
     {"train": ([0], [1]), "test": ([2], [3])}, True, ("A", "B")),
    (["A/train/1.png", "B/train/1.png", "A/val/2.png", "B/val/2.png"],
     {"train": ([0], [1]), "test": ([2], [3])}, True, ("A", "B")),
    (["trainA/1.png", "trainA/2.png", "trainB/1.png", "testA/7.png", "testB/8.png"],
     {"train": ([0, 1], [2]), "test": ([3], [4])}, False, ("A", "B")),
    (["train/s1.png", "trainannot/s1.png", "test/s2.png", "testannot/s2.png", "palette/p.png"],
     {"train": ([0], [1]), "test": ([2], [3])}, True, ("pictures", "annot")),
    (["Training_a/1.png", "Training_b/2.png", "Testing_a/1.png", "Testing_b/2.png"],
     {"train": ([0], [1]), "test": ([2], [3])}, False, ("a", "b")),
    (["horses/h1.png", "zebras/z1.png", "zebras/z2.png"], {"train": ([0], [1, 2])}, False, ("horses", "zebras")),
]


@pytest.mark.parametrize("names, splits, paired, sides", LAYOUTS)
def test_folders_and_zips(tmp_path, names, splits, paired, sides):
    folder = write_tree(tmp_path / "set", names)
    for split, (a, b) in splits.items():
        pairs = load_pairs(folder, split=split, **ALL)
        assert same(pairs.a, a) and same(pairs.b, b)
        assert (pairs.paired, pairs.sides) == (paired, sides)
        assert [len(side) for side in pairs.names] == [len(a), len(b)]
        assert pairs.names[0][0] == names[a[0]] or "x/" + pairs.names[0][0] == names[a[0]]
        assert load_pairs(zipped(folder, names), split=split, **ALL).fingerprint == pairs.fingerprint
        other = load_pairs(folder, split=split, direction="BtoA", **ALL)
        assert same(other.a, b) and same(other.b, a) and other.sides == sides[::-1]


def side_by_side(*seeds, size=(8, 8)) -> bytes:
    return encoded(Image.fromarray(np.concatenate([pixels(s, size=size) for s in seeds], axis=1)))


def write_all(folder, files: dict[str, bytes]):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_pictures_side_by_side(tmp_path):
    folder = write_all(tmp_path / "set", {"train/1.png": side_by_side(0, 1), "train/2.png": side_by_side(2, 3),
                                          "val/3.png": side_by_side(4, 5)})
    pairs = load_pairs(folder)
    assert same(pairs.a, [0, 2]) and same(pairs.b, [1, 3]) and pairs.paired
    test = load_pairs(folder, split="test", direction="BtoA")
    assert same(test.a, [5]) and same(test.b, [4])
    assert "val stands in for test" in test.notes
    flat = load_pairs(folder / "train", **ALL)
    assert same(flat.a, [0, 2]) and same(flat.b, [1, 3])
    assert load_pairs(folder, size=4).shape == ((4, 4, 3), (4, 4, 3))
    heaps = load_pairs(folder, paired=False)
    assert not heaps.paired and same(heaps.a, [0, 2]) and same(heaps.b, [1, 3])


def test_halves_do_not_bleed_into_each_other(tmp_path):
    joined = np.concatenate([np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)], axis=1)
    folder = write_all(tmp_path / "set", {"1.png": encoded(Image.fromarray(joined))})
    pairs = load_pairs(folder, size=7)
    assert (pairs.a == 0).all() and (pairs.b == 255).all()
    assert pairs.notes[-1] == "1 of 1 pictures resized to 7x7 (LANCZOS)"


def test_two_sources(tmp_path):
    one = write_tree(tmp_path / "one", ["w/1.png", "w/tone/2.png"])
    two = write_tree(tmp_path / "two", ["v/tone/2.png", "v/1.png"])
    name = f"{one},{zipped(two, ['v/tone/2.png', 'v/1.png'])}"
    pairs = load_pairs(name, **ALL)
    assert same(pairs.a, [0, 1]) and same(pairs.b, [1, 0])
    assert (pairs.sides, pairs.name) == (("one", "two"), "one,two.zip")
    assert lasting(name) == name
    assert check(name) == []
    split = [write_tree(tmp_path / side, ["train/1.png", "test/2.png"]) for side in ("p", "q")]
    assert same(load_pairs(",".join(map(str, split)), split="test").a, [1])
    with pytest.raises(DataError, match="differ in their splits: no splits and test, train"):
        load_pairs(f"{one},{split[0]}")
    write_tree(two, ["v/lonely.png"])
    ((where, reason),) = check(f"{one},{two}")
    assert (where, reason) == (f"{two}/v/lonely.png", "has no partner of the same name in one")
    with pytest.raises(UsageError, match="nowhere"):
        load_pairs(f"{one},{tmp_path / 'nowhere'}")


def test_a_folder_of_two_zips_is_their_pair(tmp_path, monkeypatch):
    inner = tmp_path / "work"
    for seed, side in enumerate(("left", "right")):
        write_tree(inner / side, ["x.png", "y.png"][seed:] + ["x.png"] * seed)
        zipped(inner / side, ["x.png", "y.png"])
    (tmp_path / "data" / "emoji").mkdir(parents=True)
    for side in ("left.zip", "right.zip"):
        (inner / side).rename(tmp_path / "data" / "emoji" / side)
    monkeypatch.setenv("INACHUS_DATA", str(tmp_path / "data"))
    pairs = load_pairs("emoji", **ALL)
    assert same(pairs.a, [0, 1]) and same(pairs.b, [1, 0]) and pairs.sides == ("left", "right")
    assert load_pairs("emoji/left.zip,emoji/right.zip", **ALL).fingerprint == pairs.fingerprint


def test_a_path_with_a_comma_is_one_path(tmp_path):
    folder = write_tree(tmp_path / "a,b", ["A/1.png", "B/1.png"])
    assert len(load_pairs(folder, **ALL)) == 1


WORDS = ["A", "B", "train", "val", "validation", "Testing", "trainA", "palette"]
FOLDERS = st.lists(st.sampled_from(WORDS), max_size=3)
FILES = st.sampled_from(["1.png", "1.jpg", "1.jpg.png", "2.png"])
NAMES = st.builds(lambda folders, file: (*folders, file), FOLDERS, FILES)


@given(st.lists(NAMES, min_size=1, max_size=12, unique=True))
def test_every_file_has_one_place(names):
    """Whatever the names: no layout, or one in which each picture lies in one split of one side, or is left out."""
    try:
        layout = of_one(Path("set"), names)
    except DataError as error:
        assert "understood are" in str(error)
        return
    files = [file for a, b in layout.splits.values() for side in (a, b)[layout.joined:] for file in side.values()]
    assert len(set(files)) == len(files) and set(files) <= set(names)
    assert len(files) + layout.loose == sum("palette" not in name for name in names)
    again = of_one(Path("set"), names[::-1])
    assert (again.splits, again.sides) == (layout.splits, layout.sides)


# --- wrong layouts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("names, message", [
    (["1.png", "2.png"], r"2 pictures, none twice as wide as high, and no two folders; understood are .*ONE,TWO"),
    (["A/1.png", "B/1.png", "C/1.png"], r"holds A, B, C, not two folders; understood are two folders"),
    (["A/1.png"], r"1 pictures, none twice as wide"),
    (["trainA/1.png", "trainB/1.png", "testA/1.png"], r"lacks testB; understood are"),
    (["train/A/1.png", "train/B/1.png", "test/A/1.png"], r"lacks test/B; understood are"),
    (["A/1.png", "A/2.png", "B/1.png"], r"1 files without a partner of the same name: 2; .*cyclegan"),
    ([f"A/{i}.png" for i in range(40)] + ["B/0.png"], r"39 files without .*: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.;"),
])
def test_what_is_no_layout_is_explained(tmp_path, names, message):
    with pytest.raises(DataError, match=message) as caught:
        load_pairs(write_tree(tmp_path / "set", names))
    assert str(tmp_path / "set") in str(caught.value) and "\n" not in str(caught.value)


def test_odd_pictures_side_by_side_are_named(tmp_path):
    files = {f"{i}.png": side_by_side(i, i + 1) for i in range(3)}
    folder = write_all(tmp_path / "set", files | {"odd.png": encoded(picture(size=(17, 8)))})
    with pytest.raises(DataError, match=r"twice as wide as high; 1 of 4 are not: odd\.png \(17x8\)"):
        load_pairs(folder)


def test_pairs_of_different_proportions_or_sizes(tmp_path):
    folder = write_tree(tmp_path / "set", ["A/1.png", "A/2.png", "B/1.png"])
    write_tree(folder, ["B/2.png"], size=(9, 8))
    with pytest.raises(DataError, match=r"1 pairs whose pictures differ in proportions: A/2\.png \(8x8, 9x8\)"):
        load_pairs(folder, size=8, paired=True, **ALL)
    for paired in (False, None):
        heaps = load_pairs(folder, size=8, paired=paired, **ALL)
        assert not heaps.paired and len(heaps.a) == len(heaps.b) == 2
        assert "equal file names, but no true pairs: proportions differ" in heaps.notes
    write_tree(folder, ["B/1.png", "B/2.png"], size=(16, 16))
    with pytest.raises(DataError, match="differ in size: 8x8 and 16x16; pass a size"):
        load_pairs(folder, **ALL)
    assert load_pairs(folder, size=8, **ALL).shape == ((8, 8, 3), (8, 8, 3))


def test_names_without_partner_may_be_heaps(tmp_path):
    folder = write_tree(tmp_path / "set", ["A/1.png", "A/2.png", "B/1.png"])
    heaps = load_pairs(folder, paired=False, **ALL)
    assert not heaps.paired and (len(heaps.a), len(heaps.b)) == (2, 1)
    apart = write_tree(tmp_path / "apart", ["A/x.png", "B/y.png"])
    with pytest.raises(DataError, match="no file of a has a partner in b"):
        load_pairs(apart, paired=True)
    same_names = write_tree(tmp_path / "cycle", ["trainA/1.png", "trainB/1.png"])
    assert not load_pairs(same_names, **ALL).paired
    assert load_pairs(same_names, paired=True, **ALL).paired


def test_equal_names_that_are_mere_numbers_are_doubted(tmp_path):
    numbers = load_pairs(write_tree(tmp_path / "set", ["A/1.png", "B/1.png"]), **ALL)
    assert any("mere numbers" in note for note in numbers.notes)
    named = load_pairs(write_tree(tmp_path / "other", ["A/x1.png", "B/x1.png"]), **ALL)
    assert named.notes == ["1 true pairs, by equal file names"]


def test_what_is_left_out_is_said(tmp_path):
    folder = write_tree(tmp_path / "set", ["A/x.png", "B/x.png", "beside.png"])
    (folder / "A" / "notes.txt").write_text("no picture")
    assert "1 pictures in neither side left out" in load_pairs(folder, **ALL).notes
    write_tree(folder, ["palette/p.png"], size=(256, 1))
    assert [reason for _, reason in check(folder)] == ["not a picture: ignored"]


def test_unreadable_files_take_their_partners_along(tmp_path):
    folder = write_tree(tmp_path / "set", [f"{side}/{i}.png" for side in "AB" for i in range(40)])
    (folder / "A" / "3.png").write_bytes(b"")
    (folder / "B" / "5.png").write_bytes((folder / "B" / "5.png").read_bytes()[:-40])
    with pytest.raises(DataError, match=r"3\.png.*on_bad=skip"):
        load_pairs(folder, **ALL)
    pairs = load_pairs(folder, on_bad="skip", **ALL)
    kept = [i for i in range(40) if i not in (3, 5)]
    assert same(pairs.a, kept) and same(pairs.b, [40 + i for i in kept])
    assert pairs.names[0] == [f"A/{i}.png" for i in kept]
    assert sum("unreadable and skipped" in note for note in pairs.notes) == 2


def test_splits_that_are_not_there(tmp_path):
    tested = write_tree(tmp_path / "tested", ["test/A/1.png", "test/B/1.png"])
    with pytest.raises(NoSplit, match="no train split: it holds only test"):
        load_pairs(tested)
    few = write_tree(tmp_path / "few", ["A/1.png", "B/1.png"])
    assert len(load_pairs(few)) == 1
    with pytest.raises(NoSplit, match=r"too few pictures to hold out 10%.*hold_out="):
        load_pairs(few, split="test")


def test_impossible_wishes(tmp_path):
    with pytest.raises(UsageError, match=r"direction='up'.*maps='c'.*hold_out=1"):
        load_pairs("outlines", direction="up", maps="c", hold_out=1)
    with pytest.raises(UsageError, match="split='val'"):
        load_pairs("outlines", split="val")
    with pytest.raises(UsageError, match="'mnist' has no two sides, as outlines and stripes have; understood are"):
        load_pairs("mnist")
    with pytest.raises(UsageError, match="did you mean 'outlines'"):
        load_pairs("outlins")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures in it"):
        load_pairs(tmp_path / "empty")
