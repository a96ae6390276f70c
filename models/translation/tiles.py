"""Pictures in the sizes that a network takes: mirrored up to them, or cut into overlapping tiles and joined again.

Arrays alone: what makes a tile into another is a function that comes from outside. Tiles are mixed along rows first,
then along columns, each by a + w (b - a) with w rising smoothly from 0 to 1: the weights sum to 1, and where two tiles
agree, what comes out is bit for bit what both say. Read next: `anysize.py`, which puts a translator inside.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import count

import numpy as np


def mirrored(x: np.ndarray, height: int, width: int) -> tuple[np.ndarray, int, int]:
    """(x (h, w, C) enlarged to (height, width, C), rows above it, columns left of it).

    It stands in the middle of its mirror images, as many as are needed; a single row or column is repeated.
    """
    down, right = height - x.shape[0], width - x.shape[1]
    top, left = down // 2, right // 2
    return np.pad(x, ((top, down - top), (left, right - left), (0, 0)), mode="reflect"), top, left


def spacing(tile: int, reach: int, multiple: int = 1) -> tuple[int, int]:
    """(step from tile to tile, pixels in which two are mixed) for tiles of side `tile`.

    Where tiles are mixed, both have seen `reach` pixels around, and the mixing takes an eighth of a tile: with an
    overlap of 2 reach + tile / 8. Where that is more than half a tile, the overlap is this half, and half of it is
    mixed. Steps are multiples if they can be, so that strides fall on the same pixels in every tile.
    """
    overlap, ramp = 2 * reach + tile // 8, tile // 8
    if overlap > tile // 2:
        overlap, ramp = tile // 2, tile // 4
    step = tile - overlap
    return step // multiple * multiple or step, ramp


def stitched(
    function: Callable[[np.ndarray, int], np.ndarray],
    x: np.ndarray,
    tile: int,
    reach: int,
    multiple: int = 1,
    scale: int = 1,
) -> Iterator[np.ndarray]:
    """function(x, 0), x (H, W, C), put together from tiles of at most `tile` pixels a side: the rows, block by block.

    `function` gets (tile, its number from 0) and gives it `scale` times as high and wide. Only one row of tiles is in
    memory at a time.
    """
    (high, wide), number = (min(tile, n) for n in x.shape[:2]), count()
    rows, lefts = _starts(x.shape[0], high, reach, multiple), _starts(x.shape[1], wide, reach, multiple)
    down, across = (spacing(n, reach, multiple)[1] * scale for n in (high, wide))

    def strip(top: int) -> np.ndarray:
        made = ((left, function(x[top : top + high, left : left + wide], next(number))) for left in lefts)
        turned = ((scale * left, np.swapaxes(y, 0, 1)) for left, y in made)  # (h, w, C) -> (w, h, C)
        return np.swapaxes(np.concatenate([*joined(turned, across)]), 0, 1)

    return joined(((scale * top, strip(top)) for top in rows), down)


def joined(parts: Iterable[tuple[int, np.ndarray]], ramp: int) -> Iterator[np.ndarray]:
    """The parts (row where it starts, rows (n, ...)), each overlapping the one before by `ramp` or more, as one array.

    It comes in pieces, as soon as no later part can change them. The ramp lies in the middle of the overlap.
    """
    ready, first = None, 0  # rows that may still change, and where they start
    t = (np.arange(ramp, dtype=np.float32) + 0.5) / max(ramp, 1)
    weight = (t * t * (3 - 2 * t))[:, None, None]
    for start, part in parts:
        if ready is not None:
            cut = start + (first + len(ready) - start - ramp) // 2
            yield ready[: cut - first]
            old, new = ready[cut - first :], part[cut - start :]
            mixed = old[:ramp] + weight * (new[:ramp] - old[:ramp])
            part, first = np.concatenate([mixed, new[ramp:]]), cut
        ready = part
    yield ready


def _starts(extent: int, tile: int, reach: int, multiple: int) -> list[int]:
    """Where tiles start that together cover `extent`; the last one ends with it."""
    return [*range(0, extent - tile, spacing(tile, reach, multiple)[0]), extent - tile]
