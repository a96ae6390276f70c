"""A run directory: log lines torn and resumed, atomic files, leftovers of dead writers, the lock."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inachus.engine.errors import ResourceError, UsageError
from inachus.engine.training import checkpoint, durable, log
from inachus.engine.training.log import Log

# The log


def steps(run):
    return [entry["step"] for entry in log.read(run)]


def fill(run, last):
    with Log(run) as out:
        for step in range(0, last + 1, 10):
            out.write(step, step / 7, {"loss_d": step / 3, "D(x)": 0.5})


def test_lines_are_there_at_once_and_rounded(tmp_path):
    with Log(tmp_path / "run") as out:
        out.write(3, 1 / 3, {"loss": 123456789.0, "bad": float("nan"), "worse": float("-inf")})
        line = (tmp_path / "run/log.jsonl").read_text()
    assert line == '{"step": 3, "seconds": 0.333333, "loss": 123457000.0, "bad": null, "worse": null}\n'
    assert log.read(tmp_path / "run") == [json.loads(line)]
    assert log.read(tmp_path) == []


def test_a_value_cannot_take_a_reserved_name(tmp_path):
    with Log(tmp_path) as out, pytest.raises(UsageError, match="step"):
        out.write(1, 0.0, {"step": 2.0})


def test_resuming_removes_the_future(tmp_path):
    fill(tmp_path, 50)
    with Log(tmp_path, resume_from=25) as out:
        out.write(30, 1.0, {})
    assert steps(tmp_path) == [0, 10, 20, 30]
    Log(tmp_path).close()
    assert steps(tmp_path) == [0, 10, 20, 30]
    Log(tmp_path, resume_from=20).close()
    assert steps(tmp_path) == [0, 10, 20]


@given(st.data())
def test_a_torn_last_line_is_dropped(tmp_path_factory, data):
    run = tmp_path_factory.mktemp("torn")
    fill(run, 30)
    path = run / "log.jsonl"
    whole = path.read_bytes()
    end = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:end])
    complete = whole[:end].count(b"\n")
    assert steps(run) == [0, 10, 20, 30][:complete]
    with Log(run, resume_from=40) as out:
        out.write(40, 9.0, {})
    assert steps(run) == [*[0, 10, 20, 30][:complete], 40]


def test_lines_that_are_no_entries_are_left_out(tmp_path):
    lines = [b"\xff\xfe", b"[1]", b"{}", b'{"step": "1"}', b'{"step": -1}', b"[" * 100_000, b'{"step": 1}']
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert steps(tmp_path) == [1]


FULL_DISK = """
import resource, sys
from inachus.engine.errors import ResourceError
from inachus.engine.training.log import Log
resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
out = Log(sys.argv[1])
try:
    for step in range(100):
        out.write(step, 0.0, {"loss": 1.0})
except ResourceError as error:
    print(step, error)
"""


def test_a_full_disk_loses_one_line_at_most(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True)
    assert "log.jsonl: cannot be written (File too large)" in done.stdout, done.stderr
    assert steps(tmp_path) == list(range(int(done.stdout.split()[0])))


# Files and leftovers


def test_write_file_replaces_and_cleans_up(tmp_path, monkeypatch):
    path = tmp_path / "new/folder/file"
    durable.write_file(path, b"old")

    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse)
            with pytest.raises(ResourceError, match=r"No space left on device.*free space"):
                durable.write_file(path, b"new")
        assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["file"]
    durable.write_file(path, b"")
    assert path.read_bytes() == b""


def test_sweep_spares_living_writers_and_strangers(tmp_path):
    home, saved = tmp_path / "checkpoints", {"w": np.ones(3)}
    checkpoint.save(tmp_path, 10, saved, {})
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        dead = process.pid
    alive, mine = f".tmp-{os.getppid()}-0123abcd0", durable.temporary(home / "x").name
    earlier = f".tmp-{os.getpid()}-000000005"  # of a dead process that had our pid, as in a container
    for name in (f".tmp-{dead}-0123abcd0", earlier, f".old-{dead}-0123abcd1-step-00000010"):
        (home / name).mkdir()
    strangers = {".tmp-notes", ".tmp-12-x"}
    for name in {alive, mine} | strangers:
        (home / name).touch()
    checkpoint.sweep(tmp_path)
    assert {path.name for path in home.glob(".*")} == {alive, mine} | strangers
    assert checkpoint.load(tmp_path)[0]["w"].tolist() == [1, 1, 1]


def test_sweep_restores_what_was_moved_aside(tmp_path):
    home = tmp_path / "checkpoints"
    path = checkpoint.save(tmp_path, 10, {}, {})
    os.rename(path, home / f".old-{2**22 + 1}-0123abcd0-{path.name}")  # a pid beyond the largest
    assert checkpoint.load(tmp_path)[1]["step"] == 10
    checkpoint.sweep(tmp_path)
    assert checkpoint.latest(tmp_path) == (path, []) and not list(home.glob(".*"))


# The lock

HOLD = """
from inachus.engine.training import checkpoint
with checkpoint.lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path):
    command = [sys.executable, "-c", "import sys\n" + HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        refusal = pytest.raises(ResourceError, match=f"in use by process {holder.pid} on ")
        with refusal, checkpoint.lock(tmp_path / "run"):
            pass
        holder.kill()
    with checkpoint.lock(tmp_path / "run"):
        pass


def test_the_lock_holds_within_a_process_and_is_released_by_errors(tmp_path):
    refusals = []

    def second():
        try:
            with checkpoint.lock(tmp_path):
                pass
        except ResourceError as error:
            refusals.append(error)

    with pytest.raises(KeyError), checkpoint.lock(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        raise KeyError
    assert len(refusals) == 1
    second()
    assert len(refusals) == 1
