"""Pictures, zips and folders that lie, are damaged or mean harm: one DataError naming the file."""

import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from data_writers import encoded, picture, refused, write_tree, write_zip
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inachus.engine.data import bounded, check, decode, load
from inachus.engine.errors import DataError

TWENTIETHS = range(20)


# --- pictures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
def test_pictures_truncated_anywhere(format):
    whole = encoded(picture(size=(40, 40)), format)
    for twentieth in TWENTIETHS:
        with pytest.raises(DataError, match=r"name\.png"):
            decode.decode(whole[: len(whole) * twentieth // 20], "name.png", channels=3)


@given(st.data())
@settings(max_examples=200)
def test_mutated_pictures_raise_only_data_errors(data):
    formats = ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"]
    content = bytearray(encoded(picture(size=(6, 6)), data.draw(st.sampled_from(formats))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels, _ = decode.decode(bytes(content), "name.png", channels=3, size=4)
        assert pixels.shape == (4, 4, 3)
    except DataError as error:
        assert "name.png" in str(error)


@pytest.mark.parametrize("content, what", [
    (b"", "empty file"),
    (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    (b"<!DOCTYPE html><html>", "HTML"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    (b"random bytes", "unknown or damaged"),
])
def test_what_is_no_picture_is_called_by_its_name(tmp_path, content, what):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(content)
    refused(tmp_path / "set", rf"a\.png.*{what}.*on_bad=skip")


def test_formats_outside_the_list_stay_closed(tmp_path):
    for format in ("ICO", "TGA", "PCX", "SGI"):
        with pytest.raises(DataError, match="not a readable picture"):
            decode.decode(encoded(picture(size=(16, 16)), format), "a.png", channels=3)


def png_declaring(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100)))


@pytest.mark.parametrize("side", [7072, 10_000, 30_000, 2**31 - 1])
def test_decompression_bombs(tmp_path, side):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(png_declaring(side, side))
    refused(tmp_path / "set", r"a\.png")
    refused(tmp_path / "set", r"a\.png", size=8)


def test_more_pictures_than_memory(tmp_path, monkeypatch):
    folder = write_tree(tmp_path / "set", ["a.png", "b.png"])
    refused(folder, r"needs 60,000,000,000 bytes.*limit", size=100_000)
    monkeypatch.setattr(bounded, "MAX_MEMORY", 100)
    refused(folder, r"needs 384 bytes.*--set size=")


def test_float_pictures_are_refused(tmp_path):
    (tmp_path / "set").mkdir()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "set" / "a.tif")
    refused(tmp_path / "set", "floating-point")


def test_skipping_bad_pictures(tmp_path):
    folder = write_tree(tmp_path / "set", [f"{c}/{i}.png" for c in "ab" for i in range(20)])
    (folder / "a" / "3.png").write_bytes(b"")
    damaged = (folder / "b" / "4.png").read_bytes()
    (folder / "b" / "4.png").write_bytes(damaged[:-40])
    refused(folder, r"3\.png.*on_bad=skip")
    dataset = load(folder, on_bad="skip")
    assert len(dataset) == len(dataset.labels) == 38
    assert dataset.labels.tolist() == [0] * 19 + [1] * 19
    for item, seed in zip(dataset.items[18:20], (19, 20), strict=True):
        np.testing.assert_array_equal(item, np.asarray(picture(seed)))
    (note,) = dataset.notes
    assert "2 of 40 pictures unreadable and skipped" in note and "3.png" in note and "4.png" in note
    (folder / "a" / "5.png").write_bytes(b"")
    refused(folder, "3 of 40 pictures unreadable, more than 5%", on_bad="skip")


def test_one_bad_picture_of_a_few_is_skipped(tmp_path):
    folder = write_tree(tmp_path / "set", [f"{i}.png" for i in range(4)])
    (folder / "3.png").write_bytes(b"")
    assert len(load(folder, on_bad="skip")) == 3
    (folder / "2.png").write_bytes(b"")
    refused(folder, "2 of 4 pictures unreadable", on_bad="skip")


# --- zips and folders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "../evil.png", "a/../../evil.png", "/evil.png", "C:\\evil.png", "..\\evil.png", "a\\..\\..\\evil.png",
])
def test_zip_names_that_lead_outside(tmp_path, name):
    place = tmp_path / "inner" / "deep"
    place.mkdir(parents=True)
    path = write_zip(place / "a.zip", {"good.png": encoded(picture()), name: encoded(picture())})
    refused(path, "leads outside")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.zip"]


def test_zip_links_duplicates_and_damage(tmp_path):
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/hostname")
    refused(path, "link or a device")
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.png", b"1")
        archive.writestr("a.png", b"2")
    refused(path, "occurs twice")
    whole = write_zip(path, {"a.png": encoded(picture())}).read_bytes()
    for twentieth in TWENTIETHS:
        path.write_bytes(whole[: len(whole) * twentieth // 20])
        refused(path)
    path.write_bytes(whole.replace(b"IDAT", b"IDAX", 1))
    refused(path, "a.png")


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("inachus.engine.data.pictures.MAX_FILE", 2**20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**27))
    refused(tmp_path / "a.zip", "more than 1,048,576 bytes")


def test_folders_with_nothing_in_them(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no pictures")
    (tmp_path / "zips").mkdir()
    write_zip(tmp_path / "zips" / "a.zip", {})
    refused(tmp_path / "zips", r"pass one of its zips, such as a\.zip")
    refused(tmp_path / "zips" / "a.zip", "no pictures")
    folder = write_tree(tmp_path / "set", ["a/1.png", "b/1.png"])
    (folder / "c").mkdir()
    assert load(folder).classes == ["a", "b"]


def test_links_pipes_and_odd_names(tmp_path):
    folder = write_tree(tmp_path / "set", ["a/1.png", "b/1.png", "b/-x y\n<b>.png"])
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    dataset = load(folder)
    assert (len(dataset), dataset.classes) == (3, ["a", "b"])
    raw = os.path.join(os.fsencode(folder), b"b", b"\xff\n.png")
    with open(raw, "wb") as file:
        file.write(b"")
    message = refused(folder, r"\\udcff\\n\.png.*empty file")
    message.encode("utf-8")
    os.unlink(raw)
    os.mkfifo(folder / "a" / "pipe.png")
    refused(folder, r"pipe\.png: not a regular file")
    reasons = [reason for _, reason in check(folder)]
    assert reasons[:2] == ["not a regular file", "not a picture: ignored"]
    os.mkfifo(tmp_path / "pipe.npz")
    refused(tmp_path / "pipe.npz", "not a regular file")
    refused("/dev/zero", "not a regular file")
