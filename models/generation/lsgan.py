"""LSGAN (Mao et al. 2017): least squares in the place of cross-entropy, so that a fake far on D's good side moves too.

"Least squares generative adversarial networks", eq. 9, with targets 0 and 1 of D's raw output; the step is in `gan.py`,
settings and networks are those of `nsgan.py`.
"""

from inachus.engine import losses
from inachus.models.generation import gan, nsgan


class LSGAN(gan.GAN):
    """min over D of E (D(x) - 1)^2 / 2 + E D(G(z))^2 / 2; min over G of E (D(G(z)) - 1)^2 / 2."""

    Settings = nsgan.Testbed
    networks, initialisers = nsgan.NSGAN.networks, nsgan.NSGAN.initialisers

    def d_loss(self, s_real, s_fake):
        """E (D(x) - 1)^2 / 2 + E D(G(z))^2 / 2."""
        return 0.5 * (losses.mse(s_real, 1.0) + losses.mse(s_fake, 0.0))

    def g_loss(self, s_fake):
        """E (D(G(z)) - 1)^2 / 2."""
        return 0.5 * losses.mse(s_fake, 1.0)

    def verdicts(self, s_real, s_fake):
        """D's outputs, which shall be 1 and 0."""
        return {"D(x)": s_real, "D(G(z))": s_fake}
