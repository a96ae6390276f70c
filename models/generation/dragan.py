"""DRAGAN (Kodali et al. 2017): the non-saturating GAN with a D that is gently sloped around the real pictures.

"On convergence and stability of GANs", algorithm 1: the gradient penalty of `wgangp.py`, at real pictures with noise,
on D's logit. The step is in `gan.py`, the networks are those of `nsgan.py`, without batch norm in D. Deviation: the
noise is uniform and centred, half the deviation of the pictures at most, as in the testbed's later code.
"""

from dataclasses import dataclass

from inachus.engine import constant, losses
from inachus.kernels import xp
from inachus.models.generation import gan, nsgan
from inachus.models.settings import setting


@dataclass
class Settings(nsgan.Settings):
    """What `--set` can change."""

    penalty: float = setting(10.0, "weight of the gradient penalty", low=0)
    norm: bool = setting(False, "batch norm in D, for pictures")


class DRAGAN(gan.GAN):
    """The non-saturating GAN, D with + 10 E (||D'(x + noise)|| - 1)^2."""

    Settings = Settings
    networks, initialisers = nsgan.NSGAN.networks, nsgan.NSGAN.initialisers

    def penalised(self, d_loss, real, fake, given):
        """The loss + 10 E (||D'|| - 1)^2 around real pictures."""
        noise = constant(self.rng.uniform(real.shape, -0.5, 0.5) * xp(real.data).std(real.data))
        return d_loss + self.settings.penalty * losses.gradient_penalty(lambda x: self.D(x, *given), real + noise)
