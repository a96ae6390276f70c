"""How well pictures survive a code: what a model with an encoder makes of test pictures, beside these pictures.

A picture that went through a code can be near its original pixel by pixel and yet blurred, so three numbers stand side
by side: how sharp both are, and how far apart in what the judge sees. Used by the `examine` of every such model
(`models/generation/vae.py`, `models/inference/`). What the codes themselves are worth is in `codes.py`.
"""

from collections.abc import Callable

import numpy as np

from inachus.engine.data import Batches, Dataset
from inachus.engine.evaluation import fidelity
from inachus.engine.evaluation.judgement import chosen_judge

MOST = 4_000  # test pictures


def reconstructions(
    reconstruct: Callable[[np.ndarray], np.ndarray], train: Dataset, test: Dataset, say: Callable[[str], None]
) -> dict[str, float]:
    """Of test pictures x and x' = reconstruct(x), float32 (N,H,W,C) in [-1, 1]; nothing of points.

    reconstruction_sharpness and truth_sharpness (`fidelity.sharpness`); feature_distance, the `ratio` of the judge's
    features; pixel_distance, that of the pixels.
    """
    if test.kind == "points":
        return {}
    judge, _ = chosen_judge(train, test, say)
    x = Batches(test, min(MOST, len(test))).batch_at(0).items
    made = reconstruct(x)
    return {
        "reconstruction_sharpness": fidelity.sharpness(made),
        "truth_sharpness": fidelity.sharpness(x),
        "feature_distance": ratio(judge.features(x), judge.features(made)),
        "pixel_distance": ratio(x, made),
    }


def ratio(items: np.ndarray, rebuilt: np.ndarray) -> float:
    """mean ||x - x'|| over mean ||y - x'||, x' rebuilt from x and y the item behind x; 1 where x' tells nothing of x.

    items (N, ...), N > 1, in an order without meaning. Donahue, Kraehenbuehl and Darrell (2017) log it in their code
    as EGr and EGr_b.
    """
    x, made = (a.reshape(len(a), -1).astype(np.float64) for a in (items, rebuilt))
    own, other = (np.linalg.norm(y - made, axis=1).mean() for y in (x, np.roll(x, -1, axis=0)))
    return float(own / other)
