"""Convolution, closed under differentiation, and the resizing ops of image networks.

conv2d is bilinear: without the spatial axes it is the matrix product y[n,o] = x[n,c] w[c,o]. So each partial
derivative of one of these three ops is another one of the three, and every order of derivative is there:

    conv2d   (x, w)  -> y      in x: conv2d_dx(gy, w)    in w:  conv2d_dw(x, gy)
    conv2d_dx(gy, w) -> gx     in gy: conv2d(ggx, w)     in w:  conv2d_dw(ggx, gy)
    conv2d_dw(x, gy) -> gw     in x: conv2d_dx(gy, ggw)  in gy: conv2d(x, ggw)

The loops are in `kernels/reference/conv.py`, under the same names.
"""

import numpy as np

from inachus.engine.ops.shape import broadcast_to, getitem, mean, reshape, transpose
from inachus.engine.tensor import Tensor, op
from inachus.kernels import backend


@op
def _conv2d(x, w, *, stride, pad):  # (N,H,W,C), (KH,KW,C,O) -> (N,OH,OW,O)
    return backend(x).conv2d(x, w, stride, pad)


@_conv2d.vjp
def _(gy, y, x, w, *, stride, pad):
    return (
        lambda: conv2d_dx(gy, w, hw=x.shape[1:3], stride=stride, pad=pad),
        lambda: conv2d_dw(x, gy, khw=w.shape[:2], stride=stride, pad=pad),
    )


@op
def conv2d_dx(gy, w, *, hw, stride, pad):  # (N,OH,OW,O), (KH,KW,C,O) -> (N,H,W,C)
    """The gradient of conv2d in x, of size `hw`; as a layer of its own, the transposed convolution."""
    return backend(gy).conv2d_dx(gy, w, hw, stride, pad)


@conv2d_dx.vjp
def _(g, gx, gy, w, *, hw, stride, pad):
    return (
        lambda: _conv2d(g, w, stride=stride, pad=pad),
        lambda: conv2d_dw(g, gy, khw=w.shape[:2], stride=stride, pad=pad),
    )


@op
def conv2d_dw(x, gy, *, khw, stride, pad):  # (N,H,W,C), (N,OH,OW,O) -> (KH,KW,C,O)
    """The gradient of conv2d in w, for a kernel of size `khw`."""
    return backend(x).conv2d_dw(x, gy, khw, stride, pad)


@conv2d_dw.vjp
def _(g, gw, x, gy, *, khw, stride, pad):
    return (
        lambda: conv2d_dx(gy, g, hw=x.shape[1:3], stride=stride, pad=pad),
        lambda: _conv2d(x, g, stride=stride, pad=pad),
    )


def conv2d(x, w, *, stride=1, pad=0) -> Tensor:
    """Cross-correlation of x (N,H,W,C) with w (KH,KW,C,O), zeros around x -> (N,OH,OW,O), OH = (H+2P-KH)//S + 1.

    Raises ValueError for channels that differ or a kernel larger than the padded picture.
    """
    _check_images("conv2d", x, w, 2, stride, pad)
    if any(n + 2 * pad < k for n, k in zip(x.shape[1:3], w.shape[:2], strict=True)):
        raise ValueError(f"conv2d: the kernel is larger than the padded picture (x {x.shape}, w {w.shape}, pad {pad})")
    return _conv2d(x, w, stride=stride, pad=pad)


def conv_transpose2d(x, w, *, stride=1, pad=0, output_pad=0) -> Tensor:
    """The adjoint of conv2d: x (N,H,W,C), w (KH,KW,O,C) -> (N,OH,OW,O), OH = (H-1) S - 2P + KH + output_pad.

    Several sizes shrink to the same one under a stride; output_pad < S chooses among them. Raises ValueError.
    """
    _check_images("conv_transpose2d", x, w, 3, stride, pad)
    hw = tuple((n - 1) * stride - 2 * pad + k + output_pad for n, k in zip(x.shape[1:3], w.shape[:2], strict=True))
    if not 0 <= output_pad < max(stride, 1) or min(hw) < 1:
        geometry = f"output size {hw} with stride {stride}, pad {pad}, output_pad {output_pad}"
        raise ValueError(f"conv_transpose2d: {geometry}; output_pad must be below the stride and the size positive")
    return conv2d_dx(x, w, hw=hw, stride=stride, pad=pad)


def _check_images(name, x, w, axis, stride, pad):
    if x.ndim != 4 or w.ndim != 4:
        raise ValueError(f"{name}: expects x (N,H,W,C) and a 4-d w, got x {x.shape}, w {w.shape}")
    if x.shape[3] != w.shape[axis]:
        raise ValueError(
            f"{name}: x has {x.shape[3]} channels but w expects {w.shape[axis]} (x {x.shape}, w {w.shape})"
        )
    if stride < 1 or pad < 0:
        raise ValueError(f"{name}: stride {stride} and pad {pad} must be at least 1 and 0")


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
    n, h, w, c = np.ogrid[tuple(slice(k) for k in tiles.shape[:-1])]
    return getitem(tiles, index=(n, h, w, c, tiles.data.argmax(axis=-1)))


def upsample_nearest(x, *, scale) -> Tensor:
    """Every pixel repeated scale x scale times: (N,H,W,C) -> (N, H scale, W scale, C)."""
    N, H, W, C = x.shape
    x = broadcast_to(reshape(x, shape=(N, H, 1, W, 1, C)), shape=(N, H, scale, W, scale, C))
    return reshape(x, shape=(N, H * scale, W * scale, C))


def pixel_shuffle(x, *, scale) -> Tensor:
    """Channels to pixels: (N,H,W,C scale^2) -> (N,H scale,W scale,C); channel c scale^2 + i scale + j to pixel (i, j).

    Shi et al. (2016), eq. 4. Raises ValueError unless scale^2 divides the channels.
    """
    N, H, W, C = x.shape
    if C % scale**2:
        raise ValueError(f"pixel_shuffle: {C} channels are no multiple of {scale}^2 (x {x.shape})")
    x = reshape(x, shape=(N, H, W, C // scale**2, scale, scale))
    return reshape(transpose(x, axes=(0, 1, 4, 2, 5, 3)), shape=(N, H * scale, W * scale, C // scale**2))
