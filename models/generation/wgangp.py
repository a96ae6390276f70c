"""WGAN-GP (Gulrajani et al. 2017): a critic as steep as 1 between real and fake, by a penalty on its gradient.

"Improved training of Wasserstein GANs", algorithm 1 and eq. 3: the penalty is differentiated a second time. The step is
in `gan.py`, the losses are those of `wgan.py`, the networks those of `nsgan.py`, without batch norm in D, which would
tie the pictures of a batch together. For points the penalty weighs 0.1, as in the authors' toy. The learning rate falls
in the second half of the training.

`inachus train wgangp --data mixture-grid25`, then `inachus evaluate`, seed 0: 25 of 25 modes, 89.9 % high quality,
reverse KL 0.0024; `mixture-ring8` 8 of 8, 96.0 %, 0.0004; some ten minutes each on one core.
"""

from dataclasses import dataclass
from typing import ClassVar

from inachus.engine import constant, losses
from inachus.engine.optim import Adam, falling
from inachus.models.generation import gan, nsgan, wgan
from inachus.models.nets import testbed
from inachus.models.settings import setting


@dataclass
class Settings(nsgan.Testbed):
    """What `--set` can change."""

    presets: ClassVar = {
        3: testbed.PRESETS[3] | {"penalty": 10.0, "lr": 1e-4},
        1: testbed.PRESETS[1] | {"penalty": 0.1, "lr": 1e-3},
    }
    k: int = setting(5, "critic steps for each generator step", low=1, high=100)
    penalty: float = setting(0.0, "weight of the gradient penalty; 0: 10 for pictures, 0.1 for points", low=0)
    norm: bool = setting(False, "batch norm in D, for pictures")
    lr: float = setting(0.0, "learning rate of both networks; 0: 1e-4 for pictures, 1e-3 for points", low=0)
    beta2: float = setting(0.9, "Adam's beta2", low=0, high=0.9999)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)


class WGANGP(gan.GAN):
    """min over G, max over D of E D(x) - E D(G(z)) - 10 E (||D'(between x and G(z))|| - 1)^2."""

    Settings = Settings
    steps = 12_000
    networks, initialisers = nsgan.NSGAN.networks, nsgan.NSGAN.initialisers
    d_loss, g_loss, verdicts = wgan.WGAN.d_loss, wgan.WGAN.g_loss, wgan.WGAN.verdicts

    def optimizer(self, network, each: int):
        """Adam, whose rate falls in the second half of the training."""
        s = self.settings
        rate = falling(s.lr, each * (s.decay or self.steps))
        return Adam(network.parameters(), rate, (s.beta1, s.beta2))

    def penalised(self, d_loss, real, fake, given):
        """The loss + 10 E (||D'|| - 1)^2 at random places between real and fake."""
        part = constant(self.rng.uniform((len(real), *[1] * len(self.shape))))
        between = fake + part * (real - fake)
        return d_loss + self.settings.penalty * losses.gradient_penalty(lambda x: self.D(x, *given), between)
