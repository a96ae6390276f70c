"""Autoencoder (Hinton and Salakhutdinov 2006): the lecture's first generator, a decoder of 2-D codes.

"Reducing the dimensionality of data with neural networks". A picture goes through a code and back; the decoder alone
makes pictures from codes nobody encoded, and shows why that is not enough: between the real codes there are holes.
Read `gan.py` next, where a discriminator says what is wrong with such pictures.
"""

from dataclasses import dataclass

import numpy as np

from inachus.engine import constant, losses, nn, no_grad
from inachus.engine.data import Batches
from inachus.engine.nn import init
from inachus.engine.optim import Adam
from inachus.engine.random import Generator
from inachus.kernels.steps import readings
from inachus.models.nets import mlp
from inachus.models.settings import Pictures, setting


@dataclass
class Settings(Pictures):
    """What `--set` can change."""

    code: int = setting(2, "size of the code", low=1, high=4096)
    lr: float = setting(1e-3, "learning rate", low=0)


class Autoencoder:
    """min E (decoder(encoder(x)) - x)^2; codes lie in the square (-1, 1)^code."""

    Settings = Settings
    steps = 4_000  # unless the user says otherwise
    batch, data = 64, "digits"
    conditional = False
    example = 28, 28, 1
    loader = Batches
    batches = 1  # a step takes one

    def __init__(self, shape: tuple[int, ...], classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of one item: (H, W, C) for pictures, (2,) for points; labels are not used."""
        self.settings = settings or self.Settings()
        self.shape, self.classes = tuple(shape), classes
        code, numbers = self.settings.code, int(np.prod(shape))
        self.encoder = nn.Sequential(*mlp.discriminator(numbers, (512, 256, 64), outputs=code), nn.Tanh())
        self.decoder = mlp.generator(code, self.shape, (64, 256, 512))
        for name, network in (("encoder", self.encoder), ("decoder", self.decoder)):
            network.initialize(Generator(seed).spawn(name), init.he(0.2))
        self.optimizer = Adam([*self.encoder.parameters(), *self.decoder.parameters()], self.settings.lr)

    def step(self, batch) -> dict[str, float]:
        """One step down the squared error of the reconstruction."""
        x = constant(batch.items)
        loss = losses.mse(self.decoder(self.encoder(x)), x)
        self.optimizer.minimize(loss)
        return readings({"loss": loss.data})

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Items from codes (N, code), by the running statistics: one code, one picture, whatever stands beside it."""
        self.decoder.eval()
        with no_grad():
            items = self.decoder(constant(codes)).numpy()
        self.decoder.train()
        return items

    def sample(self, n: int, *, seed: int = 0, z=None) -> np.ndarray:
        """n items from codes drawn evenly from the square."""
        z = self.noise(n, Generator(seed).spawn("sample")) if z is None else z
        return self.decode(z.numpy())

    def noise(self, n: int, rng: Generator):
        """Codes (n, code), even over the square."""
        return constant(rng.uniform((n, self.settings.code), -1, 1))

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network, for the summary tables."""
        return {"encoder": self.shape, "decoder": (self.settings.code,)}

    def preview(self, dataset) -> dict:
        """The decoder over the code square: the first code from left to right, the second from top to bottom."""
        steps = np.linspace(-0.95, 0.95, 12, dtype=np.float32)
        codes = np.zeros((144, self.settings.code), np.float32)
        codes[:, 0] = np.tile(steps, 12)
        codes[:, 1:2] = np.repeat(steps, 12)[:, None]
        return {"items": self.decode(codes), "columns": 12, "titles": None}
