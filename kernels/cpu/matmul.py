"""The matrix product: `gemm` for one thread, `matmul` for all of them.

    gemm      tiles over the rows, panels of NR columns: a panel of B stays in cache while A passes by; A may be
              stored either way round, B as it is or panel by panel
    matmul    blocks of C on all threads; a long inner sum with few results is cut into parts of fixed length

Every element is one sum in the order of k, fused at each step: the same bits for any vector width and thread count.
Read next: `winograd.py`, where most of the products are.
"""

import numpy as np
from numba import prange

from inachus.kernels.cpu.loops import loop, part, plain
from inachus.kernels.cpu.vectors import MR, VECTOR, tile_four, tile_full, tile_one

ROWS, COLUMNS = 128, 64  # of one block of C, or a quarter and half of that where it gives too few blocks
PACKED, WIDE = 256, 128  # rows of A and columns of B above which copying B into panels pays
LONG, PARTS = 2048, 16  # an inner sum is cut from here on, and into so many parts at most


@part
def panel(itemsize):
    """NR: the columns of a tile, two registers."""
    return 2 * VECTOR // itemsize


@part
def gemm(turned, M, N, K, a, lda, b, ldb, pitch, c, ldc, add):
    """C (M,N) = A B, or C += A B with `add`, for arrays that start where the matrices do.

    A is row-major with rows of lda numbers, or stored as (K,M) if `turned`; C row-major. Row k of panel j of B starts
    at b[j pitch + k ldb]; each has NR readable numbers.
    """
    size, NR = a.itemsize, panel(a.itemsize)
    pa, pb, pc = a.ctypes.data, b.ctypes.data, c.ctypes.data
    rs, cs = (1, lda) if turned else (lda, 1)
    for j in range(0, N, NR):
        n, right = min(NR, N - j), pb + j // NR * pitch * size
        i = 0
        while i + MR <= M:
            tile_full(a, K, pa + i * rs * size, rs, cs, right, ldb, pc + (i * ldc + j) * size, ldc, n, add)
            i += MR
        if i + 4 <= M:
            tile_four(a, K, pa + i * rs * size, rs, cs, right, ldb, pc + (i * ldc + j) * size, ldc, n, add)
            i += 4
        while i < M:
            tile_one(a, K, pa + i * rs * size, rs, cs, right, ldb, pc + (i * ldc + j) * size, ldc, n, add)
            i += 1


def matmul(a, b):
    """(..., M, K) . (..., K, N) -> (..., M, N), leading axes broadcast."""
    if a.ndim != 2 or b.ndim != 2:
        return np.matmul(a, b)
    if not _straight(b) and b.T.flags.c_contiguous and len(a) < b.shape[1]:
        return turned(_product(plain(b.T), False, turned(plain(a))))  # the smaller ones are turned
    b = b if _straight(b) else turned(b.T) if b.T.flags.c_contiguous else plain(b)
    left = a.T if a.T.flags.c_contiguous and not _straight(a) else a
    return _product(plain(left), left is not a, plain(b))


def _straight(x):
    return x.flags.c_contiguous


def _product(a, is_turned, b):
    """A B for contiguous arrays, A stored as (K,M) if `is_turned`."""
    (K, N), M, NR = b.shape, a.shape[1 if is_turned else 0], 2 * VECTOR // b.itemsize
    rows, columns = (ROWS, COLUMNS) if M * N > 64 * ROWS * COLUMNS else (ROWS // 4, COLUMNS // 2)
    if M < N:
        rows = ROWS
    blocks = -(-M // rows) * -(-N // columns)
    parts = max(1, min(PARTS // blocks, K // (LONG // 2))) if K >= LONG else 1
    c, tail = np.empty((parts, M, N), a.dtype), b  # tail: the last columns, if they are no whole panel
    if N % NR:
        tail = _panels(b, N - N % NR, N)
    ldb, pitch = N, NR
    if M > PACKED and N > WIDE:
        b, ldb, pitch = _panels(b, 0, N - N % NR), NR, K * NR
    _multiply(a, is_turned, b, ldb, pitch, tail, c, K, -(-K // parts), rows, columns)
    return c[0] if parts == 1 else added(c)


@loop
def _multiply(a, turned, b, ldb, pitch, tail, c, K, length, rows, columns):
    parts, M, N = c.shape
    NR = panel(a.itemsize)
    down, across = (M + rows - 1) // rows, (N + columns - 1) // columns
    a, lda, b, tail = a.reshape(-1), M if turned else K, b.reshape(-1), tail.reshape(-1)
    for t in prange(parts * down * across):
        p, i, j = t // (down * across), t // across % down * rows, t % across * columns
        first, m, n = p * length, min(rows, M - i), min(columns, N - j)
        k, left, to, rest = min(length, K - first), a[first * M + i if turned else i * K + first :], c[p], n % NR
        to = to.reshape(-1)[i * N + j :]
        gemm(turned, m, n - rest, k, left, lda, b[j // NR * pitch + first * ldb :], ldb, pitch, to, N, False)
        if rest:
            gemm(turned, m, rest, k, left, lda, tail[first * NR :], NR, 0, to[n - rest :], N, False)


def _panels(b, first, last):
    """Columns first..last-1 of B (K,N) as panels (columns/NR, K, NR), the last one filled up with zeros."""
    K, NR = len(b), 2 * VECTOR // b.itemsize
    out = np.empty((-(-(last - first) // NR), K, NR), b.dtype)
    _pack(b, first, last, out)
    return out


@loop
def _pack(b, first, last, out):
    J, K, NR = out.shape
    length = 64  # rows of one turn
    for t in prange((K + length - 1) // length * J):
        j, k = t % J, t // J * length
        column = first + j * NR
        _pack_rows(b[k : k + length, column : min(last, column + NR)], out[j, k : k + length])


@part
def _pack_rows(b, out):
    K, N = b.shape
    for k in range(K):
        source, target = b[k], out[k]
        for i in range(N):
            target[i] = source[i]
        for i in range(N, len(target)):
            target[i] = 0


def added(parts):
    """The sum over the first axis, in its order."""
    total = np.empty(parts.shape[1:], parts.dtype)
    _add(parts.reshape(len(parts), -1), total.reshape(-1))
    return total


@loop
def _add(parts, total):
    length = 4096
    for b in prange((len(total) + length - 1) // length):
        _add_block(parts[:, b * length : (b + 1) * length], total[b * length : (b + 1) * length])


@part
def _add_block(parts, total):
    total[:] = parts[0]
    for p in range(1, len(parts)):
        one = parts[p]
        for i in range(len(total)):
            total[i] += one[i]


def turned(x):
    """The transpose of a contiguous matrix as a new array, or of each of several (P, M, N)."""
    y = np.empty((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    _turn(x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *y.shape[-2:]))
    return y


@loop
def _turn(x, y):
    P, M, _ = x.shape
    side = 32
    down = (M + side - 1) // side
    for t in prange(P * down):
        _turn_rows(x[t // down], y[t // down], t % down * side, min(M, (t % down + 1) * side))


@part
def _turn_rows(x, y, first, last):
    for j in range(x.shape[1]):
        line = y[j]
        for i in range(first, last):
            line[i] = x[i, j]
