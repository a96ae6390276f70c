"""The networks of SRGAN: Ledig et al. (2017), "Photo-realistic single image super-resolution using a generative
adversarial network", section 2.1.1 and figure 4. G is the SRResNet: residual blocks on small pictures, channels that
become pixels at the end.

At width 64, 16 blocks and 4 times: 1,549,462 parameters in G (one slope for each PReLU, no batch norm behind the
residual blocks, no tanh: a line behind the last convolution). D with dense layers, for 96 pixels: 23,565,505; by
default it is fully convolutional instead, one judgement for each 16 pixels, and takes any size.
"""

from itertools import pairwise

from inachus.engine import nn, ops
from inachus.models.nets.resnet import Residual

SCALES = 2, 4
HIDDEN = 1024  # units of D's dense layer


class Enlarging(nn.Sequential):
    """layers(x) + x, each pixel of it repeated scale x scale times: the layers only learn what is missing."""

    def __init__(self, scale: int, **named: nn.Module):
        super().__init__(**named)
        self.scale = scale

    def forward(self, x):
        """(N, H, W, C) -> (N, H scale, W scale, C)."""
        return super().forward(x) + ops.upsample_nearest(x, scale=self.scale)


def generator(
    channels: int, width: int = 64, blocks: int = 16, scale: int = 4, kernel: int = 9, skip: bool = False
) -> nn.Sequential:
    """(N, H, W, channels) -> (N, H scale, W scale, channels), scale a power of 2; `skip` adds the enlarged input."""

    def conv(kernel, c, o):
        return nn.Conv2d(c, o, kernel, pad=kernel // 2)

    def block():
        first, second = ({"conv": conv(3, width, width), "norm": nn.BatchNorm(width)} for _ in range(2))
        return Residual(first=nn.Sequential(**first, act=nn.PReLU()), second=nn.Sequential(**second))

    def up():
        return nn.Sequential(conv=conv(3, width, 4 * width), shuffle=nn.PixelShuffle(2), act=nn.PReLU())

    inner = {f"block{i + 1}": block() for i in range(blocks)}
    layers = dict(
        stem=nn.Sequential(conv=conv(kernel, channels, width), act=nn.PReLU()),
        trunk=Residual(**inner, conv=conv(3, width, width), norm=nn.BatchNorm(width)),
        **{f"up{i + 1}": up() for i in range(scale.bit_length() - 1)},
        out=conv(kernel, width, channels),
    )
    return Enlarging(scale, **layers) if skip else nn.Sequential(**layers)


def discriminator(channels: int, width: int = 64, size: int = 0) -> nn.Sequential:
    """(N, H, W, channels) -> (N, H/16, W/16, 1) logits, rounded up; (N, 1), by dense layers, for squares of `size`."""
    stages = [nn.Sequential(conv=nn.Conv2d(channels, width, 3, pad=1), act=nn.LeakyReLU(0.2))]
    widths = [width << i // 2 for i in range(8)]
    for i, (c, o) in enumerate(pairwise(widths)):
        conv = nn.Conv2d(c, o, 3, stride=2 - i % 2, pad=1)
        stages.append(nn.Sequential(conv=conv, norm=nn.BatchNorm(o), act=nn.LeakyReLU(0.2)))
    features = nn.Sequential(*stages)
    if not size:
        return nn.Sequential(features=features, logits=nn.Conv2d(widths[-1], 1, 3, pad=1))
    inner = widths[-1] * (-(-size // 16)) ** 2
    dense = nn.Sequential(flat=nn.Flatten(), hidden=nn.Dense(inner, HIDDEN), act=nn.LeakyReLU(0.2))
    return nn.Sequential(features=features, dense=dense, logits=nn.Dense(HIDDEN, 1))
