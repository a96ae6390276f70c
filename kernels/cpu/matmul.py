"""The matrix product: `gemm` for one thread, `matmul` for all of them.

    gemm      tiles over the rows, panels of NR columns: a panel of B stays in cache while A passes by; A may be
              stored either way round, B as it is or panel by panel
    matmul    blocks of C on all threads; a long inner sum with few results is cut into parts of fixed length

Every element is one sum in the order of k, fused at each step: the same bits for any vector width and thread count.
Read next: `winograd.py`, where most of the products are.
"""

from functools import cache

import numpy as np
from numba import get_thread_id, prange

from inachus.kernels.cpu.loops import loop, part, plain, scratch
from inachus.kernels.cpu.vectors import MR, VECTOR, tile_four, tile_full, tile_one, turn

ROWS, COLUMNS = 128, 64  # of one block of C
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


@part
def transpose(rows, columns, x, ldx, y, ldy):
    """y (columns, rows) = the transpose of x (rows, columns), for arrays that start where the matrices do."""
    size, px, py = x.itemsize, x.ctypes.data, y.ctypes.data
    m, n = rows - rows % 8, columns - columns % 8
    for j in range(0, n, 8):
        for i in range(0, m, 8):
            turn(x, px + (i * ldx + j) * size, ldx, py + (j * ldy + i) * size, ldy)
    for i in range(rows):
        for j in range(n if i < m else 0, columns):
            y[j * ldy + i] = x[i * ldx + j]


def matmul(a, b):
    """(..., M, K) . (..., K, N) -> (..., M, N), leading axes broadcast."""
    return product(a, b) if a.ndim == b.ndim == 2 else np.matmul(a, b)


def product(a, b, out=None):
    """A B for matrices stored either way round, into the contiguous `out` if there is one."""
    (M, K), N, NR = a.shape, b.shape[1], panel(b.itemsize)
    a_turned = a.flags.f_contiguous and not a.flags.c_contiguous
    b_turned = b.flags.f_contiguous and (N == 1 or not b.flags.c_contiguous)  # one column is one row
    a, b = plain(a.T if a_turned else a), plain(b.T if b_turned else b)
    rows, columns, parts, length = _plan(M, K, N)
    c = np.empty((parts, M, N), a.dtype) if out is None or parts > 1 else out.reshape(1, M, N)
    if b_turned:
        _multiply_turned(a, a_turned, b, c, length, max(columns, NR), scratch(b.dtype, length * NR, 4))
    else:
        tail = _panels(b, N - N % NR, N) if N % NR else b  # the last columns, if they are no whole panel
        ldb, pitch = N, NR
        if M > PACKED and N > WIDE:
            b, ldb, pitch = _panels(b, 0, N - N % NR), NR, K * NR
        _multiply(a, a_turned, b, ldb, pitch, tail, c, K, length, rows, columns)
    return c[0] if parts == 1 else _added(c, out)


@cache
def _plan(M, K, N):
    """(rows, columns) of a block of C, into how many parts its sums are cut, how long each is."""
    rows, columns = ROWS, COLUMNS
    if M * N <= 64 * ROWS * COLUMNS:  # too few blocks for the cores: smaller ones, cut across the longer side
        rows, columns = (ROWS, COLUMNS // 2) if M < N else (ROWS // 4, 2 * COLUMNS)
    blocks = -(-M // rows) * -(-N // columns)
    parts = max(1, min(PARTS // blocks, K // (LONG // 2))) if K >= LONG else 1
    return rows, columns, parts, -(-K // parts)


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


@loop
def _multiply_turned(a, turned, b, c, length, columns, memory):
    """As `_multiply` for B stored as (N,K): each block turns the panels it needs."""
    parts, M, N = c.shape
    K, NR, rows = b.shape[1], panel(a.itemsize), ROWS
    down, across = (M + rows - 1) // rows, (N + columns - 1) // columns
    a, lda, b = a.reshape(-1), M if turned else K, b.reshape(-1)
    for t in prange(parts * down * across):
        p, i, first = t // (down * across), t // across % down * rows, t // (down * across) * length
        k, spare = min(length, K - first), memory[get_thread_id()]
        left, to = a[first * M + i if turned else i * K + first :], c[p]
        for j in range(t % across * columns, min(N, (t % across + 1) * columns), NR):
            n, out = min(NR, N - j), to.reshape(-1)[i * N + j :]
            transpose(n, k, b[j * K + first :], K, spare, NR)
            gemm(turned, min(rows, M - i), n, k, left, lda, spare, NR, 0, out, N, False)


def _panels(b, first, last):
    """Columns first..last-1 of B (K,N) as panels (columns/NR, K, NR), the last one filled up with zeros."""
    K, NR = len(b), panel(b.itemsize)
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


def _added(parts, out):
    """The sum over the first axis, in its order."""
    total = np.empty(parts.shape[1:], parts.dtype) if out is None else out
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
