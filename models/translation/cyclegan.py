"""CycleGAN (Zhu et al. 2017): two heaps of pictures, two generators, and the way back must lead home.

"Unpaired image-to-image translation using cycle-consistent adversarial networks", sections 3 and 7; the networks are
in `models/nets/resnet.py` and `patchgan.py`. Least squares; both Gs first, in one optimizer, then both Ds, halved, on
fakes from a pool of 50; Adam 2e-4, beta1 0.5, falling to nothing in the second half. `--set cycle=0` leaves two plain
GANs, one for each direction: is the cycle needed?

Deviations: 64 pixels by default, at half the paper's width. G has a mask by which its input can stay, for instance norm
forgets what colour it was; since leaving everything as it is then is easy, the cycle weighs 5 and there is no identity
loss: with the paper's weights and the mask both Gs become the identity. `--set mask=false --set cycle=10 --set
identity=0.5 --set through=0` is the paper. The way back hides in the picture what it needs (the phase of a stripe), so
after 2,000 steps it no longer teaches the way there, and meets noise. `discogan.py` and `dualgan.py` are small
differences from this file.

`inachus train cyclegan --data stripes`, then `inachus evaluate`, seed 0: chestnut to striped L1 0.024 (best of copy and
mean 0.083), striped to chestnut 0.021 (0.083), scored with true pairs that it never saw; half an hour on one core.
OpenMoji's lines to colour 0.063 (copy 0.071), and back 0.029 (0.071).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inachus.engine import constant, losses, no_grad
from inachus.engine.data import Pairs
from inachus.engine.errors import UsageError
from inachus.engine.nn import init
from inachus.engine.optim import Adam, falling
from inachus.engine.random import Generator
from inachus.kernels.steps import readings
from inachus.models.generation.gan import shares
from inachus.models.nets import patchgan, resnet
from inachus.models.nets.unet import NORMS
from inachus.models.settings import Sides, setting
from inachus.models.translation import pairs
from inachus.models.translation.pool import Pool, Rate


@dataclass
class Settings(Sides):
    """What `--set` can change."""

    cycle: float = setting(5.0, "weight of the way there and back; 10 in the paper; 0: two plain GANs", low=0)
    identity: float = setting(0.0, "weight, in cycles, of G leaving alone what is there; 0.5 in the paper", low=0)
    through: int = setting(2_000, "steps in which the way back also teaches who went there; 0: all, the paper", low=0)
    noise: float = setting(0.1, "noise on a translation before its way back, after these steps", low=0)
    pool: int = setting(50, "older fakes kept for each discriminator", low=0, high=10_000)
    width: int = setting(32, "channels of the outermost layers; 64 in the paper", low=1, high=512)
    blocks: int = setting(6, "residual blocks; 9 in the paper for 256 pixels", low=0, high=30)
    mask: bool = setting(True, "G also says where the input stays as it is; false in the paper")
    layers: int = setting(3, "strided layers of D: patches of 1, 16, 34, 70, 142, 286 pixels", low=0, high=5)
    norm: str = setting("instance", "normalisation of all networks", tuple(NORMS))
    lr: float = setting(2e-4, "learning rate of all networks", low=0)
    beta1: float = setting(0.5, "Adam's beta1", low=0, high=0.999)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)


class CycleGAN:
    """min over G_ab, G_ba of E (D_b(G_ab(a)) - 1)^2 + c E |G_ba(G_ab(a)) - a| + c i E |G_ab(b) - b|, both ways.

    min over D_b of E (D_b(b) - 1)^2 / 2 + E D_b(G_ab(a))^2 / 2, and D_a likewise.
    """

    Settings = Settings
    steps, batch, data = 5_000, 1, "stripes"
    batches = 1
    conditional, paired = False, False
    example = (64, 64, 3), (64, 64, 3)
    variants: ClassVar = {"with the cycle": {}, "without": {"cycle": 0.0, "identity": 0.0}}
    multiple, scale = 4, 1

    def __init__(self, shape: tuple, classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of the two sides: ((H, W, Ca), (H, W, Cb))."""
        s = self.settings = settings or self.Settings()
        self.shape, self.classes, self.rng = shape, classes, Generator(seed)
        if s.identity and shape[0][2] != shape[1][2]:
            raise UsageError(
                f"G cannot leave alone what is already there: {shape[0][2]} channels against {shape[1][2]}; "
                "pass --set identity=0, or --set channels=3"
            )
        self.G_ab, self.G_ba, self.D_a, self.D_b = self.networks()
        for name, network in (("G_ab", self.G_ab), ("G_ba", self.G_ba), ("D_a", self.D_a), ("D_b", self.D_b)):
            network.initialize(self.rng.spawn(name), init.normal(0.02), init.normal(0.02, 1.0))
        self.g_optimizer = self.optimizer([*self.G_ab.parameters(), *self.G_ba.parameters()])
        self.d_optimizer = self.optimizer([*self.D_a.parameters(), *self.D_b.parameters()])
        self.near = Rate(1.0, 0.0, s.through)
        self.pool_a, self.pool_b = Pool(s.pool, shape[0]), Pool(s.pool, shape[1])

    def networks(self):
        """(G_ab, G_ba, D_a, D_b)."""
        s, ((_, _, a), (_, _, b)) = self.settings, self.shape
        masked = s.mask and a == b
        generators = (resnet.generator(c, o + masked, s.width, s.blocks, s.norm) for c, o in ((a, b), (b, a)))
        generators = map(resnet.Masked, generators) if masked else generators
        return *generators, *(patchgan.discriminator(c, s.width, s.layers, s.norm) for c in (a, b))

    def optimizer(self, parameters):
        """Of both generators or of both discriminators."""
        s = self.settings
        return Adam(parameters, falling(s.lr, s.decay or self.steps), (s.beta1, 0.999))

    def step(self, batch) -> dict[str, float]:
        """One step of both generators, then one of both discriminators on what they made."""
        a, b = constant(batch.a), constant(batch.b)
        fakes, values = self.generators_step(a, b)
        values |= self.discriminators_step(a, b, *fakes)
        return readings({name: v.data for name, v in values.items()})

    def one_for_two(self, batch) -> dict[str, float]:
        """The step of the twins: both Ds on a third of the batch, then both Gs on each of the other two."""
        (a, b), *others = [(constant(a), constant(b)) for a, b in shares(batch, 3)]
        with no_grad():
            fakes = self.G_ba(b), self.G_ab(a)
        values = self.discriminators_step(a, b, *fakes)
        for a, b in others:
            values |= self.generators_step(a, b)[1]
        return readings({name: v.data for name, v in values.items()})

    def generators_step(self, a, b):
        """((fake a, fake b), values) of a step of both generators."""
        loss, *fakes, values = self.generators_loss(a, b)
        self.g_optimizer.minimize(loss)
        return fakes, values

    def generators_loss(self, a, b):
        """(loss, fake a, fake b, values)."""
        s = self.settings
        fake_b, fake_a = self.G_ab(a), self.G_ba(b)
        values = {"g_loss": self.g_loss(self.D_b(fake_b)) + self.g_loss(self.D_a(fake_a))}
        loss = values["g_loss"]
        if s.cycle:
            there_b, there_a = self.arrived(fake_b, fake_a)
            back_a, back_b = self.G_ba(there_b), self.G_ab(there_a)
            values["cycle"] = losses.l1(back_a, a) + losses.l1(back_b, b)
            loss = loss + s.cycle * values["cycle"]
        if s.cycle * s.identity:
            values["identity"] = losses.l1(self.G_ab(b), b) + losses.l1(self.G_ba(a), a)
            loss = loss + s.cycle * s.identity * values["identity"]
        return loss, fake_a, fake_b, values

    def arrived(self, *fakes):
        """The translations as the way back finds them.

        After the first steps they are constants, as in back-translation (Sennrich et al. 2016), with noise that nothing
        survives which was hidden in them (Chu et al. 2017): what it takes to come home must be seen in the picture.
        """
        if not self.settings.through:
            return fakes
        g, noise = self.near(), self.settings.noise
        ends = [g * fake + (1.0 - g) * fake.detach() for fake in fakes]
        return [end + (1.0 - g) * constant(self.rng.normal(end.shape, std=noise)) for end in ends] if noise else ends

    def discriminators_step(self, a, b, fake_a, fake_b):
        """Values of a step of both discriminators on real pictures and on fakes from the pools."""
        old_a, old_b = self.pool_a(fake_a, self.rng), self.pool_b(fake_b, self.rng)
        loss = self.d_loss(self.D_a(a), self.D_a(old_a)) + self.d_loss(self.D_b(b), self.D_b(old_b))
        self.d_optimizer.minimize(loss)
        return {"d_loss": loss}

    def g_loss(self, s_fake):
        """E (D(fake) - 1)^2."""
        return losses.mse(s_fake, 1.0)

    def d_loss(self, s_real, s_fake):
        """E (D(real) - 1)^2 / 2 + E D(fake)^2 / 2."""
        return 0.5 * (losses.mse(s_real, 1.0) + losses.mse(s_fake, 0.0))

    def translate(self, x: np.ndarray, to: int = 1, *, seed: int = 0) -> np.ndarray:
        """G_ab(x) to side 1, G_ba(x) to side 0: float32 (N, H, W, C) -> (N, H, W, C'), sides multiples of 4."""
        return pairs.translated(self.G_ab if to else self.G_ba, x, self.multiple, seed)

    def loader(self, dataset: Pairs, size: int, seed: int):
        """Both sides drawn and varied independently."""
        return pairs.batches(self.settings, dataset, size, seed)

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network."""
        a, b = self.shape
        return {"G_ab": a, "G_ba": b, "D_a": a, "D_b": b}

    def preview(self, dataset: Pairs) -> dict:
        """a, its translation and the way back; the same for b; eight rows."""
        a, b = pairs.shown(dataset)
        fake_b, fake_a = self.translate(a, 1), self.translate(b, 0)
        columns = a, fake_b, self.translate(fake_b, 0), b, fake_a, self.translate(fake_a, 1)
        titles = ["a", "as b", "and back", "b", "as a", "and back"]
        return {"items": pairs.rows(*columns), "columns": 6, "titles": titles}
