"""Pictures made smaller and larger: pooling, repeated pixels, channels to pixels. Convolutions are in `conv.py`."""

from inachus.engine.ops.shape import getitem, mean, reshape, transpose
from inachus.engine.tensor import Tensor, op
from inachus.kernels import backend, xp


def _tiles(x, size):
    """(N,H,W,C) -> (N,OH,OW,C,size*size): disjoint windows, the last axis inside one; what does not fill one is cut."""
    N, H, W, C = x.shape
    OH, OW = H // size, W // size
    if (OH * size, OW * size) != (H, W):
        x = getitem(x, index=(slice(None), slice(OH * size), slice(OW * size)))
    x = reshape(x, shape=(N, OH, size, OW, size, C))
    return reshape(transpose(x, axes=(0, 1, 3, 5, 2, 4)), shape=(N, OH, OW, C, size * size))


def avg_pool2d(x, *, size) -> Tensor:
    """Mean of disjoint size x size windows: (N,H,W,C) -> (N, H//size, W//size, C)."""
    return mean(_tiles(x, size), axis=-1)


def max_pool2d(x, *, size) -> Tensor:
    """Maximum of disjoint size x size windows, the first one at a tie: (N,H,W,C) -> (N, H//size, W//size, C)."""
    tiles = _tiles(x, size)
    flat = reshape(tiles, shape=(-1, size * size))
    place = xp(flat.data).arange(len(flat)) * (size * size) + flat.data.argmax(axis=-1)
    return reshape(getitem(reshape(flat, shape=(-1,)), index=(place,)), shape=tiles.shape[:-1])


@op
def upsample_nearest(x, *, scale):
    """Every pixel repeated scale x scale times: (N,H,W,C) -> (N, H scale, W scale, C)."""
    return backend(x).upsample(x, scale)


@upsample_nearest.vjp
def _(gy, y, x, *, scale):
    return (upsample_bwd(gy, scale=scale),)


@op
def upsample_bwd(gy, *, scale):
    """The adjoint of upsample_nearest: sums of scale x scale pixels."""
    return backend(gy).upsample_bwd(gy, scale)


@upsample_bwd.vjp
def _(g, gx, gy, *, scale):
    return (upsample_nearest(g, scale=scale),)


def pixel_shuffle(x, *, scale) -> Tensor:
    """Channels to pixels: (N,H,W,C scale^2) -> (N,H scale,W scale,C); channel c scale^2 + i scale + j to pixel (i, j).

    Shi et al. (2016), eq. 4. Raises ValueError unless scale^2 divides the channels.
    """
    if x.shape[3] % scale**2:
        raise ValueError(f"pixel_shuffle: {x.shape[3]} channels are no multiple of {scale}^2 (x {x.shape})")
    return _pixel_shuffle(x, scale=scale)


@op
def _pixel_shuffle(x, *, scale):
    return backend(x).pixel_shuffle(x, scale)


@_pixel_shuffle.vjp
def _(gy, y, x, *, scale):
    return (_pixel_unshuffle(gy, scale=scale),)


@op
def _pixel_unshuffle(y, *, scale):
    return backend(y).pixel_unshuffle(y, scale)


@_pixel_unshuffle.vjp
def _(g, gx, y, *, scale):
    return (_pixel_shuffle(g, scale=scale),)
