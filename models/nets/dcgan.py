"""The convolutional pair of Radford, Metz and Chintala (2016), "Unsupervised representation learning with deep
convolutional GANs": no pooling, no hidden dense layer, batch norm but at G's output and D's input, ReLU in G and
leaky ReLU in D, kernel 4 and stride 2 throughout.

At 64 pixels, 3 channels and width 64: 3,576,704 parameters in G (without running statistics) and 2,765,568 in D.
"""

from itertools import pairwise

from inachus.engine import nn
from inachus.engine.errors import UsageError

BASE = {28: 7, 32: 4, 64: 4}  # picture size -> size of the smallest feature map, from which it doubles


def _widths(size: int, width: int) -> list[int]:
    """Channels from the picture inwards: width, 2 width, ... one for each doubling."""
    if size not in BASE:
        raise UsageError(f"dcgan makes pictures of {', '.join(map(str, BASE))} pixels, not {size}: pass --set size=64")
    levels = (size // BASE[size]).bit_length() - 1
    return [width << i for i in range(levels)]


def generator(z: int, size: int, channels: int, width: int = 64, upsample: str = "transpose") -> nn.Sequential:
    """(N, z) -> (N, size, size, channels) in (-1, 1).

    `upsample` is "transpose" (transposed convolution, kernel 4 stride 2) or "nearest" (pixels doubled, then a 3x3
    convolution: no checkerboard, more arithmetic).
    """
    inner = _widths(size, width)[::-1]
    layers: list[nn.Module] = [nn.Reshape(1, 1, z), nn.ConvTranspose2d(z, inner[0], BASE[size], bias=False)]
    for before, after in zip(inner, [*inner[1:], channels], strict=True):
        layers += [nn.BatchNorm(before), nn.ReLU(), *DOUBLE[upsample](before, after)]
    return nn.Sequential(*layers, nn.Tanh())


DOUBLE = {
    "transpose": lambda c, o: [nn.ConvTranspose2d(c, o, 4, stride=2, pad=1, bias=False)],
    "nearest": lambda c, o: [nn.Upsample(2), nn.Conv2d(c, o, 3, pad=1, bias=False)],
}


def discriminator(size: int, channels: int, width: int = 64) -> nn.Sequential:
    """(N, size, size, channels) -> (N, 1) logits."""
    outer = _widths(size, width)
    layers: list[nn.Module] = [nn.Conv2d(channels, outer[0], 4, stride=2, pad=1, bias=False), nn.LeakyReLU(0.2)]
    for before, after in pairwise(outer):
        layers += [nn.Conv2d(before, after, 4, stride=2, pad=1, bias=False), nn.BatchNorm(after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(outer[-1], 1, BASE[size], bias=False), nn.Flatten())
