"""Variational autoencoder (Kingma and Welling 2014): the GAN's rival in the lecture, a decoder of codes from N(0, 1).

"Auto-encoding variational Bayes", appendices B and C: the encoder gives for each picture a normal distribution of
codes, the decoder a distribution of pixels, here Bernoulli, and the bound on log p(x) is maximised: pixels summed, not
averaged, against the whole divergence. For points of the plane the decoder's distribution is normal, of deviation
`sigma`, and points are drawn with it. The networks are the testbed's (`models/nets/testbed.py`), so that the comparison
with `nsgan.py` and the others is one of losses.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inachus.engine import constant, ops
from inachus.engine.data import Batches, Dataset
from inachus.engine.evaluation.reconstruction import reconstructions
from inachus.engine.nn import Sequential, init
from inachus.engine.optim import Adam
from inachus.engine.random import Generator
from inachus.kernels import fetch
from inachus.kernels.steps import readings
from inachus.models.nets import testbed
from inachus.models.nets.applied import applied
from inachus.models.settings import Pictures, setting


@dataclass
class Settings(Pictures):
    """What `--set` can change."""

    presets: ClassVar = testbed.PRESETS
    z: int = setting(0, "size of the code; 0: 64 for pictures, 2 for points", low=0, high=4096)
    width: int = setting(0, testbed.WIDTH, low=0, high=512)
    norm: bool = setting(True, "batch norm in the encoder, for pictures")
    sigma: float = setting(0.05, "deviation of points around what is decoded", low=1e-4)
    lr: float = setting(1e-3, "learning rate", low=0)


class VAE:
    """max of E log p(x | z) - KL(q(z | x) || N(0, 1)), z drawn from q(z | x)."""

    Settings = Settings
    steps = 10_000
    batch, data = 64, "digits"
    points: ClassVar = {"batch": 256}
    conditional = False
    example = 28, 28, 1
    loader = Batches
    batches = 1

    def __init__(self, shape: tuple[int, ...], classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of one item: (H, W, C) for pictures, (2,) for points; labels are not used."""
        s = self.settings = (settings or self.Settings()).fitted(shape)
        self.shape, self.classes, self.rng = tuple(shape), classes, Generator(seed)
        self.encoder = testbed.discriminator(self.shape, s.width, s.norm, 2 * s.z)
        self.decoder = testbed.generator(s.z, self.shape, s.width, Sequential())
        weights = init.normal(0.02) if len(self.shape) == 3 else init.he()
        for name, network in (("encoder", self.encoder), ("decoder", self.decoder)):
            network.initialize(self.rng.spawn(name), weights)
        self.optimizer = Adam([*self.encoder.parameters(), *self.decoder.parameters()], s.lr)

    def step(self, batch) -> dict[str, float]:
        """One step up the bound."""
        x = constant(batch.items)
        mean, spread = self.encode(x)
        z = mean + ops.exp(0.5 * spread) * constant(self.rng.normal(mean.shape))
        error = self.error(self.decoder(z), x)
        nats = divergence(mean, spread)
        loss = error + nats
        self.optimizer.minimize(loss)
        values = {"loss": loss, "error": error, "KL": nats}
        return readings({name: v.data for name, v in values.items()})

    def encode(self, x):
        """(mean, log of the variance) of q(z | x), each (N, z)."""
        both = self.encoder(x)
        return both[:, : self.settings.z], both[:, self.settings.z :]

    def error(self, decoded, x):
        """-log p(x | z) in nats, summed over an item and averaged over the batch."""
        if len(self.shape) == 1:
            return ops.square((decoded - x) * (1.0 / self.settings.sigma)).sum() * (0.5 / len(x))
        white = 0.5 * x + 0.5
        return (ops.softplus(decoded) - decoded * white).sum() * (1.0 / len(x))

    def sample(self, n: int, *, seed: int = 0, z=None) -> np.ndarray:
        """n items as float32 from codes of N(0, 1): means of pixels, in [-1, 1]; points with their noise."""
        rng = Generator(seed).spawn("sample")
        z = self.noise(n, rng) if z is None else z
        items = self.decoded(z.numpy())
        if len(self.shape) == 1:
            items = items + fetch(rng.normal(items.shape, std=self.settings.sigma))
        return items

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        """The means of pixels in [-1, 1], or of points, that codes (N, z) stand for."""
        items = applied(self.decoder, codes)
        return np.tanh(0.5 * items) if len(self.shape) == 3 else items

    def reconstruct(self, items: np.ndarray) -> np.ndarray:
        """What is decoded from the means of q(z | x): float32 (N, ...) -> the same."""
        return self.decoded(applied(self.encoder, items)[:, : self.settings.z])

    def examine(self, train: Dataset, test: Dataset, say) -> dict[str, float]:
        """How sharp and how near reconstructions are (`engine/evaluation/reconstruction.py`)."""
        return reconstructions(self.reconstruct, train, test, say)

    def noise(self, n: int, rng: Generator):
        """Codes (n, z) of N(0, 1)."""
        return constant(rng.normal((n, self.settings.z)))

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network."""
        return {"encoder": self.shape, "decoder": (self.settings.z,)}

    def preview(self, dataset) -> dict:
        """What the training loop draws: samples on fixed codes, whatever the data."""
        return {"items": self.sample(64 if len(self.shape) == 3 else 2500), "columns": 8, "titles": None}


def divergence(mean, spread):
    """KL(q || N(0, 1)) in nats, averaged over the batch: mean and log of the variance of q, (N, z) each."""
    return 0.5 * (ops.exp(spread) + ops.square(mean) - 1.0 - spread).sum() * (1.0 / len(mean))
