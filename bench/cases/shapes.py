"""The layers of real GANs, with the sizes they have there, and what each of them costs: no measuring here.

DCGAN at 32 and 64 pixels, pix2pix at 256 (U-Net and a 70 x 70 PatchGAN that sees six channels) and CycleGAN at 256
(ResNet of nine blocks and a PatchGAN). The formulas, per pass (forward, gradient in x, gradient in w), are

    operations    2 N taps C O: only products with pixels that exist; nothing for zeros between or around them
    bytes         (x + w + y) 4: each array once through memory, the least that a kernel can do

Used by `layers.py` and `kernels.py`.
"""

from dataclasses import dataclass
from itertools import pairwise


@dataclass
class Layer:
    """A convolution without bias, then norm and leaky ReLU as one."""

    name: str
    size: int  # of the square input
    C: int
    O: int
    K: int
    S: int
    P: int
    up: bool = False  # transposed
    out_pad: int = 0
    norm: str = ""  # "batch", "instance" or none
    slope: float | None = None  # 0 is ReLU; None: no activation
    count: int = 1
    first: bool = False  # nobody asks for the gradient in its input

    @property
    def out(self) -> int:
        """Size of the output."""
        if self.up:
            return (self.size - 1) * self.S - 2 * self.P + self.K + self.out_pad
        return (self.size + 2 * self.P - self.K) // self.S + 1

    def shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Of the input x, the output's gradient gy and the weights w, as the contract has them."""
        fine, coarse = (self.O, self.C) if self.up else (self.C, self.O)
        image, result = (batch, self.size, self.size, self.C), (batch, self.out, self.out, self.O)
        return {"x": image, "w": (self.K, self.K, fine, coarse), "gy": result}

    def flops(self, batch: int, border: bool = False) -> int:
        """Of any of the three passes; with `border`, as papers count: products with the zeros around a picture too."""
        fine, coarse = (self.out, self.size) if self.up else (self.size, self.out)
        inside = sum(0 <= i * self.S + k - self.P < fine for i in range(coarse) for k in range(self.K))
        taps = coarse * self.K if border else inside  # along one side
        return 2 * batch * taps**2 * self.C * self.O

    def bytes(self, batch: int, itemsize: int = 4) -> int:
        """Of any of the three passes: x, w and y, two of them read and one written."""
        pixels = batch * (self.size**2 * self.C + self.out**2 * self.O)
        return itemsize * (pixels + self.K**2 * self.C * self.O)

    def product(self, name: str, batch: int) -> tuple[int, int, int] | None:
        """(M, N, K) of the matrix product that a pass amounts to; None if its phases have unequal sums."""
        side = self.size if self.up else self.out  # of the smaller picture
        coarse = batch * side**2
        deep, wide = (self.C, self.O) if self.up else (self.O, self.C)  # channels of the smaller and the larger one
        if name == "dw":
            return self.K**2 * self.C, self.O, coarse
        if (name == "forward") != self.up:  # windows of the larger picture
            return coarse, deep, self.K**2 * wide
        if side == self.S == 1:  # one pixel becomes a picture
            return batch, self.K**2 * wide, deep
        if self.K % self.S:
            return None
        return self.S**2 * coarse, wide, (self.K // self.S) ** 2 * deep  # S x S phases, one below the other

    def describe(self, name: str) -> str:
        """What pass `name` belongs to."""
        if name in ("forward", "dx", "dw"):
            kind = "convT" if self.up else "conv"
            return f"{self.name} {kind} {self.C}->{self.O} k{self.K} s{self.S} {self.size}x{self.size}"
        parts = [f"{self.norm} norm"] * bool(self.norm) + [f"lrelu {self.slope}" if self.slope else "relu"]
        return f"{self.name} {' + '.join(parts)} {self.O} {self.out}x{self.out}"


# --- networks ----------------------------------------------------------------------------------------------


def unet() -> list[Layer]:
    """G of pix2pix at 256 pixels (Isola et al. 2017)."""
    down = pairwise([3, 64, 128, 256, 512, 512, 512, 512, 512])
    up = [(512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64), (128, 3)]
    layers = []
    for i, (c, o) in enumerate(down):
        norm, slope = "batch" if 0 < i < 7 else "", 0.2 if i < 7 else 0.0
        layers.append(Layer(f"down{i + 1}", 256 >> i, c, o, 4, 2, 1, norm=norm, slope=slope, first=i == 0))
    for i, (c, o) in enumerate(up):
        rest = {"norm": "batch", "slope": 0.0} if i < 7 else {}
        layers.append(Layer(f"up{i + 1}", 1 << i, c, o, 4, 2, 1, up=True, **rest))
    return layers


def patchgan(channels: int, norm: str) -> list[Layer]:
    """D of pix2pix (6 channels: both pictures) and CycleGAN at 256 pixels: a logit for each of 30 x 30 patches."""
    widths = [channels, 64, 128, 256, 512]
    layers = []
    for i, (c, o) in enumerate(pairwise(widths)):
        size, stride = (256 >> i), 1 if i == 3 else 2
        layers.append(Layer(f"D{i + 1}", size, c, o, 4, stride, 1, norm=norm if i else "", slope=0.2))
    return [*layers, Layer("D5", 31, 512, 1, 4, 1, 1)]


def resnet() -> list[Layer]:
    """G of CycleGAN at 256 pixels, nine blocks (Zhu et al. 2017); sizes are those after reflection padding."""
    rest = {"norm": "instance", "slope": 0.0}
    return [
        Layer("first", 262, 3, 64, 7, 1, 0, first=True, **rest),
        Layer("down1", 256, 64, 128, 3, 2, 1, **rest),
        Layer("down2", 128, 128, 256, 3, 2, 1, **rest),
        Layer("block", 66, 256, 256, 3, 1, 0, count=18, **rest),
        Layer("up1", 64, 256, 128, 3, 2, 1, up=True, out_pad=1, **rest),
        Layer("up2", 128, 128, 64, 3, 2, 1, up=True, out_pad=1, **rest),
        Layer("last", 262, 64, 3, 7, 1, 0),
    ]


def dcgan(size: int, width: int = 64) -> list[Layer]:
    """The pair of `models/nets/dcgan.py`, 3 channels, as one chain: D's first layer has a gradient for G."""
    widths = [width << i for i in range((size // 4).bit_length() - 1)]
    rest = {"norm": "batch", "slope": 0.0}
    layers = [Layer("G1", 1, 100, widths[-1], 4, 1, 0, up=True, first=True, **rest)]
    for i, (c, o) in enumerate(pairwise([*widths[::-1], 3])):
        layers.append(Layer(f"G{i + 2}", 4 << i, c, o, 4, 2, 1, up=True, **(rest if o != 3 else {})))
    for i, (c, o) in enumerate(pairwise([3, *widths])):
        layers.append(Layer(f"D{i + 1}", size >> i, c, o, 4, 2, 1, norm="batch" if i else "", slope=0.2))
    return [*layers, Layer(f"D{len(widths) + 1}", 4, widths[-1], 1, 4, 1, 0)]


NETWORKS = {
    "unet-256": unet(),
    "resnet-9": resnet(),
    "dcgan-32": dcgan(32),
    "dcgan-64": dcgan(64),
    "patchgan-6": patchgan(6, "batch"),
    "patchgan-3": patchgan(3, "instance"),
    "toy": dcgan(16, 4),
}


def forward_flops(layers: list[Layer], batch: int = 1, border: bool = True) -> int:
    """Of one pass forward through the layers, by default as papers count it."""
    return sum(layer.count * layer.flops(batch, border) for layer in layers)
