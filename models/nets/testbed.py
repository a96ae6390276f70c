"""The testbed of Lucic et al. (2018), "Are GANs created equal?": one pair of networks for every loss, so that losses
are compared and nothing else. The networks are InfoGAN's; for points of the plane they are the MLPs of WGAN-GP's toy.

Two convolutions of kernel 4 and stride 2 and one hidden dense layer, mirrored in G; at width 64 and for 28 pixels grey:
G 6,642,241 parameters, D 6,559,169 with batch norm and 6,556,865 without. Deviation: pictures lie in [-1, 1], not in
[0, 1], so that tanh ends G. The losses are in `models/generation/`.
"""

from inachus.engine import nn
from inachus.engine.errors import UsageError

WIDTH = "channels next to the picture, and an eighth of those of points; 0: 64 for pictures, 16 for points"
PRESETS = {3: {"z": 64, "width": 64}, 1: {"z": 2, "width": 16}}


def generator(z: int, shape: tuple[int, ...], width: int, last: nn.Module | None = None) -> nn.Sequential:
    """(N, z) -> (N, *shape); `last` is the activation of pictures, tanh by default."""
    if len(shape) == 1:
        return points(z, shape[0], width)
    h, w, channels = quarters(shape)
    layers = [nn.Dense(z, 16 * width), nn.BatchNorm(16 * width), nn.LeakyReLU(0.2)]
    layers += [nn.Dense(16 * width, 2 * width * h * w), nn.BatchNorm(2 * width * h * w), nn.LeakyReLU(0.2)]
    layers += [nn.Reshape(h, w, 2 * width), nn.ConvTranspose2d(2 * width, width, 4, stride=2, pad=1)]
    layers += [nn.BatchNorm(width), nn.LeakyReLU(0.2), nn.ConvTranspose2d(width, channels, 4, stride=2, pad=1)]
    return nn.Sequential(*layers, last or nn.Tanh())


def discriminator(shape: tuple[int, ...], width: int, norm: bool, outputs: int = 1) -> nn.Sequential:
    """(N, *shape) -> (N, outputs)."""
    if len(shape) == 1:
        return points(shape[0], outputs, width)
    h, w, channels = quarters(shape)
    layers = [nn.Conv2d(channels, width, 4, stride=2, pad=1), nn.LeakyReLU(0.2)]
    layers += [
        nn.Conv2d(width, 2 * width, 4, stride=2, pad=1),
        *_normed(norm, 2 * width),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
    ]
    layers += [nn.Dense(2 * width * h * w, 16 * width), *_normed(norm, 16 * width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Dense(16 * width, outputs))


def autoencoder(shape: tuple[int, ...], width: int, norm: bool) -> nn.Sequential:
    """(N, H, W, C) -> the same through a code of `width` numbers: the discriminator of BEGAN. UsageError for points."""
    if len(shape) == 1:
        raise UsageError("began judges pictures by an autoencoder, which would leave points as they are")
    h, w, channels = quarters(shape)
    inner = 2 * width * h * w
    layers = [nn.Conv2d(channels, width, 4, stride=2, pad=1), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(width, 2 * width, 4, stride=2, pad=1), nn.LeakyReLU(0.2), nn.Flatten()]
    layers += [nn.Dense(inner, width), *_normed(norm, width), nn.LeakyReLU(0.2)]
    layers += [nn.Dense(width, inner), *_normed(norm, inner), nn.LeakyReLU(0.2), nn.Reshape(h, w, 2 * width)]
    layers += [nn.ConvTranspose2d(2 * width, width, 4, stride=2, pad=1), *_normed(norm, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, stride=2, pad=1), nn.Tanh())


def points(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """(N, inputs) -> (N, outputs): three hidden layers of 8 width, ReLU, no norm. Gulrajani et al. (2017)."""
    layers = []
    for _ in range(3):
        layers += [nn.Dense(inputs, 8 * width), nn.ReLU()]
        inputs = 8 * width
    return nn.Sequential(*layers, nn.Dense(inputs, outputs))


def _normed(norm: bool, channels: int) -> list[nn.Module]:
    return [nn.BatchNorm(channels)] if norm else []


def quarters(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(H / 4, W / 4, C). Raises UsageError for sides that are no multiples of 4."""
    h, w, channels = shape
    if h % 4 or w % 4:
        raise UsageError(f"these networks take sides that are multiples of 4, not {w} x {h}: pass --set size=32")
    return h // 4, w // 4, channels
