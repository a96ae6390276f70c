"""Reads `.npz` files: arrays `x` and, if present, `y`; or Keras' `x_train y_train x_test y_test`.

Never unpickles, and believes no header: a member's size is compared with its declared shape before reading.
The values become uint8 pictures or float32 points here, and what was converted is noted.
Read next: `sources.py`.
"""

import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from inachus.engine.data import bounded, zips
from inachus.engine.data.bounded import NoSplit, fault, shown
from inachus.engine.data.dataset import Dataset, Request, numbered_classes

KEYS = {"train": (("x", "y"), ("x_train", "y_train")), "test": (("x_test", "y_test"),)}
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def npz_dataset(path: Path, request: Request) -> Dataset:
    """The split of an `.npz`: x as pictures (N,H,W), (N,H,W,1|3) or points (N,2); y as whole numbers (N,).

    Raises DataError for a missing key, an object array, NaN, a wrong rank, or any damage.
    """
    with zips.opened(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
        pairs = [pair for pair in KEYS[request.split] if pair[0] in names]
        if not pairs:
            wanted = " or ".join(pair[0] for pair in KEYS[request.split])
            held = shown(", ".join(sorted(names)[:10]))
            raise fault(path, f"no array {wanted} for the {request.split} split; it holds: {held}", NoSplit)
        x, y = pairs[0]
        values = read_member(archive, x, path)
        labels = read_member(archive, y, path) if y in names else None
    items, notes = _as_items(values, path)
    if labels is None:
        return Dataset(path.name, items, source=shown(path), notes=notes)
    labels = _as_labels(labels, len(items), path)
    return Dataset(path.name, items, labels, numbered_classes(shown(path), labels), shown(path), notes)


def read_member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array of an open `.npz`, after its header has been checked; DataError otherwise."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        version = npy.read_magic(member)
        if version not in HEADERS:
            raise fault(path, f"array {name} has npy format {version}: only 1.0 and 2.0 are read")
        shape, _, dtype = HEADERS[version](member)
        if dtype.hasobject:
            raise fault(path, f"array {name} holds Python objects (a pickle): refused")
        needed, present = prod(shape) * dtype.itemsize, info.file_size - member.tell()
        if needed != present:
            raise fault(path, f"array {name} declares {needed:,} bytes, but {present:,} are there")
    bounded.check_memory(needed, path)
    with archive.open(info) as member:
        return npy.read_array(member, allow_pickle=False)


def _as_items(values: np.ndarray, path: Path) -> tuple[np.ndarray, list[str]]:
    """uint8 pictures (N,H,W,C) or float32 points (N,2), and a note if the values were mapped."""
    if values.ndim == 2 and values.shape[1] == 2 and values.dtype.kind == "f":
        return _finite(values, path).astype(np.float32), []
    if values.ndim == 3:
        values = values[..., None]  # (N,H,W) -> (N,H,W,1)
    if values.ndim != 4 or values.shape[-1] not in (1, 3):
        first = values.ndim == 4 and values.shape[1] in (1, 3)
        remedy = "save x.transpose(0, 2, 3, 1)" if first else "pictures are (N,H,W), (N,H,W,1) or (N,H,W,3)"
        raise fault(path, f"x has shape {values.shape}: {remedy}; points are float (N,2)")
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values), []
    if values.dtype.kind not in SCALES or not values.size:
        raise fault(path, f"x is {values.dtype} {values.shape}: save it as uint8, values 0..255")
    low, high = float(_finite(values, path).min()), float(values.max())
    for least, most, to_bytes in SCALES[values.dtype.kind]:
        if least <= low and high <= most:
            note = f"{values.dtype} values {low:g}..{high:g} read as {least}..{most} and stored in 8 bits"
            return np.rint(to_bytes(values)).astype(np.uint8), [note]
    raise fault(path, f"x has values {low:g}..{high:g}: save it as uint8, values 0..255")


# For each kind of number, the value ranges a picture may have, narrowest first, and the map to 0..255.
Scale = tuple[int, int, Callable[[np.ndarray], np.ndarray]]
BYTES: Scale = (0, 255, lambda x: x)
SCALES: dict[str, list[Scale]] = {
    "b": [(0, 1, lambda x: x * 255.0)],
    "i": [BYTES],
    "u": [BYTES],
    "f": [(0, 1, lambda x: x * 255), (-1, 1, lambda x: (x + 1) * 127.5), BYTES],
}


def _finite(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        first = np.argwhere(~np.isfinite(values))[0]
        raise fault(path, f"x has a value that is NaN or infinite, first in item {first[0]}")
    return values


def _as_labels(labels: np.ndarray, items: int, path: Path) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # (N,1) -> (N,): Keras stores CIFAR-10 so
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise fault(path, f"y must be whole numbers (N,), not {labels.dtype} {labels.shape}")
    if len(labels) != items:
        raise fault(path, f"{len(labels)} labels in y for {items} items in x")
    return labels.astype(np.int64)
