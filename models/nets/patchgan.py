"""The discriminators of Isola et al. (2017), sections 3.2.2 and 6.1: one judgement for each patch of the picture.

Patches of 70 pixels (3 layers) are pix2pix's and CycleGAN's; 1 pixel is the PixelGAN (0 layers). At width 64 and 3
layers: 2,768,705 parameters (without running statistics) with batch norm for 6 channels, picture beside picture, and
2,764,737 with instance norm for 3. Read `resnet.py` next, CycleGAN's generator.
"""

from collections import namedtuple
from itertools import pairwise

from inachus.engine import nn
from inachus.models.nets.unet import NORMS

Field = namedtuple("Field", "layer kernel stride size")


def discriminator(channels: int, width: int = 64, layers: int = 3, norm: str = "batch") -> nn.Sequential:
    """(N, H, W, channels) -> (N, OH, OW, 1) logits; 256 pixels and 3 layers give 30 x 30.

    `layers` convolutions halve the picture and two more look around; with 0 there are three, all of one pixel.
    """
    kernel, pad, strides = (4, 1, [2] * layers + [1]) if layers else (1, 0, [1, 1])
    widths = [width * min(2**i, 8) for i in range(len(strides))]
    first = nn.Conv2d(channels, width, kernel, stride=strides[0], pad=pad)
    stages = {"layer1": nn.Sequential(conv=first, act=nn.LeakyReLU(0.2))}
    for i, (c, o) in enumerate(pairwise(widths), 1):
        conv = nn.Conv2d(c, o, kernel, stride=strides[i], pad=pad, bias=norm == "instance")
        stages[f"layer{i + 1}"] = nn.Sequential(conv=conv, norm=NORMS[norm](o), act=nn.LeakyReLU(0.2))
    return nn.Sequential(**stages, logits=nn.Conv2d(widths[-1], 1, kernel, pad=pad))


def receptive_field(network: nn.Module) -> list[Field]:
    """For each convolution, from the last to the first: how many pixels of its input, a side, one output depends on.

    size_in = (size_out - 1) stride + kernel, from size 1; the last entry is the patch. The network is convolutions
    one after the other, and between them what works pixel by pixel (norms by the statistics of the whole do not).
    """
    fields, size = [], 1
    for name, layer in reversed([*network.modules()]):
        if isinstance(layer, nn.Conv2d):
            kernel = layer.weight.shape[0]
            size = (size - 1) * layer.stride + kernel
            fields.append(Field(name, kernel, layer.stride, size))
    return fields
