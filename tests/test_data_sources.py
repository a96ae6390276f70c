"""Names, drawn sets, downloads, `check`, and the real data sets when INACHUS_DATA says where they are."""

import os
import subprocess
import sys
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from data_writers import write_mnist_folder, write_tree

from inachus.engine.data import MIXTURES, check, list_sources, load
from inachus.engine.data import fetch as fetch_names
from inachus.engine.data.cache import REMOTES, Remote, download
from inachus.engine.data.drawn import draw_digits
from inachus.engine.errors import DataError, UsageError

REAL = os.environ.get("INACHUS_DATA")
real_data = pytest.mark.skipif(not REAL, reason="set INACHUS_DATA to the folder of real data sets")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test sees the user's data or writes into the user's cache."""
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INACHUS_DATA", raising=False)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# --- drawn -------------------------------------------------------------------------------------------------


def test_digits_are_deterministic_balanced_and_cached(tmp_path, monkeypatch):
    monkeypatch.setattr("inachus.engine.data.drawn.DIGIT_COUNTS", {"train": 60, "test": 20})
    train = load("digits")
    assert (train.shape, len(train)) == ((28, 28, 1), 60)
    assert np.bincount(train.labels).tolist() == [6] * 10
    assert len(list((tmp_path / "cache" / "digits").iterdir())) == 1
    assert load("digits").fingerprint == train.fingerprint
    np.testing.assert_array_equal(load("digits", limit=7).items, train.items[:7])
    assert load("digits", seed=1).fingerprint != train.fingerprint
    assert load("digits", split="test", limit=20).fingerprint != load("digits", limit=20).fingerprint
    assert load("digits", size=20, channels=3, limit=5).shape == (20, 20, 3)


def test_a_cache_that_is_damaged_or_forbidden_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr("inachus.engine.data.drawn.DIGIT_COUNTS", {"train": 20})
    expected = load("digits").fingerprint
    (cached,) = (tmp_path / "cache" / "digits").iterdir()
    cached.write_bytes(cached.read_bytes()[:100])
    assert load("digits").fingerprint == expected
    (tmp_path / "file").write_text("a cache folder cannot be made below a file")
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path / "file"))
    assert load("digits").fingerprint == expected


def test_digits_are_varied_and_whole():
    items = draw_digits(200, 28, seed=0, split=0)[..., 0].astype(float)
    for digit in range(10):
        same = items[digit::10]
        assert same.std(axis=0).max() > 60
        assert (same.max(axis=(1, 2)) > 200).all()
        assert (same > 128).mean(axis=(1, 2)).min() > 0.02
    border = items[:, [0, -1], :].max() + items[:, :, [0, -1]].max()
    assert border < 300  # hardly any ink is cut off


@pytest.mark.parametrize("name, modes", [("mixture-ring8", 8), ("mixture-grid25", 25)])
def test_mixtures_follow_their_centres(name, modes):
    centres, sigma = MIXTURES[name]
    dataset = load(name)
    assert (dataset.kind, len(dataset), len(dataset.classes)) == ("points", 100_000, modes)
    distance = (dataset.items - centres[dataset.labels]) / sigma[dataset.labels, None]
    assert np.abs(distance.std(axis=0) - 1).max() < 0.02
    assert np.abs(distance.mean(axis=0)).max() < 0.02
    np.testing.assert_array_equal(load(name, limit=9).items, dataset.items[:9])
    assert load(name, split="test", limit=9).fingerprint != load(name, limit=9).fingerprint


def test_ring_and_grid_have_the_customary_scale():
    np.testing.assert_allclose(np.linalg.norm(MIXTURES["mixture-ring8"][0], axis=1), 2 / 1.414, rtol=1e-6)
    np.testing.assert_allclose(np.abs(MIXTURES["mixture-grid25"][0]).max(), 4 / 2.828, rtol=1e-6)


# --- names -------------------------------------------------------------------------------------------------


def test_a_named_set_is_found_and_fitted(tmp_path, rng, monkeypatch):
    write_mnist_folder(tmp_path / "data" / "mnist", rng)
    monkeypatch.setenv("INACHUS_DATA", str(tmp_path / "data"))
    train, test = load("mnist"), load("mnist", split="test", size=4, channels=3)
    assert (train.shape, len(train), train.classes[3]) == ((9, 7, 1), 12, "3")
    assert (test.shape, len(test)) == ((4, 4, 3), 5)
    assert test.notes == [
        "5 of 5 pictures converted from grey to RGB",
        "5 of 5 pictures cropped to their centre square",
        "5 of 5 pictures resized to 4x4 (LANCZOS)",
    ]
    assert str(tmp_path) in train.source and "12 pictures 9x7x1 in 10 classes" in train.source
    kept = load("mnist", limit=4)
    np.testing.assert_array_equal(kept.items, train.items[[0, 3, 6, 9]])
    np.testing.assert_array_equal(kept.labels, [0, 3, 6, 9])
    assert load(tmp_path / "data" / "mnist").fingerprint == train.fingerprint
    assert str(tmp_path / "data" / "mnist") in {row[0]: row[2] for row in list_sources()}["mnist"]


def test_a_flat_folder_cannot_pass_for_the_wrong_set(tmp_path, rng, monkeypatch):
    """MNIST and Fashion-MNIST share their file names: without a telling folder name, checksums decide."""
    write_mnist_folder(tmp_path / "data", rng)
    monkeypatch.setenv("INACHUS_DATA", str(tmp_path / "data"))
    for name in ("mnist", "fashion-mnist"):
        with pytest.raises(DataError, match=f"data fetch {name}"):
            load(name)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'fashion-mnist'"):
        load("fashion-mnits")
    with pytest.raises(UsageError, match="data list"):
        load("no/such/path.zip")
    with pytest.raises(UsageError, match=r"split='val'.*; size=0.*; channels=2"):
        load("digits", split="val", size=0, channels=2)


def test_a_relative_path_is_tried_below_the_data_folder(tmp_path, monkeypatch):
    write_tree(tmp_path / "data" / "mine", ["a.png"])
    monkeypatch.setenv("INACHUS_DATA", str(tmp_path / "data"))
    assert len(load("mine")) == 1


def test_list_names_every_source():
    rows = {name: where for name, _, where in list_sources()}
    assert rows["digits"] == "drawn on demand"
    assert rows["cifar10"].startswith("not found: ")
    assert set(MIXTURES) < set(rows)


# --- fetching and checking ---------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    """A mirror on this machine; gives its address and the folder it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    class QuietServer(ThreadingHTTPServer):
        def handle_error(self, *arguments):
            """A client that hangs up early is what one test is about."""

    with QuietServer(("127.0.0.1", 0), Quiet) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", folder
        http.shutdown()
        thread.join()


def test_download_keeps_only_what_has_the_right_checksum(server, tmp_path):
    url, folder = server
    content = bytes(range(256)) * 9000
    (folder / "a.bin").write_bytes(content)
    target = tmp_path / "new" / "a.bin"
    seen = []
    download(f"{url}/a.bin", target, md5(content).hexdigest(), progress=lambda *now: seen.append(now))
    assert target.read_bytes() == content
    assert seen[-1] == (len(content), len(content))
    for wrong in ("a.bin", "missing.bin"):
        with pytest.raises(DataError, match=f"{wrong}.*(checksum|404)"):
            download(f"{url}/{wrong}", target, "0" * 32)
    with pytest.raises(DataError, match="more than 10 bytes"):
        download(f"{url}/a.bin", tmp_path / "new" / "b.bin", "0" * 32, most=10)
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]
    assert target.read_bytes() == content  # the good file outlives the failures


def test_fetch_fills_the_cache_and_load_finds_it(server, tmp_path, rng, monkeypatch):
    url, folder = server
    write_mnist_folder(folder, rng)
    sums = {path.name: md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    nowhere = "http://127.0.0.1:9/"
    monkeypatch.setitem(REMOTES, "mnist", tuple(Remote(name, nowhere, sums[name]) for name in sums))
    with pytest.raises(DataError, match=r"download .* failed"):
        load("mnist", download=True)
    assert fetch_names("mnist", mirror=url) == tmp_path / "cache" / "mnist"
    assert len(load("mnist")) == 12
    for path in folder.iterdir():
        path.unlink()
    fetch_names("mnist", mirror=url)  # all there: nothing is asked of the mirror
    with pytest.raises(UsageError, match="digits"):
        fetch_names("digits")


def test_check_lists_every_odd_file(tmp_path):
    folder = write_tree(tmp_path / "set", [f"{i}.png" for i in range(30)])
    write_tree(folder, ["large.png"], size=(9, 9))
    (folder / "broken.png").write_bytes((folder / "1.png").read_bytes()[:60])
    (folder / "page.jpg").write_bytes(b"<!DOCTYPE html><html>")
    (folder / "notes.txt").write_text("hello")
    findings = check(folder)
    reasons = {os.path.basename(file): reason for file, reason in findings}
    assert set(reasons) == {"large.png", "broken.png", "page.jpg", "notes.txt"}
    assert "9x9, where 30 of 31 are 8x8" in reasons["large.png"]
    assert "HTML" in reasons["page.jpg"]
    assert "31 readable pictures, 4 odd files" in findings.summary


def test_check_reads_both_splits_of_array_files(tmp_path, rng):
    assert check("mixture-ring8") == []
    assert check("mnist")[0][1].endswith("`inachus data fetch mnist`")
    write_mnist_folder(tmp_path / "mine", rng)
    findings = check(tmp_path / "mine")
    assert findings == [] and "12 pictures" in findings.summary and "5 pictures" in findings.summary
    (tmp_path / "mine" / "t10k-labels-idx1-ubyte").write_bytes(b"<html>")
    assert "HTML" in check(tmp_path / "mine")[0][1]
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3, 3), np.uint8))
    assert check(tmp_path / "a.npz") == []
    (tmp_path / "notes.txt").write_text("hello")
    assert len(check(tmp_path / "notes.txt")) == 1


def test_importing_the_room_is_light():
    code = "import sys, inachus.engine.data; print(*sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numba", "cupy", "torch", "tqdm"} & set(child.stdout.split())


# --- real data ---------------------------------------------------------------------------------------------


@pytest.fixture
def real(monkeypatch):
    monkeypatch.setenv("INACHUS_DATA", REAL)


@real_data
@pytest.mark.usefixtures("real")
def test_real_fashion_mnist():
    for split, count in (("train", 60_000), ("test", 10_000)):
        dataset = load("fashion-mnist", split=split)
        assert dataset.items.shape == (count, 28, 28, 1)
        assert np.bincount(dataset.labels).tolist() == [count // 10] * 10
        assert dataset.classes[9] == "ankle boot"


@real_data
@pytest.mark.usefixtures("real")
def test_real_zips():
    test = load("cifar10-jpeg/cifar10-test.zip", split="test", limit=100)
    assert (test.shape, len(test.classes)) == ((32, 32, 3), 10)
    assert np.bincount(test.labels).tolist() == [10] * 10
    emoji = load("emoji/openmoji.zip", size=32, limit=300)
    assert emoji.shape == (32, 32, 3)
    assert any("laid over white" in note for note in emoji.notes)
    photographs = load("camvid/camvid-pairs.zip", size=64, limit=10)
    assert (photographs.shape, photographs.labels) == ((64, 64, 3), None)
