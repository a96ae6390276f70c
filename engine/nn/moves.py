"""Layers without weights that move numbers and compute nothing: other shapes, borders, more pixels.

What they call is in `engine/ops/shape.py` and `resize.py`; layers that learn are in `layers.py`.
"""

from inachus.engine import ops
from inachus.engine.nn.module import Module


class Flatten(Module):
    """(N, ...) -> (N, numbers)."""

    def forward(self, x):
        """Any shape."""
        return ops.reshape(x, shape=(x.shape[0], -1))


class Reshape(Module):
    """(N, ...) -> (N, *shape)."""

    def __init__(self, *shape: int):
        self.shape = shape

    def forward(self, x):
        """Any shape with the right count."""
        return ops.reshape(x, shape=(x.shape[0], *self.shape))


class Upsample(Module):
    """Repeats every pixel scale x scale times: (N,H,W,C) -> (N, H scale, W scale, C)."""

    def __init__(self, scale: int = 2):
        self.scale = scale

    def forward(self, x):
        """(N,H,W,C)."""
        return ops.upsample_nearest(x, scale=self.scale)


class ReflectionPad(Module):
    """`pad` mirrored pixels more on each side: (N,H,W,C) -> (N, H + 2 pad, W + 2 pad, C)."""

    def __init__(self, pad: int):
        self.pad = pad

    def forward(self, x):
        """(N,H,W,C), H and W larger than pad."""
        around = self.pad, self.pad
        return ops.pad(x, widths=((0, 0), around, around, (0, 0)), mode="reflect")


class PixelShuffle(Module):
    """Channels to pixels: (N,H,W,C scale^2) -> (N, H scale, W scale, C). Shi et al. (2016)."""

    def __init__(self, scale: int = 2):
        self.scale = scale

    def forward(self, x):
        """(N,H,W,C), C a multiple of scale^2."""
        return ops.pixel_shuffle(x, scale=self.scale)
