"""Whether an adversarial training goes wrong in a way that no number shows by itself, told in words while it goes.

Two things are looked at: whether D tells real from made with certainty, so that G learns nothing (from the readings
that are logged anyway), and whether the samples are all alike (their distances beside those of real data, when samples
are drawn anyway). Each is told once, after it has lasted. Nothing here changes the training or its log, or draws from
its random streams. Not here: numbers that are not finite (`postmortem.py`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

SURE, DOUBT = 0.99, 0.02  # D(x) above, D(G(z)) as near to 0, and D's loss below, where D is certain
# Samples are alike if their nearest lie less than this share of the real distance away: of a generator that once did
# three times better, and of one that never did, for a young one begins with little.
ALIKE, SAME = 0.1, 0.01
LASTING = {"certain": 200, "alike": 500}  # steps
COUNT = 64  # samples, as many as there are real items at most


class Episode:
    """A state that is on when it has held for `least` steps on end, and off again when it has not for as long."""

    def __init__(self, least: int):
        self.least, self.on, self.held, self.since = least, False, False, 0

    def begins(self, step: int, holds: bool) -> bool:
        """True once, when it comes on; `step` never falls."""
        if holds != self.held:
            self.held, self.since = holds, step
        if step - self.since < self.least:
            return False
        begun, self.on = holds and not self.on, holds
        return begun


class Health:
    """Says through `say`, in one line each, what is wrong and what to try; of the data at once."""

    def __init__(self, model: Any, dataset: Any, say: Callable[[str], None]):
        self.model, self.say = model, say
        self.episodes = {name: Episode(least) for name, least in LASTING.items()}
        self.critic = hasattr(model, "adapts")  # a D that is to be certain, or one whose loss may be anything
        self.real, self.best = 0.0, 0.0  # how far apart real items are; the best share that samples had of it
        if problem := _pointless(dataset):
            say(f"{dataset.name}: {problem}; look at --data")
        if hasattr(model, "sample") and hasattr(dataset, "normalised"):
            self.count = min(COUNT, len(dataset))
            self.real = apart(dataset.normalised(np.arange(self.count) * len(dataset) // self.count))

    def read(self, step: int, values: dict[str, float]) -> None:
        """Looks at the readings of a logged step."""
        self.critic |= values.get("d_loss", 0) < 0
        if self.episodes["certain"].begins(step, not self.critic and certain(values)):
            told = ", ".join(f"{name} {values[name]:.3g}" for name in ("d_loss", "D(x)", "D(G(z))") if name in values)
            self.say(
                f"the discriminator has won: for {LASTING['certain']} steps up to {step:,} it has told real from made "
                f"with certainty ({told}), and the generator learns next to nothing; try a smaller {self._rate()}, a "
                "smaller discriminator, or a loss that does not saturate (wgangp)"
            )

    def sampled(self, step: int) -> None:
        """Looks at samples of the model as it is."""
        if not self.real:
            return
        share = apart(self.model.sample(self.count)) / self.real
        self.best = max(self.best, share)
        if self.episodes["alike"].begins(step, share < (ALIKE if self.best > 3 * ALIKE else SAME)):
            self.say(
                f"mode collapse: for {LASTING['alike']} steps up to {step:,} samples have been alike (the nearest is "
                f"{share:.1%} as far away as among real data); go back to an earlier checkpoint, and try a smaller "
                f"{self._rate()}, a larger --batch, or a loss that collapses less (wgangp)"
            )

    def _rate(self) -> str:
        lr = getattr(self.model.settings, "lr", None)
        return f"learning rate (--set lr={lr / 4:g})" if lr else "learning rate"


def _pointless(dataset: Any) -> str:
    """Why nothing can be learned from these data, or ""; as far as a few of them show."""
    if dataset.kind == "pairs":
        sides = zip(dataset.a[:COUNT], dataset.b[:COUNT], strict=False)
        same = dataset.paired and all(np.array_equal(a, b) for a, b in sides)
        return "a and b are the same pictures, so there is nothing to translate" if same else ""
    items = getattr(dataset, "items", np.arange(2))[:: len(dataset) // COUNT + 1]
    same = len(dataset) > 1 and (items == items[0]).all()
    return "the items are all the same, so there is nothing to learn but one" if same else ""


def certain(values: dict[str, float]) -> bool:
    """True for readings of a discriminator that makes no mistakes, whose loss is close to 0 and cannot fall further."""
    if "D(x)" not in values:
        return values.get("d_loss", 1.0) < DOUBT / 2
    return values["D(x)"] > SURE and values.get("D(G(z))", 1.0) < 1 - SURE and values.get("d_loss", 1.0) < DOUBT


def apart(items: np.ndarray) -> float:
    """How far an item (N, ...) lies from its nearest, in the median: root of the mean square over its numbers."""
    x = items.reshape(len(items), -1).astype(np.float64)
    x -= x.mean(axis=0)  # so that little is lost in the differences below
    squares = (x * x).sum(axis=1)
    distances = squares[:, None] + squares - 2 * (x @ x.T)  # (N, N)
    np.fill_diagonal(distances, np.inf)
    return float(np.sqrt(np.maximum(np.median(distances.min(axis=1)), 0) / x.shape[1]))
