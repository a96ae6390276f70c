"""What the properties are tried on: shapes, dtypes, arrays in awkward memory layouts, convolution geometries.

Geometries are constructed, never filtered, so that no example is thrown away. Numbers come from a drawn seed:
they are dense and do not shrink, their shapes and layouts do.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

dtypes = st.sampled_from([np.float32, np.float64])
slopes = st.sampled_from([0.0, 0.2, 1.0])


def shapes(dims: tuple[int, int] = (1, 4), sides: tuple[int, int] = (1, 5)):
    """Shapes with dims[0]..dims[1] axes of sides[0]..sides[1]."""
    return st.lists(st.integers(*sides), min_size=dims[0], max_size=dims[1]).map(tuple)


@st.composite
def floats(draw, shape, dtype=np.float32, low=-2.0, high=2.0, layout=True):
    """Numbers in [low, high), one in eight of them 0 if that lies inside; with `layout`, not contiguous."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.uniform(low, high, shape).astype(dtype)
    if low <= 0 < high:
        values = np.where(rng.random(shape) < 1 / 8, dtype(0), values)
    return draw(scattered(values)) if layout and values.ndim else values


@st.composite
def scattered(draw, values):
    """The same numbers in another layout: axes permuted in memory, NaN between them, or stored backwards."""
    axis = draw(st.integers(0, values.ndim - 1))
    layout = draw(st.sampled_from(["permuted", "gaps", "backwards"]))
    if layout == "permuted":
        order = draw(st.permutations(range(values.ndim)))
        return np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))
    if layout == "backwards":
        return np.flip(np.ascontiguousarray(np.flip(values, axis)), axis)
    steps = [2 if i == axis else 1 for i in range(values.ndim)]
    wide = np.full(np.multiply(values.shape, steps), np.nan, values.dtype)
    view = wide[tuple(slice(None, None, step) for step in steps)]
    view[...] = values
    return view


@dataclass(frozen=True)
class Geometry:
    """One convolution: x (N,H,W,C), w (KH,KW,C,O) -> y (N,OH,OW,O)."""

    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]
    y: tuple[int, int, int, int]
    stride: int
    pad: int

    @property
    def place(self):
        """The static parameters as keywords."""
        return {"stride": self.stride, "pad": self.pad}


@st.composite
def geometries(draw):
    """H = (OH-1) S + KH - 2P + r with a remainder r < S of pixels in no window; P may exceed the kernel."""
    N, C, outputs, stride = (draw(st.integers(1, 3)) for _ in range(4))
    (OH, OW), (KH, KW) = (draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(2))
    rest = draw(st.tuples(*[st.integers(0, stride - 1)] * 2))
    sides = zip((OH, OW), (KH, KW), rest, strict=True)
    padded = [(n - 1) * stride + k + r for n, k, r in sides]  # H + 2P, W + 2P
    pad = draw(st.integers(0, min(4, (min(padded) - 1) // 2)))
    H, W = (n - 2 * pad for n in padded)
    return Geometry((N, H, W, C), (KH, KW, C, outputs), (N, OH, OW, outputs), stride, pad)
