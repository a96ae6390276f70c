"""Convolution with fewer multiplications: Winograd's F(2,2) and F(2,3), for kernel 4 stride 2 and kernel 3 stride 1.

Two neighbouring outputs of a filter with r taps need r + 1 products instead of 2 r (Winograd 1980; Lavin, Gray 2016):

    r = 2:  m = (d0-d1) g0, d1 (g0+g1), (d2-d1) g1                                       y = m0+m1, m1+m2
    r = 3:  m = (d0-d2) g0, (d1+d2) (g0+g1+g2)/2, (d2-d1) (g0-g1+g2)/2, (d3-d1) g2        y = m0+m1+m2, m1-m2+m3

In two dimensions a tile of 2 x 2 outputs takes 9 products for 16, or 16 for 36. A stride S cuts the kernel into S x S
phases of r x r taps, and a coarse pixel is S x S pixels: the phases are more channels, Q = S S C. With D, G, A the
three transforms, P = (r+1)^2 points and T tiles, each product of a convolution is P matrix products:

    V = D x (P, T, Q)     U = G w (P, Q, O)     M = V U (P, T, O)     y  = A M
                                                M = A' gy             gx = D' (M U')     gw = G' (V' M)

Rounding is that of the whole tile, not of one output: a huge number disturbs its neighbours. Not here: when this is
used (`conv.py`). Read next: `transforms.py`.
"""

import numpy as np
from numba import get_thread_id, prange

from inachus.kernels.cpu.activation import finish
from inachus.kernels.cpu.loops import arena, loop, scratch
from inachus.kernels.cpu.matmul import gemm, panel
from inachus.kernels.cpu.transforms import (
    GROUP,
    from_points,
    from_points_adjoint,
    panel_of_weights,
    panel_turned,
    to_points,
    to_points_adjoint,
    weights_adjoint,
)

CHUNK = 1 << 20  # numbers of V and M at a time, in whole images: 4 MB of float32, or half of what U has
ROWS = 512  # of V or M that one panel of U is used for
TILES, DEEP = 64, 192  # rows of one block of gU, and terms of its sums at a time


def conv2d(x, w, stride, pad, b=None, slope=1.0):
    """y = lrelu(A (D x . G w) + b)."""
    (N, H, W, C), (K, _, _, O), S = x.shape, w.shape, stride
    y = np.empty((N, (H + 2 * pad - K) // S + 1, (W + 2 * pad - K) // S + 1, O), x.dtype)
    panels = scratch(x.dtype, S * S * C * panel(x.itemsize), 2)
    for images, V, M, lines, _ in _chunks(x.shape, y.shape, K // S, S, x.dtype):
        to_points(x[images], V, S, pad, y.shape[1:3], lines)
        _multiply(V, w, M, S, False, panels)
        from_points(M, y[images])
        finish(y[images], b, slope)
    return y


def conv2d_dx(gy, w, hw, stride, pad, b=None, slope=1.0):
    """gx = lrelu(D' (A' gy . (G w)') + b)."""
    K, _, C, O = w.shape
    gx, S = np.empty((len(gy), *hw, C), gy.dtype), stride
    panels = scratch(gy.dtype, O * (panel(gy.itemsize) + GROUP), 2)
    for images, V, M, lines, pairs in _chunks(gx.shape, gy.shape, K // S, S, gy.dtype):
        from_points_adjoint(gy[images], M, pairs)
        _multiply(M, w, V, S, True, panels)
        to_points_adjoint(V, gx[images], S, pad, lines)
        finish(gx[images], b, slope)
    return gx


def conv2d_dw(x, gy, khw, stride, pad):
    """gw = G' ((D x)' . A' gy)."""
    K, S, C, O = khw[0], stride, x.shape[3], gy.shape[3]
    gU = np.empty(((K // S + 1) ** 2, S * S * C, O), x.dtype)
    for images, V, M, lines, pairs in _chunks(x.shape, gy.shape, K // S, S, x.dtype):
        to_points(x[images], V, S, pad, gy.shape[1:3], lines)
        from_points_adjoint(gy[images], M, pairs)
        _multiply_outer(V, M, gU, images.start > 0)
    gw = np.empty((K, K, C, O), x.dtype)
    weights_adjoint(gU, gw, S, scratch(x.dtype, (K // S + 1) * O, 3))
    return gw


def _chunks(x, y, r, S, dtype):
    """(images, V, M, lines, pairs), some images at a time: V (P, T, Q), M (P, T, O), rows a little longer, buffers."""
    N, OH, OW, O = y
    C, TH, TW, P = x[3], -(-OH // 2), -(-OW // 2), (r + 1) ** 2
    Q, wide = S * S * C, (2 * TW + r - 1) * S * C
    O += -O % panel(dtype.itemsize) + 16  # whole panels, and rows that do not all fall on the same cache lines
    images = max(1, min(N, max(CHUNK, P * Q * O // 2) // (P * TH * TW * (Q + O))))
    images = -(-N // -(-N // images))  # equal chunks
    v, m = (arena(use, dtype, P * images * TH * TW * n) for use, n in (("V", Q + 16), ("M", O)))
    lines = scratch(dtype, 2 * (r + 1) * S * wide, 0)
    pairs = scratch(dtype, 2 * TW * O, 1)
    for i in range(0, N, images):
        T = min(images, N - i) * TH * TW
        V, M = (flat[: P * T * n].reshape(P, T, n) for flat, n in ((v, Q + 16), (m, O)))
        yield slice(i, i + images), V, M, lines, pairs


# --- products ----------------------------------------------------------------------------------------------


@loop
def _multiply(A, w, out, S, back, memory):
    """out[p] = A[p] U[p], or with `back` A[p] U[p]'; a panel of U is made from w where it is needed, never stored."""
    P, T, lda = A.shape
    C, O = w.shape[2:]
    NR, ldc = panel(w.itemsize), out.shape[2]
    K, N = (O, S * S * C) if back else (S * S * C, O)
    across, down = (N + NR - 1) // NR, (T + ROWS - 1) // ROWS
    for b in prange(P * down * across):
        j, p, t = b // (down * P) * NR, b // down % P, b % down * ROWS  # the columns of w stay in cache
        n, U = min(NR, N - j), memory[get_thread_id()]
        if back:
            panel_turned(w, p, j, n, S, U, U[K * NR :])
        else:
            panel_of_weights(w, p, j, n, S, U)
        left, to = A[p, t:].reshape(-1), out[p, t:].reshape(-1)[j:]
        gemm(False, min(ROWS, T - t), n, K, left, lda, U, NR, 0, to, ldc, False)


@loop
def _multiply_outer(V, M, gU, add):
    """gU[p] = V[p]' M[p], or with `add` +=; some tiles at a time, so that their part of V stays in cache."""
    P, T, lda = V.shape
    Q, O = gU.shape[1:]
    blocks = (Q + TILES - 1) // TILES
    for b in prange(P * blocks):
        p, q = b // blocks, b % blocks * TILES
        for t in range(0, T, DEEP):
            left, right, to = V[p, t:].reshape(-1)[q:], M[p, t:].reshape(-1), gU[p, q:].reshape(-1)
            ldb, pitch = M.shape[2], panel(V.itemsize)
            gemm(True, min(TILES, Q - q), O, min(DEEP, T - t), left, lda, right, ldb, pitch, to, O, add or t > 0)
