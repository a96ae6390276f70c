"""The table of all models. `from inachus.models import MODELS` gives it."""

from typing import Any

from inachus.models.adaptation.dann import DANN
from inachus.models.conditional.acgan import ACGAN
from inachus.models.conditional.cgan import CGAN
from inachus.models.conditional.infogan import InfoGAN
from inachus.models.generation.autoencoder import Autoencoder
from inachus.models.generation.began import BEGAN
from inachus.models.generation.dcgan import DCGAN
from inachus.models.generation.dragan import DRAGAN
from inachus.models.generation.energy import Energy
from inachus.models.generation.gan import GAN
from inachus.models.generation.hinge import HingeGAN
from inachus.models.generation.lsgan import LSGAN
from inachus.models.generation.nsgan import NSGAN
from inachus.models.generation.vae import VAE
from inachus.models.generation.wgan import WGAN
from inachus.models.generation.wgangp import WGANGP
from inachus.models.inference.bigan import BiGAN
from inachus.models.inference.triplegan import TripleGAN
from inachus.models.inference.vaegan import VAEGAN
from inachus.models.translation.completion import Completion
from inachus.models.translation.cyclegan import CycleGAN
from inachus.models.translation.discogan import DiscoGAN
from inachus.models.translation.dualgan import DualGAN
from inachus.models.translation.pix2pix import Pix2Pix
from inachus.models.translation.stargan import StarGAN
from inachus.models.translation.superresolution import SuperResolution

MODELS: dict[str, Any] = {
    "gan": GAN,
    "dcgan": DCGAN,
    "cgan": CGAN,
    "acgan": ACGAN,
    "nsgan": NSGAN,
    "lsgan": LSGAN,
    "hinge": HingeGAN,
    "wgan": WGAN,
    "wgangp": WGANGP,
    "dragan": DRAGAN,
    "began": BEGAN,
    "autoencoder": Autoencoder,
    "vae": VAE,
    "energy": Energy,
    "infogan": InfoGAN,
    "vaegan": VAEGAN,
    "bigan": BiGAN,
    "triplegan": TripleGAN,
    "dann": DANN,
    "pix2pix": Pix2Pix,
    "cyclegan": CycleGAN,
    "discogan": DiscoGAN,
    "dualgan": DualGAN,
    "stargan": StarGAN,
    "superresolution": SuperResolution,
    "completion": Completion,
}
