"""The networks of StarGAN: Choi, Choi, Kim, Ha, Kim and Choo (2018), "StarGAN: unified generative adversarial networks
for multi-domain image-to-image translation", appendix, tables 4 and 5, with the constants of the authors' code.

The wanted domain enters the generator as constant planes beside the colours. For 3 channels, 5 domains and width 64:
8,430,528 parameters with 6 blocks, and 44,762,048 in the discriminator of 6 layers for 128 pixels. The paper's last
convolution, whose kernel covers the whole map, is the dense layer `domain` here. The blocks are those of `resnet.py`.
"""

from itertools import pairwise

from inachus.engine import nn
from inachus.engine.errors import UsageError
from inachus.models.nets.resnet import Residual


def generator(inputs: int, outputs: int, width: int = 64, blocks: int = 6) -> nn.Sequential:
    """(N, H, W, inputs) -> (N, H, W, outputs) in (-1, 1); H and W are multiples of 4, `inputs` colours and domains."""
    wide = 4 * width

    def stage(conv: nn.Module, c: int) -> nn.Sequential:
        return nn.Sequential(conv=conv, norm=nn.InstanceNorm(c, affine=True), act=nn.ReLU())

    def half(make: type, c: int, o: int) -> nn.Sequential:
        return stage(make(c, o, 4, stride=2, pad=1, bias=False), o)

    def block() -> nn.Sequential:
        first, second = (nn.Conv2d(wide, wide, 3, pad=1, bias=False) for _ in range(2))
        return Residual(**dict(stage(first, wide).children()), conv2=second, norm2=nn.InstanceNorm(wide, affine=True))

    return nn.Sequential(
        stem=stage(nn.Conv2d(inputs, width, 7, pad=3, bias=False), width),
        down1=half(nn.Conv2d, width, 2 * width),
        down2=half(nn.Conv2d, 2 * width, wide),
        **{f"block{i + 1}": block() for i in range(blocks)},
        up1=half(nn.ConvTranspose2d, wide, 2 * width),
        up2=half(nn.ConvTranspose2d, 2 * width, width),
        out=nn.Sequential(conv=nn.Conv2d(width, outputs, 7, pad=3, bias=False), act=nn.Tanh()),
    )


class Discriminator(nn.Module):
    """(N, H, W, C) -> (score of each patch (N, H/2^layers, W/2^layers, 1), logits of the domains (N, classes)).

    Without norms, for the gradient penalty is one picture's. Raises UsageError for pictures that the layers use up.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 64, layers: int = 6):
        height, breadth, channels = shape
        if min(height, breadth) >> layers == 0:
            raise UsageError(
                f"{layers} layers halve {breadth} x {height} pixels to nothing: pass a smaller --set layers=, or a "
                "larger --set size="
            )
        widths = [channels, *(width << i for i in range(layers))]
        convs = [nn.Conv2d(c, o, 4, stride=2, pad=1) for c, o in pairwise(widths)]
        self.trunk = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.LeakyReLU(0.01))))
        self.score = nn.Conv2d(widths[-1], 1, 3, pad=1, bias=False)
        pixels = (height >> layers) * (breadth >> layers)
        self.domain = nn.Sequential(nn.Flatten(), nn.Dense(pixels * widths[-1], classes, bias=False))

    def forward(self, x):
        """Both answers."""
        seen = self.trunk(x)
        return self.score(seen), self.domain(seen)
