"""BEGAN (Berthelot, Schumm and Metz 2017): an autoencoder judges by how badly it copies, and k keeps the balance.

"BEGAN: boundary equilibrium generative adversarial networks", eq. 5 and section 3.4: D learns to copy real pictures
and, with weight k, not to copy fakes; k grows while fakes are copied better than gamma times as badly as real ones. The
step is in `gan.py`, the networks are in `models/nets/testbed.py`.
"""

from dataclasses import dataclass

import numpy as np

from inachus.engine import constant, nn, ops
from inachus.kernels import home, xp
from inachus.models.generation import gan, nsgan
from inachus.models.nets import testbed
from inachus.models.remembered import Remembered
from inachus.models.settings import setting


@dataclass
class Settings(nsgan.Testbed):
    """What `--set` can change."""

    gamma: float = setting(
        0.75, "how badly fakes shall be copied, in units of the real ones; less: sharper, fewer", low=0, high=1
    )
    rate: float = setting(1e-3, "how fast k follows", low=0, high=1)
    norm: bool = setting(False, "batch norm in D")
    lr: float = setting(1e-4, "learning rate of both networks", low=0)


class Copier(nn.Module):
    """R(x) = mean |autoencoder(x) - x|, one number a picture."""

    def __init__(self, network: nn.Module):
        self.network = network

    def forward(self, x):
        """(N, H, W, C) -> (N, 1)."""
        return ops.reshape(ops.abs(self.network(x) - x), shape=(len(x), -1)).mean(axis=1, keepdims=True)


class Balance(Remembered):
    """k, which is part of a checkpoint; an array, so that a captured step changes it too."""

    remembered = ("k",)

    def __init__(self):
        self.k = home().zeros((), np.float32)

    def move(self, by) -> None:
        """k <- k + by, kept in [0, 1]."""
        self.k[...] = xp(self.k).clip(self.k + by, 0, 1)


class BEGAN(gan.GAN):
    """min over D of E R(x) - k E R(G(z)); min over G of E R(G(z)).

    k <- k + rate (gamma E R(x) - E R(G(z))), kept in [0, 1].
    """

    Settings = Settings

    def __init__(self, *args, **kwargs):
        """As every GAN."""
        super().__init__(*args, **kwargs)
        self.balance = Balance()

    def networks(self):
        """(generator, autoencoder as discriminator). Raises UsageError for points."""
        s = self.settings
        return (testbed.generator(s.z, self.shape, s.width), Copier(testbed.autoencoder(self.shape, s.width, s.norm)))

    initialisers = nsgan.NSGAN.initialisers

    def d_loss(self, s_real, s_fake):
        """E R(x) - k E R(G(z)), after which k moves."""
        real, fake = s_real.mean(), s_fake.mean()
        loss = real - constant(self.balance.k.copy()) * fake
        self.balance.move(self.settings.rate * (self.settings.gamma * real.data - fake.data))
        return loss

    def g_loss(self, s_fake):
        """E R(G(z))."""
        return s_fake.mean()

    def verdicts(self, s_real, s_fake):
        """R of real and fake, k, and M = R(x) + |gamma R(x) - R(G(z))|, which falls as the training converges."""
        real, fake = s_real.mean(), s_fake.mean()
        measure = real + ops.abs(self.settings.gamma * real - fake)
        return {"R(x)": real, "R(G(z))": fake, "k": constant(self.balance.k.copy()), "M": measure}
