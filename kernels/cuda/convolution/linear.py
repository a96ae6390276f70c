"""The matrix product on the kernels of convolutions: a picture of one pixel is a row.

    a row-major, b row-major        conv2d: a's rows are images, b a 1 x 1 kernel
    a row-major, b transposed       conv2d_dx: the kernel is read along its rows
    a transposed, b row-major       conv2d_dw: the sum runs over the images

So a transposed view is multiplied where it lies. Products of more than two axes are one launch.
"""

import numpy as np

from inachus.kernels import xp
from inachus.kernels.cuda.convolution.conv import Geometry, Many, multiply


def matmul(a, b):
    """(..., M, K) . (..., K, N) -> (..., M, N), leading axes broadcast."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (M, K), N = a.shape[-2:], b.shape[-1]
    y = xp(a).empty((*lead, M, N), a.dtype)
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:  # more rows of one product
        a, lead = a.reshape(-1, K), ()
    (M, K), count = a.shape[-2:], int(np.prod(lead))
    a, step_a, a_turned = _laid_out(a, lead)
    b, step_b, b_turned = _laid_out(b, lead, turn=not a_turned)
    many = Many(count, step_a, step_b, M * N)
    if a_turned:  # (K, M) . (K, N)
        op, g = "conv2d_dw", Geometry(K, 1, 1, M, 1, 1, 1, 1, N, 1, 0)
    elif b_turned:  # (M, K) . (N, K)
        op, g = "conv2d_dx", Geometry(M, 1, 1, N, 1, 1, 1, 1, K, 1, 0)
    else:
        op, g = "conv2d", Geometry(M, 1, 1, K, 1, 1, 1, 1, N, 1, 0)
    multiply(op, a, b, y, g, many=many)
    return y


def _laid_out(x, lead, turn=True):
    """(array, numbers from one matrix to the next, transposed?): x as the kernels can read it, copied if need be."""
    turned = turn and x.shape[-1] > 1 and x.shape[-2] > 1 and x.strides[-2] == x.itemsize
    if turned:
        x = x.transpose(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    if x.ndim == 2:
        return x, 0, turned
    size = x.shape[-2] * x.shape[-1]
    if size < x.size < size * int(np.prod(lead)):  # some axes repeat: write them out
        x = xp(x).broadcast_to(x, (*lead, *x.shape[-2:]))
    return xp(x).ascontiguousarray(x), size if x.size > size else 0, turned
