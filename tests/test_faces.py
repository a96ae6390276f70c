"""The drawn faces: what is fixed by the tag and what is free, and the reader that finds the tag again in pixels."""

import numpy as np
import pytest

from inachus.engine.data import load
from inachus.engine.data.faces import EYES, HAIR, draw_faces, read_tags
from inachus.engine.data.tags import Tags
from inachus.engine.evaluation import obedience

COUNT = 264  # two of each class
LABELS = np.arange(COUNT) % 132
FACES = {split: draw_faces(COUNT, 32, seed=3, split=split) for split in ("train", "test")}
COURSE = ["orange", "white", "aqua", "gray", "green", "red", "purple", "pink", "blue", "black", "brown", "blonde"]
COURSE_EYES = ["gray", "black", "orange", "pink", "yellow", "aqua", "purple", "green", "brown", "red", "blue"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path / "cache"))


def right(pictures, labels=LABELS):
    """Shares of pictures whose hair, and whose eyes, are read as they were asked for."""
    hair, eyes = read_tags(pictures)
    return (hair == labels // 11).mean(), (eyes == labels % 11).mean()


# --- the data set ------------------------------------------------------------------------------------------


def test_the_tags_are_the_courses():
    assert [*HAIR] == COURSE and [*EYES] == COURSE_EYES
    dataset = load("faces", limit=140)
    assert dataset.shape == (32, 32, 3) and len(dataset.classes) == 132
    assert dataset.classes[0] == "orange hair, gray eyes" and dataset.classes[-1] == "blonde hair, blue eyes"
    assert dataset.classes[2 * 11 + 8] == "aqua hair, brown eyes"
    assert dataset.labels.dtype == np.int64 and dataset.labels[[0, 131, 132]].tolist() == [0, 131, 0]


def test_a_face_depends_on_seed_split_and_place_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("inachus.engine.data.faces.dataset.COUNTS", {"train": 132, "test": 20})
    whole = load("faces")
    assert len(whole) == 132 and len(list((tmp_path / "cache/faces").iterdir())) == 1
    assert load("faces").fingerprint == whole.fingerprint  # from the cache
    np.testing.assert_array_equal(load("faces", limit=9).items, whole.items[:9])
    np.testing.assert_array_equal(draw_faces(9, 32, 0, "train"), whole.items[:9])
    others = load("faces", split="test"), load("faces", seed=1, limit=20)
    assert all((other.items[:20] != whole.items[:20]).any(axis=(1, 2, 3)).all() for other in others)


@pytest.mark.parametrize("size, channels", [(16, 3), (64, 3), (32, 1)])
def test_other_sizes_and_grey(size, channels):
    assert load("faces", size=size, channels=channels, limit=3).shape == (size, size, channels)


def test_all_but_the_tag_is_free():
    """The two faces of a tag are never alike, and over many tags they differ nearly everywhere."""
    one, other = np.split(FACES["train"].astype(float), 2)
    difference = np.abs(one - other).mean(-1)  # (132,32,32)
    assert difference.mean(axis=(1, 2)).min() > 5
    assert (difference.mean(axis=0) > 5).mean() > 0.95


# --- the reader --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", FACES)
def test_the_reader_is_right_on_what_was_drawn(split):
    assert min(right(FACES[split])) >= 0.99


def test_the_reader_takes_floats_and_other_sizes():
    np.testing.assert_array_equal(read_tags(FACES["test"] / 127.5 - 1), read_tags(FACES["test"]))
    assert min(right(draw_faces(132, 64, 0, "test"), LABELS[:132])) >= 0.99


def test_the_reader_forgives_noise_blur_and_a_pixels_shift():
    x = FACES["test"].astype(float)
    noisy = x + 25 * np.random.default_rng(0).standard_normal(x.shape)
    blurred = (x + np.roll(x, 1, 1) + np.roll(x, 1, 2) + np.roll(x, (1, 1), (1, 2))) / 4
    for changed in (noisy, blurred, np.roll(x, 1, 1), np.roll(x, -1, 2)):
        assert min(right(np.clip(changed, 0, 255).astype(np.uint8))) >= 0.97


def test_the_reader_looks_at_hair_and_eyes_and_nowhere_else():
    """Hair of one face over the eyes of another are read as just that; a face without eyes shows no colour of them."""
    x = FACES["test"]
    other = np.roll(x, 25, axis=0)
    top = np.arange(32)[:, None, None] < 14
    hair, eyes = read_tags(np.where(top, x, other))
    assert (hair == LABELS // 11).mean() >= 0.99 and (eyes == np.roll(LABELS, 25) % 11).mean() >= 0.99
    blank = np.broadcast_to(x[:, 24:25, 16:17], x.shape)  # chin
    assert right(blank)[1] < 0.3


def test_white_noise_agrees_by_chance():
    noise = np.random.default_rng(1).integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
    assert obedience.agreement(noise, obedience.colours(load("faces", limit=1).classes)[LABELS])["both"] < 0.05


# --- names of classes --------------------------------------------------------------------------------------


def test_names_are_taken_apart():
    tags = Tags(load("faces", limit=1).classes)
    assert [len(part) for part in tags.parts] == [12, 11]
    assert tags.parts[0][2] == "aqua hair" and tags.parts[1][8] == "brown eyes"
    assert np.array_equal(tags.table, np.stack([np.arange(132) // 11, np.arange(132) % 11], axis=1))
    assert tags.one_hot.shape == (132, 23) and (tags.one_hot.sum(1) == 2).all()
    assert np.flatnonzero(tags.one_hot[30]).tolist() == [2, 12 + 8]
    assert tags.having(1, 3).tolist() == [*range(3, 132, 11)]


@pytest.mark.parametrize("names", [
    ["0", "1", "2"], ["red hair, blue eyes", "red hair"], ["tench, Tinca tinca", "goldfish, Carassius auratus"]
])
def test_other_names_are_one_part(names):
    tags = Tags(names)
    assert tags.parts == [names] and np.array_equal(tags.one_hot, np.eye(len(names)))


def test_tags_may_lack_combinations_and_have_any_order():
    tags = Tags(["b, y", "a, x", "a, y", "a, z", "b, x"])
    assert tags.parts == [["b", "a"], ["y", "x", "z"]]
    assert tags.table.tolist() == [[0, 0], [1, 1], [1, 0], [1, 2], [0, 1]]


def test_only_colours_of_hair_and_eyes_are_read():
    assert obedience.colours(["aqua hair, brown eyes", "orange hair, gray eyes"]).tolist() == [[2, 8], [0, 0]]
    for names in ([], ["0", "1"], ["aqua hair, aqua hair"], ["yellow hair, gray eyes"], ["aqua hair, red eyes, hat"]):
        assert obedience.colours(names) is None


def test_agreement_is_counted():
    asked = np.stack(read_tags(FACES["test"]), axis=1)
    asked[:66, 0] += 1  # a quarter is told another hair, half of those and as many others other eyes
    asked[33:99, 1] += 1
    assert obedience.agreement(FACES["test"], asked) == {"hair": 0.75, "eyes": 0.75, "both": 1 - 99 / 264}
