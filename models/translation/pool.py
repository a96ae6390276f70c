"""What a step remembers of the steps before: older fakes, and how many steps there were.

Everything is arrays, even the counts, so that a captured step remembers as well. Read next: `cyclegan.py`.
"""

import numpy as np

from inachus.engine.random import Generator
from inachus.engine.tensor import Tensor, constant
from inachus.kernels import home, xp
from inachus.models.remembered import Remembered


class Pool(Remembered):
    """The last fakes, at most `size` pictures of `shape`, which D sees again and so forgets less; 0 keeps none.

    What it holds is part of a checkpoint. Shrivastava et al. (2017), section 2.3.
    """

    remembered = "pictures", "filled"

    def __init__(self, size: int, shape: tuple[int, ...]):
        self.pictures = home().zeros((size, *shape), np.float32)
        self.filled = home().zeros(1, np.float32)

    def __call__(self, fakes: Tensor, rng: Generator) -> Tensor:
        """For each picture of (N, H, W, C): itself, and it is kept, while there is room; then, with probability 1/2,
        itself, or else a random kept one, whose place it takes."""
        size = len(self.pictures)
        if not size:
            return fakes.detach()
        where, draws = xp(self.pictures).where, rng.uniform((len(fakes), 2))
        given = []
        for i in range(len(fakes)):
            new, full = fakes.data[i : i + 1], self.filled >= size
            place = where(full, draws[i, :1] * size, self.filled).astype(np.int64)  # (1,)
            old, swap = self.pictures[place], full * (draws[i, 1:] >= 0.5)
            given.append(where(swap.reshape(1, 1, 1, 1), old, new))
            self.pictures[place] = where((full > swap).reshape(1, 1, 1, 1), old, new)  # full, and no swap: it stays
            self.filled[...] = self.filled + (self.filled < size)  # in place: a captured step finds it again
        return constant(xp(self.pictures).concatenate(given))


class Rate(Remembered):
    """`early` for the first `until` times it is asked, then `late`."""

    remembered = ("asked",)

    def __init__(self, early: float, late: float, until: int):
        self.early, self.late, self.until, self.asked = early, late, until, home().zeros((), np.float32)

    def __call__(self):
        """A 0-d constant."""
        one = xp(self.asked).ones_like(self.asked)
        rate = xp(self.asked).where(self.asked < self.until, one * self.early, one * self.late)
        self.asked[...] = self.asked + 1
        return constant(rate)
