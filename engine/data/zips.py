"""Zip archives that may lie: counted before they are listed, read in place, no name in them ever a path.

Pictures and arrays come out of here as bytes; what they mean is not known. Read next: `pictures.py`, which reads data
sets from zips, and `npz.py`.
"""

import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inachus.engine.data import bounded
from inachus.engine.data.bounded import fault, shown

OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)")  # absolute, or with a `..`
MAX_MEMBERS = 300_000  # listing them takes 7 seconds and 300 MB
MAX_LIST = 2**27  # bytes of the list of members
END, END64, MEMBER = b"PK\x05\x06", b"PK\x06\x06", b"PK\x01\x02"  # how the records of a zip start
TAIL = 22 + 65_535  # bytes: the last record, with the longest comment


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, to be read in a `with`; DataError for what is none, is damaged, or has too many members."""
    with bounded.open_regular(path) as file, bounded.data_errors(path):
        _check_count(file, path)
        with zipfile.ZipFile(file) as archive:
            yield archive


def members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    """The files of a zip; DataError, naming the first, for entries that no honest data set needs."""
    for entry, reason in odd_members(archive):
        raise fault(path, f"entry '{entry}' {reason}: refused")
    return _files(archive)


def odd_members(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    """(entry, what is wrong with it) of every entry that an archive is refused for."""
    odd, seen = [], set()
    for info in _files(archive):
        name = info.filename
        faults = {
            "leads outside the archive": bool(OUTSIDE.search(name)),
            "is a link or a device": stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG),
            "is encrypted": info.flag_bits & 1,
            "occurs twice": name in seen,
        }
        odd += [(shown(name), what) for what, true in faults.items() if true][:1]
        seen.add(name)
    return odd


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int, path: Path) -> bytes:
    """The content of one file, refusing with DataError to unpack more than `most` bytes."""
    label = path / info.filename
    with bounded.data_errors(label), archive.open(info) as member:
        return bounded.read_all(member, most, label)


def _files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [info for info in archive.infolist() if not info.is_dir()]


def _check_count(file, path: Path) -> None:
    """DataError for more members than are worth listing, which costs far more than counting them."""
    size = file.seek(0, 2)
    start = max(0, size - TAIL - 76)  # a large zip has two more records, of 56 and 20 bytes
    file.seek(start)
    tail = file.read()
    end, long = tail.rfind(END), tail.rfind(END64)
    if end < 0:
        return  # no zip, which the reader says
    listed = int.from_bytes(tail[end + 12 : end + 16], "little")
    if long >= 0:
        listed = max(listed * (listed < 2**32 - 1), int.from_bytes(tail[long + 40 : long + 48], "little"))
    if min(listed, size) > MAX_LIST:
        raise fault(path, f"the list of its members takes {listed:,} bytes: pass a smaller archive")
    file.seek(max(0, start + end - 76 - min(listed, size)))
    if (count := file.read(min(listed, size) + 76).count(MEMBER)) > MAX_MEMBERS:
        raise fault(path, f"{count:,} members, more than {MAX_MEMBERS:,}: unpack it, and pass the folder")
    file.seek(0)
