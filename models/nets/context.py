"""The network of the context encoder: Pathak, Krahenbuhl, Donahue, Darrell and Efros (2016), "Context encoders: feature
learning by inpainting", section 3.1 and the authors' code: down to one vector, and up again, without skips.

Every number of the vector sees the whole picture, which ties the network to one size. Kernel 4; 64, 64, 128, 256, 512
channels inwards at width 64 and 128 pixels, a vector of 4000. The paper's network paints the hole alone, in the middle;
ours gets a mask as one more channel and paints the whole picture, so that the hole may lie anywhere and have any shape.
Its judge, on patches of the size of the hole, is that of `patchgan.py`, read next.
"""

from itertools import pairwise

from inachus.engine import nn
from inachus.engine.errors import UsageError

SIZES = 32, 64, 128, 256
INNER = 4  # pixels of a side, from which one convolution leads to the vector


def generator(channels: int, outputs: int, size: int, width: int = 64, code: int = 4000) -> nn.Sequential:
    """(N, size, size, channels) -> (N, size, size, outputs) in (-1, 1). Raises UsageError for a size without one."""
    if size not in SIZES:
        raise UsageError(
            f"the context encoder takes pictures of {', '.join(map(str, SIZES))} pixels, not {size}: pass --set size=64"
        )
    halvings = (size // INNER).bit_length() - 1
    widths = [width << max(i - 1, 0) for i in range(halvings)]
    half = {"stride": 2, "pad": 1}

    def stage(conv, o, act):
        return nn.Sequential(conv=conv, norm=nn.BatchNorm(o), act=act)

    down = [nn.Sequential(conv=nn.Conv2d(channels, width, 4, **half), act=nn.LeakyReLU(0.2))]
    down += [stage(nn.Conv2d(c, o, 4, bias=False, **half), o, nn.LeakyReLU(0.2)) for c, o in pairwise(widths)]
    inner = widths[-1]
    up = [stage(nn.ConvTranspose2d(code, inner, INNER, bias=False), inner, nn.ReLU())]
    back = pairwise(reversed(widths))
    up += [stage(nn.ConvTranspose2d(c, o, 4, bias=False, **half), o, nn.ReLU()) for c, o in back]
    return nn.Sequential(
        *down,
        nn.Sequential(conv=nn.Conv2d(inner, code, INNER), act=nn.LeakyReLU(0.2)),  # a norm would see the batch alone
        *up,
        nn.Sequential(conv=nn.ConvTranspose2d(width, outputs, 4, **half), act=nn.Tanh()),
    )
