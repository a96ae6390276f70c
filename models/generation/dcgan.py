"""DCGAN (Radford, Metz and Chintala 2016): the step of the GAN with convolutional networks.

"Unsupervised representation learning with deep convolutional GANs", section 4; the networks are in
`models/nets/dcgan.py`, the step is in `gan.py`. Weights N(0, 0.02), scales N(1, 0.02), Adam 2e-4 with beta1 0.5.

`inachus train dcgan --data fashion-mnist --steps 6000`, then `inachus evaluate`, seeds 0, 1, 2: Frechet 30.3, 27.1,
27.8 (floor 1.3; the MLP of `gan.py` after as many steps 82.0 to 85.5), class total variation 0.06 each, all ten
classes; 8 minutes on 2 cores.
"""

from dataclasses import dataclass

from inachus.engine.errors import UsageError
from inachus.engine.nn import init
from inachus.models.generation import gan
from inachus.models.nets import dcgan
from inachus.models.settings import setting


@dataclass
class Settings(gan.Settings):
    """What `--set` can change."""

    width: int = setting(64, "channels of the layer next to the picture; they double inwards", low=1, high=1024)
    upsample: str = setting("transpose", "transposed convolution, or pixels doubled and convolved", tuple(dcgan.DOUBLE))


class DCGAN(gan.GAN):
    """The GAN of `gan.py` with convolutions."""

    Settings = Settings
    steps = 5_000

    def networks(self):
        """(generator, discriminator) for the size and channels of the data. Raises UsageError for no squares."""
        if len(self.shape) != 3 or self.shape[0] != self.shape[1]:
            raise UsageError(f"dcgan makes square pictures, not items of shape {self.shape}: pass --set size=64")
        s, (size, _, channels) = self.settings, self.shape
        return dcgan.generator(s.z, size, channels, s.width, s.upsample), dcgan.discriminator(size, channels, s.width)

    def initialisers(self):
        """N(0, 0.02) for weights, N(1, 0.02) for the norms' scales."""
        return init.normal(0.02), init.normal(0.02, 1.0)
