"""DualGAN (Yi et al. 2017): CycleGAN's twin with pix2pix's networks, dropout as noise and RMSProp.

"DualGAN: unsupervised dual learning for image-to-image translation", section 3, with the constants of the authors'
code; the trainer is `cyclegan.py`. Differences from it: U-Nets, batch norm, cross-entropy (the paper's loss is
Wasserstein with clipping, their code's is not), a reconstruction that weighs 20, no identity and no pool, and one step
of D for two of G.

`inachus train dualgan --data stripes`
"""

from dataclasses import dataclass

from inachus.engine import losses
from inachus.engine.optim import RMSProp, falling
from inachus.models.nets import patchgan
from inachus.models.nets.unet import NORMS, UNet
from inachus.models.settings import Sides, setting
from inachus.models.translation.cyclegan import CycleGAN


@dataclass
class Settings(Sides):
    """What `--set` can change."""

    cycle: float = setting(20.0, "weight of the way there and back", low=0)
    width: int = setting(32, "channels of the outermost layers; 64 in the paper", low=1, high=512)
    layers: int = setting(3, "strided layers of D: patches of 1, 16, 34, 70, 142, 286 pixels", low=0, high=5)
    norm: str = setting("batch", "normalisation of all networks", tuple(NORMS))
    dropout: float = setting(0.5, "the noise: share of G's innermost units switched off", low=0, high=0.9)
    lr: float = setting(2e-4, "learning rate of all networks; 5e-5 in the paper", low=0)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)

    identity = pool = through = 0


class DualGAN(CycleGAN):
    """min over G_ab, G_ba of -E log D_b(G_ab(a)) + 20 E |G_ba(G_ab(a)) - a|, and a, b exchanged."""

    Settings = Settings
    steps, batch, data = 6_000, 4, "stripes"
    batches = 3
    variants = None
    step = CycleGAN.one_for_two

    @property
    def multiple(self) -> int:
        """The size that the U-Nets were made for."""
        return self.shape[0][0]

    def networks(self):
        """(G_ab, G_ba, D_a, D_b)."""
        s, ((size, _, a), (_, _, b)) = self.settings, self.shape
        generators = (UNet(size, c, o, s.width, s.norm, s.dropout) for c, o in ((a, b), (b, a)))
        return *generators, *(patchgan.discriminator(c, s.width, s.layers, s.norm) for c in (a, b))

    def optimizer(self, parameters):
        """Of both generators or of both discriminators."""
        return RMSProp(parameters, falling(self.settings.lr, self.settings.decay or self.steps), alpha=0.9)

    def g_loss(self, s_fake):
        """-E log D(fake)."""
        return losses.bce_with_logits(s_fake, 1.0)

    def d_loss(self, s_real, s_fake):
        """-E log D(real) / 2 - E log(1 - D(fake)) / 2."""
        return 0.5 * (losses.bce_with_logits(s_real, 1.0) + losses.bce_with_logits(s_fake, 0.0))
