"""BiGAN (Donahue, Kraehenbuehl and Darrell 2017): an encoder learns beside the generator, judged together with it.

"Adversarial feature learning", eq. 2, and Dumoulin et al. (2017), "Adversarially learned inference": D sees a pair, a
picture with its code or a code with its picture, and where it cannot tell which was made from which, encoder and
generator are each other's inverse. No pixel is ever compared. Deviations from the paper: the networks are the testbed's
(`models/nets/testbed.py`) instead of MLPs, D learns more slowly than the two, codes and pictures are those of averages
of E and G. Read next: `vaegan.py`, which does compare.

2,000 steps on digits (`inachus train bigan --steps 2000 --set decay=2000`), seed 0: the nearest of 10,000 training
codes has the class of 95.3 % of 4,000 test codes (nearest pixels: 98.6 %), reconstruction ratio 0.635; 178 seconds of
one core.
"""

from dataclasses import dataclass

import numpy as np

from inachus.engine import constant, losses, nn, ops
from inachus.engine.data import Batches, Dataset
from inachus.engine.evaluation import codes, reconstruction
from inachus.engine.nn import init
from inachus.engine.optim import EMA, Adam, falling
from inachus.engine.random import Generator
from inachus.kernels.steps import readings
from inachus.models.nets import testbed
from inachus.models.nets.applied import applied
from inachus.models.nets.heads import Joint
from inachus.models.settings import Pictures, setting

KNOWN, ASKED = 10_000, 4_000  # pictures among which a nearest neighbour is looked for, and those that look for one
SHOWN, COLUMNS = 16, 8  # pictures of a preview


@dataclass
class Settings(Pictures):
    """What `--set` can change."""

    z: int = setting(50, "size of the code, U(-1, 1)", low=1, high=4096)
    width: int = setting(16, "channels next to the picture; the layers of points have 8 times as many", low=1, high=512)
    lr: float = setting(1e-3, "learning rate of E and G", low=0)
    d_lr: float = setting(2e-4, "learning rate of D", low=0)
    beta1: float = setting(0.5, "Adam's beta1", low=0, high=0.999)
    ema: float = setting(0.999, "decay of the averages of E and G, which are what is used", low=0, high=1)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)


class BiGAN:
    """min over G and E, max over D of E log D(x, E(x)) + E log(1 - D(G(z), z)).

    G and E maximise the same with D and 1 - D exchanged, whose gradient does not vanish where D wins.
    """

    Settings = Settings
    steps, batch, data = 4_000, 64, "digits"
    conditional = False
    example = 28, 28, 1
    loader = Batches
    batches = 1

    def __init__(self, shape: tuple[int, ...], classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of one item: (H, W, C) for pictures, (2,) for points; labels are not used."""
        s = self.settings = settings or self.Settings()
        self.shape, self.classes, self.rng = tuple(shape), classes, Generator(seed)
        self.E = nn.Sequential(*testbed.discriminator(self.shape, s.width, True, s.z), nn.Tanh())
        self.G = testbed.generator(s.z, self.shape, s.width)
        self.D = Joint(testbed.discriminator(self.shape, s.width, False, 16 * s.width), s.z, 16 * s.width)
        for name, network in (("E", self.E), ("G", self.G), ("D", self.D)):
            network.initialize(self.rng.spawn(name), init.he(0.2))
        decay, betas = s.decay or self.steps, (s.beta1, 0.999)
        self.optimizer = Adam([*self.E.parameters(), *self.G.parameters()], falling(s.lr, decay), betas)
        self.d_optimizer = Adam(self.D.parameters(), falling(s.d_lr, decay), betas)
        self.e_average, self.g_average = EMA(self.E, s.ema), EMA(self.G, s.ema)

    def step(self, batch) -> dict[str, float]:
        """One step of D, then one of E and G through D as it now is."""
        x = constant(batch.items)
        z = self.noise(len(x), self.rng)
        coded, made = self.E(x), self.G(z)
        s_real, s_fake = self.D(x, coded.detach()), self.D(made.detach(), z)
        d_loss = losses.bce_with_logits(s_real, 1.0) + losses.bce_with_logits(s_fake, 0.0)
        self.d_optimizer.minimize(d_loss)
        loss = losses.bce_with_logits(self.D(x, coded), 0.0) + losses.bce_with_logits(self.D(made, z), 1.0)
        self.optimizer.minimize(loss)
        self.e_average.update()
        self.g_average.update()
        values = {"d_loss": d_loss, "loss": loss}
        values |= {"D(x,E(x))": ops.sigmoid(s_real), "D(G(z),z)": ops.sigmoid(s_fake)}
        return readings({name: v.data for name, v in values.items()})

    def noise(self, n: int, rng: Generator):
        """Codes (n, z), even over (-1, 1)."""
        return constant(rng.uniform((n, self.settings.z), -1, 1))

    def encode(self, items: np.ndarray) -> np.ndarray:
        """E(x), codes (N, z) in (-1, 1), of float32 items (N, ...)."""
        return applied(self.e_average.network, items)

    def reconstruct(self, items: np.ndarray) -> np.ndarray:
        """G(E(x)), float32 (N, ...) -> the same."""
        return applied(self.g_average.network, self.encode(items))

    def sample(self, n: int, *, seed: int = 0, z=None) -> np.ndarray:
        """n items as float32, pictures in [-1, 1], from the averaged generator; the same seed gives the same z."""
        z = self.noise(n, Generator(seed).spawn("sample")) if z is None else z
        return applied(self.g_average.network, z.numpy())

    def examine(self, train: Dataset, test: Dataset, say) -> dict[str, float]:
        """neighbour_codes and neighbour_pixels: accuracy of the nearest training item by its code, and by its pixels;
        reconstruction_ratio (`reconstruction.ratio`): 1 if no inverse was learned, less is better."""
        known, asked = (Batches(d, min(most, len(d))).batch_at(0) for d, most in ((train, KNOWN), (test, ASKED)))
        result = {"reconstruction_ratio": reconstruction.ratio(asked.items, self.reconstruct(asked.items))}
        if train.labels is None or test.labels is None:
            return result
        for name, view in (("codes", self.encode), ("pixels", lambda x: x)):
            share = codes.neighbour_accuracy(view(known.items), known.labels, view(asked.items), asked.labels)
            result[f"neighbour_{name}"] = share
        return result

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network, for the summary tables; D also takes a code."""
        return {"E": self.shape, "G": (self.settings.z,), "D": self.shape}

    def preview(self, dataset: Dataset) -> dict:
        """Pictures above their reconstructions, then samples; of points samples alone."""
        return rebuilt(self, dataset)


def rebuilt(model, dataset: Dataset) -> dict:
    """A preview of a model that can `reconstruct` and `sample`: two rows of pictures, each above what became of them,
    and four rows of samples. Of points samples alone."""
    if dataset.kind == "points":
        return {"items": model.sample(2500), "columns": COLUMNS, "titles": None}
    x = dataset.normalised(np.resize(np.random.default_rng(0).permutation(len(dataset)), SHOWN))
    pair = np.stack([part.reshape(-1, COLUMNS, *x.shape[1:]) for part in (x, model.reconstruct(x))], axis=1)
    return {
        "items": np.concatenate([pair.reshape(-1, *x.shape[1:]), model.sample(2 * SHOWN)]),  # (rows, 2, 8, ...)
        "columns": COLUMNS,
        "titles": None,
    }
