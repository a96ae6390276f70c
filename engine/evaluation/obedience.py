"""Does a picture show the tags that were asked for? Read from its pixels, for faces with colours of hair and eyes.

A judge that was trained may be fooled by what a generator learned beside it; the rule of `engine/data/faces/reading.py`
was not trained. Pictures it cannot read, such as faces drawn by others, are no basis for a number: `agreement` on true
pictures says so. For all other data there is the judge (`judgement.py`).
"""

import numpy as np

from inachus.engine.data.faces import EYES, HAIR, read_tags


def colours(classes: list[str]) -> np.ndarray | None:
    """int64 (classes, 2), the numbers of the colours in names like "aqua hair, brown eyes"; None if one is none."""
    hair, eyes = [f"{name} hair" for name in HAIR], [f"{name} eyes" for name in EYES]
    named = [[word.strip() for word in name.split(",")] for name in classes]
    if not named or any(len(words) != 2 or words[0] not in hair or words[1] not in eyes for words in named):
        return None
    return np.array([[hair.index(one), eyes.index(other)] for one, other in named])


def agreement(pictures: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """Shares of faces (N,S,S,3) that show the hair, the eyes and both as asked, (N, 2) as in `colours`."""
    right = np.stack(read_tags(pictures), axis=1) == asked
    return {"hair": float(right[:, 0].mean()), "eyes": float(right[:, 1].mean()), "both": float(right.all(1).mean())}
