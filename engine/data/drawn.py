"""Digits drawn with Pillow's own font, which need no download; and the cache of what is drawn.

Item i depends on (seed, split, i) alone, so a shorter set is the beginning of a longer one. Digits are
cached, because drawing 20,000 takes seconds; a cache that cannot be written or read is simply not used.
Read next: `textures.py`, where digits meet colour; `sources.py`, which gives all of these their names.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Resampling, Transform

from inachus.engine.data.bounded import check_memory
from inachus.engine.data.cache import cache_folder, replacing
from inachus.engine.data.dataset import Dataset, Request, philox
from inachus.engine.data.npz import npz_dataset
from inachus.engine.errors import DataError

VERSION = 2  # of the drawing: raise it when any digit changes, and old caches are left alone
SPLIT_NUMBERS = {"train": 0, "test": 1}
DIGIT_COUNTS = {"train": 20_000, "test": 4_000}
DIGIT_SIZE = 28
STROKES = 9  # weights of the pen, from the font's own to bold
Draw = Callable[[int], np.ndarray]  # how many -> that many items, the first of all


def digits(name: str, request: Request) -> Dataset:
    """White digits on black (N,S,S,C), turned, sheared, scaled and moved; S=28, C=1 unless asked otherwise.

    All `DIGIT_COUNTS` of the split, or the first `limit`; the classes 0..9 are balanced.
    """
    size, whole = request.size or DIGIT_SIZE, DIGIT_COUNTS[request.split]
    count = request.limit or whole
    check_memory(count * size * size * (request.channels or 1), name)
    split = SPLIT_NUMBERS[request.split]
    items = kept(name, request, count, (whole, size, size, 1), lambda n: draw_digits(n, size, request.seed, split))
    if request.channels == 3:
        items = np.repeat(items, 3, axis=-1)  # (N,S,S,1) -> (N,S,S,3)
    labels = np.arange(count, dtype=np.int64) % 10
    return Dataset(name, items, labels, [str(digit) for digit in range(10)], f"drawn, seed {request.seed}")


# --- drawing -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pose:
    """How each digit is drawn, arrays (N,): angle and slant in radians, scales, moves in picture sizes."""

    angle: np.ndarray
    slant: np.ndarray
    width: np.ndarray
    height: np.ndarray
    right: np.ndarray
    down: np.ndarray
    stroke: np.ndarray

    @classmethod
    def random(cls, count: int, seed: int, split: int) -> "Pose":
        """Uniform poses, a pure function of (seed, split) for every index."""
        u = np.random.Generator(philox(seed, "drawing", split)).random((count, 7)).T  # (N,7) -> (7,N)
        turn = np.radians(15.0)
        low = np.array([-turn, -0.25, 0.75, 0.80, -0.07, -0.07, 0.0])[:, None]
        high = np.array([turn, 0.25, 1.15, 1.10, 0.07, 0.07, STROKES])[:, None]
        return cls(*(low + (high - low) * u))

    def inverse(self, side: int) -> np.ndarray:
        """Pillow's affine coefficients (N,6), which map a result's pixel back to the template of `side`."""
        cos, sin, tan = np.cos(self.angle), np.sin(self.angle), np.tan(self.slant)
        forward = np.array(
            [  # rotation @ slant @ scale
                [cos * self.width, (cos * tan - sin) * self.height],
                [sin * self.width, (sin * tan + cos) * self.height],
            ]
        )
        back = np.linalg.inv(forward.transpose(2, 0, 1))  # (2,2,N) -> (N,2,2)
        centre = np.full(2, side / 2)
        moved = centre + side * np.stack([self.right, self.down], axis=1)  # (N,2): where the centre goes
        shift = centre - np.einsum("nij,nj->ni", back, moved)  # (N,2)
        return np.concatenate([back, shift[..., None]], axis=2).reshape(-1, 6)  # (N,2,3) -> (N,6)


def draw_digits(count: int, size: int, seed: int, split: int) -> np.ndarray:
    """uint8 (count,size,size,1): digit i % 10 in pose i, drawn larger and reduced by exact averaging."""
    over = 4 if size <= 2 * DIGIT_SIZE else 2
    side = over * size
    pose = Pose.random(count, seed, split)
    coefficients, strokes = pose.inverse(side).tolist(), pose.stroke.astype(int).tolist()
    items = np.empty((count, size, size, 1), np.uint8)
    for i in range(count):
        template = _template(i % 10, strokes[i], side)
        posed = template.transform((side, side), Transform.AFFINE, coefficients[i], Resampling.BILINEAR)
        items[i, :, :, 0] = posed.reduce(over)
    return items


@cache
def _template(digit: int, stroke: int, side: int) -> Image.Image:
    """One digit centred on its own ink, upright, with a pen `stroke` steps heavier than the font's."""
    try:
        font = ImageFont.load_default(size=0.92 * side)
    except (ImportError, OSError) as error:
        raise DataError(f"digits: Pillow without FreeType ({error}): install Pillow's own wheel") from error
    # From thin to bold in steps finer than a pixel of the result.
    width = 0.035 * side * stroke / (STROKES - 1)
    image = Image.new("L", (side, side))
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = pen.textbbox((0, 0), str(digit), font=font, stroke_width=width)
    place = ((side - left - right) / 2, (side - top - bottom) / 2)
    pen.text(place, str(digit), fill=255, font=font, stroke_width=width)
    return image


# --- the cache of what is drawn ----------------------------------------------------------------------------


def kept(name: str, request: Request, count: int, shape: tuple[int, ...], draw: Draw) -> np.ndarray:
    """The first `count` items, from the cache or by draw(count); a whole split, of this shape, is put there."""
    # The font and its rasteriser come with Pillow: another Pillow may draw another pixel.
    file = f"v{VERSION}-{request.split}-seed{request.seed}-size{shape[1]}-pillow{PIL.__version__}.npz"
    path = cache_folder(name) / file
    items = _cached(path, shape) if count <= shape[0] else None
    if items is None:
        items = draw(count)
        if count == shape[0]:
            _keep(path, items)
    return items[:count]


def _cached(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    with suppress(DataError):
        items = npz_dataset(path, Request()).items
        return items if items.shape == shape else None
    return None


def _keep(path: Path, items: np.ndarray) -> None:
    with suppress(OSError), replacing(path) as file:
        np.savez_compressed(file, x=items)
