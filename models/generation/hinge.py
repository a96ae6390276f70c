"""Hinge loss (Lim and Ye 2017; Miyato et al. 2018): D learns only from what is not yet on its side by a margin of 1.

"Geometric GAN", eq. 8 to 10; the step is in `gan.py`, settings and networks are those of `nsgan.py`.
"""

from inachus.engine import losses
from inachus.models.generation import gan, nsgan


class HingeGAN(gan.GAN):
    """min over D of E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))); min over G of -E D(G(z))."""

    Settings = nsgan.Testbed
    networks, initialisers = nsgan.NSGAN.networks, nsgan.NSGAN.initialisers

    def d_loss(self, s_real, s_fake):
        """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return losses.hinge(s_real, 1.0) + losses.hinge(s_fake, -1.0)

    def g_loss(self, s_fake):
        """-E D(G(z))."""
        return -s_fake.mean()

    def verdicts(self, s_real, s_fake):
        """D's outputs: beyond 1 and -1 nothing is learned."""
        return {"D(x)": s_real, "D(G(z))": s_fake}
