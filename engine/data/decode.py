"""The policy for one picture: from untrusted bytes to a uint8 array (H,W,1|3), every conversion named.

Only common raster formats are opened, told apart by content. EXIF orientation is applied; transparency is
laid over white; 16 bits are scaled to 8, not clipped; a damaged picture is an error and never grey filling.
Resizing crops the centre square and resamples with LANCZOS, which Pillow widens when reducing (no aliasing).
Which files are pictures, and of which class, is `pictures.py`: read it next.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from math import prod

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.Image import Resampling

from inachus.engine.data import bounded, plausible
from inachus.engine.data.bounded import fault
from inachus.engine.data.dataset import Dataset, Request

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 50_000_000  # of one picture; Pillow itself only warns up to 179 million

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
MODE_NOTES = {
    "1": "converted from 1 bit to 8 bit grey",
    "P": "converted from palette to RGB",
    "PA": "converted from palette to RGB",
    "CMYK": "converted from CMYK to RGB",
    "YCbCr": "converted from YCbCr to RGB",
    "LAB": "converted from LAB to RGB",
    "HSV": "converted from HSV to RGB",
}
DEEP_NOTE = "scaled from 16 to 8 bit"
TURNED = set(range(2, 9))  # EXIF orientations that move pixels; from 5 on they swap width and height
CHANNEL_MODES = {1: "L", 3: "RGB"}
CHANNEL_NOTES = {1: "converted from colour to grey", 3: "converted from grey to RGB"}


@contextmanager
def opened(data: bytes, label: str) -> Iterator[Image.Image]:
    """The picture in `data`, its header read and its declared size checked, its pixels not yet decoded.

    Whatever goes wrong inside the `with` block is a DataError that names `label`.
    """
    with bounded.data_errors(label), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # odd EXIF or TIFF tags do not spoil the pixels
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit, below, is an error
        try:
            image = Image.open(BytesIO(data), formats=FORMATS)
        except Image.UnidentifiedImageError:
            what = bounded.looks_like(data[:64]) or "an unknown or damaged format"
            raise fault(label, f"not a readable picture: {what}; read are {', '.join(FORMATS)}") from None
        with image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width}x{image.height}"
                raise fault(label, f"{size} pixels declared, more than the limit of {MAX_PIXELS:,}")
            yield image


def header(data: bytes, label: str) -> tuple[tuple[int, int], bool]:
    """((width, height) as declared, is it grey?) without decoding the pixels; DataError if that fails."""
    with opened(data, label) as image:
        width, height = image.size
        # Pillow declares the size of a TIFF as turned already.
        if _orientation(image) in range(5, 9) and image.format != "TIFF":
            width, height = height, width
        return (width, height), image.mode in GREY_MODES


def decode(
    data: bytes, label: str, channels: int, size: int | None = None, resample: Resampling = Resampling.LANCZOS
) -> tuple[np.ndarray, list[str]]:
    """One picture as uint8 (H,W,channels), and the conversions made, as phrases for the notes.

    With `size`, the centre square is resampled to (size,size,channels). Raises DataError naming `label`.
    """
    with opened(data, label) as image:
        notes = []
        if size and resample == Resampling.LANCZOS:
            image.draft(None, (2 * size, 2 * size))  # decodes a far larger JPEG at 1/2, 1/4 or 1/8
        if getattr(image, "is_animated", False) and image.format != "TIFF":
            image.seek(0)
            notes.append("reduced to the first frame of an animation")
        declared = _orientation(image)
        plausible.check(data, image.format, image.size, label)
        image.load()  # turns a TIFF, and finds what EXIF a PNG has behind its pixels
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
        ImageOps.exif_transpose(image, in_place=True)
        if {declared, found} & TURNED:
            notes.append("turned as their EXIF orientation says")
        plain = _channels(_opaque(_eight_bit(image, label, notes), notes), channels, notes)
        pixels = np.array(resized(plain, size, notes, resample))
    return pixels.reshape(*pixels.shape[:2], channels), notes  # (H,W) -> (H,W,1) if grey


def transparent(data: bytes, label: str, size: int) -> np.ndarray | None:
    """Where a picture, cut and resized as by `decode`, is not opaque: bool (size,size,1); None if it is everywhere.

    A pixel counts if any part of it is transparent. Raises DataError naming `label`.
    """
    with opened(data, label) as image:
        plausible.check(data, image.format, image.size, label)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if not image.has_transparency_data:
            return None
        alpha = image.convert("RGBA").getchannel("A")
        clear = np.asarray(resized(alpha, size, [], Resampling.BOX)) < 255
    return clear[..., None] if clear.any() else None  # (H,W) -> (H,W,1)


def fit(dataset: Dataset, request: Request) -> Dataset:
    """Pictures of an array source in the requested size and channels; DataError if that needs too much."""
    _, height, width, had = dataset.items.shape
    size, channels = request.size, request.channels or had
    if channels == had and size in (None, height) and (size is None or height == width):
        return dataset
    shape = (len(dataset), size or height, size or width, channels)
    bounded.check_memory(prod(shape), dataset.source)
    items, counts = np.empty(shape, np.uint8), Counter()
    for index, item in enumerate(dataset.items):
        notes = []
        image = Image.fromarray(item[..., 0] if had == 1 else item)  # (H,W,1) -> (H,W) if grey
        items[index] = np.asarray(resized(_channels(image, channels, notes), size, notes)).reshape(shape[1:])
        counts.update(notes)
    return replace(dataset, items=items, notes=dataset.notes + counted(counts, len(dataset)))


def counted(notes: Counter, total: int) -> list[str]:
    """`["12 of 400 pictures converted from palette to RGB", ...]`."""
    return [f"{count:,} of {total:,} pictures {phrase}" for phrase, count in notes.items()]


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation as far as it is known before the pixels are decoded."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # it may follow the pixels: asking now would decode them
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _eight_bit(image: Image.Image, label: str, notes: list[str]) -> Image.Image:
    if image.mode == "F":
        raise fault(label, "floating-point pixels have no agreed range: save it with 8 or 16 bits")
    if image.mode not in DEEP_MODES:
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65_535:
        raise fault(label, "32-bit pixels have no agreed range: save it with 8 or 16 bits")
    notes.append(DEEP_NOTE)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))  # 65535 = 255 * 257: rounded


def _opaque(image: Image.Image, notes: list[str]) -> Image.Image:
    """In mode L or RGB, laid over white if it has transparency."""
    grey = image.mode in GREY_MODES
    if image.mode in MODE_NOTES:
        notes.append(MODE_NOTES[image.mode])
    if image.has_transparency_data:
        notes.append("laid over white (they have transparency)")
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), clear)
    return _in_mode(image, "L" if grey else "RGB")


def _channels(image: Image.Image, channels: int, notes: list[str]) -> Image.Image:
    mode = CHANNEL_MODES[channels]
    if image.mode == mode:
        return image
    notes.append(CHANNEL_NOTES[channels])
    return image.convert(mode)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def resized(
    image: Image.Image, size: int | None, notes: list[str], resample: Resampling = Resampling.LANCZOS
) -> Image.Image:
    """The centre square in `size`, what was done added to `notes`; the image itself if `size` is None."""
    if size is None:
        return image
    width, height = image.size
    side = min(width, height)
    if width != height:
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        notes.append("cropped to their centre square")
    if side == size:
        return image
    notes.append(f"resized to {size}x{size} ({resample.name})")
    return image.resize((size, size), resample)
