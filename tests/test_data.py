"""Datasets, batches and array files: what was written is read back, and a batch is a function of its number.

Pictures are in `test_data_pictures.py`, names and downloads in `test_data_sources.py`, damage in the two
`test_data_faults` files.
"""

import bz2
import gzip
import tarfile
from itertools import islice

import numpy as np
import pytest
from data_writers import cifar_bytes, idx_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as np_arrays

from inachus.engine.data import Batches, Dataset, load
from inachus.engine.errors import UsageError


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# --- Dataset and Batches -----------------------------------------------------------------------------------


def numbered(count: int) -> Dataset:
    """Points whose first coordinate is their number, labelled by it."""
    items = np.stack([np.arange(count), np.zeros(count)], axis=1).astype(np.float32)
    return Dataset("numbered", items, np.arange(count), [str(i) for i in range(count)])


@given(st.data(), st.integers(1, 40), st.integers(0, 2**64 - 1))
def test_every_epoch_visits_every_item_once(data, count, seed):
    size = data.draw(st.integers(1, count))
    batches = Batches(numbered(count), size, seed)
    epochs = 3
    drawn = np.concatenate([b.labels for b in islice(batches, -(-epochs * count // size))])
    for epoch in range(epochs):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 100))
def test_batch_at_depends_on_its_position_alone(positions, seed):
    dataset = numbered(17)
    worn = Batches(dataset, 5, seed)
    for position in positions:
        fresh = Batches(dataset, 5, seed).batch_at(position)
        again = worn.batch_at(position)
        np.testing.assert_array_equal(fresh.items, again.items)
        np.testing.assert_array_equal(fresh.items[:, 0], fresh.labels)


@given(st.integers(0, 40), st.integers(1, 6))
def test_one_integer_resumes_the_stream(stop, more):
    first = Batches(numbered(13), 4, seed=3)
    for _ in range(stop):
        next(first)
    resumed = Batches(numbered(13), 4, seed=3)
    resumed.position = first.position
    for _ in range(more):
        np.testing.assert_array_equal(next(first).labels, next(resumed).labels)


def test_epochs_and_seeds_differ_in_order():
    def order(seed, epoch):
        return Batches(numbered(50), 50, seed).batch_at(epoch).labels.tolist()

    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_the_order_is_pinned():
    """A changed order would silently change what every resumed run sees."""
    assert Batches(numbered(10), 10, seed=0).batch_at(0).labels.tolist() == [0, 8, 6, 9, 5, 2, 3, 1, 7, 4]


def test_a_batch_larger_than_the_data_names_both_numbers():
    with pytest.raises(UsageError, match=r"batch of 64 .* 10 items.*--batch"):
        Batches(numbered(10), 64)
    with pytest.raises(UsageError, match="batch of 0"):
        Batches(numbered(10), 0)
    with pytest.raises(UsageError, match="seed -1"):
        Batches(numbered(10), 1, seed=-1)


def test_pictures_are_normalised_to_minus_one_and_one():
    items = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    dataset = Dataset("ramp", items)
    values = dataset.normalised(np.arange(256)).ravel()
    assert values.dtype == np.float32
    assert (values[0], values[-1]) == (-1, 1)
    np.testing.assert_allclose(values, np.arange(256) / 127.5 - 1, atol=1e-7)
    assert dataset.items is items
    assert (dataset.kind, dataset.shape, len(dataset)) == ("pictures", (1, 1, 1), 256)
    batch = next(Batches(dataset, 4))
    assert batch.items.shape == (4, 1, 1, 1)
    assert batch.labels is None


def test_the_fingerprint_sees_items_labels_and_shape_only():
    items = np.zeros((4, 2, 3, 1), np.uint8)
    labels = np.zeros(4, np.int64)
    base = Dataset("a", items, labels, ["x", "y"]).fingerprint
    assert Dataset("b", items.copy(), labels, ["x", "y"], "elsewhere", ["noted"]).fingerprint == base
    others = [
        Dataset("a", items),
        Dataset("a", items, labels + 1, ["x", "y"]),
        Dataset("a", items.reshape(4, 3, 2, 1), labels, ["x", "y"]),
        Dataset("a", items + 1, labels, ["x", "y"]),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 5


# --- array files -------------------------------------------------------------------------------------------


@given(
    np_arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40)
def test_idx_reads_back_what_was_written(tmp_path_factory, pictures, packed, labelled):
    folder = tmp_path_factory.mktemp("idx")
    pack = gzip.compress if packed else bytes
    ending = ".gz" if packed else ""
    labels = np.arange(len(pictures), dtype=np.uint8)
    path = folder / f"my-images-idx3-ubyte{ending}"
    path.write_bytes(pack(idx_bytes(pictures)))
    if labelled:
        (folder / f"my-labels-idx1-ubyte{ending}").write_bytes(pack(idx_bytes(labels)))
    dataset = load(path)
    np.testing.assert_array_equal(dataset.items[..., 0], pictures)
    if labelled:
        np.testing.assert_array_equal(dataset.labels, labels)
        assert dataset.classes == [str(label) for label in labels]
    else:
        assert dataset.labels is None


def test_idx_is_told_by_content_not_by_name(tmp_path):
    content = idx_bytes(np.ones((2, 3, 3), np.uint8))
    (tmp_path / "plain.gz").write_bytes(content)
    (tmp_path / "members.gz").write_bytes(gzip.compress(content[:10]) + gzip.compress(content[10:]))
    assert load(tmp_path / "plain.gz").items.sum() == load(tmp_path / "members.gz").items.sum() == 18


def test_cifar_binary_in_every_wrapping(tmp_path, rng):
    items = rng.integers(0, 256, (12, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 10, 12)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i in range(5):
        part = slice(2 * i, 2 * i + 2)
        (folder / f"data_batch_{i + 1}.bin").write_bytes(cifar_bytes(items[part], labels[part]))
    (folder / "test_batch.bin").write_bytes(cifar_bytes(items[10:], labels[10:]))
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    for path in (folder, tmp_path / "cifar-10-binary.tar.gz"):
        train, test = load(path), load(path, split="test")
        np.testing.assert_array_equal(np.concatenate([train.items, test.items]), items)
        np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), labels)
        assert train.classes[0] == "airplane"
    np.testing.assert_array_equal(load(folder / "data_batch_2.bin").items, items[2:4])


def test_usps_text(tmp_path, monkeypatch):
    folder = tmp_path / "usps"
    folder.mkdir()
    (folder / "usps.bz2").write_bytes(bz2.compress(b"10 1:1 2:-1 256:0.5\n1 16:1\n"))
    monkeypatch.setenv("INACHUS_DATA", str(tmp_path))
    dataset = load("usps")
    assert dataset.labels.tolist() == [9, 0]
    assert dataset.items[0, 0, :3, 0].tolist() == [255, 0, 0]
    assert dataset.items[0, 15, 15, 0] == 191
    assert dataset.items[1, 0, 15, 0] == 255


@pytest.mark.parametrize("values, expected", [
    (np.array([[[0, 255]]], np.uint8), [0, 255]),
    (np.array([[[0, 128]]], np.int64), [0, 128]),
    (np.array([[[0.0, 1.0]]]), [0, 255]),
    (np.array([[[-1.0, 1.0]]], np.float32), [0, 255]),
    (np.array([[[0.0, 200.0]]]), [0, 200]),
    (np.array([[[False, True]]]), [0, 255]),
])
def test_npz_values_become_bytes(tmp_path, values, expected):
    np.savez(tmp_path / "a.npz", x=values)
    dataset = load(tmp_path / "a.npz")
    assert dataset.items.ravel().tolist() == expected
    assert bool(dataset.notes) == (values.dtype != np.uint8)


def test_npz_points_labels_and_splits(tmp_path):
    points = np.arange(6.0).reshape(3, 2)
    np.savez_compressed(tmp_path / "points.npz", x=points, y=np.array([0, 2, 1]))
    dataset = load(tmp_path / "points.npz")
    assert (dataset.kind, dataset.items.dtype, dataset.classes) == ("points", np.float32, ["0", "1", "2"])
    pictures = np.zeros((4, 5, 5, 3), np.uint8)
    np.savez(tmp_path / "keras.npz", x_train=pictures, y_train=np.zeros((4, 1), int), x_test=pictures[:1])
    assert len(load(tmp_path / "keras.npz")) == 4
    assert len(load(tmp_path / "keras.npz", split="test")) == 1
