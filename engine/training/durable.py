"""Writing into a run directory so that nothing is ever half there: atomically, and one process at a time.

`write_file` is the recipe of every file: a unique temporary name in the same folder, write, flush to the disk, rename,
flush the folder. `lock` keeps a second process out; `sweep` clears up after a dead one. Read next: `checkpoint.py`,
which makes whole directories atomic with the same parts.
"""

import errno
import fcntl
import itertools
import os
import re
import secrets
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inachus.engine.errors import DISK_FULL, ResourceError, UsageError

NO_PLACE = {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS}
TEMPORARY = re.compile(r"\.(?:tmp|old)-(\d+)-([0-9a-f]{8})\d+(?:-(.+))?")  # pid, token, name to restore
TOKEN = secrets.token_hex(4)  # tells this process's temporaries from those of a dead one that had its pid
COUNTER = itertools.count()


def write_file(path: Path, data: bytes) -> None:
    """Replace the file `path` atomically, creating its folder.

    Raises ResourceError when the disk refuses, UsageError for a folder or device, which a file must not replace.
    """
    path = Path(path)
    if os.path.exists(path) and not os.path.isfile(path):
        what = "folder" if os.path.isdir(path) else "device or pipe"
        raise UsageError(f"{path} is a {what}, not a file: choose another name".replace("\n", "\\n"))
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, data)


def sweep(run: Path) -> None:
    """Clear what dead writers left in `run`, under `lock`; what a live process is writing is not touched."""
    for folder in (Path(run), Path(run) / "checkpoints", Path(run) / "samples"):
        with disk_errors(folder):
            for leftover, name, alive in list(leftovers(folder)) if folder.is_dir() else ():
                if name and not alive and not (folder / name).exists():
                    os.rename(leftover, folder / name)  # its writer died before the successor arrived
                elif not alive:
                    discard(leftover)


@contextmanager
def lock(run: Path) -> Iterator[None]:
    """Hold `run` (created if need be) for this process; however the process ends, the system lets go of it.

    Raises ResourceError if another process holds it, naming that one, or if the directory is not writable.
    """
    path = Path(run) / ".lock"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with disk_errors(path):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(handle, 200).decode(errors="replace").strip() or "another process"
                message = f"{run}: in use by {holder}; wait for it, or choose another --out"
                raise ResourceError(message) from None
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(handle)


# The parts, of which `checkpoint.py` makes whole directories atomic


@contextmanager
def disk_errors(path: Path, then: str = "run the command again") -> Iterator[None]:
    """Turn an OSError into one ResourceError that names `path`, what happened, and the remedy."""
    try:
        yield
    except OSError as error:
        cures = {"free space": DISK_FULL, "choose another place": NO_PLACE}
        cure = next((cure for cure, numbers in cures.items() if error.errno in numbers), "make the folder writable")
        problem = f"{path}: cannot be written ({error.strerror})".replace("\n", "\\n")
        raise ResourceError(f"{problem}; what was saved before is intact; {cure}, then {then}") from error


def replace(path: Path, data: bytes) -> None:
    """`write_file` that raises OSError: the old file is intact then, and the temporary one gone."""
    new = temporary(path)
    try:
        write_new(new, data, path.name)
        os.replace(new, path)
        sync_folder(path.parent)
        fault(f"{path.name}:replaced")
    finally:
        new.unlink(missing_ok=True)


def write_new(path: Path, data: bytes, label: str) -> None:
    """Create `path` with `data` and flush it to the disk; `label` names its fault points."""
    data = memoryview(data)
    with open(path, "xb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        fault(f"{label}:half")
        file.write(data[len(data) // 2 :])
        file.flush()
        os.fsync(file.fileno())
    fault(f"{label}:written")


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk: without it a rename may be lost with the power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def temporary(path: Path, kind: str = "tmp", restore: str = "") -> Path:
    """A fresh name beside `path` that names its owner: `.tmp-PID-…`, `.old-PID-…-NAME` to move NAME aside."""
    return path.with_name(f".{kind}-{os.getpid()}-{TOKEN}{next(COUNTER)}{restore and '-' + restore}")


def discard(path: Path) -> None:
    """Remove a file or directory; a directory never stands half removed under a name that counts."""
    doomed = temporary(path)
    with suppress(OSError):  # what cannot be removed now is swept another day
        os.rename(path, doomed)
        fault("save:pruning")
        shutil.rmtree(doomed) if doomed.is_dir() else doomed.unlink()


def leftovers(folder: Path) -> Iterator[tuple[Path, str | None, bool]]:
    """(path, the name it had before it was moved aside or None, does its writer live) of each temporary."""
    for path in sorted(folder.iterdir()):
        if match := TEMPORARY.fullmatch(path.name):
            pid, token, name = match.groups()
            yield path, name, token == TOKEN if int(pid) == os.getpid() else _alive(int(pid))


def fault(point: str) -> None:
    """Die as by kill -9 if the environment says INACHUS_FAULT=`point`. Read for the tests only."""
    if os.environ.get("INACHUS_FAULT") == point:
        os.kill(os.getpid(), signal.SIGKILL)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # alive, and somebody else's
        return True
    return True
