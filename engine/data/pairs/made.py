"""Pairs made of single pictures: a picture and itself reduced (`Crops`), or with a hole in it (`Holes`).

As in `dataset.py`, batch number `position` is a pure function of (seed, position). Reducing and enlarging is Pillow's
bicubic, which is antialiased when it reduces. This file reads nothing from disk.
"""

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from inachus.engine.data.dataset import Dataset, Order, normalised, philox
from inachus.engine.data.pairs.dataset import Jitter, PairBatch
from inachus.engine.errors import UsageError


def resized(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (N,H,W,C) -> (N,height,width,C) by Pillow's BICUBIC, each channel by itself."""
    flat = np.empty((len(pictures), height, width, pictures.shape[3]), np.uint8)
    for picture, out in zip(pictures, flat, strict=True):
        for c in range(picture.shape[2]):
            out[..., c] = Image.fromarray(picture[..., c]).resize((width, height), Resampling.BICUBIC)
    return flat


def reduced(pictures: np.ndarray, scale: int) -> np.ndarray:
    """uint8 (N,H,W,C), H and W multiples of `scale` -> (N, H/scale, W/scale, C)."""
    return resized(pictures, pictures.shape[1] // scale, pictures.shape[2] // scale)


def enlarged(pictures: np.ndarray, scale: int) -> np.ndarray:
    """uint8 (N,H,W,C) -> (N, H scale, W scale, C)."""
    return resized(pictures, pictures.shape[1] * scale, pictures.shape[2] * scale)


def whole(pictures: np.ndarray, scale: int) -> np.ndarray:
    """The pictures without the last rows and columns, if their sides are no multiples of `scale`."""
    height, width = (n // scale * scale for n in pictures.shape[1:3])
    return pictures[:, :height, :width]


def crop(shape: tuple[int, ...], side: int, scale: int) -> tuple[int, int]:
    """Height and width of the crops of pictures (H,W,C): `side`, or what they have, in multiples of `scale`.

    Raises UsageError for pictures smaller than `scale`.
    """
    height, width = (min(side, n) // scale * scale for n in shape[:2])
    if not height * width:
        raise UsageError(f"pictures of {shape[1]} x {shape[0]} pixels are too small to be reduced {scale} times")
    return height, width


class Crops:
    """Endless batches of crops, b, at a random place and mirrored at random, and of the same reduced by `scale`, a.

    Raises UsageError for pictures smaller than `scale` and for fewer pictures than a batch takes.
    """

    def __init__(self, dataset: Dataset, size: int, seed: int, side: int, scale: int, flip: bool = True):
        self.dataset, self.size, self.seed, self.scale, self.flip = dataset, size, seed, scale, flip
        self.crop = crop(dataset.shape, side, scale)
        self.order = Order(dataset.name, len(dataset), size, seed)

    def batch_at(self, position: int) -> PairBatch:
        """Batch number `position` (from 0): a (B,h,w,C), b (B, h scale, w scale, C)."""
        rows = self.order.indices_at(position)
        draws = np.random.Generator(philox(self.seed, "crops", position)).random((self.size, 3))
        room = [n - c + 1 for n, c in zip(self.dataset.shape, self.crop, strict=False)]
        places = (draws[:, :2] * room).astype(np.int64)
        high = np.stack([self._crop(i, *place) for i, place in zip(rows, places, strict=True)])
        if self.flip:
            high = np.where((draws[:, 2] < 0.5)[:, None, None, None], high, high[:, :, ::-1])
        return PairBatch(normalised(reduced(high, self.scale)), normalised(high))

    def names_at(self, position: int) -> list[str]:
        """The names of the pictures of batch number `position`."""
        return self.dataset.named(self.order.indices_at(position))

    def _crop(self, index: int, top: int, left: int) -> np.ndarray:
        return self.dataset.items[index, top : top + self.crop[0], left : left + self.crop[1]]


class Holes:
    """Endless batches of pictures, b, jittered, and of the same with a hole in each, a: see `punched`.

    A hole lies anywhere. Half of them are squares of `side` pixels, the others rectangles of a quarter of it or more.
    """

    def __init__(self, dataset: Dataset, size: int, seed: int, side: int, jitter: Jitter):
        self.dataset, self.size, self.seed, self.side, self.jitter = dataset, size, seed, side, jitter
        self.order = Order(dataset.name, len(dataset), size, seed)

    def batch_at(self, position: int) -> PairBatch:
        """Batch number `position` (from 0): a (B,H,W,C+1), b (B,H,W,C)."""
        draws = np.random.Generator(philox(self.seed, "holes", position)).random((self.size, 8))
        pictures = self.jitter(self.dataset.items[self.order.indices_at(position)], draws[:, :3])
        masks = np.zeros((*pictures.shape[:3], 1), np.float32)
        for mask, (*place, smaller, high, wide) in zip(masks, draws[:, 3:], strict=True):
            least = self.side / 4 if smaller < 0.5 else self.side
            sides = [round(least + (self.side - least) * u) for u in (high, wide)]
            top, left = (int(u * (n - side + 1)) for u, n, side in zip(place, mask.shape, sides, strict=False))
            mask[top : top + sides[0], left : left + sides[1]] = 1
        b = normalised(pictures)
        return PairBatch(punched(b, masks), b)

    def names_at(self, position: int) -> list[str]:
        """The names of the pictures of batch number `position`."""
        return self.dataset.named(self.order.indices_at(position))


def punched(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N,H,W,C) in [-1,1], 0 where the mask (N,H,W,1) is 1, with the mask as one more channel: (N,H,W,C+1)."""
    return np.concatenate([pictures * (1 - masks), masks], axis=3)


def middle(shape: tuple[int, ...], side: int) -> np.ndarray:
    """The mask float32 (H,W,1) of a square hole in the middle of a picture (H,W,C)."""
    mask = np.zeros((*shape[:2], 1), np.float32)
    inside(mask[None], side)[...] = 1
    return mask


def inside(pictures: np.ndarray, side: int) -> np.ndarray:
    """A view of their middle: (N,H,W,C) -> (N,side,side,C)."""
    top, left = ((n - side) // 2 for n in pictures.shape[1:3])
    return pictures[:, top : top + side, left : left + side]
