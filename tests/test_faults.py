"""The table of faults, `faults.md`, and those faults that need a process, a terminal or a device of their own."""

import errno
import fcntl
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_writers import encoded, idx_bytes, picture, refused, write_tree, write_zip
from test_cli import done, run, write_squares

from inachus import kernels
from inachus.engine.data import check, decode, plausible, zips
from inachus.engine.errors import DataError, UsageError
from inachus.engine.training import checkpoint, log
from inachus.engine.training.durable import write_file

HOME = Path(__file__).parent
ROW = re.compile(r"\| (\d+) \| (.+?) \| (.+) \|")
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_the_table_names_every_fault_and_tests_that_exist():
    rows = {int(match[1]): match[3] for match in ROW.finditer((HOME / "faults.md").read_text())}
    assert list(rows) == list(range(1, 51))
    for number, cell in rows.items():
        named = TEST.findall(cell)
        assert named or cell.startswith("does not apply: "), number
        for file, test in named:
            assert re.search(rf"^def {test}\(", (HOME / file).read_text(), re.MULTILINE), (number, file, test)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with squares.npz."""
    write_squares(tmp_path / "squares.npz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(kernels, "_host", None)
    return tmp_path


TRAIN = ["train", "gan", "--data", "squares.npz", "--batch", "8", "--set", "z=5", "--out", "run"]
ENDLESS = ["--steps", "1000000", "--save-every", "1000000", "--sample-every", "1000000"]


def shell(words: str, **more) -> subprocess.CompletedProcess:
    """`inachus` by a shell, which redirects as a user's does."""
    command = words.replace("inachus", f"{sys.executable} -m inachus")
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120, check=False, **more)


# --- streams and terminals ---------------------------------------------------------------------------------


def test_closed_streams_end_nothing(home):
    assert shell("inachus models >&-").returncode == 0
    closed = shell(f"inachus {' '.join(TRAIN)} --steps 1 >&- 2>&- <&-")
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, "", "")
    assert Path("run/.lock").read_text().startswith("process ")  # and no message that was meant for stderr
    assert checkpoint.load(Path("run"))[1]["step"] == 1
    assert shell("inachus models dcgann 2>&-").returncode == 2


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")
def test_full_streams(home):
    result = shell("inachus models >/dev/full")
    assert (result.returncode, result.stderr) == (
        6, "inachus: the output cannot be written (No space left on device): free space\n")
    result = shell(f"inachus {' '.join(TRAIN)} --steps 1 2>/dev/full")  # messages are lost, the training is not
    assert result.returncode == 0 and "report" in result.stdout


def test_a_terminal_without_letters(home):
    Path("dät<b>").mkdir()
    Path("dät<b>", "ë\n.png").write_bytes(b"")
    result = shell("inachus data check dät*", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 3
    assert result.stdout.startswith("d\\xe4t<b>/\\xeb\\n.png: not a readable picture: an empty file")


# Makes the terminal that is its stdin the one whose Ctrl-C and hangup it gets, and becomes `inachus WORDS`.
OWN = """import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "inachus", *sys.argv[1:]])
"""


def in_terminal(words, size=(24, 80)):
    """(process, the other end of its terminal) of `inachus WORDS`."""
    terminal, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    process = subprocess.Popen([sys.executable, "-c", OWN, *words], stdin=its, stdout=its, stderr=its)
    os.close(its)
    return process, terminal


def wait_for_steps(folder):
    deadline = time.monotonic() + 60
    while not log.read(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert log.read(folder)


def ended(process, terminal=None) -> tuple[int, str]:
    """(exit code, what the terminal showed) of a process, at most a minute later."""
    shown, deadline = b"", time.monotonic() + 60
    while terminal is not None and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 65_536)
            except OSError as error:
                assert error.errno == errno.EIO  # the process has closed its end
                break
    code = process.wait(timeout=60)
    if terminal is not None:
        os.close(terminal)
    return code, shown.decode()


def test_ctrl_c_in_a_terminal_saves(home):
    process, terminal = in_terminal([*TRAIN, *ENDLESS])
    wait_for_steps(Path("run"))
    os.write(terminal, b"\x03")
    code, shown = ended(process, terminal)
    assert code == 130 and "continue with: inachus train --resume run" in shown
    assert checkpoint.load(Path("run"))[1]["step"] == log.read("run")[-1]["step"] > 0


def test_a_terminal_that_is_closed_saves(home):
    process, terminal = in_terminal([*TRAIN, *ENDLESS])
    wait_for_steps(Path("run"))
    os.close(terminal)  # SIGHUP, and every message from now on fails
    assert ended(process)[0] == 128 + signal.SIGHUP
    assert checkpoint.load(Path("run"))[1]["step"] == log.read("run")[-1]["step"] > 0


def test_a_second_training_in_the_directory_of_a_living_one(home):
    first = subprocess.Popen([sys.executable, "-m", "inachus", *TRAIN, *ENDLESS], stderr=subprocess.PIPE, text=True)
    wait_for_steps(home / "run")
    for words in (["train", "--resume", "run"], [*TRAIN, "--out", "run/../run"]):
        result = run(*words)
        assert result.code in (2, 6) and re.search(r"in use by process|already holds a run", result.err)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 143
    last = log.read(home / "run")[-1]["step"]
    done("train", "--resume", "run", "--steps", last + 1)


@pytest.mark.parametrize("way", ["moved", "removed"])
def test_a_run_that_goes_away_during_the_training(way, home):
    """Whoever moved it can go on there; nothing is left in its old place that looks like a run."""
    words = [*TRAIN, "--steps", "1000000", "--save-every", "20", "--sample-every", "1000000"]
    process = subprocess.Popen([sys.executable, "-m", "inachus", *words], stderr=subprocess.PIPE, text=True)
    wait_for_steps(home / "run")
    (home / "run").rename(home / "elsewhere")
    if way == "removed":
        shutil.rmtree(home / "elsewhere")
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 6 and "run was moved or removed during the training" in told
    assert not (home / "run/options.json").exists() and not list(home.glob("run/checkpoints/step-*"))
    if way == "moved":
        last = checkpoint.load(home / "elsewhere")[1]["step"]
        done("train", "--resume", "elsewhere", "--steps", last + 1)


def test_a_clock_that_jumps_back(home, monkeypatch):
    """Neither which checkpoint is the newest nor what is pruned follows the times of files, or of the machine."""
    for steps, now in ((1, 2e9), (2, 1e9), (3, 1.5e9), (4, 0.0)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        given = ["--resume", "run"] if steps > 1 else TRAIN[1:]
        done("train", *given, "--steps", steps)
        for path in sorted((home / "run").rglob("*")):
            os.utime(path, (now, now))
    assert checkpoint.load(home / "run")[1]["step"] == 4
    assert [entry["step"] for entry in log.read(home / "run")] == [1, 2, 3, 4]
    assert sorted(p.name for p in (home / "run/checkpoints").glob("step-*"))[-1] == "step-00000004"


def test_a_terminal_without_width(home):
    for size in ((0, 0), (1, 1)):
        code, shown = ended(*in_terminal([*TRAIN[:-1], f"run{size[0]}", "--steps", "3"], size))
        assert code == 0 and "report" in shown


# --- words ------------------------------------------------------------------------------------------------


def test_every_wrong_word_is_named_at_once(home):
    words = "train gan --data nope --set zz=1 --set lr=x --batch 0 --steps x --seed -1 --threads 0 --device gpu --foo"
    result = run(*words.split())
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    for problem in ("--steps: invalid int value: 'x'", "--foo", "--batch must", "--seed must", "--threads must",
                    "unknown device 'gpu'; did you mean 'cpu'", "'zz'; did you mean 'z'", "lr: expected a number"):
        assert problem in result.err, problem
    assert sorted(p.name for p in home.iterdir()) == ["squares.npz"]


# --- files and devices ------------------------------------------------------------------------------------


def test_a_file_never_replaces_a_device_or_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    for name, what in (("pipe", "device or pipe"), ("link", "device or pipe"), (".", "folder")):
        with pytest.raises(UsageError, match=f"is a {what}, not a file: choose another name"):
            write_file(tmp_path / name, b"")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe"]


def test_options_may_be_anybodys(home):
    done(*TRAIN, "--steps", 1)
    path = Path("run/options.json")
    good = json.loads(path.read_text())
    evil = [{"shape": [10**9, 10**9, 3]}, {"shape": []}, {"shape": [8, 8, -1]}, {"classes": 7}, {"seed": "x"},
            {"steps": -1}, {"dataset": {}}, {"data": None}, {"settings": good["settings"] | {"z": [1]}},
            {"settings": good["settings"] | {"lr": -1}}, {"settings": good["settings"] | {"loss": "../x"}}]
    for change in evil:
        path.write_text(json.dumps(good | change))
        for words in (["sample", "run"], ["train", "--resume", "run"]):
            result = run(*words)
            assert result.code == 4 and "run/options.json: not the options of a run" in result.err, (change, result.err)
    path.write_text("[" * 100_000)
    assert run("sample", "run").code == 4
    path.unlink()
    os.mkfifo(path)
    assert "not a regular file" in run("sample", "run").err  # and no waiting for a writer


@pytest.mark.slow
def test_limits_on_every_file_of_a_training(home):
    done(*TRAIN, "--steps", 2, "--save-every", 1)
    sizes = {path.stat().st_size for path in Path("run").rglob("*") if path.is_file() and path.suffix != ".lock"}
    script = ("import resource, signal, sys; from inachus.models.cli import main; "
              "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
              "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); sys.exit(main(sys.argv[2:]))")
    for turn, size in enumerate(sorted(sizes)[1::2]):
        words = [*TRAIN[:-1], f"new{turn}", "--steps", "2", "--save-every", "1"]
        result = subprocess.run([sys.executable, "-c", script, str(size - 1), *words], capture_output=True, text=True,
                                timeout=120, check=False)
        last = result.stderr.splitlines()[-1]
        assert result.returncode == 6 and last.startswith(f"inachus: new{turn}/") and "free space" in last, last
        assert "Traceback" not in result.stderr
        assert not list(Path(f"new{turn}").rglob(".tmp-*"))
        if any(Path(f"new{turn}").glob("checkpoints/step-*")):
            assert checkpoint.load(Path(f"new{turn}"))[1]["step"] < 2


# --- pictures and archives --------------------------------------------------------------------------------


@pytest.mark.parametrize("form, options", [
    ("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True, "optimize": True}), ("JPEG", {"quality": 1}),
])
@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_plain_pictures_are_plausible(form, options, mode):
    from PIL import Image

    for size in ((1, 1), (1, 900), (2000, 1500)):  # nothing packs better than one colour
        decode.decode(encoded(Image.new(mode, size, 1), form, **options), "name", channels=3)


def test_every_kind_of_png_is_counted_right():
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        for size in ((1, 1), (3, 5), (8, 8), (17, 9)):
            plain = picture(1, "L", size).convert(mode) if mode == "I;16" else picture(1, mode, size)
            whole = encoded(plain)
            decode.decode(whole, "name", channels=3)
            width, height = size
            taller = whole[:20] + struct.pack(">I", height + 1) + whole[24:]
            with pytest.raises(DataError, match=r"truncated: .* bytes of pixels declared"):
                plausible.check(taller, "PNG", (width, height + 1), "name")


def test_an_interlaced_png_is_counted_by_its_passes():
    for width, height in ((1, 1), (2, 2), (5, 7), (8, 8), (17, 3)):
        rows = b""
        for across, down, left, top in plausible.ADAM7:
            columns = len(range(left, width, across))
            rows += (b"\0" + bytes(columns)) * len(range(top, height, down)) if columns else b""
        for content in (rows, rows[:-1]):
            png = interlaced(width, height, content)
            if content == rows:
                assert decode.decode(png, "name", channels=1)[0].shape == (height, width, 1)
            else:
                with pytest.raises(DataError, match=f"truncated: {len(rows)} bytes"):
                    decode.decode(png, "name", channels=1)


def interlaced(width: int, height: int, rows: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    chunks = [struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_missing_rows_are_not_filled():
    png = encoded(picture(size=(8, 8)))
    with pytest.raises(DataError, match=r"a\.png: truncated"):
        decode.decode(with_height(png, 9), "a.png", channels=3)
    jpeg = bytearray(encoded(picture(size=(8, 8)), "JPEG"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", 7000, 7000)
    with pytest.raises(DataError, match=r"a\.jpg: truncated: declares 7000x7000"):
        decode.decode(bytes(jpeg), "a.jpg", channels=3)


def with_height(png: bytes, height: int) -> bytes:
    head = png[12:20] + struct.pack(">I", height) + png[24:29]
    return png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:]


def test_a_zip_of_too_many_members_is_not_listed(tmp_path, monkeypatch):
    small, large = write_zip(tmp_path / "a.zip", {f"{i}.png": b"" for i in range(50)}), tmp_path / "b.zip"
    names = [b"%d.png" % i for i in range(70_000)]  # more than 2^16, which takes two more records at the end
    entries = [b"PK\1\2" + bytes(24) + struct.pack("<H", len(name)) + bytes(16) + name for name in names]
    index = b"".join(entries)
    long = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, len(names), len(names), len(index), 0)
    place = struct.pack("<4sIQI", b"PK\6\7", 0, len(index), 1)
    last = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 65_535, 65_535, len(index), 0, 0)
    large.write_bytes(index + long + place + last)
    for path, most, count in ((small, 49, "50"), (large, 69_999, "70,000")):
        monkeypatch.setattr(zips, "MAX_MEMBERS", most)
        refused(path, f"{count} members, more than {most:,}: unpack it")
    monkeypatch.setattr(zips, "MAX_LIST", 1000)
    refused(large, "the list of its members takes")


def test_every_odd_entry_of_a_zip_is_listed(tmp_path):
    path = write_zip(tmp_path / "a.zip", dict.fromkeys(("1.png", "../2.png", "/3.png", "b\\..\\..\\4.png"), b""))
    names = ("../2.png", "/3.png", "b\\..\\..\\4.png")
    assert check(path) == [(str(path), f"entry '{name}' leads outside the archive: refused") for name in names]


# --- data check -------------------------------------------------------------------------------------------


def test_check_lists_every_odd_file_of_pairs(tmp_path):
    folder = write_tree(tmp_path / "set", [f"{side}/{i}.png" for side in "AB" for i in range(4)])
    write_tree(folder, ["A/alone.png", "B/other.png"])
    (folder / "A" / "2.png").write_bytes(b"<html>")
    (folder / "A" / "3.png").write_bytes(encoded(picture(size=(16, 8))))
    expected = {f"{folder}/A/2.png": "HTML", f"{folder}/A/alone.png": "no partner.* in B",
                f"{folder}/B/other.png": "no partner.* in A", f"{folder}/A/3.png": "16x8.*B/3.png 8x8: proportions"}
    for source in (folder, f"{folder}/A,{folder}/B"):
        found = dict(check(source))
        assert found.keys() == expected.keys()
        assert all(re.search(expected[file], reason) for file, reason in found.items())
    wide = write_tree(tmp_path / "wide", [f"{i}.png" for i in range(5)], size=(16, 8))
    write_tree(wide, ["odd.png"], size=(15, 8))
    ((file, reason),) = check(wide)
    assert file == f"{wide}/odd.png" and "15x8, not twice as wide as high, where 5 of 6 are" in reason


def test_check_does_not_take_classes_for_pairs(tmp_path):
    names = [f"cats/{i}.png" for i in range(9)] + [f"dogs/{i}.png" for i in range(6)]
    assert check(write_tree(tmp_path / "set", names)) == []


def test_check_lists_every_odd_array_file(tmp_path):
    whole = {"train-images-idx3-ubyte": idx_bytes(np.zeros((5, 6, 6), np.uint8)),
             "train-labels-idx1-ubyte": idx_bytes(np.zeros(5, np.uint8))}
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content[:-2])
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"<html>")
    found = dict(check(tmp_path))
    assert {Path(file).name for file in found} == {*whole, "t10k-images-idx3-ubyte"}
    assert "HTML" in found[str(tmp_path / "t10k-images-idx3-ubyte")]
