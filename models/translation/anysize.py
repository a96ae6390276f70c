"""One picture of any size through a translator: mirrored to the network's multiple, in tiles if wanted, and cut back.

`AnySize(model)(pixels)` is what `inachus translate` does with every picture, and what whoever scores translations of
other sizes than the trained one should do. Pixels in, pixels out; files are the command's. Read next: `tiles.py`.
"""

from typing import Any

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from inachus.engine import nn
from inachus.engine.data.dataset import normalised
from inachus.engine.data.decode import MAX_PIXELS
from inachus.engine.errors import DataError, NumericError, UsageError
from inachus.models.translation.tiles import mirrored, stitched


class AnySize:
    """translate(x, to) for one picture uint8 (H, W, C) -> uint8 (H scale, W scale, C').

    Pictures smaller than the trained ones are mirrored up to these. `fit` resizes to the trained size first (its
    shorter side), and the translation back. `tile` is the most the network gets at once, in pixels a side, rounded up
    to its multiple; what it normalises by, and the noise, are then those of each tile. `smooth` says of the two sides
    whether their colours may be mixed in resizing (those of class maps may not). Raises UsageError for tiles smaller
    than the trained pictures, and for any tiles of a network that takes one size only (`multiple` None).
    """

    def __init__(
        self,
        model: Any,
        to: int = 1,
        *,
        fit: bool = False,
        tile: int | None = None,
        smooth: tuple[bool, bool] = (True, True),
    ):
        self.model, self.to, self.fit, self.smooth = model, to, fit, smooth
        self.multiple, self.trained = model.multiple, source_shape(model.shape, to)
        self.reach = reach(model) if tile else 0
        self.tile = tile and check_tile(tile, self.trained, self.multiple)

    def __call__(self, pixels: np.ndarray, seed: int = 0) -> np.ndarray:
        """The translation; `seed` of its noise, of the tiles behind the first one the seeds that follow.

        Raises DataError for a picture whose shape the network cannot take, NumericError if NaN comes out.
        """
        scale, (height, width) = self.model.scale, pixels.shape[:2]
        if self.fit:
            pixels = self._fitted(pixels)
        x, top, left = mirrored(pixels, *self._padded(*pixels.shape[:2]))
        tile = self.tile or max(x.shape)

        def translate(part: np.ndarray, number: int) -> np.ndarray:
            return self.model.translate(normalised(part)[None], self.to, seed=seed + number)[0]

        blocks = stitched(translate, x, tile, self.reach, self.multiple or 1, scale)
        made = np.concatenate([_bytes(block) for block in blocks])
        top, left, bottom, right = (scale * n for n in (top, left, top + pixels.shape[0], left + pixels.shape[1]))
        made = made[top:bottom, left:right]
        return _resized(made, scale * height, scale * width, self.smooth[1]) if self.fit else made

    def _fitted(self, pixels: np.ndarray) -> np.ndarray:
        """Its shorter side is that of the trained pictures."""
        ratio = min(self.trained[:2]) / min(pixels.shape[:2])
        height, width = (max(1, round(ratio * n)) for n in pixels.shape[:2])
        _check(height, width)
        return _resized(pixels, height, width, self.smooth[0])

    def _padded(self, *extents: int) -> tuple[int, ...]:
        """The least height and width for the network that are not below these."""
        trained = self.trained[:2]
        if self.multiple is None:
            if extents != trained:
                takes, found = (f"{width}x{height}" for height, width in (trained, extents))
                remedy = "cut it to these proportions and pass --fit"
                raise DataError(f"is {found} pixels, and this network takes {takes} alone: {remedy}")
            return extents
        padded = tuple(_up(max(n, least), self.multiple) for n, least in zip(extents, trained, strict=True))
        _check(*padded)
        return padded


def source_shape(shape: tuple, to: int) -> tuple[int, ...]:
    """(H, W, C) of what is translated to side `to`, from the `shape` of one picture or of those of two sides."""
    return shape[1 - to] if isinstance(shape[0], tuple) else shape


def check_tile(tile: int, trained: tuple[int, ...], multiple: int | None) -> int:
    """The side of a tile rounded up to the multiple. Raises UsageError for one below the trained size."""
    if multiple is None:
        raise UsageError(f"this network takes {trained[1]}x{trained[0]} pixels alone: leave out --tile")
    if tile < max(trained[:2]):
        raise UsageError(f"--tile must be at least {max(trained[:2])}, the size the network was trained on, not {tile}")
    return _up(tile, multiple)


def reach(model: Any) -> int:
    """How many pixels around it one pixel of a translation depends on at most, statistics of the whole aside.

    From one pixel back through all layers of each network that is no discriminator (D...): a convolution looks at
    (size - 1) stride + kernel, a transposed one at (size + kernel - 2) / stride + 1, enlarging at (size - 2) / scale
    + 2. Half of that lies on each side, give or take the network's multiple.
    """
    networks = (n for name, n in vars(model).items() if isinstance(n, nn.Module) and not name.startswith("D"))
    return max(map(_field, networks), default=1) // 2 + (model.multiple or 1) - 1


def _field(network: nn.Module) -> int:
    size = 1
    for _, layer in reversed([*network.modules()]):
        if isinstance(layer, nn.Conv2d):
            size = (size - 1) * layer.stride + layer.weight.shape[0]
        elif isinstance(layer, nn.ConvTranspose2d):
            size = (size + layer.weight.shape[0] - 2) // layer.stride + 1
        elif isinstance(layer, nn.Upsample | nn.PixelShuffle):
            size = (size - 2) // layer.scale + 2
    return size


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _check(height: int, width: int) -> None:
    """DataError before a thin picture becomes a huge one."""
    if height * width > 2 * MAX_PIXELS:
        raise DataError(f"is too long and thin: it would become {width}x{height} pixels; cut it into pieces")


def _resized(pixels: np.ndarray, height: int, width: int, smooth: bool) -> np.ndarray:
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)  # (H, W, 1) -> (H, W)
    image = image.resize((width, height), Resampling.LANCZOS if smooth else Resampling.NEAREST)
    return np.asarray(image).reshape(height, width, pixels.shape[2])


def _bytes(y: np.ndarray) -> np.ndarray:
    """[-1, 1] -> 0..255, rounded."""
    if not np.isfinite(y).all():
        raise NumericError("what the network made of it is not finite; choose an older checkpoint")
    return np.rint((y.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
