"""Random numbers from explicit, seeded, counter-based generators: the same seed gives the same noise everywhere.

A generator is a key (seed, stream) and a position; its whole state is three integers. Nothing in the project draws
from a global state. The bits are made in `kernels/reference/random.py`.
"""

import math
import zlib

import numpy as np

from inachus.kernels import selected
from inachus.kernels.steps import live


class Generator:
    """A stream of Philox numbers. `seed` and `stream` are integers in 0..2^64-1."""

    def __init__(self, seed: int, stream: int = 0):
        self.seed, self.stream, self.position = seed, stream, 0

    def spawn(self, name: str) -> "Generator":
        """A generator of its own for the part called `name`: independent of this one and of its position."""
        return Generator(self.seed, zlib.crc32(f"{self.stream}/{name}".encode()))

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0, dtype=np.float32) -> np.ndarray:
        """U[low, high)."""
        return _scaled(self._draw(selected().uniform, shape, dtype), high - low, low)

    def normal(self, shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0, dtype=np.float32) -> np.ndarray:
        """N(mean, std^2)."""
        return _scaled(self._draw(selected().normal, shape, dtype), std, mean)

    def integers(self, shape: tuple[int, ...], n: int) -> np.ndarray:
        """Integers 0..n-1, int64; n up to 2^24."""
        return (self._draw(selected().uniform, shape, np.float64) * n).astype(np.int64)

    def _draw(self, kernel, shape, dtype) -> np.ndarray:
        return kernel(self.seed, self.stream, self.claim(math.prod(shape)), tuple(shape), dtype)

    def claim(self, numbers: int) -> int:
        """Where the next `numbers` numbers lie in the stream, which no later draw gets; in a captured step a dial."""

        def take():
            start, self.position = self.position, self.position + -(-numbers // 4)  # four numbers a block
            return start

        return live(take)

    def state(self) -> dict[str, int]:
        """All there is to save."""
        return {"seed": self.seed, "stream": self.stream, "position": self.position}

    def load_state(self, state: dict[str, int]) -> None:
        """Continues exactly where `state()` was taken."""
        self.seed, self.stream, self.position = (int(state[k]) for k in ("seed", "stream", "position"))


def _scaled(x, factor, shift):
    """x factor + shift, in the dtype of x; nothing is computed for 1 and 0."""
    x = x if factor == 1 else x * x.dtype.type(factor)
    return x if shift == 0 else x + x.dtype.type(shift)
