"""Pairs and their batches: partners stay together, jitter treats both alike, a batch is a function of its number.

The layouts that files come in are in `test_data_pairs_layouts.py`, class maps and the test split in
`test_data_pairs_content.py`.
"""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inachus import kernels
from inachus.engine.data import Ahead, Jitter, PairBatch, PairBatches, Pairs, check, load, load_pairs
from inachus.engine.errors import DataError, UsageError
from inachus.kernels.steps import Stepper


def numbered(a: int, b: int, paired: bool, shape=(2, 2), channels=(1, 3)) -> Pairs:
    """Pictures of one grey each, which is their number."""
    sides = (np.full((n, *shape, c), 0, np.uint8) + np.arange(n, dtype=np.uint8)[:, None, None, None]
             for n, c in zip((a, b), channels, strict=True))
    return Pairs("numbered", *sides, paired)


def numbers(pictures: np.ndarray) -> list[int]:
    return np.rint((pictures[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist()


# --- Pairs -------------------------------------------------------------------------------------------------


def test_pairs_know_their_shapes_and_directions():
    pairs = Pairs("p", np.zeros((3, 4, 4, 1), np.uint8), np.ones((3, 4, 4, 5), np.uint8), sides=("x", "y"))
    assert (len(pairs), pairs.shape, pairs.paired) == (3, ((4, 4, 1), (4, 4, 5)), True)
    other = pairs.swapped()
    assert (other.shape, other.sides) == (((4, 4, 5), (4, 4, 1)), ("y", "x"))
    assert other.a is pairs.b
    heaps = pairs.drop_pairing()
    assert not heaps.paired and heaps.a is pairs.a and pairs.paired
    assert len({p.fingerprint for p in (pairs, other, heaps)}) == 3
    assert len(numbered(5, 9, paired=False)) == 9


@pytest.mark.parametrize("a, b, options, what", [
    (np.zeros((2, 4, 4, 3)), np.zeros((2, 4, 4, 3), np.uint8), {}, "side a must be uint8"),
    (np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4), np.uint8), {}, "side b must be uint8"),
    (np.zeros((2, 4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8), {"paired": False}, "side b .* N > 0"),
    (np.zeros((2, 4, 4, 3), np.uint8), np.zeros((3, 4, 4, 3), np.uint8), {}, "2 pictures a and 3 pictures b"),
    (np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 4, 4, 3), np.uint8), {"names": (["x"], ["x", "y"])}, "2 names"),
])
def test_what_are_no_pairs_is_refused(a, b, options, what):
    with pytest.raises(DataError, match=what):
        Pairs("p", a, b, **options)


def test_both_sides_are_domains_of_one_data_set():
    domains = numbered(2, 3, paired=False, channels=(3, 3)).domains()
    assert (domains.classes, domains.labels.tolist(), domains.shape) == (["A", "B"], [0, 0, 1, 1, 1], (2, 2, 3))
    with pytest.raises(DataError, match="channels=3"):
        numbered(2, 3, paired=False).domains()


# --- batches -----------------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 30), st.integers(1, 30), st.booleans(), st.integers(0, 2**64 - 1))
@settings(max_examples=50)
def test_epochs_visit_everything_once_and_partners_stay_together(data, a, b, paired, seed):
    b = a if paired else b
    size = data.draw(st.integers(1, min(a, b)))
    batches = list(islice(PairBatches(numbered(a, b, paired), size, seed), -(-2 * max(a, b) // size)))
    seen = [[number for batch in batches for number in numbers(side(batch))] for side in (lambda x: x.a, lambda x: x.b)]
    for side, count in zip(seen, (a, b), strict=True):
        for epoch in range(2):
            assert sorted(side[epoch * count : (epoch + 1) * count]) == list(range(count))
    if paired:
        assert seen[0] == seen[1]


def test_heaps_are_drawn_independently():
    order = PairBatches(numbered(40, 40, paired=False), 40).batch_at(0)
    assert numbers(order.a) != numbers(order.b)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(0, 9), st.booleans(), st.booleans())
@settings(max_examples=30)
def test_a_batch_depends_on_its_position_alone(positions, seed, paired, jittered):
    pairs, jitter = numbered(17, 17, paired, shape=(6, 5)), Jitter() if jittered else None
    worn = PairBatches(pairs, 5, seed, jitter)
    for position in positions:
        fresh, again = PairBatches(pairs, 5, seed, jitter).batch_at(position), worn.batch_at(position)
        np.testing.assert_array_equal(fresh.a, again.a)
        np.testing.assert_array_equal(fresh.b, again.b)
        assert (again.a.shape, again.b.shape, again.a.dtype) == ((5, 6, 5, 1), (5, 6, 5, 3), np.float32)


def test_threads_that_read_ahead_make_the_same_batches():
    pairs = load_pairs("outlines", split="test", limit=8, size=16)
    ahead = Ahead(PairBatches(pairs, 3, seed=1, jitter=Jitter()))
    for position in range(6):
        np.testing.assert_array_equal(
            ahead.batch_at(position).b, PairBatches(pairs, 3, 1, Jitter()).batch_at(position).b
        )
    ahead.close()


def test_a_device_takes_a_batch_as_it_takes_others():
    seen = []
    batch = PairBatches(numbered(4, 4, paired=True), 2).batch_at(0)
    stepper = Stepper(lambda each: seen.append(each) or {}, dict, lambda counts: None, print)
    stepper(1, batch)
    assert kernels.home() is np and seen == [batch]
    moved = type(batch)(batch.items.copy(), batch.labels.copy())
    np.testing.assert_array_equal(moved.a, batch.a)
    np.testing.assert_array_equal(moved.b, batch.b)
    assert isinstance(moved, PairBatch)


def test_a_side_smaller_than_a_batch_is_refused():
    with pytest.raises(UsageError, match=r"batch of 4 .* 3 items"):
        PairBatches(numbered(9, 3, paired=False), 4)
    with pytest.raises(UsageError, match="seed -1"):
        PairBatches(numbered(3, 3, paired=True), 1, seed=-1)


# --- jitter ------------------------------------------------------------------------------------------------


@given(st.integers(2, 20), st.integers(2, 20), st.sampled_from([1, 2, 3, 4, 12]), st.floats(1, 2), st.integers(0, 99))
@settings(max_examples=40)
def test_jitter_treats_both_sides_alike(height, width, channels, enlarge, seed):
    pictures = np.random.default_rng(seed).integers(0, 256, (4, height, width, channels), np.uint8)
    batches = PairBatches(Pairs("same", pictures, pictures.copy()), 4, seed, Jitter(enlarge))
    for batch in islice(batches, 3):
        np.testing.assert_array_equal(batch.a, batch.b)
    apart = PairBatches(Pairs("apart", pictures, pictures, paired=False), 4, seed, Jitter(1.3)).batch_at(0)
    assert not np.array_equal(apart.a, apart.b)


def test_jitter_means_enlarge_crop_and_mirror():
    """Against what pix2pix does: the whole picture enlarged to 286, then a window of 256 cut out."""
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    whole = np.asarray(Image.fromarray(picture).resize((286, 286), Image.Resampling.BICUBIC))
    draws = np.array([[12 / 30, 7 / 30, 0.2], [30 / 30, 0, 0.7]])
    down, mirrored = Jitter()(np.stack([picture, picture]), draws).astype(int)
    assert np.abs(down - whole[12:268, 7:263]).max() <= 1
    assert np.abs(mirrored[:, ::-1] - whole[30:, :256]).max() <= 1
    np.testing.assert_array_equal(Jitter(1, flip=False)(picture[None], np.full((1, 3), 0.9))[0], picture)
    with pytest.raises(UsageError, match="enlarge"):
        Jitter(0.9)


def test_jitter_mixes_no_colours_of_class_maps():
    rng = np.random.default_rng(3)
    palette = rng.integers(0, 256, (5, 3), np.uint8)
    classes = palette[rng.integers(0, 5, (6, 17, 17))]
    pairs = Pairs("maps", classes, classes, palettes=(palette, None))
    allowed = {tuple(colour) for colour in palette.tolist()}
    batch = PairBatches(pairs, 6, 0, Jitter()).batch_at(0)
    bytes_of = [np.rint((side + 1) * 127.5).astype(int).reshape(-1, 3) for side in (batch.a, batch.b)]
    seen = [{tuple(colour) for colour in colours.tolist()} for colours in bytes_of]
    assert seen[0] <= allowed and not seen[1] <= allowed


def test_both_halves_of_the_pictures_are_mirrored_and_moved():
    """A mark wanders over nine tenths of the margin and to both sides."""
    pictures = np.zeros((1, 64, 64, 1), np.uint8)
    pictures[0, 20:24, 8:12] = 255
    batches = islice(PairBatches(Pairs("mark", pictures, pictures), 1, 0, Jitter()), 60)
    places = np.array([np.argwhere(batch.a[0, ..., 0] > 0).mean(axis=0) for batch in batches])
    assert 0.35 < (places[:, 1] > 32).mean() < 0.65
    assert np.ptp(places[:, 0]) > 5


# --- drawn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["outlines", "stripes"])
def test_drawn_pairs_are_functions_of_seed_and_number(name):
    pairs = load_pairs(name, limit=12)
    assert (pairs.shape, len(pairs), pairs.paired) == (((64, 64, 3),) * 2, 12, name == "outlines")
    assert load_pairs(name, limit=12).fingerprint == pairs.fingerprint
    np.testing.assert_array_equal(load_pairs(name, limit=5).b, pairs.b[:5])
    assert load_pairs(name, limit=12, seed=1).fingerprint != pairs.fingerprint
    test = load_pairs(name, split="test", limit=12)
    assert test.paired
    pictures = [p.tobytes() for side in (pairs.a, pairs.b, test.a, test.b) for p in side]
    assert len(set(pictures)) == 48
    assert load_pairs(name, limit=2, size=20, channels=1).shape == ((20, 20, 1),) * 2
    np.testing.assert_array_equal(load_pairs(name, limit=3, direction="BtoA").a, pairs.b[:3])
    with pytest.raises(DataError, match=r"needs [\d,]+ bytes"):
        load_pairs(name, size=100_000)


def test_the_two_sides_of_an_outline_are_one_scene():
    pairs = load_pairs("outlines", limit=20)
    ink = pairs.a.mean(axis=(0, 3)), pairs.a.mean(axis=-1) < 128
    assert 0.05 < ink[1].mean() < 0.3
    edges = np.abs(np.diff(pairs.b.astype(int), axis=2)).sum(axis=-1) > 90
    near = ink[1] | np.roll(ink[1], 1, axis=2) | np.roll(ink[1], -1, axis=2)
    assert near[:, :, :-1][edges].mean() > 0.9  # colours change where there is ink


def test_striped_animals_stand_where_chestnut_ones_do():
    pairs = load_pairs("stripes", limit=20, paired=True)
    changed = np.abs(pairs.a.astype(int) - pairs.b).sum(axis=-1) > 60
    assert 0.08 < changed.mean() < 0.4
    assert not changed[:, :2].any()  # the ground is left alone
    heaps = load_pairs("stripes", limit=20)
    np.testing.assert_array_equal(heaps.a, pairs.a)
    assert not any(np.array_equal(*each) for each in zip(heaps.b, pairs.b, strict=True))
    assert not load_pairs("outlines", limit=2, paired=False).paired


@pytest.mark.parametrize("name, sides", [("outlines", ["outlines", "paintings"]), ("stripes", ["chestnut", "striped"])])
def test_drawn_pairs_are_domains_for_models_of_one_data_set(name, sides, monkeypatch):
    dataset = load(name, limit=3, size=16)
    assert (dataset.classes, dataset.labels.tolist(), dataset.shape) == (sides, [0, 0, 0, 1, 1, 1], (16, 16, 3))
    monkeypatch.setattr("inachus.engine.data.pairs.shapes.COUNTS", {"train": 4, "test": 2})
    assert check(name) == []
