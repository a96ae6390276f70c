"""CycleGAN's generator: Zhu, Park, Isola and Efros (2017), "Unpaired image-to-image translation using cycle-consistent
adversarial networks", section 7.2, after Johnson et al. (2016). Two halvings, residual blocks, two doublings.

Borders are reflected where the kernel does not stride, for zeros would show. At width 64, from 3 channels to 3 and with
instance norm: 11,378,179 parameters with 9 blocks (for 256 pixels), 7,837,699 with 6 (for 128).
"""

from inachus.engine import nn
from inachus.models.nets.unet import NORMS


class Residual(nn.Sequential):
    """x + layers(x), and no activation behind the sum. He et al. (2016)."""

    def forward(self, x):
        """(N, ...) -> the same shape."""
        return x + super().forward(x)


class Masked(nn.Module):
    """m x + (1 - m) t, where `network` makes of x the picture t and, in one channel more, the mask m in (0, 1).

    So what shall stay, such as the background, need not be painted again. Mejjati et al. and Pumarola et al. (2018).
    """

    def __init__(self, network: nn.Module):
        self.network = network

    def forward(self, x):
        """(N, H, W, C) -> (N, H, W, C)."""
        y = self.network(x)  # (N, H, W, C + 1), in (-1, 1)
        t, m = y[..., :-1], 0.5 * y[..., -1:] + 0.5
        return t + m * (x - t)


def generator(channels: int, outputs: int, width: int = 64, blocks: int = 9, norm: str = "instance") -> nn.Sequential:
    """(N, H, W, channels) -> (N, H, W, outputs) in (-1, 1); H and W are multiples of 4."""
    make, bias, wide = NORMS[norm], norm == "instance", 4 * width
    half = {"stride": 2, "pad": 1, "bias": bias}

    def stage(c, **layers):
        return nn.Sequential(**layers, norm=make(c), act=nn.ReLU())

    def block():
        first, second = (nn.Conv2d(wide, wide, 3, bias=bias) for _ in range(2))
        one = {"pad1": nn.ReflectionPad(1), "conv1": first, "norm1": make(wide), "act": nn.ReLU()}
        return Residual(**one, pad2=nn.ReflectionPad(1), conv2=second, norm2=make(wide))

    return nn.Sequential(
        stem=stage(width, pad=nn.ReflectionPad(3), conv=nn.Conv2d(channels, width, 7, bias=bias)),
        down1=stage(2 * width, conv=nn.Conv2d(width, 2 * width, 3, **half)),
        down2=stage(wide, conv=nn.Conv2d(2 * width, wide, 3, **half)),
        **{f"block{i + 1}": block() for i in range(blocks)},
        up1=stage(2 * width, conv=nn.ConvTranspose2d(wide, 2 * width, 3, **half, output_pad=1)),
        up2=stage(width, conv=nn.ConvTranspose2d(2 * width, width, 3, **half, output_pad=1)),
        out=nn.Sequential(pad=nn.ReflectionPad(3), conv=nn.Conv2d(width, outputs, 7), act=nn.Tanh()),
    )
