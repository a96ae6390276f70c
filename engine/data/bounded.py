"""Reading files that may lie: regular files only, bounded decompression, memory asked for before it is taken.

Every reader of this room goes through here, so that a damaged or hostile file costs one DataError and never a
hang, a full memory or a traceback. It understands no format. Read next: `arrays.py`, its first customer.
"""

import gzip
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from inachus.engine.errors import DataError

GIB = 2**30
MAX_UNPACKED = 4 * GIB  # of one compressed file
MAX_MEMORY = 8 * GIB  # of all the items of one data set
DEFLATE_RATIO = 1032  # deflate cannot pack tighter, so a larger claim is a lie
CHUNK = 2**20

LOOKS = {  # how files start that are not what their name says
    b"version https://git-lfs": "a Git-LFS pointer (run `git lfs pull`)",
    b"<!doctype html": "an HTML page (the download failed)",
    b"<html": "an HTML page (the download failed)",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file",
    b"%!ps": "a PostScript file",
    b"%pdf": "a PDF file",
    b"pk\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"\x80\x02": "a pickle (refused: opening one can run code)",
    b"\x80\x03": "a pickle (refused: opening one can run code)",
    b"\x80\x04": "a pickle (refused: opening one can run code)",
    b"\x80\x05": "a pickle (refused: opening one can run code)",
}


def shown(path) -> str:
    """A path for a message: one printable line, whatever bytes the name holds."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))


class NoSplit(DataError):
    """The source is fine, but has not the split that was asked for."""


def fault(path, reason: str, kind: type[DataError] = DataError) -> DataError:
    """The DataError `PATH: reason`, to be raised; `reason` says what is wrong and what to do."""
    return kind(f"{shown(path)}: {reason}")


def looks_like(head: bytes) -> str:
    """What the first bytes of an unreadable file suggest it is, or `""`."""
    if not head:
        return "an empty file"
    start = head.lstrip().lower()
    return next((what for prefix, what in LOOKS.items() if start.startswith(prefix)), "")


@contextmanager
def data_errors(path, *, kinds=(Exception,)) -> Iterator[None]:
    """Turn whatever a parser throws at a bad file into one DataError that names it.

    Parsers of untrusted bytes raise anything (zlib.error, struct.error, SyntaxError, MemoryError ...).
    """
    try:
        yield
    except DataError:
        raise
    except kinds as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise fault(path, f"unreadable ({reason})") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; DataError for folders, pipes and devices, which might block."""
    with data_errors(path, kinds=(OSError, ValueError)):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise fault(path, "not a regular file")
        return open(path, "rb")


@contextmanager
def open_unpacked(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a plain or gzip file, told apart by content; gives (file, most bytes it can possibly hold)."""
    with open_regular(path) as raw, data_errors(path):
        size = os.fstat(raw.fileno()).st_size
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield raw, size
            return
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield unpacked, min(size * DEFLATE_RATIO, MAX_UNPACKED)


def read_exactly(file: BinaryIO, count: int, path) -> np.ndarray:
    """The next `count` bytes as uint8 (count,); DataError if the file ends before."""
    content = np.empty(count, np.uint8)
    view, done = memoryview(content), 0
    while done < count:
        piece = file.read(min(CHUNK, count - done))
        if not piece:
            raise fault(path, f"truncated: {count:,} bytes declared, {done:,} present")
        view[done : done + len(piece)] = piece
        done += len(piece)
    return content


def expect_end(file: BinaryIO, path) -> None:
    """DataError if anything follows what the header declared."""
    if file.read(1):
        raise fault(path, "bytes follow the last declared item: header and content disagree")


def read_all(file: BinaryIO, most: int, path) -> bytes:
    """The rest of a file, refusing with DataError to read more than `most` bytes."""
    content = bytearray()
    while piece := file.read(CHUNK):  # piecewise, because read(most) takes `most` bytes whatever is there
        content += piece
        if len(content) > most:
            raise fault(path, f"more than {most:,} bytes: refused")
    return bytes(content)


def check_memory(needed: int, path) -> None:
    """DataError, before anything is allocated, when `needed` bytes exceed the limit of this room."""
    if needed > MAX_MEMORY:
        remedy = "pass a smaller --set size=, or use a part of the data"
        raise fault(path, f"needs {needed:,} bytes of memory, limit {MAX_MEMORY:,}: {remedy}")


class Capped:
    """A read-only stream that refuses to deliver more than `most` bytes: a bomb ends in a DataError."""

    def __init__(self, file: BinaryIO, most: int, path):
        self.file, self.left, self.path = file, most, path

    def read(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes; DataError beyond the cap."""
        content = self.file.read(min(size, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise fault(self.path, "unpacks to more than its limit: refused")
        return content
