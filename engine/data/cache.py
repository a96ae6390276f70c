"""The cache folder: where it is, how a file gets into it whole or not at all, and the pinned downloads.

Nothing is downloaded unless asked for, and nothing is kept whose checksum is wrong. What the files mean is
`arrays.py`; where a named data set is looked for is `sources.py`: read it next.
"""

import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import md5
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from inachus.engine.data.bounded import CHUNK, GIB, open_regular, shown
from inachus.engine.errors import DataError, UsageError
from inachus.engine.training.durable import sync_folder

TIMEOUT = 30  # seconds without a byte
Progress = Callable[[int, int], None]  # (bytes so far, bytes expected or 0)


@dataclass(frozen=True)
class Remote:
    """One file of a published data set, with its published md5."""

    name: str
    base: str
    md5: str

    @property
    def url(self) -> str:
        """Where it is published."""
        return self.base + self.name


def _family(base: str, train: tuple[str, str], test: tuple[str, str]) -> tuple[Remote, ...]:
    sums = {"train-images-idx3": train[0], "train-labels-idx1": train[1]}
    sums |= {"t10k-images-idx3": test[0], "t10k-labels-idx1": test[1]}
    return tuple(Remote(f"{name}-ubyte.gz", base, checksum) for name, checksum in sums.items())


TORONTO = "https://www.cs.toronto.edu/~kriz/"
LIBSVM = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"
REMOTES: dict[str, tuple[Remote, ...]] = {
    "mnist": _family(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    "fashion-mnist": _family(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"),
        ("bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    "cifar10": (Remote("cifar-10-binary.tar.gz", TORONTO, "c32a1d4ab5d03f1284b67883e8d87530"),),
    "usps": (
        Remote("usps.bz2", LIBSVM, "ec16c51db3855ca6c91edd34d0e9b197"),
        Remote("usps.t.bz2", LIBSVM, "8ea070ee2aca1ac39742fdd1ef5ed118"),
    ),
}


def cache_folder(name: str) -> Path:
    """`$INACHUS_CACHE/NAME`, or `~/.cache/inachus/data/NAME`; it need not exist."""
    root = os.environ.get("INACHUS_CACHE")
    if root:
        return Path(root) / name
    home = os.path.expanduser("~")  # stays "~" for a user without a home, as in some containers
    base = Path(home, ".cache") if os.path.isabs(home) else Path(tempfile.gettempdir())
    return base / "inachus" / "data" / name


def fetch(name: str, *, mirror: str | None = None, progress: Progress | None = None) -> Path:
    """Download what is missing of a named data set into the cache, and return the folder.

    `mirror` replaces the published address (a folder URL). Raises UsageError for a name that is not
    downloadable, DataError when the network, the disk or a checksum fails.
    """
    if name not in REMOTES:
        raise UsageError(f"'{shown(name)}' is not downloaded: choose one of {', '.join(REMOTES)}")
    folder = cache_folder(name)
    for remote in REMOTES[name]:
        target = folder / remote.name
        if not (target.is_file() and checksum(target) == remote.md5):
            url = f"{mirror.rstrip('/')}/{remote.name}" if mirror else remote.url
            download(url, target, remote.md5, progress=progress)
    return folder


def download(url: str, target: Path, expected: str, *, progress: Progress | None = None, most=GIB) -> None:
    """Stream `url` to `target`, which appears only if its md5 is `expected`; DataError otherwise."""
    digest, done = md5(usedforsecurity=False), 0
    try:
        with replacing(target) as file, urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while piece := answer.read(CHUNK):
                done += len(piece)
                if done > most:
                    raise DataError(f"{url}: more than {most:,} bytes: refused")
                digest.update(piece)
                file.write(piece)
                if progress:
                    progress(done, total)
            if digest.hexdigest() != expected:
                sums = f"md5 {digest.hexdigest()}, expected {expected}"
                raise DataError(f"{url}: wrong checksum of {done:,} bytes ({sums}): removed; try again")
    except (OSError, HTTPException, ValueError) as error:
        remedy = f"check the connection, or set INACHUS_DATA to a folder that holds {target.name}"
        raise DataError(f"{url}: download to {shown(target)} failed ({error}); {remedy}") from error


def checksum(path: Path) -> str:
    """md5 (hex) of a file's content: the kind of sum these data sets were published with."""
    digest = md5(usedforsecurity=False)
    with open_regular(path) as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes `target`'s name only when the block ends well: whole and on disk, or not there.

    The temporary name is unique, so two processes may write the same target. Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:  # Ctrl-C as well: leave nothing behind
        with suppress(OSError):
            os.unlink(temporary)
        raise
    with suppress(OSError):  # some file systems cannot sync a folder
        sync_folder(target.parent)
