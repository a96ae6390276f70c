"""WGAN (Arjovsky, Chintala and Bottou 2017): a critic whose weights are clipped, so that it cannot be steep.

"Wasserstein GAN", algorithm 1; the step is in `gan.py`, settings and networks are those of `nsgan.py`. Deviation: Adam
with beta1 0.5 instead of RMSProp, as in the testbed. Read `wgangp.py` next: steepness measured instead of clipped.
"""

from dataclasses import dataclass

from inachus.engine.optim import Adam
from inachus.models.generation import gan, nsgan
from inachus.models.settings import setting


@dataclass
class Settings(nsgan.Testbed):
    """What `--set` can change."""

    k: int = setting(5, "critic steps for each generator step", low=1, high=100)
    clip: float = setting(0.01, "the critic's weights stay between -clip and clip", low=1e-6)
    lr: float = setting(5e-5, "learning rate of both networks", low=0)


class Clipped(Adam):
    """Adam, after which every number lies in [-clip, clip]."""

    def __init__(self, parameters, lr, betas, clip: float):
        super().__init__(parameters, lr, betas)
        self.clip = clip

    def update(self, kernels, lr, t, gs, m, v):
        """One pass, and one more."""
        super().update(kernels, lr, t, gs, m, v)
        self.flat.clip(-self.clip, self.clip, out=self.flat)


class WGAN(gan.GAN):
    """min over G, max over critics D with weights in [-c, c] of E D(x) - E D(G(z))."""

    Settings = Settings
    networks, initialisers = nsgan.NSGAN.networks, nsgan.NSGAN.initialisers

    def optimizer(self, network, each: int):
        """Adam, and for the critic one that clips."""
        s = self.settings
        if network is self.G:
            return super().optimizer(network, each)
        return Clipped(network.parameters(), s.lr, (s.beta1, s.beta2), s.clip)

    def d_loss(self, s_real, s_fake):
        """E D(G(z)) - E D(x)."""
        return s_fake.mean() - s_real.mean()

    def g_loss(self, s_fake):
        """-E D(G(z))."""
        return -s_fake.mean()

    def verdicts(self, s_real, s_fake):
        """Up to a factor, how far fakes are from the real (Wasserstein-1)."""
        return {"distance": s_real.mean() - s_fake.mean()}
