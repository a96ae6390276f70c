"""SRGAN (Ledig et al. 2017): pictures made larger, learned from pairs that every picture holds: itself, and reduced.

"Photo-realistic single image super-resolution using a generative adversarial network", sections 2 and 3; the networks
are in `models/nets/srgan.py`, the pairs are made by `engine/data/pairs/made.py`: random crops, and the same by Pillow's
antialiased bicubic. G first learns the content alone, E |high - G(low)|, for a share of the training; then D comes in,
and G also minimises its verdict. `--set loss=content` goes on with the content to the end: fewest errors, but soft.

Deviations: no weights of a VGG network are at hand, so that the content is a distance of pixels, and `features` may add
one of what D's inner layers see; the enlarged input is added to what G makes, which it then need not learn; learning
rates fall; a smaller G, and D without dense layers. As in the paper: `--set skip=off dense=on width=64 blocks=16
kernel=9 judge=64 crop=96`, each with its own `--set`.

`inachus train superresolution --data outlines`, then `inachus evaluate`: 24.4 dB, sharpness 0.169 of the truth's 0.184;
with `--set loss=content` 25.7 dB and 0.134 (bicubic 17.6 dB and 0.001); on CamVid's photographs 25.8 dB (bicubic 24.7).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inachus.engine import constant, losses, no_grad, ops
from inachus.engine.data import Dataset, Pairs
from inachus.engine.data.dataset import normalised
from inachus.engine.data.pairs import made
from inachus.engine.errors import UsageError
from inachus.engine.nn import init
from inachus.engine.optim import Adam, falling
from inachus.engine.random import Generator
from inachus.kernels.steps import readings
from inachus.models.nets import srgan
from inachus.models.settings import Pictures, setting
from inachus.models.translation import pairs

CONTENT = {"l1": losses.l1, "mse": losses.mse}
SHOWN = 96  # pixels of a side of what a preview shows at most


@dataclass
class Settings(Pictures):
    """What `--set` can change."""

    size: int = setting(0, "picture size in pixels; 0: the data's own, of several sizes the smallest", low=0, high=1024)
    scale: int = setting(4, "how many times larger: 2 or 4", low=2, high=4)
    loss: str = setting("gan", "what the generator minimises", ("gan", "content"))
    content: str = setting("l1", "distance of pixels", tuple(CONTENT))
    adversary: float = setting(5e-3, "weight of the adversary beside the content", low=0)
    features: float = setting(0.0, "weight of the squared distance of what D's inner layers see", low=0)
    pretrain: float = setting(0.6, "share of the training before D comes in", low=0, high=1)
    width: int = setting(32, "channels of G; 64 in the paper", low=1, high=512)
    blocks: int = setting(8, "residual blocks of G; 16 in the paper", low=0, high=64)
    kernel: int = setting(3, "of the first and the last convolution of G; 9 in the paper", low=1, high=9)
    skip: bool = setting(True, "the enlarged input is added to what G makes; not in the paper")
    judge: int = setting(16, "channels of D's outermost layer; 64 in the paper", low=1, high=512)
    dense: bool = setting(False, "dense layers in D, as in the paper")
    crop: int = setting(48, "pixels of a side of the crops; 96 in the paper", low=4, high=1024)
    flip: bool = setting(True, "half of the crops are mirrored")
    hold_out: float = setting(0.1, "share held out for tests, where there is no test split", low=0, high=0.9)
    lr: float = setting(1e-3, "learning rate of the content alone", low=0)
    lr_gan: float = setting(2e-4, "learning rate of both networks, once there is an adversary", low=0)
    beta1: float = setting(0.9, "Adam's beta1", low=0, high=0.999)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)


class SuperResolution:
    """min over G of E |high - G(low)| - 0.005 E log D(G(low)), max over D of E log D(high) + E log(1 - D(G(low)))."""

    Settings = Settings
    steps, batch, data = 6_000, 16, "outlines"
    batches = 1
    conditional = False
    example = 96, 96, 3
    variants: ClassVar = {"content": {"loss": "content"}, "GAN": {"loss": "gan"}}
    multiple = 1
    mixed = 256  # pixels at most of the squares that photos of several sizes become

    def __init__(self, shape: tuple, classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of the pictures: (H, W, C). Raises UsageError for pictures and scales that do not go together."""
        s = self.settings = settings or self.Settings()
        self.scale, self.classes, self.rng = s.scale, classes, Generator(seed)
        if s.scale not in srgan.SCALES:
            raise UsageError(f"superresolution enlarges 2 or 4 times, not {s.scale}: pass --set scale=4")
        high, wide = made.crop(shape, s.crop, s.scale)
        self.shape = (high // s.scale, wide // s.scale, shape[2]), (high, wide, shape[2])  # of a pair
        if s.dense and high != wide:
            raise UsageError(f"dense layers judge squares, not crops of {wide} x {high} pixels: pass --set dense=off")
        self.G = srgan.generator(shape[2], s.width, s.blocks, s.scale, s.kernel, s.skip)
        self.D = srgan.discriminator(shape[2], s.judge, high if s.dense else 0)
        for name, network in (("G", self.G), ("D", self.D)):
            network.initialize(self.rng.spawn(name), init.he(0.2))
        if s.skip:
            self.G[-1].weight.data[...] *= 0.1  # at first little is added to the enlarged input
        betas = s.beta1, 0.999
        self.g_optimizer = Adam(self.G.parameters(), self.rate(), betas)
        self.d_optimizer = Adam(self.D.parameters(), falling(s.lr_gan, max(1, self.end - self.start)), betas)

    @property
    def end(self) -> int:
        """Step at which the learning rates have fallen."""
        return self.settings.decay or self.steps

    @property
    def start(self) -> int:
        """Steps before the adversary comes in, if there is one."""
        return round(self.settings.pretrain * self.end)

    def rate(self) -> Callable[[int], float]:
        """G's learning rate by its step: falling while there is content alone, and falling again with the adversary."""
        s, start = self.settings, self.start
        if s.loss == "content":
            return falling(s.lr, self.end)
        alone, together = falling(s.lr, max(1, start)), falling(s.lr_gan, max(1, self.end - start))
        return lambda step: alone(step) if step < start else together(step - start)

    def phase(self) -> bool:
        """True if D takes part in the coming step, which depends on its number alone."""
        return self.settings.loss == "gan" and self.g_optimizer.steps >= self.start

    def step(self, batch) -> dict[str, float]:
        """One step of G on the content alone; later one of D first, and then one of G through D as it now is."""
        s, adversarial = self.settings, self.phase()
        low, high = constant(batch.a), constant(batch.b)
        fake = self.G(low)
        loss = CONTENT[s.content](fake, high)
        values = {"content": loss}
        if adversarial:
            values |= self.discriminator_step(high, fake)
            more, verdicts = self.adversary(high, fake)
            loss, values = loss + more, values | verdicts
        self.g_optimizer.minimize(loss)
        return readings({name: v.data for name, v in values.items()})

    def discriminator_step(self, high, fake) -> dict:
        """-E log D(high) - E log(1 - D(fake)), minimised in D."""
        s_real, s_fake = self.D(high), self.D(fake.detach())
        loss = losses.bce_with_logits(s_real, 1.0) + losses.bce_with_logits(s_fake, 0.0)
        self.d_optimizer.minimize(loss)
        return {"d_loss": loss, "D(x)": ops.sigmoid(s_real), "D(G(z))": ops.sigmoid(s_fake)}

    def adversary(self, high, fake):
        """(what the adversary adds to G's loss, its parts by name)."""
        s, seen = self.settings, self.D[0](fake)
        values = {"g_loss": losses.bce_with_logits(self.judged(seen), 1.0)}
        loss = s.adversary * values["g_loss"]
        if s.features:
            with no_grad():
                there = self.D[0](high)
            values["features"] = losses.mse(seen, there)
            loss = loss + s.features * values["features"]
        return loss, values

    def judged(self, seen):
        """D's logits from what its convolutions see."""
        for layer in [*self.D][1:]:
            seen = layer(seen)
        return seen

    def translate(self, x: np.ndarray, to: int = 1, *, seed: int = 0) -> np.ndarray:
        """G(x), float32 (N, h, w, C) -> (N, h scale, w scale, C) in [-1, 1]; there is no way back and no noise."""
        return pairs.translated(self.G, x, self.multiple).clip(-1, 1)

    def loader(self, dataset: Dataset, size: int, seed: int):
        """Crops, reduced."""
        s = self.settings
        return made.Crops(dataset, size, seed, s.crop, s.scale, s.flip)

    def test_pairs(self, dataset: Dataset) -> Pairs:
        """Whole pictures, b, and the same reduced, a."""
        high = made.whole(dataset.items, self.scale)
        sides = f"{self.scale} times smaller", "truth"
        return Pairs(dataset.name, made.reduced(high, self.scale), high, sides=sides, source=dataset.source)

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network."""
        low, high = self.shape
        return {"G": low, "D": high}

    def preview(self, dataset: Dataset) -> dict:
        """Input, what bicubic interpolation makes of it, output and truth: a corner of eight pictures."""
        chosen = dataset.items[np.arange(pairs.SHOWN) * len(dataset) // pairs.SHOWN, :SHOWN, :SHOWN]
        high = made.whole(chosen, self.scale)
        low = made.reduced(high, self.scale)
        x, cubic = normalised(low), normalised(made.enlarged(low, self.scale))
        columns = x, cubic, self.translate(x), normalised(high)
        return {"items": pairs.rows(*columns), "columns": 4, "titles": ["input", "bicubic", "output", "truth"]}
