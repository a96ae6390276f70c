"""Convolution and its two gradients in NumPy. Not here: the rules that combine them (`engine/ops/conv.py`).

Windows are gathered into columns, some images at a time so that the column buffer stays in cache, and multiplied
once: BLAS does the work. Read `conv2d` and `conv2d_dw`, then `conv2d_dx`, which is also the transposed convolution.
Both layers take a bias and a leaky ReLU with them, applied while a block's result is in cache.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from inachus.kernels.reference.activation import finish
from inachus.kernels.reference.blocks import each, spans

COLUMN_FLOATS = 1 << 21  # the column buffer of one block: 8 MB of float32


def conv2d(x, w, stride, pad, b=None, slope=1.0):
    """y[n,oh,ow,o] = lrelu(b[o] + sum over kh,kw,c of x[n, oh S+kh-P, ow S+kw-P, c] w[kh,kw,c,o]), x zero outside.

    No b (O,) counts as zeros; slope 1 is the identity, 0 ReLU.
    """
    (KH, KW, _, O), (N, H, W, _) = w.shape, x.shape
    OH, OW = ((n + 2 * pad - k) // stride + 1 for n, k in ((H, KH), (W, KW)))
    w = w.reshape(-1, O)
    y = np.empty((N, OH, OW, O), x.dtype)

    def block(part):
        cols = _columns(x[part], KH, KW, stride, (pad, pad), (pad, pad))
        np.matmul(cols, w, out=y[part].reshape(-1, O))  # (rows, KH*KW*C) . (KH*KW*C, O)
        finish(y[part], b, slope)

    each(block, _images(N, OH * OW * len(w)))
    return y


def conv2d_dw(x, gy, khw, stride, pad):
    """Gradient of conv2d in w: gw[kh,kw,c,o] = sum over n,oh,ow of x[n, oh S+kh-P, ow S+kw-P, c] gy[n,oh,ow,o]."""
    (KH, KW), C, (N, OH, OW, O) = khw, x.shape[3], gy.shape

    def block(part):
        cols = _columns(x[part], KH, KW, stride, (pad, pad), (pad, pad))
        return cols.T @ gy[part].reshape(-1, O)  # (KH*KW*C, rows) . (rows, O)

    parts = each(block, _images(N, OH * OW * KH * KW * C))
    return sum(parts[1:], start=parts[0]).reshape(KH, KW, C, O)


def conv2d_dx(gy, w, hw, stride, pad, b=None, slope=1.0):
    """Gradient of conv2d in x, and the transposed convolution: gx[n, oh S+kh-P, ow S+kw-P, c] += gy[n,oh,ow,o] w.

    `hw` is (H, W) of gx, because the stride makes several sizes possible; lrelu(gx + b), b (C,), as in conv2d. Two
    algorithms, the cheaper one runs: `_dx_phases` multiplies by the zeros around gy and is slow for few channels,
    `_dx_scatter` writes every pixel KH*KW/S^2 times.
    """
    KH, KW, C, _ = w.shape
    _, OH, OW, _ = gy.shape
    (_, Q, TH), (_, R, TW) = _phases(hw[0], KH, stride, pad), _phases(hw[1], KW, stride, pad)
    work = Q * R * TH * TW * stride**2 / (OH * OW * KH * KW)  # multiplications, relative to the useful ones
    return (_dx_phases if work < 1.4 and C >= 8 else _dx_scatter)(gy, w, hw, stride, pad, b, slope)


def _dx_scatter(gy, w, hw, stride, pad, b, slope):
    """col2im: one GEMM to the columns, then each kernel tap adds its plane to the strided pixels it came from."""
    (N, OH, OW, O), (KH, KW, C, _), (H, W), S = gy.shape, w.shape, hw, stride
    gx = np.empty((N, H, W, C), gy.dtype)
    wt = w.reshape(-1, O).T  # (O, KH*KW*C)

    def block(part):
        cols = (gy[part].reshape(-1, O) @ wt).reshape(-1, OH, OW, KH, KW, C)
        around = np.zeros(
            (len(cols), max(H + 2 * pad, (OH - 1) * S + KH), max(W + 2 * pad, (OW - 1) * S + KW), C), gy.dtype
        )
        for kh in range(KH):
            for kw in range(KW):
                around[:, kh : kh + S * OH : S, kw : kw + S * OW : S] += cols[:, :, :, kh, kw]
        gx[part] = around[:, pad : pad + H, pad : pad + W]
        finish(gx[part], b, slope)

    each(block, _images(N, OH * OW * KH * KW * C))
    return gx


def _dx_phases(gy, w, hw, stride, pad, b, slope):
    """A transposed convolution is a stride-1 convolution to S*S*C channels, shuffled into S x S pixels."""
    (N, OH, OW, O), (KH, KW, C, _), (H, W), S = gy.shape, w.shape, hw, stride
    (q0, Q, TH), (r0, R, TW) = _phases(H, KH, S, pad), _phases(W, KW, S, pad)
    taps = np.zeros((TH * S, TW * S, C, O), w.dtype)  # kernel row S t + a is tap t of phase a; missing ones are zero
    taps[:KH, :KW] = w
    taps = taps.reshape(TH, S, TW, S, C, O)[::-1, :, ::-1].transpose(1, 3, 4, 0, 2, 5)  # (S, S, C, TH, TW, O)
    taps = taps.reshape(S * S * C, TH * TW * O).T
    gx = np.empty((N, H, W, C), gy.dtype)
    around = (TH - 1 - q0, q0 + Q - OH), (TW - 1 - r0, r0 + R - OW)  # coarse row q sees gy rows q-TH+1 .. q

    def block(part):
        z = (_columns(gy[part], TH, TW, 1, *around) @ taps).reshape(-1, Q, R, S, S, C)
        for i in range(S):
            y, q = _phase_start(i, q0, S, pad)
            for j in range(S):
                x, r = _phase_start(j, r0, S, pad)
                pixels = gx[part, y::S, x::S]
                pixels[...] = z[:, q : q + pixels.shape[1], r : r + pixels.shape[2], i, j]
        finish(gx[part], b, slope)

    each(block, _images(N, Q * R * len(taps)))
    return gx


def _phases(h, k, S, P):
    """Pixel row y of gx lies at y+P = S q + a: the first q, how many q, and how many taps t with k = S t + a."""
    first = P // S
    return first, (h - 1 + P) // S + 1 - first, -(-k // S)


def _phase_start(a, q0, S, P):
    """First pixel row of phase `a` that the pad does not cut off, and its coarse row, counted from q0."""
    y = S * q0 + a - P
    return (y, 0) if y >= 0 else (y + S, 1)


def _images(N, floats):
    """An even number of equal blocks of images, which need a buffer of `floats` numbers each."""
    pairs = max(1, -(-N * floats // (2 * COLUMN_FLOATS)))
    return spans(N, -(-N // (2 * pairs)))


def _columns(x, KH, KW, S, rows, cols):
    """The windows of x (N,H,W,C) as rows of a matrix (N*OH*OW, KH*KW*C).

    `rows` and `cols` are the zeros put before and after; negative numbers cut off. A window row is one run of KW*C
    numbers of the padded images, so the windows are a view, and gathering them is one copy.
    """
    (top, bottom), (left, right) = rows, cols
    x = x[:, max(0, -top) : x.shape[1] + min(0, bottom), max(0, -left) : x.shape[2] + min(0, right)]
    N, H, W, C = x.shape
    top, bottom, left, right = (max(0, p) for p in (*rows, *cols))
    padded = np.empty((N, H + top + bottom, W + left + right, C), x.dtype)
    padded[:, top : top + H, left : left + W] = x
    padded[:, :top] = padded[:, top + H :] = padded[:, :, :left] = padded[:, :, left + W :] = 0
    n, h, v, c = padded.strides
    shape = N, (padded.shape[1] - KH) // S + 1, (padded.shape[2] - KW) // S + 1, KH, KW * C
    return as_strided(padded, shape, (n, h * S, v * S, h, c), writeable=False).reshape(-1, KH * KW * C)
