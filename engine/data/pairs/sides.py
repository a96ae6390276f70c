"""Reading the files of two sides, one side after the other or both out of pictures that lie side by side.

Which files these are is decided before; how one file becomes pixels is `engine/data/decode.py` and, for class maps,
`maps.py`. True pairs must show the same part of the scene, so their stored proportions must agree.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from inachus.engine.data import decode
from inachus.engine.data.bounded import fault
from inachus.engine.data.dataset import Request
from inachus.engine.data.pairs import maps
from inachus.engine.data.pairs.layouts import UNDERSTOOD, File, listed
from inachus.engine.data.pictures import PLAIN, Kind, Reading, Shelf
from inachus.engine.errors import DataError


class Disproportion(DataError):
    """Pictures of equal names that cannot show the same part of a scene."""


@dataclass
class Side:
    """One side as read: the numbers of the files that could be, their pictures (N,H,W,C), what `Pairs` says of them."""

    kept: np.ndarray
    items: np.ndarray
    palette: np.ndarray | None
    table: np.ndarray | None
    sizes: dict[int, tuple[int, int]]  # (width, height) of each file as stored
    notes: list[str]

    def only(self, numbers: np.ndarray) -> "Side":
        """The side with these files alone."""
        return replace(self, kept=numbers, items=self.items[np.searchsorted(self.kept, numbers)])


def read_side(shelf: Shelf, files: list[File], request: Request, classes: bool | None) -> Side:
    """One side; `classes` says whether it is class maps, None recognises them."""
    kind, table = maps.kind_of(shelf, files, classes)
    if kind is maps.NUMBERS:
        request = replace(request, channels=1)
    reading = Reading(shelf, files, request, kind)
    kept, items, notes = reading.run()
    palette = None
    if kind is not PLAIN:
        items, palette = maps.coloured(items, table, shelf.path)
        notes.append(f"class maps of {len(palette)} classes, as colours")
    return Side(kept, items, palette, table, reading.sizes, notes)


def read_halves(shelf: Shelf, files: list[File], request: Request, classes: list[bool | None]) -> list[Side]:
    """Both sides of pictures side by side; a half is taken as class maps, in flat colours, if so said."""
    kind = Kind(_half_header, partial(_decode_halves, classes=classes), pictures=2)
    reading = Reading(shelf, files, request, kind)
    kept, items, notes = reading.run()
    sides = []
    for half, shows_classes in zip(np.split(items, 2, axis=-1), classes, strict=True):  # (N,H,W,2C) -> 2 (N,H,W,C)
        half, palette = maps.coloured(half, None, shelf.path) if shows_classes else (half, None)
        sides.append(Side(kept, np.ascontiguousarray(half), palette, None, reading.sizes, notes))
    return sides


def together(path: Path, files: list[File], sides: list[Side]) -> list[Side]:
    """True pairs alone: those of which both could be read.

    With up to ten names, Disproportion where proportions disagree; DataError where sizes do.
    """
    a, b = sides
    both = np.intersect1d(a.kept, b.kept)
    sizes = {i: (*a.sizes[i], *b.sizes[i]) for i in both.tolist()}
    odd = [f"{'/'.join(files[i])} ({w}x{h}, {v}x{g})" for i, (w, h, v, g) in sizes.items() if w * g != v * h]
    if odd:
        reason = f"{len(odd):,} pairs whose pictures differ in proportions: {listed(odd)}; cut them alike"
        raise fault(path, reason, Disproportion)
    if a.items.shape[1:3] != b.items.shape[1:3]:
        found = " and ".join("{1}x{0}".format(*side.items.shape[1:3]) for side in sides)
        raise fault(path, f"the two sides differ in size: {found}; pass a size, for instance --set size=64")
    return [a.only(both), b.only(both)]


def check_halves(shelf: Shelf, files: list[File]) -> None:
    """DataError, with up to ten names, unless every picture that can be read is twice as wide as high."""
    sizes = {}
    for name in files:
        with suppress(DataError):  # reading says what is wrong with it
            sizes[name] = decode.header(shelf.read(name), shelf.label(name))[0]
    odd = [f"{'/'.join(name)} ({w}x{h})" for name, (w, h) in sizes.items() if w != 2 * h]
    if len(odd) == len(sizes):
        found = f"{len(files):,} pictures, none twice as wide as high, and no two folders"
        raise fault(shelf.path, f"no pairs in it: {found}; {UNDERSTOOD}")
    if odd:
        rule = "pictures side by side must be twice as wide as high"
        raise fault(shelf.path, f"{rule}; {len(odd):,} of {len(sizes):,} are not: {listed(odd)}")


def _half_header(data: bytes, label: str) -> tuple[tuple[int, int], bool]:
    (width, height), grey = decode.header(data, label)
    return (width // 2, height), grey


def _decode_halves(data: bytes, label: str, channels: int, size: int | None, *, classes: list):
    pixels, notes = decode.decode(data, label, channels)
    halves, more = [], []
    for half, shows_classes in zip(np.split(pixels, 2, axis=1), classes, strict=True):  # cut before anything is mixed
        resample = Resampling.NEAREST if shows_classes else Resampling.LANCZOS
        image = decode.resized(Image.fromarray(half.squeeze(-1) if channels == 1 else half), size, more, resample)
        halves.append(np.asarray(image).reshape(image.height, image.width, channels))
    return np.concatenate(halves, axis=-1), [*notes, *dict.fromkeys(more)]  # 2 (H,W,C) -> (H,W,2C)
