"""What pairs are (`Pairs`), and the batches drawn from them, jittered or not (`PairBatches`).

As in `engine/data/dataset.py`, batch number `position` is a pure function of (seed, position): order, partners and
jitter come from counter-based streams. This file reads nothing from disk. Read next: `layouts.py`.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
from PIL import Image
from PIL.Image import Resampling, Transpose

from inachus.engine.data.dataset import Dataset, Order, normalised, philox
from inachus.engine.errors import DataError, UsageError


@dataclass(eq=False)
class Pairs:
    """uint8 pictures a (N,H,W,Ca) and b (M,H,W,Cb); if `paired`, N = M and a[i] belongs to b[i].

    `sides` are the names of the two, `names` those of their pictures. `palettes`: of a side that shows classes, the
    colours (K,3) of its classes, which are the only ones it has; else None. `tables`: of one whose files hold class
    numbers, the colours (256,3) of all numbers; else None. Raises DataError when the arrays do not fit together.
    """

    name: str
    a: np.ndarray
    b: np.ndarray
    paired: bool = True
    sides: tuple[str, str] = ("A", "B")
    names: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    palettes: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    tables: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    source: str = ""
    notes: list[str] = field(default_factory=list)
    kind = "pairs"
    labels = None  # a pair has no class

    def __post_init__(self):
        where = self.source or self.name
        for side, pictures in zip("ab", (self.a, self.b), strict=True):
            if pictures.dtype != np.uint8 or pictures.ndim != 4 or 0 in pictures.shape:
                found = f"{pictures.dtype} {pictures.shape}"
                raise DataError(f"{where}: side {side} must be uint8 (N,H,W,C) with N > 0, not {found}")
        if self.paired and len(self.a) != len(self.b):
            raise DataError(f"{where}: {len(self.a)} pictures a and {len(self.b)} pictures b are no true pairs")
        for names, pictures in zip(self.names, (self.a, self.b), strict=True):
            if names and len(names) != len(pictures):
                raise DataError(f"{where}: {len(names)} names for {len(pictures)} pictures")

    def __len__(self) -> int:
        """Pictures on the larger side: the pairs, if they are paired."""
        return max(len(self.a), len(self.b))

    @property
    def shape(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes (H,W,C) of one picture of a and of b."""
        return self.a.shape[1:], self.b.shape[1:]

    @property
    def classes(self) -> list[str]:
        """The names of the two sides, which a `Dataset` of both would have as classes."""
        return list(self.sides)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over both sides and whether they are paired: equal data, equal fingerprint."""
        digest = sha256(f"pairs {self.a.shape} {self.b.shape} {self.paired}".encode())
        digest.update(np.ascontiguousarray(self.a))
        digest.update(np.ascontiguousarray(self.b))
        return digest.hexdigest()

    def drop_pairing(self) -> "Pairs":
        """The same pictures as two heaps, to train on; what was true pairs keeps its order, for scores."""
        return replace(self, paired=False)

    def swapped(self) -> "Pairs":
        """The other direction: a and b exchanged."""
        both = {field: getattr(self, field)[::-1] for field in ("sides", "names", "palettes", "tables")}
        return replace(self, a=self.b, b=self.a, **both)

    def domains(self) -> Dataset:
        """Both sides as one data set with two classes; DataError if their pictures differ in shape."""
        if self.a.shape[1:] != self.b.shape[1:]:
            remedy = "pass one size and channels=3"
            raise DataError(f"{self.name}: sides of shapes {self.shape} are no domains of one data set: {remedy}")
        items = np.concatenate([self.a, self.b])  # (N,H,W,C), (M,H,W,C) -> (N+M,H,W,C)
        labels = np.repeat(np.arange(2), [len(self.a), len(self.b)])
        return Dataset(self.name, items, labels, list(self.sides), self.source, self.notes)


@dataclass(frozen=True)
class PairBatch:
    """What one training step sees: float32 a (B,H,W,Ca) and b (B,H,W,Cb) in [-1,1], of one shape in every batch."""

    a: np.ndarray
    b: np.ndarray

    @property
    def items(self) -> np.ndarray:
        """Side a, under the name by which a device takes the first array of a batch."""
        return self.a

    @property
    def labels(self) -> np.ndarray:
        """Side b, under the name by which a device takes the second."""
        return self.b


@dataclass(frozen=True)
class Jitter:
    """Pictures enlarged, cropped at random to their old size, and mirrored (pix2pix, Isola et al. 2017, sec. 6.2).

    The window takes 1/enlarge of height and width, anywhere; colours of class maps are never mixed.
    """

    enlarge: float = 286 / 256
    flip: bool = True

    def __post_init__(self):
        if not 1 <= self.enlarge < float("inf"):
            raise UsageError(f"jitter: enlarge must be at least 1, not {self.enlarge}")

    def __call__(self, pictures: np.ndarray, draws: np.ndarray, smooth: bool = True) -> np.ndarray:
        """uint8 (B,H,W,C), each changed as its row of draws (B,3) in [0,1) says: down, right, mirrored if >= 1/2."""
        return np.stack([self._one(*each, smooth) for each in zip(pictures, draws, strict=True)])

    def _one(self, picture: np.ndarray, draw: np.ndarray, smooth: bool) -> np.ndarray:
        height, width, channels = picture.shape
        down, right, mirrored = draw
        top, left = down * (height - height / self.enlarge), right * (width - width / self.enlarge)
        window = (left, top, min(left + width / self.enlarge, width), min(top + height / self.enlarge, height))
        resample = Resampling.BICUBIC if smooth else Resampling.NEAREST
        # Pillow resizes one or three channels of 8 bits; any other number of them goes one by one.
        planes = [picture] if channels == 3 else [picture[..., c] for c in range(channels)]
        images = [Image.fromarray(plane).resize((width, height), resample, box=window) for plane in planes]
        if self.flip and mirrored >= 0.5:
            images = [image.transpose(Transpose.FLIP_LEFT_RIGHT) for image in images]
        return np.asarray(images[0]) if channels == 3 else np.stack([np.asarray(i) for i in images], axis=-1)


class PairBatches:
    """Endless shuffled batches of pairs; `position`, the number of batches handed out, is the whole state.

    True pairs stay together and are jittered equally; else a and b are drawn and jittered independently, each with
    epochs of its own. Raises UsageError when a side is smaller than one batch.
    """

    def __init__(self, pairs: Pairs, size: int, seed: int = 0, jitter: Jitter | None = None):
        self.pairs, self.size, self.seed, self.jitter, self.position = pairs, size, seed, jitter, 0
        self.orders = [Order(pairs.name, len(pairs.a), size, seed)]
        if not pairs.paired:
            self.orders.append(Order(pairs.name, len(pairs.b), size, seed, "partners"))

    def batch_at(self, position: int) -> PairBatch:
        """Batch number `position` (from 0), whatever was read before."""
        rows = [order.indices_at(position) for order in self.orders]
        draws = np.random.Generator(philox(self.seed, "jitter", position)).random((len(rows), self.size, 3))
        sides = zip((self.pairs.a, self.pairs.b), self.pairs.palettes, (0, -1), strict=True)
        return PairBatch(*(self._side(side[rows[i]], draws[i], palette is None) for side, palette, i in sides))

    def names_at(self, position: int) -> list[str]:
        """The names of the pictures of batch number `position`: of a alone if b are their partners."""
        held = zip(self.orders, self.pairs.names, self.pairs.sides, strict=False)
        rows = [(order.indices_at(position), names, side) for order, names, side in held]
        return [names[i] if names else f"{side} {i}" for indices, names, side in rows for i in indices]

    def _side(self, pictures: np.ndarray, draws: np.ndarray, smooth: bool) -> np.ndarray:
        return normalised(self.jitter(pictures, draws, smooth) if self.jitter else pictures)

    def __iter__(self) -> "PairBatches":
        return self

    def __next__(self) -> PairBatch:
        batch = self.batch_at(self.position)
        self.position += 1
        return batch
