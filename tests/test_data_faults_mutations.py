"""Valid files of every kind, mutated at random: nothing but the project's own errors, in bounded time and memory.

A mutation truncates, flips, splices, repeats, appends, or writes a number into a place where a header may have a size;
PNGs then get right checksums and checkpoints right hashes, half of the time, so that the damage reaches the decoder.
What is written lies in the folder of the test, and nothing is added to it.
"""

import gzip
import hashlib
import io
import json
import resource
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_writers import encoded, idx_bytes, picture, write_zip
from hypothesis import given, settings
from hypothesis import strategies as st

from inachus.engine.data import check, load, load_pairs
from inachus.engine.errors import CheckpointError, DataError
from inachus.engine.training import checkpoint

SECONDS, BYTES = 2, 512 * 2**20  # of one load, beyond what the process had taken before
RNG = np.random.default_rng(7)
ITEMS = RNG.integers(0, 256, (20, 12, 12), np.uint8)
SIZES = [0, 1, 255, 7000, 65_535, 100_000, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1]


def pictures(format):
    large = {"save_all": True, "append_images": [picture(9)]} if format == "PNG" else {"progressive": True}
    return [
        encoded(picture(1, size=(40, 30)), format),
        encoded(picture(2, "L", (21, 33)), format),
        encoded(picture(3, size=(32, 32)), format, **large),
        encoded(picture(4, "P" if format == "PNG" else "CMYK", (16, 24)), format),
    ]


def npz_bytes(save, **arrays):
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def archive():
    stream = io.BytesIO()
    write_zip(stream, {f"{folder}/{i}.png": encoded(picture(i)) for folder in "AB" for i in range(3)})
    return stream.getvalue()


KINDS = {  # name of the file: valid contents
    "train-images-idx3-ubyte": [idx_bytes(ITEMS)],
    "train-images-idx3-ubyte.gz": [gzip.compress(idx_bytes(ITEMS), mtime=0)],
    "a.npz": [npz_bytes(np.savez, x=ITEMS, y=np.arange(20) % 4), npz_bytes(np.savez_compressed, x=ITEMS / 255)],
    "set/a.png": pictures("PNG"),
    "set/a.jpg": pictures("JPEG"),
    "a.zip": [archive()],
}


@st.composite
def mutated(draw, contents):
    """One of the contents after one to four mutations."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 4))):
        near = draw(st.booleans())  # headers are where the interesting numbers are
        place = draw(st.integers(0, max(0, min(len(content), 64 if near else len(content)) - 1)))
        kind = draw(st.sampled_from(["cut", "flip", "byte", "splice", "drop", "size", "append"]))
        if kind == "cut":
            del content[place:]
        elif kind == "flip" and content:
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and content:
            content[place] = draw(st.integers(0, 255))
        elif kind == "splice":
            start = draw(st.integers(0, len(content)))
            content[place:place] = content[start : start + draw(st.integers(1, 200))]
        elif kind == "drop":
            del content[place : place + draw(st.integers(1, 40))]
        elif kind == "size":
            width, order = draw(st.sampled_from([2, 4, 8])), draw(st.sampled_from(["big", "little"]))
            number = draw(st.sampled_from(SIZES)) % 2 ** (8 * width)
            content[place : place + width] = number.to_bytes(width, order)
        elif kind == "append":
            content += draw(st.binary(min_size=1, max_size=60))
    return bytes(content)


def with_right_checksums(png: bytes) -> bytes:
    """A PNG whose chunks carry the checksums of what they hold now."""
    fixed, place = png[:8], 8
    while place + 12 <= len(png) and (end := place + 12 + int.from_bytes(png[place : place + 4])) <= len(png):
        chunk = png[place + 4 : end - 4]
        fixed += png[place : place + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        place = end
    return fixed + png[place:]


def bounded(error, function, *arguments, **more):
    """True if the call worked; else only `error` came out of it, in one printable line. Within SECONDS and BYTES."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    worked = True
    try:
        function(*arguments, **more)
    except error as refusal:
        worked = False
        assert str(refusal).isprintable(), ascii(str(refusal))
    seconds, grown = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert seconds < SECONDS and grown * 1024 < BYTES, f"{seconds:.1f} s, {grown // 1024} MB"
    return worked


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def assert_handled(folder: Path, name: str, content: bytes):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    source = path.parent if name.startswith("set/") else path
    before = files_below(folder.parent)
    loaded = bounded(DataError, load, source)
    bounded(DataError, load, source, size=8, on_bad="skip")
    findings = []
    assert bounded((), lambda: findings.extend(check(source)))  # lists what is wrong, and raises nothing
    assert loaded or findings or name == "a.zip"  # pictures of several sizes, which train with a size
    if name.endswith((".zip", "g")):
        bounded(DataError, load_pairs, source, size=8)
    assert files_below(folder.parent) == before


def draw_and_handle(folder: Path, name: str, data):
    folder.mkdir()
    content = data.draw(mutated(KINDS[name]))
    if name.endswith("png") and data.draw(st.booleans()):
        content = with_right_checksums(content)
    assert_handled(folder, name, content)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
@settings(deadline=None)
def test_mutated_data(tmp_path_factory, name, data):
    draw_and_handle(tmp_path_factory.mktemp("mutated") / "inner", name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_mutated_data_often(tmp_path_factory, name, data):
    draw_and_handle(tmp_path_factory.mktemp("mutated") / "inner", name, data)


# --- checkpoints -------------------------------------------------------------------------------------------

TENSORS = {"G.w": RNG.random((6, 7), np.float32), "D.w": RNG.random(5, np.float32)}


def sealed(meta: dict) -> bytes:
    """meta.json with a right hash, as somebody who means harm would write it."""
    canonical = json.dumps(meta, sort_keys=True, separators=(",", ":"))
    meta = meta | {"self_sha256": hashlib.sha256(canonical.encode()).hexdigest()}
    return json.dumps(meta, sort_keys=True, indent=1).encode() + b"\n"


@given(data=st.data())
@settings(deadline=None)
def test_mutated_checkpoints(tmp_path_factory, data):
    run = tmp_path_factory.mktemp("mutated") / "run"
    checkpoint.save(run, 1, TENSORS, {})
    newest = checkpoint.save(run, 2, TENSORS, {})
    blob, text = [(newest / name).read_bytes() for name in ("tensors.safetensors", "meta.json")]
    meta = {key: value for key, value in json.loads(text).items() if key != "self_sha256"}
    which = data.draw(st.sampled_from(["tensors", "meta", "tensors, sealed", "meta, sealed"]))
    if which == "meta":
        changed = data.draw(mutated([text]))
        (newest / "meta.json").write_bytes(changed)
    elif which == "meta, sealed":
        strange = st.sampled_from([None, -1, 0, 2**70, 1.5, "x", [], {}, True, [[[]]]])
        changed = sealed(meta | {data.draw(st.sampled_from(sorted(meta))): data.draw(strange)})
        (newest / "meta.json").write_bytes(changed)
    else:
        changed = data.draw(mutated([blob]))
        (newest / "tensors.safetensors").write_bytes(changed)
        if which == "tensors, sealed":
            facts = {"tensors_bytes": len(changed), "tensors_sha256": hashlib.sha256(changed).hexdigest()}
            (newest / "meta.json").write_bytes(sealed(meta | facts))
    before = files_below(run)
    loaded = bounded(CheckpointError, checkpoint.load, newest)
    if "sealed" not in which:
        assert loaded == (changed in (blob, text))
    assert bounded((), checkpoint.load, run)  # the older one is there
    assert files_below(run) == before
