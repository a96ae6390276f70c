"""Data sets that need no download: digits drawn with Pillow's own font, and two mixtures of Gaussians.

Item i depends on (seed, split, i) alone, so a shorter set is the beginning of a longer one. Digits are
cached, because drawing 20,000 takes seconds; a cache that cannot be written or read is simply not used.
Read next: `sources.py`, which gives these their names.
"""

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

VERSION = 1  # of the drawing: raise it when any digit changes, and old caches are left alone
SPLIT_NUMBERS = {"train": 0, "test": 1}
DIGIT_COUNTS = {"train": 20_000, "test": 4_000}
POINT_COUNTS = {"train": 100_000, "test": 20_000}
DIGIT_SIZE = 28
STROKES = 9  # weights of the pen, from the font's own to bold


def _ring(modes: int = 8, radius: float = 2.0) -> np.ndarray:
    angles = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (K,2)


def _grid() -> np.ndarray:
    ticks = np.arange(-4.0, 5.0, 2.0)
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)  # (5,5,2) -> (K,2)


# name -> (centres float32 (K,2), sigma), in the scaled units the points come in.
# The customary toys: a ring of radius 2, sigma .02, over sqrt 2; a grid of pitch 2, sigma .05, over sqrt 8.
MIXTURES: dict[str, tuple[np.ndarray, float]] = {
    "mixture-ring8": ((_ring() / 1.414).astype(np.float32), 0.02 / 1.414),
    "mixture-grid25": ((_grid() / 2.828).astype(np.float32), 0.05 / 2.828),
}


def mixture(name: str, request: Request) -> Dataset:
    """Points (N,2) of a mixture in `MIXTURES`, the modes in turn; the labels are the modes."""
    centres, sigma = MIXTURES[name]
    count = request.limit or POINT_COUNTS[request.split]
    check_memory(count * 2 * 4, name)
    random = np.random.Generator(philox(request.seed, "drawing", SPLIT_NUMBERS[request.split]))
    labels = np.arange(count, dtype=np.int64) % len(centres)
    items = centres[labels] + np.float32(sigma) * random.standard_normal((count, 2), dtype=np.float32)
    classes = [f"({x:.3f}, {y:.3f})" for x, y in centres]
    return Dataset(name, items, labels, classes, f"drawn, seed {request.seed}")


def digits(name: str, request: Request) -> Dataset:
    """White digits on black (N,S,S,C), turned, sheared, scaled and moved; S=28, C=1 unless asked otherwise.

    All `DIGIT_COUNTS` of the split, or the first `limit`; the classes 0..9 are balanced.
    """
    size, whole = request.size or DIGIT_SIZE, DIGIT_COUNTS[request.split]
    count = request.limit or whole
    check_memory(count * size * size * (request.channels or 1), name)
    cached = _cache_path(request, size)
    items = _cached(cached, (whole, size, size, 1)) if count <= whole else None
    if items is None:
        items = draw_digits(count, size, request.seed, SPLIT_NUMBERS[request.split])
        if count == whole:
            _keep(cached, items)
    items = items[:count]
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


# --- the cache of drawn digits -----------------------------------------------------------------------------


def _cache_path(request: Request, size: int) -> Path:
    # The font and its rasteriser come with Pillow: another Pillow may draw another pixel.
    name = f"v{VERSION}-{request.split}-seed{request.seed}-size{size}-pillow{PIL.__version__}.npz"
    return cache_folder("digits") / name


def _cached(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    with suppress(DataError):
        items = npz_dataset(path, Request()).items
        return items if items.shape == shape else None
    return None


def _keep(path: Path, items: np.ndarray) -> None:
    with suppress(OSError), replacing(path) as file:
        np.savez_compressed(file, x=items)
