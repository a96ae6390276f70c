"""DiscoGAN (Kim et al. 2017): CycleGAN's twin, with a reconstruction that at first hardly counts, and matched features.

"Learning to discover cross-domain relations with generative adversarial networks", section 3, with the constants of the
authors' code; the trainer is `cyclegan.py`. Differences from it: generators without skips or residuals
(`models/nets/discogan.py`), one judgement for a picture, cross-entropy, a squared reconstruction, features of D matched
in their means, and one step of D for two of G. Deviations: no weight decay, narrower, and the rate rises sooner.

`inachus train discogan --data stripes`
"""

from dataclasses import dataclass

from inachus.engine import losses, ops
from inachus.models.nets import discogan
from inachus.models.settings import Sides, setting
from inachus.models.translation.cyclegan import CycleGAN
from inachus.models.translation.pool import Rate


@dataclass
class Settings(Sides):
    """What `--set` can change."""

    rate: float = setting(0.5, "share of the reconstruction in G's loss", low=0, high=1)
    early: float = setting(0.01, "the same in the beginning, while G learns to make pictures", low=0, high=1)
    until: int = setting(1_000, "generator steps of the beginning; 10,000 in the authors' code", low=0)
    match: float = setting(0.9, "weight of the matched features; the rest is the adversary's", low=0, high=1)
    width: int = setting(32, "channels of the outermost layers; 64 in the paper", low=1, high=512)
    lr: float = setting(2e-4, "learning rate of all networks", low=0)
    beta1: float = setting(0.5, "Adam's beta1", low=0, high=0.999)
    decay: int = setting(0, "step at which the learning rate has fallen; 0: the steps of the training", low=0)

    identity = pool = through = 0
    cycle = 1.0


class DiscoGAN(CycleGAN):
    """min over G_ab, G_ba of (1 - r) (0.1 adversary + 0.9 features) + r E |G_ba(G_ab(a)) - a|^2, and a, b exchanged."""

    Settings = Settings
    steps, batch, data = 3_000, 16, "stripes"
    batches = 3
    variants = None
    multiple = 16
    step = CycleGAN.one_for_two

    def __init__(self, shape: tuple, classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of the two sides: ((H, W, Ca), (H, W, Cb)), from 64 pixels on."""
        super().__init__(shape, classes, seed, settings)
        self.rate = Rate(self.settings.early, self.settings.rate, self.settings.until)

    def networks(self):
        """(G_ab, G_ba, D_a, D_b)."""
        width, ((_, _, a), (_, _, b)) = self.settings.width, self.shape
        generators = (discogan.generator(c, o, width) for c, o in ((a, b), (b, a)))
        return *generators, *(discogan.Discriminator(c, width) for c in (a, b))

    def generators_loss(self, a, b):
        """(loss, fake a, fake b, values)."""
        fake_b, fake_a = self.G_ab(a), self.G_ba(b)
        adversary, match = self.adversary(self.D_a, a, fake_a), self.adversary(self.D_b, b, fake_b)
        values = {"g_loss": adversary[0] + match[0], "features": adversary[1] + match[1]}
        values["cycle"] = losses.mse(self.G_ba(fake_b), a) + losses.mse(self.G_ab(fake_a), b)
        r, m = self.rate(), self.settings.match
        loss = (1.0 - r) * ((1.0 - m) * values["g_loss"] + m * values["features"]) + r * values["cycle"]
        return loss, fake_a, fake_b, values

    def adversary(self, D, real, fake):
        """(G's cross-entropy, squared difference of the means over the batch of what D's inner layers see)."""
        _, there = D.features(real)
        logits, here = D.features(fake)
        gaps = [ops.square(x.mean(axis=0) - y.detach().mean(axis=0)).mean() for x, y in zip(here, there, strict=True)]
        return losses.bce_with_logits(logits, 1.0), sum(gaps[1:], gaps[0])

    def d_loss(self, s_real, s_fake):
        """-E log D(real) / 2 - E log(1 - D(fake)) / 2."""
        return 0.5 * (losses.bce_with_logits(s_real, 1.0) + losses.bce_with_logits(s_fake, 0.0))
