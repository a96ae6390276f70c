"""Checkpoints that outlive a kill -9, a full disk and a flipped bit.

    RUN/.lock                            held while a training writes here
    RUN/checkpoints/step-00001234/       tensors.safetensors, and meta.json with the sha256 of both files
    RUN/checkpoints/latest               the name of the directory saved last
    RUN/checkpoints/best/                a copy of the checkpoint with the best score

A directory is written whole under a temporary name, flushed to the disk and only then renamed, so a reader
sees the old checkpoint or the new one. A file is believed only after its hash agrees; nothing is unpickled.

This file does not know what a run wants to remember: names and meaning of the tensors are the loop's affair.
Read next: `durable.py` for the parts that make a single file atomic, or `loop.py`, which decides when to save.
"""

import hashlib
import json
import logging
import os
import re
import shlex
import shutil
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
import safetensors.numpy

from inachus import __version__ as ENGINE
from inachus.engine.errors import CheckpointError, UsageError
from inachus.engine.training.durable import (
    discard,
    disk_errors,
    fault,
    leftovers,
    lock,
    replace,
    sweep,
    sync_folder,
    temporary,
    write_new,
)

__all__ = ["latest", "load", "lock", "save", "save_best", "sweep", "tensor_diff"]

FORMAT = 1
META_LIMIT = 10 * 1024 * 1024  # bytes; a larger meta.json is refused unread
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".npy", ".npz", ".joblib"}
STEP = re.compile(r"step-(\d{8,18})")
GIVE = "give a run directory, or one of its checkpoints"
OLDER = "`inachus train --resume RUN` takes the newest good checkpoint of a run"


def save(run: Path, step: int, tensors: dict[str, np.ndarray], meta: dict, keep: int = 3) -> Path:
    """Write `checkpoints/step-…` atomically, point `latest` at it, prune to `keep` directories; return it.

    `meta` is plain JSON data. A directory of the same step is replaced. Raises UsageError for tensors or meta
    that cannot be stored, ResourceError when the disk refuses; the checkpoints that were there stay intact.
    """
    home = Path(run) / "checkpoints"
    target = home / f"step-{step:08d}"
    blob = _pack(tensors)
    sealed = _seal(meta | _facts(step, tensors, blob))
    with _disk_errors(target, run):
        fault("save:begin")
        home.mkdir(parents=True, exist_ok=True)
        sync_folder(home.parent)
        _publish(target, blob, sealed)
        replace(home / "latest", f"{target.name}\n".encode())
    for old in _candidates(home)[max(keep, 1) :]:
        discard(old)
    fault("save:pruned")
    return target


def save_best(run: Path, source: Path, score: float, name: str) -> Path:
    """Copy the checkpoint `source` to `checkpoints/best`, atomically, with `best: {name, score}` in its meta.

    Raises CheckpointError if `source` does not verify, ResourceError when the disk refuses.
    """
    target = Path(run) / "checkpoints" / "best"
    blob, meta = _verified(Path(source))
    with _disk_errors(target, run):
        _publish(target, blob, _seal(meta | {"best": {"name": name, "score": float(score)}}))
    return target


def load(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Tensors and meta of a checkpoint directory, or of the newest good checkpoint of a run directory.

    A run whose newest checkpoint is damaged answers with an older one and logs a warning that says so;
    meta["step"] tells which. Raises CheckpointError for anything missing, damaged, pickled or from another
    format version.
    """
    path = Path(path)
    _expect_directory(path)
    if os.path.exists(path / "meta.json") or not os.path.isdir(path / "checkpoints"):
        return _parsed(path)
    path, notes = latest(path)
    for note in notes:
        logging.getLogger("inachus").warning("%s", note)
    return _parsed(path)


def latest(run: Path) -> tuple[Path, list[str]]:
    """The newest checkpoint of a run that verifies, and one note for each newer one that was refused.

    Newest is what the file `latest` names, then the steps before it, then those beyond it, which a resume
    from an earlier step left behind. Raises CheckpointError if none is usable.
    """
    notes = []
    _expect_directory(Path(run))
    try:
        candidates = _candidates(Path(run) / "checkpoints")
    except OSError as error:
        raise _refusal(run, f"cannot be listed ({error.strerror})", "make it readable") from error
    for candidate in candidates:
        try:
            _parsed(candidate)
            return candidate, notes
        except CheckpointError as error:
            notes.append(str(error))
    found = " | ".join(notes) or "none was saved"
    raise _refusal(run, f"has no usable checkpoint ({found})", "start a new run")


def _threads() -> str | None:
    """How many threads the environment grants to BLAS, None if it does not say: bits may depend on it."""
    settings = (os.environ.get(f"{library}_NUM_THREADS") for library in ("OPENBLAS", "MKL", "OMP"))
    return next(filter(None, settings), None)


def tensor_diff(expected: dict[str, tuple], found: dict[str, tuple], most: int = 4) -> str | None:
    """In words, where two lists {name: shape} differ, a network's and a checkpoint's; None if they agree."""
    wrong = [name for name in expected if name in found and tuple(expected[name]) != tuple(found[name])]
    lists = {
        "missing": [f"{name} {tuple(expected[name])}" for name in expected if name not in found],
        "extra": [f"{name} {tuple(found[name])}" for name in found if name not in expected],
        "mis-shaped": [f"{name} is {tuple(found[name])}, expected {tuple(expected[name])}" for name in wrong],
    }
    parts = []
    for what, names in lists.items():
        if names:
            more = f" and {len(names) - most} more" if len(names) > most else ""
            parts.append(f"{len(names)} {what}: {', '.join(names[:most])}{more}")
    return "; ".join(parts) or None


# Writing


def _disk_errors(target, run):
    return disk_errors(target, f"`inachus train --resume {shlex.quote(str(run))}`")


def _pack(tensors):
    # safetensors copies raw memory: a transposed view would be stored with its numbers in the wrong places.
    plain = {name: np.asarray(a, order="C") for name, a in tensors.items()}
    if "__metadata__" in plain:
        raise UsageError("checkpoint: a tensor cannot be called __metadata__; rename it")
    try:
        return safetensors.numpy.save(plain)
    except (safetensors.SafetensorError, UnicodeError) as error:
        raise UsageError(f"checkpoint: these tensors cannot be stored: {error}") from error


def _facts(step, tensors, blob):
    return {
        "format": FORMAT,
        "engine": ENGINE,
        "numpy": np.__version__,
        "blas_threads": _threads(),
        "step": step,
        "dtype": sorted({a.dtype.name for a in tensors.values()}),
        "tensors_bytes": len(blob),
        "tensors_sha256": hashlib.sha256(blob).hexdigest(),
    }


def _seal(meta):
    """The bytes of meta.json: `meta` and the sha256 of its canonical JSON. Equal metas give equal bytes."""
    try:
        meta = json.loads(json.dumps({key: meta[key] for key in meta if key != "self_sha256"}))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"checkpoint: meta must be plain JSON data: {error}") from error
    canonical = json.dumps(meta, sort_keys=True, separators=(",", ":"))
    meta["self_sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps(meta, sort_keys=True, indent=1).encode() + b"\n"


def _publish(target, blob, sealed):
    new, aside = temporary(target), temporary(target, "old", target.name)
    try:
        new.mkdir()
        fault("save:made")
        write_new(new / "tensors.safetensors", blob, "tensors.safetensors")
        write_new(new / "meta.json", sealed, "meta.json")
        sync_folder(new)
        fault("save:synced")
        if target.exists():  # a rename cannot replace a directory that has something in it
            os.rename(target, aside)
            fault("save:aside")
        os.rename(new, target)
        fault("save:renamed")
        sync_folder(target.parent)
        fault("save:published")
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        if aside.exists() and not target.exists():
            os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


# Reading


def _candidates(home):
    """The checkpoint directories of a run, newest first in the sense of `latest`."""
    if not home.is_dir():
        return []
    steps = {path: int(match[1]) for path in home.iterdir() if (match := STEP.fullmatch(path.name))}
    for path, name, _ in leftovers(home):  # an overwritten one, if its writer died before the new one arrived
        if name and (match := STEP.fullmatch(name)) and not (home / name).exists():
            steps[path] = int(match[1])
    named = None
    with suppress(CheckpointError):
        named = STEP.fullmatch(_read(home / "latest", 100).decode(errors="replace").strip())
    last = int(named[1]) if named else max(steps.values(), default=0)
    return sorted(steps, key=lambda path: (steps[path] > last, -steps[path]))


def _parsed(path):
    blob, meta = _verified(path)
    try:
        return safetensors.numpy.load(blob), meta
    except (safetensors.SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise _refusal(path / "tensors.safetensors", f"is not valid safetensors ({error})") from error


def _verified(path):
    """The bytes of the tensors and the meta of a checkpoint directory, after both hashes agreed."""
    text = _read(path / "meta.json", META_LIMIT)
    try:
        meta = json.loads(text)
        if meta["format"] != FORMAT:
            problem = f"has format {meta['format']}, and inachus {ENGINE} reads format {FORMAT}"
            raise _refusal(path, problem, f"install the inachus that wrote it ({meta.get('engine')})")
        intact = _seal(meta) == text
        size, digest = meta["tensors_bytes"], meta["tensors_sha256"]
    except (ValueError, RecursionError, TypeError, KeyError, UsageError) as error:
        raise _refusal(path / "meta.json", f"is damaged ({type(error).__name__})") from error
    if not intact or not isinstance(size, int):
        raise _refusal(path / "meta.json", "is damaged: its sha256 does not agree")
    path = path / "tensors.safetensors"
    blob = _read(path, size)
    if len(blob) != size:
        raise _refusal(path, f"is truncated: {len(blob)} bytes of {size}")
    if hashlib.sha256(blob).hexdigest() != digest:
        raise _refusal(path, "is damaged: its sha256 does not agree with meta.json")
    return blob, meta


def _read(path, limit):
    """The bytes of a regular file of at most `limit` bytes. Nothing else is opened: a FIFO would hang us."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, "is not a regular file")
        if status.st_size > limit:
            raise _refusal(path, f"has {status.st_size} bytes where at most {limit} are expected")
        return Path(path).read_bytes()
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})") from error


def _expect_directory(path):
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _refusal(path, f"cannot be read ({getattr(error, 'strerror', error)})", GIVE) from error
    if path.suffix.lower() in PICKLES:
        raise _refusal(path, "may be a pickle, which can run code when read; it was not opened", GIVE)
    raise _refusal(path, "is not a directory", GIVE)


def _refusal(path, problem, remedy=OLDER):
    return CheckpointError(f"{path}: {problem}; {remedy}".replace("\n", "\\n"))
