"""pix2pix (Isola et al. 2017): pictures into their partners, judged patch by patch beside the input.

"Image-to-image translation with conditional adversarial networks", sections 3 and 6; the networks are in
`models/nets/unet.py` and `patchgan.py`. D first, halved; then G with 100 L1; Adam 2e-4, beta1 0.5, falling to nothing
in the second half. There is no z: the noise is dropout, on when translating too. Deviations, for a training of 40
minutes on 2 cores: 64 pixels by default, half the paper's width, batches of 16 at five times its rate, a tenth of
the units dropped instead of half, no variation of the pictures unless asked for (`--set enlarge=1.12 --set flip=on`);
and translating normalises by running statistics instead of the picture's own.

From OpenMoji to Twemoji, 3,035 pairs, seed 0, 5,000 steps without dropout and with a rate that does not fall: L1 0.0963
on 331 others (nearest training pair 0.1110, copy 0.228, mean 0.236), sharpness 0.029 of the truth's 0.035; L1 alone,
after 3,000 steps, 0.0999 and 0.011. With the paper's batches of 4, rate, dropout and variations, 15,000 steps,
from OpenMoji's black lines to colour L1 0.0475 (copy 0.0709, nearest 0.0714, mean 0.178), and the lecture's comparison,
`inachus compare pix2pix`, after 5,000: L1 alone 0.0482, GAN alone 0.0649, GAN + L1 0.0503; sharpness 0.088, 0.108,
0.097, the truth's being 0.113. GAN + L1 is the sharper of the two near ones.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inachus.engine import constant, losses, ops
from inachus.engine.data import Pairs
from inachus.engine.nn import init
from inachus.engine.optim import Adam, falling
from inachus.engine.random import Generator
from inachus.kernels.steps import readings
from inachus.models.nets import patchgan
from inachus.models.nets.unet import NORMS, UNet
from inachus.models.settings import Sides, setting
from inachus.models.translation import pairs


@dataclass
class Settings(Sides):
    """What `--set` can change."""

    enlarge: float = setting(
        1.0, "pictures are enlarged so much, then cropped at random; 1.12 in the paper", low=1, high=4
    )
    flip: bool = setting(False, "half of the pictures are mirrored; they are in the paper")
    loss: str = setting("gan+l1", "what the generator minimises", ("gan+l1", "gan", "l1"))
    weight: float = setting(100.0, "weight of the L1 distance beside the adversary", low=0)
    width: int = setting(32, "channels of the outermost layers; 64 in the paper", low=1, high=512)
    layers: int = setting(3, "strided layers of D: patches of 1, 16, 34, 70, 142, 286 pixels", low=0, high=5)
    norm: str = setting("batch", "normalisation of both networks", tuple(NORMS))
    dropout: float = setting(0.1, "the noise: share of G's innermost units switched off", low=0, high=0.9)
    lr: float = setting(1e-3, "learning rate of both networks", low=0)
    beta1: float = setting(0.5, "Adam's beta1", low=0, high=0.999)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)


class Pix2Pix:
    """min over G, max over D of E log D(a, b) + E log(1 - D(a, G(a))) + 100 E |b - G(a)|."""

    Settings = Settings
    steps, batch, data = 7_000, 16, "outlines"
    batches = 1
    conditional, paired = False, True
    example = (64, 64, 3), (64, 64, 3)
    variants: ClassVar = {"L1": {"loss": "l1"}, "GAN": {"loss": "gan"}, "GAN + L1": {"loss": "gan+l1"}}
    scale = 1

    def __init__(self, shape: tuple, classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of the two sides: ((H, W, Ca), (H, W, Cb))."""
        s = self.settings = settings or self.Settings()
        self.shape, self.classes, self.rng = shape, classes, Generator(seed)
        (self.multiple, _, a), (_, _, b) = shape
        self.G = UNet(self.multiple, a, b, s.width, s.norm, s.dropout)
        self.D = patchgan.discriminator(a + b, s.width, s.layers, s.norm)
        for name, network in (("G", self.G), ("D", self.D)):
            network.initialize(self.rng.spawn(name), init.normal(0.02), init.normal(0.02, 1.0))
        lr, betas = falling(s.lr, s.decay or self.steps), (s.beta1, 0.999)
        self.g_optimizer, self.d_optimizer = (Adam(n.parameters(), lr, betas) for n in (self.G, self.D))

    def step(self, batch) -> dict[str, float]:
        """One step of D on a pair and on a translation, then one of G through D as it now is."""
        s, a, b = self.settings, constant(batch.a), constant(batch.b)
        fake = self.G(a)
        values = {"l1": losses.l1(fake, b)}
        loss = s.weight * values["l1"]
        if s.loss != "l1":
            s_real, s_fake = self.judge(a, b), self.judge(a, fake.detach())
            values["d_loss"] = 0.5 * (losses.bce_with_logits(s_real, 1.0) + losses.bce_with_logits(s_fake, 0.0))
            self.d_optimizer.minimize(values["d_loss"])
            adversary = losses.bce_with_logits(self.judge(a, fake), 1.0)
            loss = adversary if s.loss == "gan" else adversary + loss
            values |= {"g_loss": adversary, "D(x)": ops.sigmoid(s_real), "D(G(z))": ops.sigmoid(s_fake)}
        self.g_optimizer.minimize(loss)
        return readings({name: v.data for name, v in values.items()})

    def judge(self, a, b):
        """D's logits for b as the translation of a, one for each patch."""
        return self.D(ops.concat([a, b], axis=3))  # (N, H, W, Ca), (N, H, W, Cb) -> (N, OH, OW, 1)

    def translate(self, x: np.ndarray, to: int = 1, *, seed: int = 0) -> np.ndarray:
        """G(x), float32 (N, H, W, Ca) -> (N, H, W, Cb), sides multiples of the trained size; `seed` of the dropout."""
        return pairs.translated(self.G, x, self.multiple, seed)

    def loader(self, dataset: Pairs, size: int, seed: int):
        """Pairs, both sides varied alike."""
        return pairs.batches(self.settings, dataset, size, seed)

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network."""
        (h, w, a), (_, _, b) = self.shape
        return {"G": (h, w, a), "D": (h, w, a + b)}

    def preview(self, dataset: Pairs) -> dict:
        """Input, translation and truth, eight rows."""
        a, b = pairs.shown(dataset)
        return {"items": pairs.rows(a, self.translate(a), b), "columns": 3, "titles": ["input", "output", "truth"]}
