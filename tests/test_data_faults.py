"""Array files that lie, are damaged or mean harm: one DataError naming the file, and no side effect.

Pictures, zips and folders have their own file, `test_data_faults_pictures.py`.
"""

import bz2
import gzip
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest
from data_writers import cifar_bytes, idx_bytes, refused, write_zip
from hypothesis import given, settings
from hypothesis import strategies as st

from inachus.engine.data import Dataset, load
from inachus.engine.errors import DataError

PICTURES = np.random.default_rng(1).integers(0, 256, (5, 6, 7), np.uint8)
TWENTIETHS = range(20)


# --- idx ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twentieth", TWENTIETHS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_truncated_anywhere(tmp_path, twentieth, pack):
    content = pack(idx_bytes(PICTURES))
    path = tmp_path / "images"
    path.write_bytes(content[: len(content) * twentieth // 20])
    refused(path)


HEADER = struct.Struct(">BBBB3I")


@pytest.mark.parametrize("header, match", [
    ((0, 0, 8, 3, 6, 6, 7), "252 bytes|truncated"),
    ((0, 0, 8, 3, 4, 6, 7), "bytes follow"),
    ((0, 0, 8, 3, 0, 6, 7), "declares"),
    ((0, 0, 8, 3, 2**31, 2**31, 4), "declares"),
    ((0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "declares"),
    ((0, 0, 13, 3, 5, 6, 7), "float32"),
    ((0, 0, 8, 255, 5, 6, 7), "rank 255"),
    ((0, 0, 8, 1, 5, 6, 7), "rank 1"),
    ((0, 0, 7, 3, 5, 6, 7), "not an idx file"),
    ((1, 0, 8, 3, 5, 6, 7), "not an idx file"),
])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_headers_that_lie(tmp_path, header, match, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(HEADER.pack(*header) + PICTURES.tobytes()))
    refused(path, match)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(HEADER.pack(0, 0, 8, 3, 5, 6, 7) + bytes(2**26)))
    refused(path, "bytes follow")


def test_a_flipped_bit_in_gzip_is_noticed(tmp_path):
    content = bytearray(gzip.compress(idx_bytes(PICTURES)))
    content[len(content) // 2] ^= 4
    (tmp_path / "images.gz").write_bytes(content)
    refused(tmp_path / "images.gz")


@given(st.data())
@settings(max_examples=150)
def test_mutated_idx_raises_only_data_errors(tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from([gzip.compress(idx_bytes(PICTURES)), idx_bytes(PICTURES)])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("mutated") / "images"
    path.write_bytes(content)
    try:
        assert isinstance(load(path), Dataset)
    except DataError as error:
        assert str(path) in str(error)


def test_labels_that_do_not_fit(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(PICTURES))
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    with pytest.raises(DataError, match=r"4 labels for 5 pictures"):
        load(folder)
    labels.write_bytes(idx_bytes(np.array([0, 9, 10, 1, 11], np.uint8)))
    monkeypatch.setenv("INACHUS_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"label 10 of item 2 is outside 0\.\.9"):
        load("mnist")


# --- CIFAR, pickles, USPS ----------------------------------------------------------------------------------


def test_cifar_damage(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    good = cifar_bytes(np.zeros((2, 32, 32, 3), np.uint8), [1, 2])
    path.write_bytes(good[:-1])
    refused(path, "multiple of 3073")
    path.write_bytes(b"")
    refused(path, "multiple of 3073")
    path.write_bytes(cifar_bytes(np.zeros((2, 32, 32, 3), np.uint8), [1, 12]))
    refused(path, "label 12 of item 1")
    with pytest.raises(DataError, match=r"data_batch_2\.bin"):
        load(tmp_path)
    for content in (b"", b"no tar", gzip.compress(b"no tar"), gzip.compress(bytes(2**21))):
        (tmp_path / "cifar.tar.gz").write_bytes(content)
        refused(tmp_path / "cifar.tar.gz")


class Payload:
    """Unpickling this makes a file: the proof that nobody unpickled it."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


ENDINGS = ["", ".pt", ".pth", ".pkl", ".ckpt", ".npz", ".zip", ".gz", ".bin", ".tar.gz"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_pickles_are_never_opened(tmp_path, ending):
    marker, name = tmp_path / "marker", f"weights{ending}"
    (tmp_path / name).write_bytes(pickle.dumps(Payload(marker)))
    refused(tmp_path / name)
    assert not marker.exists()


def test_the_pickle_edition_of_cifar_is_refused(tmp_path):
    marker, folder = tmp_path / "marker", tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps(Payload(marker)))
    refused(folder, "pickle.*binary edition")
    for name in ("cifar-10-python.tar.gz", "renamed.tar.gz"):
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            archive.add(folder, arcname="cifar-10-batches-py")
        refused(tmp_path / name, "pickle")
    assert not marker.exists()


def test_object_arrays_are_never_unpickled(tmp_path):
    marker = tmp_path / "marker"
    np.savez(tmp_path / "a.npz", x=np.array([Payload(marker)], object))
    refused(tmp_path / "a.npz", "Python objects")
    np.savez(tmp_path / "b.npz", x=np.zeros((1, 2, 2), np.uint8), y=np.array([Payload(marker)], object))
    refused(tmp_path / "b.npz", "Python objects")
    assert not marker.exists()


def test_usps_damage(tmp_path, monkeypatch):
    path = tmp_path / "usps" / "usps.bz2"
    path.parent.mkdir()
    monkeypatch.setenv("INACHUS_DATA", str(tmp_path))
    texts = [b"1 257:0", b"1 0:0", b"11 1:0", b"0 1:0", b"x 1:0", b"1 1:2", b"1 1:nan", b"1 1", b"\xff", b""]
    good = bz2.compress(b"1 1:0.5")
    packed = [bz2.compress(text) for text in [*texts, bytes(2**27)]]
    for content in [*packed, good[:-9], b"no bz2"]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"usps\.bz2"):
            load("usps")


# --- npz ---------------------------------------------------------------------------------------------------


def npy_bytes(header: str, content: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def header(shape, descr="|u1"):
    return str({"descr": descr, "fortran_order": False, "shape": shape})


@pytest.mark.parametrize("member", [
    b"", b"\x93NUMPY", npy_bytes(header((10**12, 1, 1)), b"abcd"), npy_bytes(header((2, 2, 2)), b"abcd"),
    npy_bytes(header((1, 2, 2)), b"abcde"), npy_bytes(header((-1, 2, 2)), b"abcd"), npy_bytes("{}", b""),
    npy_bytes(header((1, 2, 2), "|O"), b"abcd"), npy_bytes("(" * 100, b""), npy_bytes(header((0, 2, 2)), b""),
    npy_bytes(header((1, 2, 2), "<U1"), bytes(16)), npy_bytes(header((2,)), b"ab"),
    npy_bytes(header(()), b"a"), npy_bytes(header((2**40, 2**40, 0))), b"\x93NUMPY\x03\x00" + bytes(40),
])
def test_npz_headers_that_lie(tmp_path, member):
    refused(write_zip(tmp_path / "a.npz", {"x.npy": member}))


@pytest.mark.parametrize("arrays, match", [
    ({"images": np.zeros(3)}, "no array x.*images"),
    ({"x": np.full((2, 2, 2), np.nan)}, "NaN"),
    ({"x": np.array([[0.0, np.inf]])}, "infinite"),
    ({"x": np.full((2, 2, 2), 300.0)}, "values 300"),
    ({"x": np.full((2, 2, 2), -5)}, "values -5"),
    ({"x": np.zeros((2, 3, 8, 8), np.uint8)}, "transpose"),
    ({"x": np.zeros((2, 8, 8, 4), np.uint8)}, "shape"),
    ({"x": np.zeros((4, 3))}, "points"),
    ({"x": np.zeros((2, 2, 2), complex)}, "complex"),
    ({"x": np.zeros((3, 2, 2), np.uint8), "y": np.zeros(2, int)}, "2 labels in y for 3"),
    ({"x": np.zeros((3, 2, 2), np.uint8), "y": np.array([0, -1, 0])}, "label -1 of item 1"),
    ({"x": np.zeros((3, 2, 2), np.uint8), "y": np.array([0, 10**9, 0])}, "label 1000000000 of item 1"),
    ({"x": np.zeros((3, 2, 2), np.uint8), "y": np.zeros(3)}, "whole numbers"),
])
def test_npz_with_the_wrong_arrays(tmp_path, arrays, match):
    np.savez(tmp_path / "a.npz", **arrays)
    refused(tmp_path / "a.npz", match)


@pytest.mark.parametrize("twentieth", TWENTIETHS)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_truncated_or_flipped_anywhere(tmp_path, twentieth, save):
    path = tmp_path / "a.npz"
    save(path, x=PICTURES)
    content = path.read_bytes()
    place = len(content) * twentieth // 20
    path.write_bytes(content[:place])
    refused(path)
    path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
    try:
        np.testing.assert_array_equal(load(path).items[..., 0], PICTURES)  # the bit was in a date, say
    except DataError as error:
        assert str(path) in str(error)
