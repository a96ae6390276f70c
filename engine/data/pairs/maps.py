"""Class maps: pictures whose pixels are class numbers. They become colours, and are never interpolated.

A side is recognised as class maps if all its pictures are grey, or have one and the same palette, and hold no numbers
but 0..63 and 255 (the customary "unknown"), not 0 and 255 alone. Its colours are those of the pictures' own palette,
else of the one picture in a folder `palette` beside the sides (its pixels in reading order), else Pascal VOC's. They
are colours and not one plane for each class, so that every grid and every translated picture can be looked at;
`classes_of` goes back. Told that they are maps, pictures in flat colours are taken as well. What a run keeps of all
this, `Colours`, reads one more map the same way when the data is no longer there. Read next: `sources.py`.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Resampling

from inachus.engine.data import decode, plausible
from inachus.engine.data.bounded import check_memory, fault
from inachus.engine.data.pairs.dataset import Pairs
from inachus.engine.data.pairs.layouts import PALETTE, File
from inachus.engine.data.pictures import PLAIN, Kind, Shelf
from inachus.engine.errors import DataError

FEW = 64  # class numbers of maps that are recognised
UNKNOWN = 255
MOST = 256  # colours of maps in flat colours
STRANGE = "with colours or class numbers that the training had not"


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


@dataclass(frozen=True)
class Colours:
    """Of a side of class maps: the `palette` (K,C) that occurred, the `table` (256,3) if its files hold class numbers.

    `record()` is plain JSON, colours as on web pages, and `Colours.recorded` comes back from it.
    """

    palette: np.ndarray
    table: np.ndarray | None = None

    def record(self) -> dict:
        """{"palette": "000000 800000 ...", "table": the same without black ones at its end, or "voc", or None}."""
        record = {"palette": _hex(self.palette), "table": None}
        if self.table is not None:
            usual = np.array_equal(self.table, voc_colours())
            record["table"] = (
                "voc" if usual else _hex(self.table[: np.flatnonzero(self.table.any(axis=1)).max(initial=0) + 1])
            )
        return record

    @classmethod
    def recorded(cls, record: dict) -> "Colours":
        """From what `record` gave."""
        table = record["table"]
        if table is not None:
            table = voc_colours() if table == "voc" else _filled(_unhex(table))
        return cls(_unhex(record["palette"]), table)

    def read(self, data: bytes, label: str) -> tuple[np.ndarray, list[str]]:
        """(uint8 (H,W,C), conversions made) of one more map; DataError for what is none.

        Grey pictures and those with a palette hold class numbers if those of the training did; a palette of nothing
        but the training's colours speaks for itself, whatever its order. Other pictures show their colours already.
        """
        with decode.opened(data, label) as image:
            numbered = self.table is not None and image.mode in (*decode.GREY_MODES, "P")
        if numbered:
            (numbers, own), notes = _numbers(data, label), []
            shows_itself = len(own) and self._knows(_filled(own)[np.unique(numbers)]).all()
            pixels = (_filled(own) if shows_itself else self.table)[numbers]  # (H,W) -> (H,W,3)
        else:
            pixels, notes = decode.decode(data, label, self.palette.shape[1])
        return pixels, notes if self._knows(pixels).all() else [*notes, STRANGE]

    def _knows(self, pixels: np.ndarray) -> np.ndarray:
        weights = 256 ** np.arange(self.palette.shape[1])
        return np.isin(pixels @ weights, self.palette @ weights)


def records(pairs: Pairs) -> list[dict | None]:
    """For each side the record of its `Colours`, None if it is no class maps."""
    known = zip(pairs.palettes, pairs.tables, strict=True)
    return [None if palette is None else Colours(palette, table).record() for palette, table in known]


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
        plausible.check(data, image.format, image.size, label)
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


def _hex(colours: np.ndarray) -> str:
    return colours.tobytes().hex(" ", colours.shape[1])


def _unhex(text: str) -> np.ndarray:
    return np.array([[*bytes.fromhex(colour)] for colour in text.split()], np.uint8)


def _header(data: bytes, label: str) -> tuple[tuple[int, int], bool]:
    return decode.header(data, label)[0], True  # one number a pixel, even with a palette


def _decode(data: bytes, label: str, channels: int, size: int | None) -> tuple[np.ndarray, list[str]]:
    numbers, notes = Image.fromarray(_numbers(data, label)[0]), []
    return np.asarray(decode.resized(numbers, size, notes, Resampling.NEAREST))[..., None], notes


NUMBERS = Kind(_header, _decode)
FLAT = Kind(decode=partial(decode.decode, resample=Resampling.NEAREST))
