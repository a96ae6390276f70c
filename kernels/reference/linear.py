"""The matrix product: BLAS, in pieces of the result that run side by side."""

import numpy as np

from inachus.kernels.reference.blocks import each, spans

PIECES, PIECE_WORK = 4, 1 << 21  # at most so many pieces, each of at least so many multiplications


def matmul(a, b):
    """(..., M, K) . (..., K, N) -> (..., M, N), leading axes broadcast."""
    if a.ndim != 2 or b.ndim != 2:
        return np.matmul(a, b)
    (M, K), N = a.shape, b.shape[1]
    y = np.empty((M, N), a.dtype)
    pieces = max(1, min(PIECES, M * N * K // PIECE_WORK))
    if M >= N:
        each(lambda i: np.matmul(a[i], b, out=y[i]), spans(M, -(-M // pieces)))
    else:
        each(lambda j: np.matmul(a, b[:, j], out=y[:, j]), spans(N, -(-N // pieces)))
    return y
