"""Points of the plane from mixtures of Gaussians: the customary ring and grid, or the centres that a CSV file lists.

The toy of every lecture on mode collapse, for here the truth is known: which modes there are, and how wide each is.
Point i depends on (seed, split, i) alone. Read next: `sources.py`, which gives these their names.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from inachus.engine.data.bounded import check_memory, fault, open_regular, read_all, shown
from inachus.engine.data.dataset import SPLITS, Dataset, Request, philox

COUNTS = {"train": 100_000, "test": 20_000}
EXTENT = 4 / 2.828  # the largest coordinate of a centre that a file lists, as in the customary grid
MOST = 1_000  # modes of a file
SIGMA = 0.05 / 2.828  # where the file gives none, as in the customary grid


class Mixture(NamedTuple):
    """Equal Gaussians: centres float32 (K,2), and standard deviations float32 (K,), in the units of the points."""

    centres: np.ndarray
    sigma: np.ndarray


def _ring(modes: int = 8, radius: float = 2.0) -> np.ndarray:
    angles = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (K,2)


def _grid() -> np.ndarray:
    ticks = np.arange(-4.0, 5.0, 2.0)
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)  # (5,5,2) -> (K,2)


def _scaled(centres: np.ndarray, sigma, by: float) -> Mixture:
    return Mixture((centres / by).astype(np.float32), np.full(len(centres), sigma / by, np.float32))


# The customary toys: a ring of radius 2, sigma .02, over sqrt 2; a grid of pitch 2, sigma .05, over sqrt 8.
MIXTURES = {"mixture-ring8": _scaled(_ring(), 0.02, 1.414), "mixture-grid25": _scaled(_grid(), 0.05, 2.828)}


def mixture(name: str, request: Request) -> Dataset:
    """Points of a mixture in `MIXTURES`."""
    return drawn(name, MIXTURES[name], request)


def from_file(path: Path, request: Request) -> Dataset:
    """Points of the mixture in a CSV file, a mode a line: x, y and, if it shall not be 1/80 of the extent, sigma.

    Everything is scaled to the extent of the customary grid. Raises DataError, naming the line, for anything else.
    """
    with open_regular(path) as file:
        text = read_all(file, 1 << 20, path)
    rows = [(n, line) for n, line in enumerate(text.decode(errors="replace").splitlines(), 1) if line.strip()]
    if not 1 <= len(rows) <= MOST:
        raise fault(path, f"{len(rows):,} modes: 1 to {MOST:,} lines of x,y or x,y,sigma are needed")
    read = np.array([_mode(path, n, line) for n, line in rows])  # (K,3)
    by = np.abs(read[:, :2]).max() / EXTENT or 1.0  # a single mode may lie at 0
    given = np.isfinite(read[:, 2])
    sigma = np.where(given, read[:, 2] / by, SIGMA).astype(np.float32)
    return drawn(shown(path.name), Mixture((read[:, :2] / by).astype(np.float32), sigma), request)


def _mode(path: Path, number: int, line: str) -> tuple[float, float, float]:
    """(x, y, sigma or nan) of a line."""
    try:
        x, y, sigma = [float(part) for part in line.split(",")] + [np.nan] * (line.count(",") == 1)
    except ValueError:
        raise fault(path, f"line {number}: expected x,y or x,y,sigma, got '{shown(line)}'") from None
    if not (np.isfinite([x, y]).all() and max(abs(x), abs(y)) < 1e6 and (np.isnan(sigma) or 1e-6 < sigma < 1e6)):
        raise fault(path, f"line {number}: needs numbers below a million and a positive sigma, not '{shown(line)}'")
    return x, y, sigma


def drawn(name: str, modes: Mixture, request: Request) -> Dataset:
    """Points (N,2), the modes in turn; the labels are the modes."""
    count = request.limit or COUNTS[request.split]
    check_memory(count * 2 * 4, name)
    random = np.random.Generator(philox(request.seed, "drawing", SPLITS.index(request.split)))
    labels = np.arange(count, dtype=np.int64) % len(modes.centres)
    spread = modes.sigma[labels, None] * random.standard_normal((count, 2), dtype=np.float32)
    classes = [f"({x:.3f}, {y:.3f})" for x, y in modes.centres]
    source = f"drawn, seed {request.seed}"
    return Dataset(name, modes.centres[labels] + spread, labels, classes, source, mixture=modes)
