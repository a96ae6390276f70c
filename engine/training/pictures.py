"""Pictures of a training: grids of images, clouds of points, and the film of how they changed.

Arrays in, Pillow images out; nothing here draws a curve (`report.py`) or reads a data set (`engine/data`).
Read next: `report.py`, which puts these pictures on a page.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inachus.engine.errors import DataError, UsageError
from inachus.engine.training.durable import write_file

PAPER, INK, FAINT = (255, 255, 255), (52, 56, 64), (226, 228, 233)
DOT, CENTRE = (38, 98, 196, 150), (222, 92, 32)
LINE = 15  # pixels of a line of a title
TILE = 64  # pixels: smaller images are enlarged by a whole factor to about this side
FINE = 4  # points are drawn this much larger, then averaged down
WIDEST = 720  # pixels: a film is shrunk to this
HOLD = 1500  # milliseconds the last frame of a film stays


def grid(
    images: np.ndarray,
    columns: int | None = None,
    pad: int = 2,
    scale: int | None = None,
    titles: Sequence[str | Sequence[str]] | None = None,
) -> Image.Image:
    """Images side by side, row by row: float (N,H,W,C) in [-1,1], C 1 or 3 -> one RGB picture.

    `columns` is a square's by default; `pad` is in pixels; `scale` enlarges by a whole factor (by default to
    about 64 pixels); `titles` names the columns, each in one line or in several. Values outside the range are
    clipped, NaN is black. Raises UsageError for another shape or a wrong number of titles.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise UsageError(f"grid: expected images (N,H,W,1 or 3) and at least one, got shape {images.shape}")
    count, height, width, _ = images.shape
    columns = columns or len(titles or ()) or math.isqrt(count - 1) + 1
    if titles is not None and len(titles) != columns:
        raise UsageError(f"grid: {len(titles)} titles for {columns} columns")
    scale = scale or max(1, round(TILE / max(height, width)))
    across, down = width * scale + pad, height * scale + pad
    heads = [[title] if isinstance(title, str) else list(title) for title in titles or ()]
    head = 3 + LINE * max(map(len, heads)) if heads else 0
    rows = math.ceil(count / columns)
    sheet = Image.new("RGB", (columns * across + pad, head + rows * down + pad), PAPER)
    for index, tile in enumerate(_bytes(images, scale)):
        row, column = divmod(index, columns)
        sheet.paste(Image.fromarray(tile), (pad + column * across, head + pad + row * down))
    for column, lines in enumerate(heads):
        for number, text in enumerate(lines):
            _title(sheet, text, pad + column * across, across - pad, 3 + LINE * number)
    return sheet


def single(image: np.ndarray) -> Image.Image:
    """One image (H,W,C) in [-1,1] as a picture of its own size and channels: grey for C = 1, RGB for 3."""
    pixels = _bytes(image[None], 1)[0]
    return Image.fromarray(pixels[..., 0] if image.shape[-1] == 1 else pixels)


def scatter(points: np.ndarray, span: float, centres: np.ndarray | None = None, side: int = 480) -> Image.Image:
    """Points (N,2) as dots on the square [-span,span]², y upwards, on a `side` x `side` RGB picture.

    Dots are translucent, so that crowds look dark; `centres` (M,2) are drawn as rings. What lies outside the
    square or is not finite is left out. Raises UsageError for another shape.
    """
    size = side * FINE
    picture = Image.new("RGB", (size, size), PAPER)
    pen = ImageDraw.Draw(picture, "RGBA")
    for share in range(1, 8):
        at, weight = size * share // 8, FINE * (2 if share == 4 else 1)  # the axes are twice as strong
        pen.line([(at, 0), (at, size)], fill=FAINT, width=weight)
        pen.line([(0, at), (size, at)], fill=FAINT, width=weight)
    radius = max(1.0, side / 240) * FINE
    for x, y in _pixels(points, span, size):
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=DOT)
    radius *= 2.5
    for x, y in _pixels(centres, span, size) if centres is not None else ():
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], outline=CENTRE, width=3 * FINE // 2)
    return picture.resize((side, side), Image.Resampling.BOX)


def animate(paths: Sequence[Path], out: Path, seconds: float = 6.0, most: int = 60) -> Path:
    """A looping GIF of about `seconds` from PNG files in the order given; the last one stays a moment longer.

    At most `most` files are used, evenly spread, the first and the last among them. Frames take the size of
    the last one. Raises UsageError without files, DataError for a file that is not a whole PNG.
    """
    if not paths:
        raise UsageError("animate: no pictures to show")
    chosen = [Path(paths[index]) for index in spread(len(paths), most)]
    frames = [_frame(path) for path in chosen]
    size = frames[-1].size
    first, *others = (frame if frame.size == size else frame.resize(size) for frame in frames)
    each = max(20, round(100 * seconds / len(frames)) * 10)  # a GIF counts in hundredths of a second
    durations = [each] * (len(frames) - 1) + [HOLD]
    film = io.BytesIO()
    first.save(film, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    write_file(out, film.getvalue())
    return Path(out)


def save_png(image: Image.Image, path: Path) -> Path:
    """Write `image` as PNG, atomically, creating the folder. Raises ResourceError when the disk refuses."""
    file = io.BytesIO()
    image.save(file, "PNG")
    write_file(path, file.getvalue())
    return Path(path)


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0 .. count-1, evenly spread; the first and the last are among them."""
    if most < 2:
        return [count - 1][:count]
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))}) if count else []


def _bytes(images, scale):
    """uint8 (N, H*scale, W*scale, 3) of float images."""
    images = np.nan_to_num(images.astype(np.float32), nan=-1.0, posinf=1.0, neginf=-1.0)
    images = np.round((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


def _title(sheet, text, left, width, top):
    """One line of `text` centred above a column, in smaller letters or cut where it is too wide."""
    text = " ".join(text.split())
    fonts = [ImageFont.load_default(size) for size in (12, 11, 10)]
    font = next((font for font in fonts if font.getlength(text) <= width), fonts[-1])
    while text and font.getlength(text) > width:
        text = text[:-1]
    ImageDraw.Draw(sheet).text((left + width / 2, top), text, fill=INK, font=font, anchor="ma")


def _pixels(points, span, size):
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not span > 0:
        raise UsageError(f"scatter: expected points (N,2) and a positive span, got {points.shape} and {span}")
    points = points[(np.abs(points) <= span).all(axis=1)]  # also drops NaN
    return (points * (1, -1) / span + 1) * (size / 2)  # y upwards


def _frame(path):
    try:
        with Image.open(path, formats=["PNG"]) as image:
            frame = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: is not a whole PNG ({error}); remove it and run again") from error
    frame.thumbnail((WIDEST, WIDEST), Image.Resampling.BOX)
    return frame
