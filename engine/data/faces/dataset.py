"""The data set `faces`: 12 colours of hair x 11 of eyes make 132 classes, named like "aqua hair, brown eyes".

These are the tags of the course's anime faces. Cut, fringe, mouth, brows, skin, clothes, ground and pose are free, and
so is a little of each colour's shade. Face i depends on (seed, split, i) alone, so a shorter set is the beginning of a
longer one. Read next: `drawing.py`, which draws one face.
"""

from functools import partial

import numpy as np
from PIL import Image

from inachus.engine.data.bounded import check_memory
from inachus.engine.data.dataset import Dataset, Request, philox
from inachus.engine.data.drawn import kept
from inachus.engine.data.faces.drawing import NUMBERS, Colour, Face

COUNTS = {"train": 13_200, "test": 2_640}  # a hundred of each class, and twenty
SIZE = 32
STREAMS = {"train": 8, "test": 9}
OVER = 4  # drawn this much larger, then averaged down

HAIR: dict[str, Colour] = {
    "orange": (244, 128, 28),
    "white": (242, 244, 248),
    "aqua": (84, 222, 214),
    "gray": (136, 138, 144),
    "green": (52, 158, 66),
    "red": (204, 32, 42),
    "purple": (132, 62, 186),
    "pink": (250, 136, 192),
    "blue": (44, 86, 218),
    "black": (34, 32, 40),
    "brown": (116, 70, 36),
    "blonde": (246, 216, 96),
}
EYES: dict[str, Colour] = {
    "gray": (136, 138, 144),
    "black": (34, 32, 40),
    "orange": (244, 128, 28),
    "pink": (250, 120, 190),
    "yellow": (246, 214, 48),
    "aqua": (64, 216, 210),
    "purple": (132, 62, 186),
    "green": (52, 158, 66),
    "brown": (116, 70, 36),
    "red": (204, 32, 42),
    "blue": (44, 86, 218),
}


def faces(name: str, request: Request) -> Dataset:
    """Faces (N,S,S,C) with their 132 classes in turn; S=32, C=3 unless asked otherwise.

    All `COUNTS` of the split, or the first `limit`; the label is 11 hair + eyes.
    """
    size, whole = request.size or SIZE, COUNTS[request.split]
    count = request.limit or whole
    check_memory(count * size * size * 3, name)
    draw = partial(draw_faces, size=size, seed=request.seed, split=request.split)
    items = kept(name, request, count, (whole, size, size, 3), draw)
    if request.channels == 1:
        items = np.stack([np.asarray(Image.fromarray(item).convert("L")) for item in items])[..., None]
    classes = [f"{hair} hair, {eyes} eyes" for hair in HAIR for eyes in EYES]
    labels = np.arange(count, dtype=np.int64) % len(classes)
    return Dataset(name, items, labels, classes, f"drawn, seed {request.seed}")


def draw_faces(count: int, size: int, seed: int, split: str) -> np.ndarray:
    """uint8 (count,size,size,3): face i of class i % 132."""
    numbers = np.random.Generator(philox(seed, "drawing", STREAMS[split])).random((count, NUMBERS))
    hair, eyes = list(HAIR.values()), list(EYES.values())
    items = np.empty((count, size, size, 3), np.uint8)
    for i, u in enumerate(numbers):
        tag = i % (len(hair) * len(eyes))
        items[i] = Face(u, hair[tag // len(eyes)], eyes[tag % len(eyes)], OVER * size).picture().reduce(OVER)
    return items
