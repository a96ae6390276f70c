"""The GAN in the testbed where losses are compared (Lucic et al. 2018): non-saturating, or with `--set loss=minimax`.

"Are GANs created equal? A large-scale study". The step and both losses are in `gan.py`; the networks, the same for all
losses, in `models/nets/testbed.py`: convolutional for pictures, an MLP for points of the plane. Its settings and
networks are those of `lsgan.py`, `hinge.py`, `wgan.py`, `wgangp.py` and `dragan.py`, each of which changes a few lines.
"""

from dataclasses import dataclass
from typing import ClassVar

from inachus.engine.nn import init
from inachus.models.generation import gan
from inachus.models.nets import testbed
from inachus.models.settings import setting


@dataclass
class Testbed(gan.Common):
    """The settings of every loss."""

    presets: ClassVar = testbed.PRESETS
    z: int = setting(0, "size of the noise; 0: 64 for pictures, 2 for points", low=0, high=4096)
    width: int = setting(0, testbed.WIDTH, low=0, high=512)
    norm: bool = setting(True, "batch norm in D, for pictures")


@dataclass
class Settings(gan.Settings, Testbed):
    """What `--set` can change."""


class NSGAN(gan.GAN):
    """min over G of -E log D(G(z)), max over D of E log D(x) + E log(1 - D(G(z)))."""

    Settings = Settings

    def networks(self):
        """(generator, discriminator) of the testbed."""
        s = self.settings
        return testbed.generator(s.z, self.shape, s.width), testbed.discriminator(self.shape, s.width, s.norm)

    def initialisers(self):
        """N(0, 0.02) for pictures; He's for points, where no norm corrects the scale."""
        return (init.normal(0.02) if len(self.shape) == 3 else init.he()), None
