"""Class maps: pictures whose pixels are class numbers. They become colours, and are never interpolated.

A side is recognised as class maps if all its pictures are grey, or have one and the same palette, and hold no numbers
but 0..63 and 255 (the customary "unknown"), not 0 and 255 alone. Its colours are those of the pictures' own palette,
else of the one picture in a folder `palette` beside the sides (its pixels in reading order), else Pascal VOC's. They
are colours and not one plane for each class, so that every grid and every translated picture can be looked at;
`classes_of` goes back. Told that they are maps, pictures in flat colours are taken as well. Read next: `sources.py`.
"""

from functools import partial

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Resampling

from inachus.engine.data import decode
from inachus.engine.data.bounded import check_memory, fault
from inachus.engine.data.pairs.layouts import PALETTE, File
from inachus.engine.data.pictures import PLAIN, Kind, Shelf
from inachus.engine.errors import DataError

FEW = 64  # class numbers of maps that are recognised
UNKNOWN = 255
MOST = 256  # colours of maps in flat colours


def kind_of(shelf: Shelf, names: list[File], asked: bool | None) -> tuple[Kind, np.ndarray | None]:
    """(how to read these files, the colours (256,3) of the class numbers if they hold such).

    `asked` says whether they are class maps; None recognises them.
    """
    colours = None if asked is False else _colours(shelf, names, any_numbers=asked is True)
    if colours is not None:
        return NUMBERS, colours
    return (FLAT if asked else PLAIN), None


def coloured(items: np.ndarray, colours: np.ndarray | None, path) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 pictures (N,H,W,C), palette (K,C) of the classes that occur) of what was read as NUMBERS or FLAT."""
    if colours is not None:
        check_memory(3 * items.size, path)
        return colours[items[..., 0]], colours[np.unique(items)]  # (N,H,W,1) -> (N,H,W,3)
    weights = 256 ** np.arange(items.shape[-1])
    codes = set()
    for item in items:
        codes.update(np.unique(item @ weights).tolist())
        if len(codes) > MOST:
            raise fault(path, f"more than {MOST} colours: no class maps (a JPEG smears them; save them as PNG)")
    return items, (np.array(sorted(codes))[:, None] // weights % 256).astype(np.uint8)


def classes_of(pictures: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The row of the nearest colour in the palette (K,C) for each pixel: (N,H,W,C), values 0..255 -> int64 (N,H,W)."""
    pixels = pictures.astype(np.float32)
    return np.argmin([np.square(pixels - colour).sum(axis=-1) for colour in palette.astype(np.float32)], axis=0)


def voc_colours() -> np.ndarray:
    """Pascal VOC's colours (256,3): the bits of the class number, dealt out to red, green and blue in turn."""
    numbers, channels = np.arange(256)[:, None], np.arange(3)
    return sum((numbers >> (3 * j + channels) & 1) << (7 - j) for j in range(3)).astype(np.uint8)


def _colours(shelf: Shelf, names: list[File], any_numbers: bool) -> np.ndarray | None:
    """The colours of these class maps; None as soon as one of them shows that they are none."""
    own, several = None, False
    for name in names:
        try:
            numbers, palette = _numbers(shelf.read(name), shelf.label(name))
        except DataError:
            return None
        few = (numbers < FEW) | (numbers == UNKNOWN)
        if not (any_numbers or few.all()) or not (own is None or np.array_equal(own, palette)):
            return None
        own, several = palette, several or bool(((numbers > 0) & (numbers < FEW)).any())
    return (_filled(own) if len(own) else _beside(shelf)) if several or any_numbers else None


def _numbers(data: bytes, label: str) -> tuple[np.ndarray, np.ndarray]:
    """(class numbers (H,W), the picture's own palette (K,3), empty if it is grey); DataError if it holds none."""
    with decode.opened(data, label) as image:
        if image.mode not in ("L", "P") or image.format == "JPEG":
            raise fault(label, f"no class numbers: {image.format} in mode {image.mode}; save 8 bit grey as PNG")
        image.load()
        palette = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
        return np.array(ImageOps.exif_transpose(image)), palette


def _beside(shelf: Shelf) -> np.ndarray:
    """The colours in the folder `palette`; without one picture in it, Pascal VOC's."""
    found = [name for name in shelf.names if PALETTE in name[:-1]]
    if len(found) != 1:
        return voc_colours()
    pixels, _ = decode.decode(shelf.read(found[0]), shelf.label(found[0]), channels=3)
    return _filled(pixels.reshape(-1, 3))


def _filled(palette: np.ndarray) -> np.ndarray:
    """All 256 rows, black where there are no more colours."""
    return np.pad(palette[:256], [(0, 256 - len(palette[:256])), (0, 0)])


def _header(data: bytes, label: str) -> tuple[tuple[int, int], bool]:
    return decode.header(data, label)[0], True  # one number a pixel, even with a palette


def _decode(data: bytes, label: str, channels: int, size: int | None) -> tuple[np.ndarray, list[str]]:
    numbers, notes = Image.fromarray(_numbers(data, label)[0]), []
    return np.asarray(decode.resized(numbers, size, notes, Resampling.NEAREST))[..., None], notes


NUMBERS = Kind(_header, _decode)
FLAT = Kind(decode=partial(decode.decode, resample=Resampling.NEAREST))
