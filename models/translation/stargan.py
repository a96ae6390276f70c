"""StarGAN (Choi et al. 2018): one generator for translations between any number of domains, which it is told.

"StarGAN: unified generative adversarial networks for multi-domain image-to-image translation", sections 3 and 4; the
networks are in `models/nets/stargan.py`. Deviations: 64 pixels and half the paper's width by default; two steps of D
for each of G instead of five, at three times the rate, for in a short training it is G that lacks steps.

`inachus train stargan --data openmoji.zip,twemoji.zip`, two styles of emoji, then `inachus evaluate`, seed 0: a
classifier trained apart (right on 99.2 % of the real ones) sees 96.3 % of the translations in the style asked for,
92.6 % to OpenMoji and 100 % to Twemoji; 20 minutes on one core.
"""

from dataclasses import dataclass

import numpy as np

from inachus.engine import constant, losses, no_grad, ops
from inachus.engine.data import Batches, Dataset, Jitter
from inachus.engine.errors import DataError, UsageError
from inachus.engine.nn import init
from inachus.engine.optim import Adam, falling
from inachus.engine.random import Generator
from inachus.kernels.steps import readings
from inachus.models.generation.gan import shares
from inachus.models.nets import stargan
from inachus.models.settings import Pictures, setting
from inachus.models.translation import pairs


@dataclass
class Settings(Pictures):
    """What `--set` can change."""

    size: int = setting(64, "picture size in pixels, a multiple of 4; 128 in the paper", low=0, high=1024)
    hold_out: float = setting(0.1, "share held out for tests, where there is no test split", low=0, high=0.9)
    flip: bool = setting(True, "half of the pictures are mirrored")
    domain: float = setting(1.0, "weight of the right domain", low=0)
    cycle: float = setting(10.0, "weight of the way there and back", low=0)
    penalty: float = setting(10.0, "weight of the gradient penalty", low=0)
    n_critic: int = setting(2, "discriminator steps for each generator step; 5 in the paper", low=1, high=100)
    width: int = setting(32, "channels of the outermost layers; 64 in the paper", low=1, high=512)
    blocks: int = setting(3, "residual blocks; 6 in the paper", low=0, high=30)
    layers: int = setting(5, "strided layers of D; 6 in the paper", low=1, high=9)
    lr: float = setting(3e-4, "learning rate of both networks; 1e-4 in the paper", low=0)
    beta1: float = setting(0.5, "Adam's beta1", low=0, high=0.999)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)


class StarGAN:
    """min over G of -E D(y) - E log p(to | y) + 10 E |x - G(y, from)|, y = G(x, to).

    min over D of E D(y) - E D(x) - E log p(from | x) + 10 E (||D'(between x and y)|| - 1)^2; p is D's second answer.
    """

    Settings = Settings
    steps, batch, data = 1_500, 8, "stripes"
    conditional = False
    example = 64, 64, 3
    multiple, scale = 4, 1

    def __init__(self, shape: tuple[int, ...], classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of one picture (H, W, C); `classes`, from 2 on, is how many domains there are."""
        s = self.settings = settings or self.Settings()
        if classes < 2 or len(shape) != 3:
            raise DataError(
                "stargan needs pictures of two or more domains: class folders, a labelled data set, or folders and "
                "zips as ONE,TWO,THREE"
            )
        if shape[0] % self.multiple or shape[1] % self.multiple:
            raise UsageError(f"stargan takes sides that are multiples of 4, not {shape[1]} x {shape[0]}: --set size=64")
        self.shape, self.classes, self.rng = tuple(shape), classes, Generator(seed)
        self.G = stargan.generator(shape[2] + classes, shape[2], s.width, s.blocks)
        self.D = stargan.Discriminator(self.shape, classes, s.width, s.layers)
        self.G.initialize(self.rng.spawn("G"), init.normal(0.02))
        self.D.initialize(self.rng.spawn("D"), init.he(0.01))
        decay, betas = s.decay or self.steps, (s.beta1, 0.999)
        self.g_optimizer = Adam(self.G.parameters(), falling(s.lr, decay), betas)
        self.d_optimizer = Adam(self.D.parameters(), falling(s.lr, decay * s.n_critic), betas)
        self.each = constant(np.eye(classes, dtype=np.float32))  # one row a domain

    @property
    def batches(self) -> int:
        """How many batches one step takes: a fresh one for each discriminator step."""
        return self.settings.n_critic

    def step(self, batch) -> dict[str, float]:
        """n_critic discriminator steps, each on its share of the batch, then one generator step on the last share."""
        n = self.settings.n_critic
        for i, (pictures, labels) in enumerate(shares(batch, n)):
            x, to = constant(pictures), self.rng.integers((len(pictures),), self.classes)
            with no_grad(i < n - 1):  # only the last translation is differentiated
                y = self.G(self.told(x, to))
            values = self.discriminator_step(x, y.detach(), labels)
        values |= self.generator_step(x, y, labels, to)
        return readings({name: v.data for name, v in values.items()})

    def told(self, x, labels):
        """Pictures with the domain they shall be of: (N, H, W, C), (N,) -> (N, H, W, C + classes)."""
        planes = ops.reshape(ops.embedding(labels, self.each), shape=(len(x), 1, 1, self.classes))
        return ops.concat([x, ops.broadcast_to(planes, shape=(*x.shape[:3], self.classes))], axis=3)

    def discriminator_step(self, x, y, labels):
        """Values of a step of D on pictures x of the domains `labels` and translations y."""
        s = self.settings
        (real, domains), (fake, _) = self.D(x), self.D(y)
        part = constant(self.rng.uniform((len(x), 1, 1, 1)))
        penalty = losses.gradient_penalty(lambda between: self.D(between)[0], part * x + (1.0 - part) * y)
        right = losses.cross_entropy(domains, labels)
        self.d_optimizer.minimize(fake.mean() - real.mean() + s.domain * right + s.penalty * penalty)
        return {"distance": real.mean() - fake.mean(), "penalty": penalty, "d_domain": right}

    def generator_step(self, x, y, labels, to):
        """Values of a step of G that made y, in the domains `to`, of x."""
        s = self.settings
        fake, domains = self.D(y)
        values = {"g_loss": -fake.mean(), "g_domain": losses.cross_entropy(domains, to)}
        values["cycle"] = losses.l1(self.G(self.told(y, labels)), x)
        self.g_optimizer.minimize(values["g_loss"] + s.domain * values["g_domain"] + s.cycle * values["cycle"])
        return values

    def translate(self, x: np.ndarray, to: int = 1, *, seed: int = 0) -> np.ndarray:
        """G(x, to), float32 (N, H, W, C) -> the same, sides multiples of 4; UsageError for a domain there is not."""
        if not 0 <= to < self.classes:
            raise UsageError(f"there is no domain {to}: this model knows 0 to {self.classes - 1}")
        planes = np.zeros((*x.shape[:3], self.classes), np.float32)
        planes[..., to] = 1
        return pairs.translated(self.G, np.concatenate([x, planes], axis=3), self.multiple, seed)

    def loader(self, dataset: Dataset, size: int, seed: int):
        """Pictures with their domains, mirrored or not."""
        return Batches(dataset, size, seed, Jitter(1.0, self.settings.flip))

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network."""
        return {"G": (*self.shape[:2], self.shape[2] + self.classes), "D": self.shape}

    def preview(self, dataset: Dataset) -> dict:
        """Eight pictures, evenly spread over the data, and each in every domain, at most eight of these."""
        x = dataset.normalised(np.arange(pairs.SHOWN) * len(dataset) // pairs.SHOWN)
        domains = range(min(self.classes, pairs.SHOWN))
        titles = ["input", *(dataset.classes[to] for to in domains)]
        return {
            "items": pairs.rows(x, *(self.translate(x, to) for to in domains)),
            "columns": len(titles),
            "titles": titles,
        }
