"""Checkpoints under real faults: killed writers, full disks, flipped bits, lying and foreign files."""

import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inachus.engine.errors import CheckpointError, ResourceError, UsageError
from inachus.engine.training import checkpoint, durable

OLD = {"g.w": np.full((2, 3), 1.0, np.float32), "t": np.array(7, np.uint64)}
NEW = {"g.w": np.full((2, 3), 2.0, np.float32), "t": np.array(8, np.uint64)}
FAULT_POINTS = [
    *("save:begin", "save:made", "tensors.safetensors:half", "tensors.safetensors:written"),
    *("meta.json:half", "meta.json:written", "save:synced", "save:aside", "save:renamed", "save:published"),
    *("latest:half", "latest:written", "latest:replaced", "save:pruning", "save:pruned"),
]


def child(code, *arguments, **environment):
    """Run Python `code` in a process of its own; `sys.argv[1:]` are the arguments."""
    command = [sys.executable, "-c", "import os, sys\nimport numpy as np\n" + code, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[k].dtype == expected[k].dtype and np.array_equal(found[k], expected[k], equal_nan=True)
        for k in found
    )


def temporaries(run):
    return [path for path in Path(run).rglob(".*") if path.name.startswith((".tmp", ".old"))]


@pytest.fixture
def run(tmp_path):
    """A run directory with one good checkpoint, of OLD at step 10."""
    checkpoint.save(tmp_path / "run", 10, OLD, {"seed": 3, "lr": 1e-05, "data": "é"})
    return tmp_path / "run"


# Round trips

arrays = st.sampled_from([np.float32, np.float64, np.int64, np.uint64]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["a/b", "../x", "d.0.w", "é", "", "\x00", "__metadata", 'say "x"']
)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(names.filter(lambda name: name != "__metadata__"), arrays, max_size=6))
def test_any_tensors_come_back(tensors):
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint.save(folder, 1, tensors, {})
        assert path == Path(folder) / "checkpoints/step-00000001"
        for place in (path, folder):
            found, meta = checkpoint.load(place)
            assert same(found, tensors) and meta["step"] == 1


def test_strided_and_big_endian_arrays_keep_their_numbers(tmp_path):
    grid = np.arange(24.0).reshape(4, 6)
    tensors = {"t": grid.T, "s": grid[::2, ::-3], "b": grid.astype(">f4"), "f": np.asfortranarray(grid)}
    found, _ = checkpoint.load(checkpoint.save(tmp_path, 0, tensors, {}))
    for name, expected in tensors.items():
        np.testing.assert_array_equal(found[name], expected)


def test_meta_records_what_is_needed_to_resume(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    rng = np.random.PCG64(5).state
    path = checkpoint.save(tmp_path, 12, OLD, {"rng": rng, "step": "mine", "worst": float("inf")})
    tensors, meta = checkpoint.load(path)
    assert meta["rng"] == rng and meta["worst"] == float("inf")
    assert (meta["step"], meta["format"], meta["blas_threads"]) == (12, 1, "2")
    assert meta["dtype"] == ["float32", "uint64"] and meta["numpy"] == np.__version__
    checkpoint.save(tmp_path, 13, tensors, meta)  # a loaded meta can be saved again
    assert checkpoint.load(tmp_path)[1]["step"] == 13


@pytest.mark.parametrize(
    "bad", [{"a": np.zeros(2, complex)}, {"__metadata__": np.zeros(2)}, {"\ud800": np.ones(1)}]
)
def test_tensors_that_cannot_be_stored(tmp_path, bad):
    with pytest.raises(UsageError, match="checkpoint"):
        checkpoint.save(tmp_path, 0, bad, {})
    assert not list(tmp_path.iterdir())


def test_meta_that_cannot_be_stored(tmp_path):
    with pytest.raises(UsageError, match="plain JSON"):
        checkpoint.save(tmp_path, 0, {}, {"x": np.float32(1)})


# Order, pruning, best


def test_pruning_keeps_the_newest(tmp_path):
    for step in range(1, 6):
        checkpoint.save(tmp_path, step, OLD, {}, keep=2)
    checkpoint.save_best(tmp_path, tmp_path / "checkpoints/step-00000004", 1.5, "distance")
    checkpoint.save(tmp_path, 6, NEW, {}, keep=0)
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["best", "latest", "step-00000006"]
    tensors, meta = checkpoint.load(tmp_path / "checkpoints/best")
    assert same(tensors, OLD) and meta["step"] == 4
    assert meta["best"] == {"name": "distance", "score": 1.5}


def test_best_is_replaced_and_never_taken_from_a_damaged_source(run):
    source = run / "checkpoints/step-00000010"
    for score in (3.0, 2.0):
        checkpoint.save_best(run, source, score, "distance")
    (source / "tensors.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        checkpoint.save_best(run, source, 1.0, "distance")
    assert checkpoint.load(run / "checkpoints/best")[1]["best"]["score"] == 2.0


def test_a_resume_from_an_older_step_abandons_the_future(run):
    checkpoint.save(run, 30, NEW, {})
    checkpoint.save(run, 20, OLD, {}, keep=2)  # resumed from 10
    assert checkpoint.latest(run)[0].name == "step-00000020"
    checkpoint.save(run, 25, OLD, {}, keep=2)
    assert sorted(path.name for path in run.glob("checkpoints/step-*")) == ["step-00000020", "step-00000025"]


def test_saving_a_step_again_replaces_it(run):
    path = checkpoint.save(run, 10, NEW, {})
    assert same(checkpoint.load(path)[0], NEW) and not temporaries(run)


@pytest.mark.parametrize(
    "content", [None, b"", b"step-99999999", b"../../elsewhere", b"\xff\xfe", b"x" * 1000]
)
def test_a_broken_pointer_does_not_hide_checkpoints(run, content):
    (run / "checkpoints/latest").unlink()
    if content is not None:
        (run / "checkpoints/latest").write_bytes(content)
    assert checkpoint.latest(run) == (run / "checkpoints/step-00000010", [])


# Killed writers

SAVE_TWICE = """
from inachus.engine.training import checkpoint
run, first, second, point = sys.argv[1:]
for step, value, fault in ((int(first), 1, ""), (int(second), 2, point)):
    os.environ["INACHUS_FAULT"] = fault
    tensors = {"g.w": np.full((2, 3), value, np.float32), "t": np.array(6 + value, np.uint64)}
    checkpoint.save(run, step, tensors, {}, keep=1)
"""


@pytest.mark.parametrize("point", FAULT_POINTS)
@pytest.mark.parametrize("again", [False, True], ids=["next", "same step"])
def test_a_killed_save_leaves_the_old_or_the_new_checkpoint(tmp_path, point, again):
    done = child(SAVE_TWICE, tmp_path, 1, 1 if again else 2, point)
    reached = point != ("save:pruning" if again else "save:aside")
    assert done.returncode == (-signal.SIGKILL if reached else 0), done.stderr
    path, notes = checkpoint.latest(tmp_path)
    tensors, _ = checkpoint.load(path)
    turn = FAULT_POINTS.index("save:aside" if again else "latest:written")
    late = not reached or FAULT_POINTS.index(point) > turn
    assert same(tensors, NEW if late else OLD) and not notes
    checkpoint.sweep(tmp_path)
    assert not temporaries(tmp_path) and same(checkpoint.load(tmp_path)[0], tensors)
    checkpoint.save(tmp_path, 3, NEW, {})
    assert checkpoint.load(tmp_path)[1]["step"] == 3


def test_every_fault_point_is_tested():
    files = ("tensors.safetensors", "meta.json", "latest")
    written = {f"{name}:{point}" for name in files for point in ("half", "written")} | {"latest:replaced"}
    source = Path(checkpoint.__file__).read_text() + Path(durable.__file__).read_text()
    assert written | set(re.findall(r'fault\("(save:\w+)"\)', source)) == set(FAULT_POINTS)


# Full and failing disks


def test_everything_is_flushed_before_it_gets_its_name(run, monkeypatch):
    events = []

    def noting(call, subject):
        def noted(*arguments, **options):
            name = Path(subject(arguments)).name
            events.append(f"{call.__name__} {'temporary' if name.startswith('.tmp') else name}")
            return call(*arguments, **options)

        return noted

    monkeypatch.setattr(os, "fsync", noting(os.fsync, lambda a: os.readlink(f"/proc/self/fd/{a[0]}")))
    monkeypatch.setattr(os, "rename", noting(os.rename, lambda a: a[1]))
    monkeypatch.setattr(os, "replace", noting(os.replace, lambda a: a[1]))
    checkpoint.save(run, 20, NEW, {})
    directory = ["fsync tensors.safetensors", "fsync meta.json", "fsync temporary", "rename step-00000020"]
    pointer = ["fsync temporary", "replace latest", "fsync checkpoints"]
    assert events == ["fsync run", *directory, "fsync checkpoints", *pointer]


FULL_DISK = """
import resource
from inachus.engine.errors import ResourceError
from inachus.engine.training import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    checkpoint.save(sys.argv[1], 20, {"w": np.ones(int(sys.argv[2]))}, {})
except ResourceError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_checkpoint(run):
    done = child(FULL_DISK, run, 100_000)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "File too large" in done.stdout
    assert (
        "step-00000020" in done.stdout and f"free space, then `inachus train --resume {run}`" in done.stdout
    )
    assert not temporaries(run) and checkpoint.load(run)[1]["step"] == 10


@pytest.mark.parametrize("again", [False, True], ids=["next", "same step"])
@pytest.mark.parametrize("call", ["fsync", "rename", "replace", "open"])
def test_every_failing_disk_call_leaves_the_old_checkpoint(run, monkeypatch, call, again):
    real, step = getattr(os, call), 10 if again else 20
    for fatal in range(8):
        count = iter(range(100))

        def failing(*arguments, fatal=fatal, count=count, **options):
            if next(count) == fatal:
                raise OSError(errno.EIO, "Input/output error")
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                checkpoint.save(run, step, NEW, {})
                break  # fewer calls than this
            except ResourceError as error:
                assert "Input/output error" in str(error) and "free space" in str(error)
        tensors, _ = checkpoint.load(checkpoint.latest(run)[0])
        assert same(tensors, OLD) or same(tensors, NEW)
        assert not [path for path in temporaries(run) if path.name.startswith(".tmp")]
        assert (run / "checkpoints/step-00000010").is_dir()
    assert fatal > 0 and same(checkpoint.load(run)[0], NEW)


def test_a_run_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ResourceError, match="choose another place"), checkpoint.lock(tmp_path / "run"):
        pass
    with pytest.raises(ResourceError):
        checkpoint.save(tmp_path / "run", 1, OLD, {})


# Damaged files


@pytest.mark.parametrize("name", ["tensors.safetensors", "meta.json"])
def test_truncation_anywhere_is_refused_and_latest_falls_back(run, name):
    path = checkpoint.save(run, 20, NEW, {}) / name
    whole = path.read_bytes()
    for part in range(20):
        path.write_bytes(whole[: len(whole) * part // 20])
        with pytest.raises(CheckpointError, match=f"{name}.*; `inachus train --resume RUN`") as refusal:
            checkpoint.load(path.parent)
        assert "\n" not in str(refusal.value)
        found, notes = checkpoint.latest(run)
        assert found.name == "step-00000010" and len(notes) == 1 and "step-00000020" in notes[0]


@pytest.mark.parametrize("name", ["tensors.safetensors", "meta.json"])
def test_every_flipped_bit_is_refused(run, name):
    path = run / "checkpoints/step-00000010" / name
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in {position % 8, 5}:  # 5: upper case for lower, which JSON reads as the same in places
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << bit]) + whole[position + 1 :])
            with pytest.raises(CheckpointError):
                checkpoint.load(path.parent)


def test_loading_a_run_says_when_it_takes_an_older_checkpoint(run, caplog):
    (checkpoint.save(run, 20, NEW, {}) / "meta.json").unlink()
    assert checkpoint.load(run)[1]["step"] == 10
    assert "step-00000020" in caplog.text and "cannot be read" in caplog.text


def test_no_usable_checkpoint(run, tmp_path):
    (run / "checkpoints/step-00000010/meta.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=r"no usable checkpoint .*step-00000010"):
        checkpoint.latest(run)
    with pytest.raises(CheckpointError, match="none was saved"):
        checkpoint.latest(tmp_path)
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoint.load(tmp_path / "nothing")


def reseal(path, blob=None, **changes):
    """Rewrite a checkpoint with honest hashes, as somebody who means harm would."""
    meta = json.loads((path / "meta.json").read_bytes())
    if blob is not None:
        (path / "tensors.safetensors").write_bytes(blob)
        meta |= {"tensors_bytes": len(blob), "tensors_sha256": hashlib.sha256(blob).hexdigest()}
    (path / "meta.json").write_bytes(checkpoint._seal(meta | changes))


def test_other_formats_are_named(run):
    path = run / "checkpoints/step-00000010"
    for version in (2, 0, "x", None):
        reseal(path, format=version, engine="9.9")
        with pytest.raises(CheckpointError, match=rf"has format {version}, .* reads format 1.*9.9"):
            checkpoint.load(path)


def lie(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        (2**60).to_bytes(8, "little"),
        lie({"a": entry([4], 0, 16)}),
        lie({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        lie({"a": entry([2**62, 8], 0, 8)}, bytes(8)),
        lie({"a": entry([4], 0, 8, "BF16")}, bytes(8)),
        lie({"a": entry([4], 0, 4, "F8_E4M3")}, bytes(4)),
        lie(b"[" * 100_000),
        lie(b'{"\xff": 1}'),
    ],
)
def test_lying_tensor_files_are_refused(run, blob):
    path = run / "checkpoints/step-00000010"
    reseal(path, blob)
    with pytest.raises(CheckpointError, match=r"tensors\.safetensors: is not valid"):
        checkpoint.load(path)


@pytest.mark.parametrize("size", ["12", -1, None, 2.5, True])
def test_lying_sizes_are_refused(run, size):
    reseal(run / "checkpoints/step-00000010", tensors_bytes=size)
    with pytest.raises(CheckpointError):
        checkpoint.load(run / "checkpoints/step-00000010")


# Foreign and strange paths


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".npz", ".NPZ"])
def test_pickles_are_not_opened(tmp_path, suffix):
    os.mkfifo(tmp_path / f"model{suffix}")  # opening it would hang
    with pytest.raises(CheckpointError, match="not opened"):
        checkpoint.load(tmp_path / f"model{suffix}")


def test_strange_paths_are_refused_without_hanging(run, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("")
    for path in ("loop", "fifo", "file", "nul\0name", "n" * 300):
        with pytest.raises(CheckpointError):
            checkpoint.load(tmp_path / path)
    with pytest.raises(CheckpointError):
        checkpoint.load(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["meta.json", "tensors.safetensors", "../latest"])
def test_strange_files_inside_are_refused_without_hanging(run, name):
    older, path = run / "checkpoints/step-00000010", checkpoint.save(run, 20, NEW, {})
    (path / name).unlink()
    os.mkfifo(path / name)
    assert checkpoint.latest(run)[0] == (path if name == "../latest" else older)


def test_a_checkpoint_that_links_to_its_run_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/step-00000001").symlink_to(tmp_path)
    with pytest.raises(CheckpointError, match="no usable"):
        checkpoint.load(tmp_path)


def test_a_huge_meta_is_not_read(run):
    with open(run / "checkpoints/step-00000010/meta.json", "r+b") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(CheckpointError, match="at most 10485760"):
        checkpoint.load(run / "checkpoints/step-00000010")


def test_messages_are_one_line_whatever_the_name(tmp_path):
    with pytest.raises(CheckpointError) as refusal:
        checkpoint.load(tmp_path / "two\nlines")
    assert "\n" not in str(refusal.value)


# Words about tensors


def test_tensor_diff_in_words():
    net = {"a": (2, 3), "b": (4,), "c": ()}
    assert checkpoint.tensor_diff(net, dict(net)) is None
    assert checkpoint.tensor_diff(net, {k: list(v) for k, v in net.items()}) is None
    words = checkpoint.tensor_diff(net, {"a": (3, 2), "c": (), "d": (1,)})
    assert words == "1 missing: b (4,); 1 extra: d (1,); 1 mis-shaped: a is (3, 2), expected (2, 3)"
    many = checkpoint.tensor_diff({f"w{i}": (i,) for i in range(9)}, {})
    assert many == "9 missing: w0 (0,), w1 (1,), w2 (2,), w3 (3,) and 5 more"
