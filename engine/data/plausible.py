"""Can a file hold the pixels that its header declares? Asked before they are decoded.

A JPEG or PNG that ends too early decodes without complaint if what is there ends well: the missing rows are grey or
black, and would be trained on; a header that lies also costs the memory and time of what it claims. A PNG is counted
exactly. A JPEG can only be measured against the most that its coding packs into a byte, so one cut in half passes.
Read next: `decode.py`, which asks.
"""

import zlib
from collections.abc import Iterator

from inachus.engine.data.bounded import CHUNK, fault

JPEG_PIXELS = 64 * 8  # in a byte at most: a block of 8x8 takes one bit or more
JPEG_SCANS = 100  # encoders write about 10; each costs the time of a whole picture
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # in a pixel, by colour type
PNG_HEADER = slice(16, 29)  # width, height, bit depth, colour type, compression, filter, interlacing
ADAM7 = ((8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0), (1, 2, 0, 1))


def check(data: bytes, form: str | None, size: tuple[int, int], label: str) -> None:
    """Raise DataError, naming `label`, if `data` in the format `form` cannot hold (width, height) pixels."""
    if form == "PNG":
        _check_png(data, label)
    elif form == "JPEG":
        most = JPEG_PIXELS * len(data)
        if size[0] * size[1] > most:
            raise fault(label, f"truncated: declares {size[0]}x{size[1]} pixels, but can hold at most {most:,}")
        if data.count(b"\xff\xda") > JPEG_SCANS:
            raise fault(label, f"more than {JPEG_SCANS} scans: refused")


def _check_png(data: bytes, label: str) -> None:
    head = data[PNG_HEADER]
    width, height = int.from_bytes(head[:4]), int.from_bytes(head[4:8])
    if len(head) < 13 or head[9] not in PNG_SAMPLES:
        return  # the decoder says so
    bits = head[8] * PNG_SAMPLES[head[9]]
    passes = ADAM7 if head[12] else ((1, 1, 0, 0),)
    needed = 0
    for across, down, left, top in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 < rows:
            needed += rows * (1 + (columns * bits + 7) // 8)  # a row starts with the byte of its filter
    present = _inflated(_pixel_chunks(data), needed)
    if present < needed:
        raise fault(label, f"truncated: {needed:,} bytes of pixels declared, {present:,} present")


def _inflated(pieces: Iterator[bytes], enough: int) -> int:
    """How many bytes the pieces of one zlib stream unpack to, counted no further than `enough`."""
    inflate, count = zlib.decompressobj(), 0
    try:
        for piece in pieces:
            while piece and count < enough:
                count += len(inflate.decompress(piece, CHUNK))
                piece = inflate.unconsumed_tail
    except zlib.error:
        return enough  # damaged, which the decoder says better
    return count


def _pixel_chunks(data: bytes) -> Iterator[bytes]:
    place = 8
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        if kind == b"IDAT":
            yield data[place + 8 : place + 8 + length]
        place += 12 + length
