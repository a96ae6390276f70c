"""`read_tags`: which colours of hair and eyes the pixels of a face show, wherever it comes from.

It knows where hair and irises are in every pose, and nothing else of the drawing: it is how the obedience of a
generator is measured, without a network that would have to be trained.
"""

import numpy as np

from inachus.engine.data.faces.dataset import EYES, HAIR
from inachus.engine.data.faces.drawing import SKINS, WHITE

# Where to look, (left, top, right, bottom) in picture sides: inside the hair, and inside the irises, in every pose.
CROWN = [(0.36, 0.16, 0.64, 0.33)]
IRISES = [(0.29, 0.555, 0.41, 0.675), (0.59, 0.555, 0.71, 0.675)]


def read_tags(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces (N,S,S,3), uint8 or float in [-1,1] -> (hair (N,), eyes (N,)), numbers of colours in HAIR and EYES.

    Every pixel at the crown or in the irises votes for the nearest colour; the white of the eyes and skin, were an eye
    elsewhere, do not vote.
    """
    if pictures.dtype != np.uint8:
        pictures = 127.5 * pictures + 127.5
    hair = _votes(_pixels(pictures, CROWN), list(HAIR.values()))
    eyes = _votes(_pixels(pictures, IRISES), [*EYES.values(), WHITE, *SKINS])[:, : len(EYES)]
    return hair.argmax(1), eyes.argmax(1)


def _pixels(pictures: np.ndarray, boxes: list) -> np.ndarray:
    """The pixels whose centres lie in a box: (N,S,S,3) -> float32 (N,P,3)."""
    y, x = ((np.arange(side) + 0.5) / side for side in pictures.shape[1:3])
    inside = [
        ((top <= y) & (y <= bottom))[:, None] & ((left <= x) & (x <= right)) for left, top, right, bottom in boxes
    ]
    return pictures[:, np.any(inside, axis=0)].astype(np.float32)


def _votes(pixels: np.ndarray, palette: list) -> np.ndarray:
    """How many pixels (N,P,3) are nearest to each colour: int64 (N, colours)."""
    distance = np.square(pixels[:, :, None] - np.array(palette, np.float32)).sum(-1)  # (N,P,colours)
    return (distance.argmin(-1)[..., None] == np.arange(len(palette))).sum(1)
