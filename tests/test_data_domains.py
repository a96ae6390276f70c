"""Several sources as the classes of one data set, and the test split that is held out of them or of class folders."""

import os
from itertools import product

import numpy as np
import pytest
from data_writers import encoded, picture, write_tree, write_zip

from inachus.engine.data import NoSplit, check, lasting, load, load_pairs
from inachus.engine.errors import DataError, UsageError
from inachus.models import MODELS
from inachus.models.runs import load_data

REAL = os.environ.get("INACHUS_DATA")
real_data = pytest.mark.skipif(not REAL, reason="set INACHUS_DATA to the folder of real data sets")
STYLES = ("ink", "oil", "clay")


def drawings(names=range(40), styles=STYLES):
    """Files of each style: picture i of style k is seeded by both; every fifth has a second name."""
    names = [*names]
    return {style: {f"{name}.png": encoded(picture(100 * k + i)) for i, name in enumerate(names)}
            | {f"alias/{name}.png": encoded(picture(100 * k + i)) for i, name in enumerate(names) if i % 5 == 0}
            for k, style in enumerate(styles)}


def write_styles(folder, **how):
    """ONE,TWO,THREE: a zip of each style, with a folder of its name around everything."""
    folder.mkdir(parents=True, exist_ok=True)
    return ",".join(str(write_zip(folder / f"{style}.zip", {f"{style}/{name}": data for name, data in files.items()}))
                    for style, files in drawings(**how).items())


def write_folders(folder, **how):
    """The same as class folders in one zip."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {f"{style}/{name}": data for style, files in drawings(**how).items() for name, data in files.items()}
    return write_zip(folder / "all.zip", entries)


each_layout = pytest.mark.parametrize("write", [write_styles, write_folders], ids=["sources", "folders"])


def contents(dataset, label=None):
    """The pictures, of one class or all, as a set."""
    items = dataset.items if label is None else dataset.items[dataset.labels == label]
    return {item.tobytes() for item in items}


def both(name, **options):
    """(train, test)."""
    return tuple(load(name, split=split, **options) for split in ("train", "test"))


# --- several sources ---------------------------------------------------------------------------------------


def test_each_source_is_a_class_in_the_order_given(tmp_path):
    one = write_tree(tmp_path / "b", ["w/1.png", "w/2.png"])
    two = write_zip(tmp_path / "a.zip", {"1.png": encoded(picture(7))})
    dataset = load(f"{one},{two}")
    assert (dataset.classes, dataset.labels.tolist(), dataset.name) == (["b", "a"], [0, 0, 1], "b,a.zip")
    for item, seed in zip(dataset.items, (0, 1, 7), strict=True):
        np.testing.assert_array_equal(item, np.asarray(picture(seed)))
    assert "3 pictures 8x8x3 in 2 classes" in dataset.source
    assert load(f"{one},{two}", limit=2).labels.tolist() == [0, 0]
    assert lasting(f"{one},{two}") == f"{one},{two}" and check(f"{one},{two},{one}") == []


def test_sources_of_one_name_are_told_apart(tmp_path):
    one, two = (write_tree(tmp_path / side / "photos", ["1.png"]) for side in ("x", "y"))
    assert load(f"{one},{two}").classes == [str(one), str(two)]


def test_their_own_splits_are_used(tmp_path):
    sources = [write_tree(tmp_path / side, ["train/1.png", "train/2.png", "test/3.png"]) for side in ("p", "q", "r")]
    train, test = both(",".join(map(str, sources)), hold_out=0.5)
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 0, 1, 1, 2, 2], [0, 1, 2])
    plain = write_tree(tmp_path / "plain", ["1.png"])
    with pytest.raises(DataError, match="differ in their splits: test, train and no splits"):
        load(f"{sources[0]},{plain}")


def test_without_splits_nothing_is_held_out_unless_asked_for(tmp_path):
    name = write_styles(tmp_path)
    assert len(load(name)) == 3 * 48
    with pytest.raises(NoSplit, match="no test split"):
        load(name, split="test")


@pytest.mark.parametrize("words, error, match", [
    (",", UsageError, "neither a data set nor"), ("{},nowhere", UsageError, "nowhere"),
    ("{},digits", UsageError, "'digits' is no folder or zip of pictures"),
])
def test_what_is_no_source_is_named(tmp_path, words, error, match):
    with pytest.raises(error, match=match):
        load(words.format(write_tree(tmp_path / "one", ["1.png"])))


def test_an_unreadable_picture_is_named_by_its_own_source(tmp_path):
    one = write_tree(tmp_path / "one", ["1.png"])
    two = write_zip(tmp_path / "two.zip", {"deep/2.png": encoded(picture(1))[:60]})
    with pytest.raises(DataError, match=r"two\.zip/deep/2\.png"):
        load(f"{one},{two}")


def test_pairs_have_two_sides(tmp_path):
    with pytest.raises(UsageError, match="are 3 sources, and pairs have two sides"):
        load_pairs(write_styles(tmp_path))


# --- a test split by content -------------------------------------------------------------------------------


@each_layout
def test_what_is_held_out_is_seen_in_no_class_and_under_no_name(tmp_path, write):
    train, test = both(write(tmp_path), hold_out=0.25)
    assert (len(contents(train)), len(contents(test))) == (3 * 30, 3 * 10)  # 40 groups, one for each drawing
    assert not contents(train) & contents(test)
    numbers = [{i for i in range(40) if np.asarray(picture(100 * k + i)).tobytes() in contents(test, label)}
               for k, label in ((k, test.classes.index(style)) for k, style in enumerate(STYLES))]
    assert numbers[0] == numbers[1] == numbers[2]
    assert any("test split, chosen by content" in note for note in test.notes)


def test_both_ways_and_pairs_hold_out_the_same(tmp_path):
    two = {"styles": STYLES[:2]}
    sources = load(write_styles(tmp_path, **two), split="test", hold_out=0.25)
    folders = load(write_folders(tmp_path, **two), split="test", hold_out=0.25)
    pairs = load_pairs(write_styles(tmp_path, **two), split="test", hold_out=0.25).domains()
    assert contents(sources) == contents(folders) == contents(pairs)


@each_layout
def test_the_split_depends_neither_on_size_nor_on_order(tmp_path, write):
    up = load(write(tmp_path / "up"), split="test", hold_out=0.25)
    assert len(up) == len(load(write(tmp_path / "up"), split="test", hold_out=0.25, size=4))
    down = load(write(tmp_path / "down", names=[f"x{99 - i}" for i in range(40)]), split="test", hold_out=0.25)
    assert contents(up) == contents(down)


def test_pictures_of_several_classes_are_left_out(tmp_path):
    files = {f"{side}/{i}.png": encoded(picture(i if i < 3 else 100 * k + i))
             for (k, side), i in product(enumerate("pq"), range(20))}
    train, test = both(write_zip(tmp_path / "all.zip", files), hold_out=0.25)
    assert len(train) + len(test) == 2 * 17
    assert sum("pictures left out: in several classes" in note for note in train.notes + test.notes) >= 1
    assert len(load(tmp_path / "all.zip")) == 40  # as it is, unless a part is held out


def test_folders_with_a_test_split_keep_it(tmp_path):
    path = write_tree(tmp_path / "set", ["/".join(p) + ".png" for p in product(("train", "test"), "ab", "12")])
    for split in ("train", "test"):
        assert load(path, split=split, hold_out=0.5).fingerprint == load(path, split=split).fingerprint


def test_pictures_without_classes_are_divided_too(tmp_path):
    train, test = both(write_tree(tmp_path / "set", [f"{i}.png" for i in range(20)]), hold_out=0.1)
    assert (len(train), len(test), train.labels, test.labels) == (18, 2, None, None)


def test_too_few_to_hold_out(tmp_path):
    path = write_tree(tmp_path / "set", ["a/1.png", "b/2.png"])
    with pytest.raises(NoSplit, match=r"too few pictures to hold out 10%.*hold_out="):
        load(path, split="test", hold_out=0.1)
    with pytest.raises(UsageError, match="hold_out=1 must be a share"):
        load(path, hold_out=1)


def test_a_model_of_domains_holds_out_by_its_setting(tmp_path):
    cls, path = MODELS["stargan"], str(write_folders(tmp_path))
    train, test = (load_data(cls, path, cls.Settings(size=8, hold_out=0.25), split) for split in ("train", "test"))
    assert (len(contents(train)), len(contents(test))) == (90, 30)


# --- real data ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@real_data
def test_real_emoji_are_domains_without_leaks(monkeypatch):
    monkeypatch.setenv("INACHUS_DATA", REAL)
    name = "emoji/openmoji.zip,emoji/twemoji.zip"
    test = load(name, split="test", size=16, hold_out=0.1)
    pairs = load_pairs(name, split="test", size=16)
    assert test.classes == ["openmoji", "twemoji"]
    assert contents(test) == contents(pairs.domains())
