"""A test split for sources that have none, chosen by content: what looks equal never lies on both sides of it.

The same picture often has several names (aliases) or partners. All pairs that share a picture make one group, and
whole groups go to one split; which, depends on the pictures alone. No layout is known here. Read next: `sources.py`.
"""

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256

import numpy as np

from inachus.engine.data import decode
from inachus.engine.data.pictures import Shelf
from inachus.engine.errors import DataError


def marks(shelf: Shelf, names: list, half: int | None = None) -> list[bytes]:
    """What stands for the pixels of each picture, as stored; of its left (0) or right (1) half if asked for."""
    return [_mark(shelf, name, half) for name in names]


def divide(
    a: list[bytes], b: list[bytes], paired: bool, share: float, test: bool
) -> tuple[list[int], list[int], list[str]]:
    """(rows of a, rows of b, notes): the test split, which is about `share` of the groups, or else the rest.

    Of true pairs, those whose two pictures are one are left out, and so are repeated ones.
    """
    of_a, of_b = parted([a, b], zip(a, b, strict=True) if paired else [], share, test)
    if not paired:
        return of_a, of_b, [f"{len(of_a):,} and {len(of_b):,} pictures are the {_split(test)}"]
    kept, notes = _distinct(of_a, a, b)
    return kept, kept, [f"{len(kept):,} pairs are the {_split(test)}", *notes]


def part_of_classes(
    seen: list[bytes], labels: np.ndarray, places: list, share: float, test: bool
) -> tuple[list[int], list[str]]:
    """(rows, notes): the test split of labelled pictures, or the rest; one place in several classes goes to one split.

    Pictures that are in several classes are left out.
    """
    first: dict = {}
    links = [(first.setdefault(place, mark), mark) for place, mark in zip(places, seen, strict=True)]
    (rows,) = parted([seen], links, share, test)
    classes = defaultdict(set)
    for mark, label in zip(seen, labels.tolist(), strict=True):
        classes[mark].add(label)
    kept = [i for i in rows if len(classes[seen[i]]) == 1]
    notes = [f"{len(kept):,} pictures are the {_split(test)}"]
    return kept, notes + [f"{n:,} pictures left out: in several classes" for n in [len(rows) - len(kept)] if n]


def parted(sides: list[list[bytes]], links: Iterable[tuple[bytes, bytes]], share: float, test: bool) -> list[list[int]]:
    """Of each side the rows of the test split, or of the rest; linked marks are of one group, a group of one split."""
    parent: dict[bytes, bytes] = {}

    def group(mark: bytes) -> bytes:
        while parent.setdefault(mark, mark) != mark:
            parent[mark] = mark = parent[parent[mark]]
        return mark

    for first, second in links:
        low, high = sorted((group(first), group(second)))
        parent[high] = low
    # Hashed once more: the smallest mark of a large group is small, and would put large groups first.
    groups = sorted({group(mark) for side in sides for mark in side}, key=lambda mark: sha256(mark).digest())
    held = set(groups[: round(share * len(groups))])
    return [[i for i, mark in enumerate(side) if (group(mark) in held) == test] for side in sides]


def _split(test: bool) -> str:
    return "test split, chosen by content" if test else "training split; a test split, chosen by content, is held out"


def _distinct(rows: list[int], a: list[bytes], b: list[bytes]) -> tuple[list[int], list[str]]:
    different = [i for i in rows if a[i] != b[i]]
    first = {(a[i], b[i]): i for i in reversed(different)}
    kept = [i for i in different if first[a[i], b[i]] == i]
    dropped = {"whose two pictures are equal": len(rows) - len(different), "repeated": len(different) - len(kept)}
    return kept, [f"{count:,} pairs left out: {what}" for what, count in dropped.items() if count]


def _mark(shelf: Shelf, name, half: int | None) -> bytes:
    data = shelf.read(name)
    try:
        pixels, _ = decode.decode(data, shelf.label(name), channels=3)
    except DataError:  # reading says what is wrong with it
        return sha256(data).digest()
    if half is not None:
        middle = pixels.shape[1] // 2
        pixels = pixels[:, middle:] if half else pixels[:, :middle]
    return sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).digest()
