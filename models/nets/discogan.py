"""The networks of DiscoGAN: Kim, Cha, Kim, Lee and Kim (2017), "Learning to discover cross-domain relations with
generative adversarial networks", section 3.3 and the authors' code: four halvings, four doublings, and no skips.

Kernel 4, stride 2, no biases; at width 64 the generator has 5,513,856 parameters from 3 channels to 3. The paper's
last layer is a sigmoid on [0, 1]; ours is tanh on [-1, 1].
"""

from itertools import pairwise

from inachus.engine import nn

HALVE = {"kernel": 4, "stride": 2, "pad": 1, "bias": False}


def generator(channels: int, outputs: int, width: int = 64) -> nn.Sequential:
    """(N, H, W, channels) -> (N, H, W, outputs) in (-1, 1); H and W are multiples of 16."""
    widths = [width << i for i in range(4)]
    up = [
        nn.Sequential(conv=nn.ConvTranspose2d(c, o, **HALVE), norm=nn.BatchNorm(o), act=nn.ReLU())
        for c, o in pairwise(reversed(widths))
    ]
    last = nn.Sequential(conv=nn.ConvTranspose2d(width, outputs, **HALVE), act=nn.Tanh())
    return nn.Sequential(*halvings(channels, widths), *up, last)


def halvings(channels: int, widths: list[int]) -> list[nn.Sequential]:
    """Convolutions with stride 2, leaky ReLU behind them, batch norm in between from the second on."""
    first = nn.Sequential(conv=nn.Conv2d(channels, widths[0], **HALVE), act=nn.LeakyReLU(0.2))
    others = [
        nn.Sequential(conv=nn.Conv2d(c, o, **HALVE), norm=nn.BatchNorm(o), act=nn.LeakyReLU(0.2))
        for c, o in pairwise(widths)
    ]
    return [first, *others]


class Discriminator(nn.Module):
    """(N, H, W, channels) -> (N, H/16 - 3, W/16 - 3, 1) logits; what its inner layers see can be asked for as well."""

    def __init__(self, channels: int, width: int = 64):
        self.levels = nn.Sequential(*halvings(channels, [width << i for i in range(4)]))
        self.logits = nn.Conv2d(width << 3, 1, 4, bias=False)

    def forward(self, x):
        """The logits."""
        return self.features(x)[0]

    def features(self, x):
        """(logits, [features behind the second, third and fourth level])."""
        seen = []
        for level in self.levels:
            x = level(x)
            seen.append(x)
        return self.logits(x), seen[1:]
