"""Folders and zips of pictures: which files count, what their class and split are, and reading them all.

A zip is read in place; nothing is unpacked and no name in it becomes a path. How one picture becomes an array
is `decode.py`. Rules: hidden files are ignored; a folder that wraps everything is looked through; `train` and
`test` at the top are splits; else the top folder is the class (classes sorted naturally, deeper folders
flattened); pictures beside class folders mean no classes. An empty folder is no class.
Read next: `decode.py`.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np

from inachus.engine.data import bounded, decode, zips
from inachus.engine.data.bounded import NoSplit, fault, shown
from inachus.engine.data.dataset import Dataset, Request
from inachus.engine.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff")
ENDINGS += (".ppm", ".pgm", ".pbm", ".pnm")
SPLIT_FOLDERS = {"train", "test", "val", "valid", "validation"}
MAX_ENTRIES = 1_000_000
MAX_FILE = 2**28  # bytes of one picture file
MAX_BAD_SHARE = 0.05  # on_bad="skip" forgives one picture, and no more than this share
LISTED = 10
FEW = 20  # one in so many pictures may be enlarged to the size of the others


@dataclass
class Shelf:
    """The picture files of one folder or zip: `names` relative to it, and `read(name) -> bytes`."""

    path: Path
    names: list[tuple[str, ...]]
    read: Callable[[tuple[str, ...]], bytes]
    others: list[str] = field(default_factory=list)  # visible files that are no pictures

    def label(self, name: tuple[str, ...]) -> str:
        """A file of this shelf as a message shows it."""
        return shown(self.path / "/".join(name))


@contextmanager
def open_shelf(path: Path) -> Iterator[Shelf]:
    """The pictures in a folder or zip; DataError for an unsafe or damaged archive."""
    if path.is_dir():
        names = list(_walk(path))
        yield _shelf(path, names, lambda name: _read_file(path.joinpath(*name)))
        return
    with zips.opened(path) as archive:
        members = {tuple(info.filename.split("/")): info for info in zips.members(archive, path)}
        yield _shelf(path, list(members), lambda name: zips.read_member(archive, members[name], MAX_FILE, path))


def single_shelf(path: Path) -> Shelf:
    """A shelf with this one file, whatever its name ends with."""
    return Shelf(path.parent, [(path.name,)], lambda name: _read_file(path))


def picture_dataset(path: Path, request: Request) -> Dataset:
    """The split of a folder or zip of pictures, in natural order of their names.

    With `size=None` every picture must have one size. Raises DataError naming the file and the remedy.
    """
    with open_shelf(path) as shelf:
        return arranged_dataset(shelf, *arrange(shelf, request.split), request)


def arranged_dataset(
    shelf: Shelf, names: list, labels: np.ndarray | None, classes: list[str], notes: list[str], request: Request
) -> Dataset:
    """What `arrange` gave, read."""
    chosen = request.chosen(len(names))
    kept, items, more = Reading(shelf, [names[i] for i in chosen], request).run()
    if labels is not None:
        labels = labels[chosen][kept]
    files = [shown("/".join(names[i])) for i in chosen[kept]]
    return Dataset(shelf.path.name, items, labels, classes, shown(shelf.path), notes + more, names=files)


Places = dict[tuple[str, ...], tuple[str, ...]]  # file -> where it stands below the folders looked through


def arrange(shelf: Shelf, split: str) -> tuple[list, np.ndarray | None, list[str], list[str]]:
    """(names in order, labels or None, classes, notes) of one split; DataError if the split is not there."""
    notes = [f"{len(shelf.others):,} files that are no pictures ignored"] if shelf.others else []
    every = unwrapped({name: name for name in sorted(shelf.names, key=natural)})
    places = _of_split(every, split, shelf.path)
    if len(places) < len(every):
        notes.append(f"{len(every) - len(places):,} pictures outside '{split}' left out")
    folders = folders_of(places)
    if not folders or any(len(place) == 1 for place in places.values()):
        beside = ["no classes: pictures lie beside the folders"] if folders else []
        return list(places), None, [], notes + beside
    classes = sorted(folders, key=lambda name: natural((name,)))
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[place[0]] for place in places.values()], np.int64)
    return list(places), labels, [shown(name) for name in classes], notes


def folders_of(places: Places) -> set[str]:
    """The names of the top folders."""
    return {place[0] for place in places.values() if len(place) > 1}


def unwrapped(places: Places) -> Places:
    """Without the folders that merely hold everything, as a zipped folder does."""
    while all(len(place) > 1 for place in places.values()):
        folders = folders_of(places)
        if len(folders) > 1 or folders <= SPLIT_FOLDERS:
            break
        places = {name: place[1:] for name, place in places.items()}
    return places


def _of_split(places: Places, split: str, path: Path) -> Places:
    folders = folders_of(places)
    # `train` alone may be a class (cars, planes, trains); beside `test`, or among splits only, it is a split.
    if folders and (folders <= SPLIT_FOLDERS or {"train", "test"} <= folders):
        inside = {name: place[1:] for name, place in places.items() if len(place) > 1 and place[0] == split}
        if not inside:
            raise fault(path, f"no folder '{split}': it holds only {', '.join(sorted(folders))}", NoSplit)
        return inside
    if split == "test":
        remedy = "put the pictures into folders train and test, or pass the test folder by its own path"
        raise fault(path, f"no test split: {remedy}", NoSplit)
    return places


def natural(name: tuple[str, ...]) -> tuple:
    """Sort key: `2.png` before `10.png`, by code point otherwise, the same in every locale."""
    return tuple((_pieces(part), part) for part in name)


def _pieces(part: str) -> list:
    """Text and numbers in turn, so like meets like; a number as (length, digits) without leading zeros."""
    pieces = re.split("([0-9]+)", part)
    return [(len(p.lstrip("0")), p.lstrip("0")) if i % 2 else p for i, p in enumerate(pieces)]


# --- reading all of them -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """How a file becomes pixels: two functions like those of `decode.py`, and how many pictures lie in it."""

    header: Callable = decode.header
    decode: Callable = decode.decode
    pictures: int = 1  # of one size, joined along their channels


PLAIN = Kind()


class Reading:
    """One pass over the headers (sizes, memory, channels), then one over the pixels; bad files on the way."""

    def __init__(self, shelf: Shelf, names: list, request: Request, kind: Kind = PLAIN):
        self.shelf, self.names, self.request, self.kind = shelf, names, request, kind
        self.bad: list[str] = []
        self.sizes: dict[int, tuple[int, int]] = {}  # (width, height) as stored

    def run(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """(indices that could be read, their pixels (N,H,W,C), notes)."""
        heads = {i: head for i in range(len(self.names)) if (head := self._try(i, self.kind.header))}
        self._judge(len(heads))
        self.sizes = {i: size for i, (size, _) in heads.items()}
        channels = self.request.channels or (1 if all(grey for _, grey in heads.values()) else 3)
        width, height = self._one_size(list(self.sizes.values()))
        shape = (len(heads), height, width, channels * self.kind.pictures)
        bounded.check_memory(prod(shape), self.shelf.path)
        items, kept, counts = np.empty(shape, np.uint8), [], Counter()
        for done, i in enumerate(heads, 1):
            if self.request.progress:
                self.request.progress(done, len(heads))
            result = self._try(i, self.kind.decode, channels, self.request.size)
            if result is None:
                continue
            pixels, phrases = result
            if pixels.shape != shape[1:]:
                found = f"{pixels.shape[1]}x{pixels.shape[0]}"
                self._refuse_sizes(f"{self.shelf.label(self.names[i])} is {found}, not {width}x{height}")
            items[len(kept)] = pixels
            kept.append(i)
            counts.update(phrases)
        self._judge(len(kept))
        return np.array(kept), items[: len(kept)], decode.counted(counts, len(self.names)) + self._skipped()

    def _try(self, index: int, function, *arguments):
        name = self.names[index]
        try:
            return function(self.shelf.read(name), self.shelf.label(name), *arguments)
        except DataError as error:
            if self.request.on_bad == "stop":
                remedy = "repair or remove it, or pass --set on_bad=skip"
                raise DataError(f"{error}; {remedy}") from error
            self.bad.append(str(error))
            return None

    def _judge(self, good: int) -> None:
        if len(self.bad) > max(1, MAX_BAD_SHARE * len(self.names)) or not good:
            share = f"{len(self.bad)} of {len(self.names)} pictures unreadable, more than {MAX_BAD_SHARE:.0%}"
            raise fault(self.shelf.path, f"{share}; first: {self.bad[0]}")

    def _one_size(self, sizes: list[tuple[int, int]]) -> tuple[int, int]:
        if self.request.size:
            return self.request.size, self.request.size
        common = Counter(sizes).most_common()
        if len(common) > 1 and self.request.mixed:
            shorter = sorted(map(min, sizes))
            usual = shorter[len(shorter) // FEW]  # a few small ones make no others small
            self.request = replace(self.request, size=min(usual, self.request.mixed))
            return self.request.size, self.request.size
        if len(common) > 1:
            some = ", ".join(f"{w}x{h} ({count:,})" for (w, h), count in common[:3])
            self._refuse_sizes(f"{len(common)} sizes: {some}{', ...' if len(common) > 3 else ''}")
        return common[0][0]

    def _refuse_sizes(self, what: str):
        remedy = "pass a size, for instance --set size=64 (centre square, resized)"
        raise fault(self.shelf.path, f"the pictures differ in size: {what}; {remedy}")

    def _skipped(self) -> list[str]:
        if not self.bad:
            return []
        some = "; ".join(self.bad[:LISTED]) + ("; ..." if len(self.bad) > LISTED else "")
        return [f"{len(self.bad):,} of {len(self.names):,} pictures unreadable and skipped: {some}"]


# --- folders and archives ----------------------------------------------------------------------------------


def _shelf(path: Path, names: list[tuple[str, ...]], read: Callable) -> Shelf:
    seen = [name for name in names if not any(part.startswith(".") or part == "__MACOSX" for part in name)]
    pictures = [name for name in seen if name[-1].lower().endswith(ENDINGS)]
    others = ["/".join(name) for name in seen if not name[-1].lower().endswith(ENDINGS)]
    if not pictures:
        zips = sorted(shown(name) for name in others if name.endswith(".zip"))
        remedy = f"pass one of its zips, such as {zips[0]}" if zips else f"read are {' '.join(ENDINGS)}"
        raise fault(path, f"no pictures in it; {remedy}")
    return Shelf(path, pictures, read, others)


def _walk(root: Path) -> Iterator[tuple[str, ...]]:
    """Every file below `root`; links to folders are followed once, so a loop of links ends."""
    pending, visited = [()], set()
    count = 0
    while pending:
        place = pending.pop()
        with bounded.data_errors(root.joinpath(*place), kinds=(OSError,)):
            status = os.stat(root.joinpath(*place))
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            entries = list(os.scandir(root.joinpath(*place)))
        # Sorted, so that of two links to one folder the same one is followed on every machine.
        for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
            if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path)):
                pending.append((*place, entry.name))
                continue
            count += 1
            if count > MAX_ENTRIES:
                raise fault(root, f"more than {MAX_ENTRIES:,} files: pass a smaller folder")
            yield (*place, entry.name)


def _read_file(path: Path) -> bytes:
    with bounded.open_regular(path) as file, bounded.data_errors(path):
        return bounded.read_all(file, MAX_FILE, path)
