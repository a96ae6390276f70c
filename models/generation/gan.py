"""GAN (Goodfellow et al. 2014): the original, and the step that the other adversarial models share.

"Generative adversarial nets", algorithm 1: k steps of the discriminator, then one of the generator. The networks are
the course's MLPs (`models/nets/mlp.py`). Deviations from the paper: Adam instead of momentum, leaky ReLU and batch norm
instead of maxout and dropout. Read `dcgan.py` next, which changes only the networks.

`inachus train gan --data fashion-mnist --steps 6000`, then `inachus evaluate`, seeds 0, 1, 2: Frechet 82.9, 82.0, 85.5
(floor 1.3), class total variation 0.20, 0.22, 0.22, 9 or 10 of 10 classes; 81 seconds on 2 cores.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inachus.engine import constant, losses, no_grad, ops
from inachus.engine.data import Batches
from inachus.engine.nn import init
from inachus.engine.optim import EMA, Adam
from inachus.engine.random import Generator
from inachus.kernels.steps import readings
from inachus.models.nets import mlp
from inachus.models.settings import Pictures, setting


@dataclass
class Common(Pictures):
    """The settings of every adversarial model, whatever its loss."""

    z: int = setting(100, "size of the noise", low=1, high=4096)
    prior: str = setting("normal", "distribution of the noise: N(0,1) or U(-1,1)", ("normal", "uniform"))
    k: int = setting(1, "discriminator steps for each generator step", low=1, high=100)
    lr: float = setting(2e-4, "learning rate of both networks", low=0)
    beta1: float = setting(0.5, "Adam's beta1", low=0, high=0.999)
    beta2: float = setting(0.999, "Adam's beta2", low=0, high=0.9999)
    ema: float = setting(0.999, "decay of the generator's average, which makes the samples", low=0, high=1)


@dataclass
class Settings(Common):
    """What `--set` can change."""

    loss: str = setting("non-saturating", "what the generator minimises", ("non-saturating", "minimax"))


class GAN:
    """min over G, max over D of E log D(x) + E log(1 - D(G(z))), D(x) = sigmoid(logit)."""

    Settings = Settings
    steps = 10_000  # unless the user says otherwise
    batch, data = 64, "digits"
    points: ClassVar = {"batch": 256}  # for points of the plane, whose networks are small
    conditional = False
    example = 28, 28, 1  # the shape of an item for which `inachus models` shows the networks
    loader = Batches

    def __init__(self, shape: tuple[int, ...], classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of one item: (H, W, C) for pictures, (2,) for points; `classes` is how many labels the data has."""
        self.settings = (settings or self.Settings()).fitted(shape)
        self.shape, self.classes, self.rng = tuple(shape), classes, Generator(seed)
        self.G, self.D = self.networks()
        for name, network in (("G", self.G), ("D", self.D)):
            network.initialize(self.rng.spawn(name), *self.initialisers())
        self.g_optimizer, self.d_optimizer = self.optimizer(self.G, 1), self.optimizer(self.D, self.settings.k)
        self.average = EMA(self.G, self.settings.ema)

    def networks(self):
        """(generator, discriminator)."""
        return mlp.generator(self.settings.z, self.shape), mlp.discriminator(int(np.prod(self.shape)))

    def initialisers(self):
        """Of the weights, and of the norms' scales (None: 1)."""
        return init.glorot(), None

    def optimizer(self, network, each: int):
        """What moves a network `each` times in one step."""
        return Adam(network.parameters(), self.settings.lr, (self.settings.beta1, self.settings.beta2))

    @property
    def batches(self) -> int:
        """How many batches one step takes: a fresh one for each discriminator step."""
        return self.settings.k

    def step(self, batch) -> dict[str, float]:
        """k discriminator steps, each on its share of the batch, then one generator step through D as it now is."""
        k = self.settings.k
        for i, (items, labels) in enumerate(shares(batch, k)):
            real, given = constant(items), self.condition(labels)
            with no_grad(i < k - 1):  # only the last fake is differentiated
                fake = self.G(self.noise(len(items), self.rng), *given)
            s_real, s_fake = self.D(real, *given), self.D(fake.detach(), *given)
            d_loss = self.penalised(self.d_loss(s_real, s_fake), real, fake.detach(), given)
            self.d_optimizer.minimize(d_loss)
        g_loss = self.g_loss(self.D(fake, *given))
        self.g_optimizer.minimize(g_loss)
        self.average.update()
        values = {"d_loss": d_loss, "g_loss": g_loss, **self.verdicts(s_real, s_fake)}
        return readings({name: v.data for name, v in values.items()})

    def condition(self, labels) -> tuple:
        """What G and D are told besides noise and picture: nothing here."""
        return ()

    def penalised(self, d_loss, real, fake, given):
        """The discriminator's loss with what holds D back: nothing here, a gradient's length in `wgangp.py`."""
        return d_loss

    def verdicts(self, s_real, s_fake):
        """What a log shows of D's outputs: the probabilities that it gives to real pictures and to fakes."""
        return {"D(x)": ops.sigmoid(s_real), "D(G(z))": ops.sigmoid(s_fake)}

    def d_loss(self, s_real, s_fake):
        """-E log D(x) - E log(1 - D(G(z)))."""
        return losses.bce_with_logits(s_real, 1.0) + losses.bce_with_logits(s_fake, 0.0)

    def g_loss(self, s_fake):
        """-E log D(G(z)), or for minimax E log(1 - D(G(z))), whose gradient vanishes when D wins."""
        if self.settings.loss == "minimax":
            return -losses.bce_with_logits(s_fake, 0.0)
        return losses.bce_with_logits(s_fake, 1.0)

    def noise(self, n: int, rng: Generator):
        """z (n, z) from the prior."""
        shape = n, self.settings.z
        return constant(rng.normal(shape) if self.settings.prior == "normal" else rng.uniform(shape, -1, 1))

    def sample(self, n: int, *, seed: int = 0, z=None) -> np.ndarray:
        """n items as float32, pictures in [-1, 1], from the averaged generator; the same seed gives the same z."""
        z = self.noise(n, Generator(seed).spawn("sample")) if z is None else z
        with no_grad():
            return self.average.network(z).numpy()

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network, for the summary tables."""
        return {"G": (self.settings.z,), "D": self.shape}

    def preview(self, dataset) -> dict:
        """What the training loop draws: samples on fixed noise, whatever the data."""
        return {"items": self.sample(64 if len(self.shape) == 3 else 2500), "columns": 8, "titles": None}


def shares(batch, k: int):
    """The batch in k equal parts: (items, labels or None) each."""
    n = len(batch.items) // k
    parts = [slice(i * n, (i + 1) * n) for i in range(k)]
    return [(batch.items[part], None if batch.labels is None else batch.labels[part]) for part in parts]
