"""The matrix product y[m,n] = sum over k of a[m,k] b[k,n], and the idea that every fast version is made of.

    matmul          one thread a result; it reads 2 K numbers from memory for its K products
    matmul_tiled    a block of threads copies a tile of a and one of b into shared memory, and all of them read it
                    there: 2 K / TILE numbers a thread

The next steps are the same idea again, one level down: a thread that keeps several results in registers reads shared
memory less often, copies run ahead while the block multiplies, and tensor cores multiply whole tiles. Those stand in
`../convolution/gather.cu`; read `norm.py` for what blocks do besides.
"""

import numpy as np
from numba import cuda

from inachus.kernels import xp
from inachus.kernels.cuda.naive.launch import launch

TILE = 16  # a block is TILE x TILE threads


def matmul(a, b):
    """(..., M, K) . (..., K, N) -> (..., M, N), leading axes broadcast."""
    return _product(_matmul, a, b)


@cuda.jit
def _matmul(a, b, y):
    """Thread (n, m) of the grid computes y[m,n]."""
    n, m = cuda.grid(2)  # x runs along rows, as memory does
    if m >= y.shape[1] or n >= y.shape[2]:
        return
    batch, total = cuda.blockIdx.z, y.dtype.type(0)
    for k in range(a.shape[2]):
        total += a[batch, m, k] * b[batch, k, n]
    y[batch, m, n] = total


def matmul_tiled(a, b):
    """The same, through shared memory."""
    return _product(_matmul_tiled, a, b)


@cuda.jit
def _matmul_tiled(a, b, y):
    """Thread (j, i) of a block computes y[m,n], number (i, j) of the block's tile; all march along K tile by tile."""
    tile_a = cuda.shared.array((TILE, TILE), a.dtype)
    tile_b = cuda.shared.array((TILE, TILE), b.dtype)
    n, m = cuda.grid(2)
    j, i, batch = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.z
    (_, M, K), N, zero = a.shape, b.shape[2], y.dtype.type(0)
    total = zero
    for k in range(0, K, TILE):  # no thread leaves early: all are needed to load, and to meet at the barriers
        tile_a[i, j] = a[batch, m, k + j] if m < M and k + j < K else zero
        tile_b[i, j] = b[batch, k + i, n] if k + i < K and n < N else zero
        cuda.syncthreads()  # the tiles are complete
        for t in range(TILE):
            total += tile_a[i, t] * tile_b[t, j]
        cuda.syncthreads()  # everyone has read them: they may be overwritten
    if m < M and n < N:
        y[batch, m, n] = total


def _product(kernel, a, b):
    """Spreads the leading axes of a and b into one, which is the z axis of the grid."""
    lead, (M, K), N = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2:], b.shape[-1]
    a = xp(a).broadcast_to(a, (*lead, M, K)).reshape(-1, M, K)
    b = xp(b).broadcast_to(b, (*lead, K, N)).reshape(-1, K, N)
    y = xp(a).empty((len(a), M, N), a.dtype)
    launch(kernel, (-(-N // TILE), -(-M // TILE), len(a)), (TILE, TILE), a, b, y)
    return y.reshape(*lead, M, N)
