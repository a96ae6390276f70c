"""A discriminator alone (LeCun et al. 2006; Du and Mordatch 2019): samples are made by climbing D, and D learns from
what its own climbing makes.

The lecture's answer to "why does the discriminator not generate by itself": it can, wherever argmax D is found. Each
step climbs D from kept negatives, with noise, then raises D on the data and lowers it on what was reached: the gradient
of log p for p(x) = e^D(x) / Z. "A tutorial on energy-based learning", section 4; "Implicit generation and modeling with
energy-based models", algorithm 1. Read `gan.py` next, where a generator learns to find the argmax in one step.

`inachus train energy --steps 1500`, then `inachus evaluate`, seed 0: 8 of 8 modes of the ring, 89.1 % high quality.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inachus.engine import constant, grad, ops
from inachus.engine.data import Batches
from inachus.engine.nn import init
from inachus.engine.optim import EMA, Adam, falling
from inachus.engine.random import Generator
from inachus.engine.tensor import Tensor
from inachus.kernels import home, xp
from inachus.kernels.steps import readings
from inachus.models.nets import testbed
from inachus.models.remembered import Remembered
from inachus.models.settings import Pictures, setting

EDGE = {3: 1.0, 1: 2.0}  # items lie between -edge and edge, by their axes


@dataclass
class Settings(Pictures):
    """What `--set` can change."""

    presets: ClassVar = {
        3: {"climb": 40, "stride": 10.0, "reach": 0.3, "noise": 0.005, "bound": 0.1, "lr": 2e-4},
        1: {"climb": 20, "stride": 1e-3, "reach": 0.05, "noise": 0.02, "bound": 0.01, "lr": 3e-3},
    }
    width: int = setting(16, "channels next to the picture; the layers of points have 8 times as many", low=1, high=512)
    climb: int = setting(0, "steps up D for each step of D; 0: 40 for pictures, 20 for points", low=0, high=1000)
    stride: float = setting(0.0, "units a step goes along the slope; 0: 10 for pictures, 0.001 for points", low=0)
    reach: float = setting(0.0, "but no further; 0: 0.3 for pictures, 0.05 for points", low=0)
    noise: float = setting(0.0, "deviation of a step's noise; 0: 0.005 for pictures, 0.02 for points", low=0)
    kept: int = setting(8192, "negatives that are climbed on another time", low=1)
    fresh: float = setting(0.05, "share of them that begins again, anywhere", low=0, high=1)
    bound: float = setting(0.0, "weight of D(x)^2; 0: 0.1 for pictures, 0.01 for points", low=0)
    lr: float = setting(0.0, "learning rate; 0: 0.0002 for pictures, 0.003 for points", low=0)
    ema: float = setting(0.999, "decay of D's average, which makes the samples", low=0, high=1)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)


class Negatives(Remembered):
    """What was reached by climbing, items (kept, ...); part of a checkpoint."""

    remembered = ("items",)

    def __init__(self, items):
        self.items = items


class Energy:
    """max over D of E D(x) - E D(argmax D) - bound E D^2, the argmax found by climbing."""

    Settings = Settings
    steps = 6_000
    batch, data = 128, "mixture-ring8"
    conditional = False
    example = 28, 28, 1
    loader = Batches
    batches = 1

    def __init__(self, shape: tuple[int, ...], classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of one item: (H, W, C) for pictures, (2,) for points; labels are not used."""
        s = self.settings = (settings or self.Settings()).fitted(shape)
        self.shape, self.classes, self.rng = tuple(shape), classes, Generator(seed)
        self.edge = EDGE[len(shape)]
        self.D = testbed.discriminator(self.shape, s.width, norm=False)
        self.D.initialize(self.rng.spawn("D"), init.he())
        self.optimizer = Adam(self.D.parameters(), falling(s.lr, s.decay or self.steps), (0.0, 0.999))
        self.average = EMA(self.D, s.ema)
        self.negatives = Negatives(self.anywhere(s.kept, self.rng))

    def anywhere(self, n: int, rng: Generator):
        """n items, each number from U(-edge, edge)."""
        return rng.uniform((n, *self.shape), -self.edge, self.edge)

    def climbed(self, network, items, steps: int, rng: Generator | None):
        """Items after `steps` steps up the network: x <- x + stride D'(x), at most reach, + noise if there is rng."""
        s, edge, clip = self.settings, self.edge, xp(items).clip
        for _ in range(steps):
            x = Tensor(items, requires_grad=True)
            (slope,) = grad(network(x).sum(), [x])
            items = items + clip(s.stride * slope.data, -s.reach, s.reach)
            if rng:
                items = items + rng.normal(items.shape, std=s.noise)
            items = clip(items, -edge, edge)
        return items

    def step(self, batch) -> dict[str, float]:
        """Kept negatives climb on, some from anywhere, and D learns to tell them from the batch."""
        x, n = constant(batch.items), len(batch.items)
        kept, of = self.negatives.items, xp(self.negatives.items)
        start = (self.rng.uniform((1,)) * len(kept)).astype(np.int64)
        places = (start + home().arange(n)) % len(kept)  # one after the other: none twice
        begun = self.rng.uniform((n, *[1] * len(self.shape))) < self.settings.fresh
        items = of.where(begun, self.anywhere(n, self.rng), kept[places])
        self.D.freeze()
        items = self.climbed(self.D, items, self.settings.climb, self.rng)
        self.D.freeze(False)
        kept[places] = items
        real, fake = self.D(x), self.D(constant(items))
        bound = self.settings.bound * (ops.square(real).mean() + ops.square(fake).mean())
        self.optimizer.minimize(fake.mean() - real.mean() + bound)
        self.average.update()
        return readings({"D(x)": real.data, "D(climbed)": fake.data})

    def sample(self, n: int, *, seed: int = 0) -> np.ndarray:
        """n items: from anywhere up the averaged D, five times as far as in a step with noise, then once without."""
        rng, steps = Generator(seed).spawn("sample"), self.settings.climb
        items = self.climbed(self.average.network, self.anywhere(n, rng), 5 * steps, rng)
        return constant(self.climbed(self.average.network, items, steps, None)).numpy()

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of the network."""
        return {"D": self.shape}

    def preview(self, dataset) -> dict:
        """What the training loop draws: samples, whatever the data."""
        return {"items": self.sample(64 if len(self.shape) == 3 else 2500), "columns": 8, "titles": None}
