"""What a data set is (`Dataset`), what the caller may ask of one (`Request`), and the batches drawn from it.

This file reads nothing from disk. The order of the items is counter-based: batch number `position` is a pure
function of (seed, position), so one integer in a checkpoint is the whole state of the loader.
Read next: `sources.py`, which turns names and paths into data sets.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np

from inachus.engine.errors import DataError, UsageError

SPLITS = ("train", "test")
SHARE = "a share, at least 0 and below 1"
MAX_CLASSES = 65_536  # more "classes" than this are row numbers or hashes, not classes
# Separate streams: none mirrors another.
PURPOSES = {"order": 1, "drawing": 2, "partners": 3, "jitter": 4, "crops": 5, "holes": 6, "textures": 7, "labelled": 8}


def philox(seed: int, purpose: str, number: int) -> np.random.Philox:
    """The counter-based random stream of (seed, purpose, number); seed in 0..2^64-1, number in 0..2^48-1."""
    return np.random.Philox(key=np.array([seed, PURPOSES[purpose] << 48 | number], np.uint64))


@dataclass(frozen=True)
class Request:
    """What the caller of `load` wants, checked once; every reader receives the same object.

    Raises UsageError for a value no source could serve.
    """

    split: str = "train"
    size: int | None = None
    channels: int | None = None
    limit: int | None = None
    seed: int = 0
    on_bad: str = "stop"
    progress: Callable[[int, int], None] | None = None
    hold_out: float = 0.0  # share of the test split, where there is none
    mixed: int = 0  # pixels of a side that pictures of several sizes get at most, if no size is asked for; 0: refused

    def __post_init__(self):
        rules = {
            "split": (self.split in SPLITS, f"one of {', '.join(SPLITS)}"),
            "size": (self.size is None or self.size >= 1, "a positive number of pixels"),
            "channels": (self.channels in (None, 1, 3), "1 (grey) or 3 (RGB)"),
            "limit": (self.limit is None or self.limit >= 1, "a positive number of items"),
            "seed": (0 <= self.seed < 2**64, "between 0 and 2^64 - 1"),
            "on_bad": (self.on_bad in ("stop", "skip"), "stop or skip"),
            "hold_out": (0 <= self.hold_out < 1, SHARE),
            "mixed": (self.mixed >= 0, "a number of pixels, or 0"),
        }
        broken = {name: rule for name, (fits, rule) in rules.items() if not fits}
        if broken:
            wrong = [f"{name}={getattr(self, name)!r} must be {rule}" for name, rule in broken.items()]
            raise UsageError("load: " + "; ".join(wrong))

    def chosen(self, count: int) -> np.ndarray:
        """Indices of the items to keep: all, or `limit` of them spread evenly (class folders are sorted)."""
        kept = min(count, self.limit or count)
        return np.arange(kept) * count // kept


@dataclass(eq=False)
class Dataset:
    """Items in memory with their labels: uint8 pictures (N,H,W,C), or float32 points (N,2).

    `labels` is int64 (N,) with values in 0..len(classes)-1, or None. Raises DataError, naming the first
    offender, when the arrays do not fit together.
    """

    name: str
    items: np.ndarray
    labels: np.ndarray | None = None
    classes: list[str] = field(default_factory=list)
    source: str = ""
    notes: list[str] = field(default_factory=list)
    mixture: Any = None  # of points whose distribution is known: `mixtures.Mixture`
    names: list[str] = field(default_factory=list)  # of the files, if every item has one of its own

    def __post_init__(self):
        where = self.source or self.name
        layout = (self.items.dtype, self.items.ndim)
        if layout not in ((np.uint8, 4), (np.float32, 2)):
            found = f"{self.items.dtype} {self.items.shape}"
            raise DataError(f"{where}: items must be uint8 (N,H,W,C) or float32 (N,2), not {found}")
        if 0 in self.items.shape:
            raise DataError(f"{where}: no items (shape {self.items.shape})")
        if self.labels is not None:
            check_labels(where, self.labels, len(self.items), len(self.classes))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def kind(self) -> str:
        """`"pictures"` or `"points"`."""
        return "pictures" if self.items.ndim == 4 else "points"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one item: (H,W,C), or (2,)."""
        return self.items.shape[1:]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over shape, items and labels: equal data, equal fingerprint, wherever it lies."""
        digest = sha256(f"{self.kind} {self.items.shape} {self.labels is not None}".encode())
        digest.update(np.ascontiguousarray(self.items))
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels))
        return digest.hexdigest()

    def named(self, indices: np.ndarray) -> list[str]:
        """What a message calls the chosen items: their files, or "item 17" counted from 0."""
        known = len(self.names) == len(self.items)
        return [self.names[i] if known else f"item {i}" for i in indices]

    def normalised(self, indices) -> np.ndarray:
        """The chosen items as float32: pictures in [-1,1] by x/127.5 - 1, points as they are."""
        items = self.items[indices]
        return normalised(items) if self.kind == "pictures" else items.astype(np.float32)


def normalised(pictures: np.ndarray) -> np.ndarray:
    """x/127.5 - 1 as float32: 0..255 becomes -1..1."""
    values = pictures.astype(np.float32)
    values /= np.float32(127.5)
    values -= np.float32(1)
    return values


def check_labels(where: str, labels: np.ndarray, items: int, classes: int) -> None:
    """Raise DataError unless there is one int64 label in 0..classes-1 for each item."""
    if labels.dtype != np.int64 or labels.shape != (items,):
        raise DataError(f"{where}: {items} items need {items} labels, not {labels.dtype} {labels.shape}")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        first = outside[0]
        raise DataError(f"{where}: label {labels[first]} of item {first} is outside 0..{classes - 1}")


def numbered_classes(where: str, labels: np.ndarray) -> list[str]:
    """Names `"0", "1", ...` for labels that came without any; DataError when they cannot be class numbers."""
    check_labels(where, labels, len(labels), MAX_CLASSES)
    return [str(number) for number in range(int(labels.max()) + 1)] if len(labels) else []


@dataclass(frozen=True)
class Batch:
    """What one training step sees: float32 items (B,H,W,C) or (B,2), and int64 labels (B,) or None."""

    items: np.ndarray
    labels: np.ndarray | None = None


class Order:
    """Which of `count` items the batches of `size` hold: epoch after epoch, each with every item once.

    The order of epoch e depends on (seed, purpose, e) alone: the ranks of raw Philox words, a stream NumPy
    promises never to change. A batch may straddle two epochs, so every batch is full. Raises UsageError, with
    the `name` of the data, when there are fewer items than one batch takes.
    """

    def __init__(self, name: str, count: int, size: int, seed: int, purpose: str = "order"):
        if not 1 <= size <= count:
            held = f"the data set holds {count} items: pass --batch between 1 and {count}"
            raise UsageError(f"{name}: a batch of {size} is impossible, {held}")
        if not 0 <= seed < 2**64:
            raise UsageError(f"seed {seed} must lie between 0 and 2^64 - 1")
        self.count, self.size, self.seed, self.purpose = count, size, seed, purpose
        self._epochs: dict[int, np.ndarray] = {}

    def indices_at(self, position: int) -> np.ndarray:
        """The items of batch number `position`, int64 (size,)."""
        epoch, start = divmod(position * self.size, self.count)
        indices = self._epoch(epoch)[start : start + self.size]
        missing = self.size - len(indices)
        return np.concatenate([indices, self._epoch(epoch + 1)[:missing]]) if missing else indices

    def _epoch(self, epoch: int) -> np.ndarray:
        order = self._epochs.get(epoch)
        if order is None:
            words = philox(self.seed, self.purpose, epoch).random_raw(self.count)
            order = np.argsort(words, kind="stable")
            # A batch touches at most two neighbouring epochs: older orders are dropped.
            self._epochs = {e: o for e, o in self._epochs.items() if abs(e - epoch) == 1} | {epoch: order}
        return order


class Batches:
    """Endless shuffled batches; `position`, the number of batches handed out, is the whole state.

    What `Order` says holds of them. `jitter(pictures, draws)` varies pictures, draws (B,3) in [0,1) being those of the
    position (see `pairs/dataset.py`). Raises UsageError when the data set is smaller than one batch.
    """

    def __init__(self, dataset: Dataset, size: int, seed: int = 0, jitter: Callable | None = None):
        self.order = Order(dataset.name, len(dataset), size, seed)
        self.dataset, self.size, self.seed, self.jitter, self.position = dataset, size, seed, jitter, 0

    def batch_at(self, position: int) -> Batch:
        """Batch number `position` (from 0), whatever was read before."""
        indices, labels = self.order.indices_at(position), self.dataset.labels
        return Batch(self._items(indices, position), None if labels is None else labels[indices])

    def names_at(self, position: int) -> list[str]:
        """The names of the items of batch number `position`."""
        return self.dataset.named(self.order.indices_at(position))

    def _items(self, indices: np.ndarray, position: int) -> np.ndarray:
        if self.jitter is None:
            return self.dataset.normalised(indices)
        draws = np.random.Generator(philox(self.seed, "jitter", position)).random((self.size, 3))
        return normalised(self.jitter(self.dataset.items[indices], draws))

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        batch = self.batch_at(self.position)
        self.position += 1
        return batch


class Ahead:
    """The batches of a loader, the coming ones made by two threads while the device is busy: close() ends them."""

    def __init__(self, batches: Batches, depth: int = 4):
        self.batches, self.depth, self._made = batches, depth, {}
        self._threads = ThreadPoolExecutor(2, "batch")

    def batch_at(self, position: int) -> Batch:
        """Batch number `position`; those behind it are on their way then."""
        for coming in range(position, position + self.depth):
            if coming not in self._made:
                self._made[coming] = self._threads.submit(self.batches.batch_at, coming)
        return self._made.pop(position).result()

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(cancel_futures=True)
