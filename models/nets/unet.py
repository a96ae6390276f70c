"""The U-Net of Isola, Zhu, Zhou and Efros (2017), "Image-to-image translation with conditional adversarial networks"
(pix2pix): down to one pixel and up again, what a down level has seen being put beside what comes up to its size.

Kernel 4 and stride 2 throughout, channels width, 2, 4, 8, 8, ... width; no norm behind the outermost and innermost
convolutions. The noise is dropout in the three innermost up levels, also when translating. At width 64, from 3 channels
to 3 and with batch norm: 54,413,955 parameters (without running statistics) for 256 pixels, 41,828,995 for 128.

The paper activates what enters a convolution; here the activation stands behind the norm, where both are one kernel.
The function is the same: relu(leaky relu(x)) = relu(x) for the skips, and dropout and relu change places freely.
Read `patchgan.py` next, which judges these pictures.
"""

from itertools import pairwise

from inachus.engine import nn, ops
from inachus.engine.errors import UsageError

SIZES = 32, 64, 128, 256
NORMS = {"batch": nn.BatchNorm, "instance": nn.InstanceNorm}  # instance norm has no shift: convolutions get a bias
NOISY = 3  # up levels with dropout


class UNet(nn.Module):
    """(N, size, size, channels) -> (N, size, size, outputs) in (-1, 1); a multiple of `size` works too.

    Dropout stays on in evaluation mode; `dropout` 0 leaves it out. Raises UsageError for a size without a U-Net.
    """

    def __init__(
        self, size: int, channels: int, outputs: int, width: int = 64, norm: str = "batch", dropout: float = 0.5
    ):
        if size not in SIZES:
            raise UsageError(
                f"unet makes pictures of {', '.join(map(str, SIZES))} pixels, not {size}: pass --set size=64"
            )
        levels = size.bit_length() - 1
        widths = [width * min(2**i, 8) for i in range(levels)]
        four = {"kernel": 4, "stride": 2, "pad": 1, "bias": norm == "instance"}  # halves, or transposed doubles

        down = [nn.Sequential(conv=nn.Conv2d(channels, width, **four), act=nn.LeakyReLU(0.2))]
        for c, o in pairwise(widths[:-1]):
            conv = nn.Conv2d(c, o, **four)
            down += [nn.Sequential(conv=conv, norm=NORMS[norm](o), act=nn.LeakyReLU(0.2))]
        down += [nn.Sequential(conv=nn.Conv2d(widths[-2], widths[-1], **four), act=nn.ReLU())]

        up = []
        for i, (c, o) in enumerate(pairwise(reversed(widths))):
            conv = nn.ConvTranspose2d(2 * c if i else c, o, **four)
            noise = {"noise": nn.Dropout(dropout, always=True)} if dropout and i < NOISY else {}
            up += [nn.Sequential(conv=conv, norm=NORMS[norm](o), act=nn.ReLU(), **noise)]
        up += [nn.Sequential(conv=nn.ConvTranspose2d(2 * width, outputs, **{**four, "bias": True}), act=nn.Tanh())]

        self.down, self.up = nn.Sequential(*down), nn.Sequential(*up)

    def forward(self, x):
        """(N, H, W, channels), H and W multiples of the size -> (N, H, W, outputs)."""
        skips = []
        for level in self.down:
            x = level(x)
            skips.append(x)
        skips.pop()  # the innermost goes up itself
        for level in self.up:
            x = level(x)
            if skips:
                x = ops.concat([ops.relu(skips.pop()), x], axis=3)  # (N, h, w, o) twice -> (N, h, w, 2 o)
        return x
