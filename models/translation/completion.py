"""Context encoder (Pathak et al. 2016): what was where a picture has a hole, learned from any folder of pictures.

"Context encoders: feature learning by inpainting", sections 3.1 and 3.2; the network is in `models/nets/context.py`,
the holes are made by `engine/data/pairs/made.py`: anywhere while training, in the middle for tests. G gets the picture
with its hole and a mask of it, and paints; what is known is never touched. The losses are of the hole alone: 0.999 L1
(the paper: L2) and 0.001 of a least-squares adversary, whose D sees the square around the hole.

Read next: `semantic.py`, completion by a GAN that never saw a hole (`inachus complete` does both).

`inachus train completion --data outlines`, then `inachus evaluate`: L1 in the hole 0.102 (nearest training picture by
what is known 0.181, mean 0.215), but soft: sharpness 0.013 of 0.244.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inachus.engine import constant, losses, no_grad
from inachus.engine.data import Dataset, Jitter, Pairs
from inachus.engine.data.dataset import normalised
from inachus.engine.data.pairs import made
from inachus.engine.errors import UsageError
from inachus.engine.nn import init
from inachus.engine.optim import Adam, falling
from inachus.engine.random import Generator
from inachus.kernels import xp
from inachus.kernels.steps import readings
from inachus.models.nets import context, patchgan
from inachus.models.nets.unet import UNet
from inachus.models.settings import Pictures, setting
from inachus.models.translation import pairs

GREY = 128


@dataclass
class Settings(Pictures):
    """What `--set` can change."""

    size: int = setting(64, "picture size in pixels", low=32, high=256)
    hole: int = setting(0, "pixels of a side of the hole; 0: half of the picture's", low=0, high=256)
    loss: str = setting("l1+gan", "what the generator minimises", ("l1+gan", "l1"))
    adversary: float = setting(1e-3, "weight of the adversary; the rest is the distance's", low=0, high=1)
    skips: bool = setting(True, "what G saw is put beside what it paints, as in a U-Net; not in the paper")
    width: int = setting(32, "channels of the outermost layers; 64 in the paper", low=1, high=512)
    code: int = setting(1000, "size of the vector in the middle, without skips; 4000 in the paper", low=1, high=10_000)
    enlarge: float = setting(1.1, "pictures are enlarged so much, then cropped at random", low=1, high=4)
    flip: bool = setting(True, "half of the pictures are mirrored")
    hold_out: float = setting(0.1, "share held out for tests, where there is no test split", low=0, high=0.9)
    lr: float = setting(5e-4, "learning rate of both networks", low=0)
    beta1: float = setting(0.5, "Adam's beta1", low=0, high=0.999)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)


class Completion:
    """min over G of 0.999 E |b - G(a, m)| + 0.001 E (D(G(a, m)) - 1)^2, D: E (D(b) - 1)^2 / 2 + E D(G(a, m))^2 / 2."""

    Settings = Settings
    steps, batch, data = 6_000, 16, "outlines"
    batches = 1
    conditional = False
    example = 64, 64, 3
    variants: ClassVar = {"L1": {"loss": "l1"}, "L1 + GAN": {"loss": "l1+gan"}}

    def __init__(self, shape: tuple, classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of the pictures: (H, W, C). Raises UsageError for a size without a network, or a hole too large."""
        s = self.settings = settings or self.Settings()
        self.shape, self.classes, self.rng = tuple(shape), classes, Generator(seed)
        size, _, channels = shape
        self.hole = s.hole or size // 2
        if not 8 <= self.hole < size:
            remedy = f"pass --set hole= from 8 to {size - 1}"
            raise UsageError(f"completion: a hole of {self.hole} pixels in pictures of {size}: {remedy}")
        if s.skips:
            self.G = UNet(size, channels + 1, channels, s.width, dropout=0)
        else:
            self.G = context.generator(channels + 1, channels, size, s.width, s.code)
        self.D = patchgan.discriminator(channels, s.width, min(3, self.hole.bit_length() - 3))
        for name, network in (("G", self.G), ("D", self.D)):
            network.initialize(self.rng.spawn(name), init.normal(0.02), init.normal(0.02, 1.0))
        lr, betas = falling(s.lr, s.decay or self.steps), (s.beta1, 0.999)
        self.g_optimizer, self.d_optimizer = (Adam(n.parameters(), lr, betas) for n in (self.G, self.D))

    def step(self, batch) -> dict[str, float]:
        """One step of D on the squares around the holes, if it takes part, then one of G through D as it now is."""
        s, a, b = self.settings, constant(batch.a), constant(batch.b)
        mask = a[..., -1:]
        painted = b + mask * (self.G(a) - b)
        values = {"l1": losses.l1(painted, b) / mask.mean()}  # of the hole alone: outside both are equal
        loss = values["l1"]
        if s.loss != "l1":
            around = self.around(mask.data[..., 0])
            real, fake = b[around], painted[around]
            s_real, s_fake = self.D(real), self.D(fake.detach())
            values["d_loss"] = 0.5 * (losses.mse(s_real, 1.0) + losses.mse(s_fake, 0.0))
            self.d_optimizer.minimize(values["d_loss"])
            values["g_loss"] = losses.mse(self.D(fake), 1.0)
            values |= {"D(x)": s_real, "D(G(z))": s_fake}
            loss = (1.0 - s.adversary) * loss + s.adversary * values["g_loss"]
        self.g_optimizer.minimize(loss)
        return readings({name: v.data for name, v in values.items()})

    def around(self, mask) -> tuple:
        """The index of the squares of the hole's size that hold the holes: mask (N, H, W), pictures (N, H, W, C)."""
        of, (n, height, width) = xp(mask), mask.shape
        top = of.minimum(mask.max(axis=2).argmax(axis=1), height - self.hole)  # the first row with a hole
        left = of.minimum(mask.max(axis=1).argmax(axis=1), width - self.hole)
        span = of.arange(self.hole)
        rows, columns = (start[:, None] + span for start in (top, left))  # (N, hole) each
        return of.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]

    def complete(self, x: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """x, float32 (N, H, W, C), where masks (N, H, W, 1) are 0, and what G paints where they are 1."""
        with no_grad(), pairs.apart(self.G):
            painted = self.G(constant(made.punched(x, masks))).numpy()
        return np.where(masks > 0, painted, x)

    def answer(self, x: np.ndarray, to: int = 1, *, seed: int = 0) -> np.ndarray:
        """What `test_pairs` asks for: pictures (N, H, W, C), whatever their middle shows -> it, (N, hole, hole, C)."""
        masks = np.repeat(made.middle(self.shape, self.hole)[None], len(x), axis=0)
        return made.inside(self.complete(x, masks), self.hole)

    def test_pairs(self, dataset: Dataset) -> Pairs:
        """Pictures with a grey square in their middle, a, and what it hides, b: scores are of the hole alone."""
        a, b = dataset.items.copy(), made.inside(dataset.items, self.hole)
        made.inside(a, self.hole)[...] = GREY
        return Pairs(dataset.name, a, b, sides=("with a hole", "inside"), source=dataset.source)

    def loader(self, dataset: Dataset, size: int, seed: int):
        """Pictures with holes."""
        return made.Holes(dataset, size, seed, self.hole, Jitter(self.settings.enlarge, self.settings.flip))

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network."""
        height, width, channels = self.shape
        return {"G": (height, width, channels + 1), "D": (self.hole, self.hole, channels)}

    def preview(self, dataset: Dataset) -> dict:
        """The picture with its hole, completed, and whole: eight rows."""
        x = normalised(dataset.items[np.arange(pairs.SHOWN) * len(dataset) // pairs.SHOWN])
        masks = np.repeat(made.middle(self.shape, self.hole)[None], len(x), axis=0)  # (H, W, 1) -> (N, H, W, 1)
        columns = x * (1 - masks), self.complete(x, masks), x
        return {"items": pairs.rows(*columns), "columns": 3, "titles": ["input", "output", "truth"]}
