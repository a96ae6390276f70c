"""The transforms of `winograd.py`, and their adjoints, as rows of numbers that are weighed and added.

    D  to_points      x -> V       D'  to_points_adjoint      V -> gx
    A  from_points    M -> y       A'  from_points_adjoint    gy -> M
    G  panel_...      w -> U       G'  weights_adjoint        gU -> gw

U is made panel by panel where a product needs it, plain or turned. What is added where follows from three small
matrices. Here numbers are addressed, not indexed: see `mix` in `vectors.py`.
"""

from numba import get_thread_id, prange

from inachus.kernels.cpu.loops import loop, part
from inachus.kernels.cpu.matmul import panel, transpose
from inachus.kernels.cpu.vectors import mix1, mix2, mix3, mix4

GROUP = 8  # rows of U that are turned together


# --- the three matrices: F(2,r) in one dimension ------------------------------------------------------------


@part
def _input(r, p, one):
    """Row p of D: the point is d[i] + s d[j]."""
    if r == 2:
        return (0, 1, -one) if p == 0 else (1, 1, one - one) if p == 1 else (2, 1, -one)
    return (0, 2, -one) if p == 0 else (1, 2, one) if p == 1 else (2, 1, -one) if p == 2 else (3, 1, -one)


@part
def _output(r, p, one):
    """Column p of A: the point goes into y0 and y1 with these factors."""
    return (one, one - one) if p == 0 else (one - one, one) if p == r else (one, one if p == 1 else -one)


@part
def _filter(r, p, t, one):
    """G[p, t]."""
    if r == 2:
        return one if p == 1 or (p == 0 and t == 0) or (p == 2 and t == 1) else one - one
    if p == 0 or p == 3:
        return one if t == (0 if p == 0 else 2) else one - one
    return -one / 2 if p == 2 and t == 1 else one / 2


@part
def _taps(P):
    """r of P = (r+1)^2."""
    return 2 if P == 9 else 3


# --- D: x -> V, and D': V -> gx ----------------------------------------------------------------------------


@loop
def to_points(x, V, S, pad, ohw, memory):
    """V = D x for images x (N,H,W,C) whose outputs are ohw = (OH, OW)."""
    TH, TW = (ohw[0] + 1) // 2, (ohw[1] + 1) // 2
    for row in prange(len(x) * TH):
        _row_to_points(x[row // TH], row % TH, V, row * TW, S, pad, TW, memory[get_thread_id()])


@part
def _row_to_points(x, th, V, t, S, pad, TW, memory):
    """V[:, t : t+TW] = D x for tile row th of the image x (H,W,C): first over its rows, then along them."""
    H, W, C = x.shape
    r, one, size, SC = _taps(len(V)), x.dtype.type(1), x.itemsize, S * C
    wide = (2 * TW + r - 1) * SC  # numbers of one line: coarse pixels side by side, zeros left and right of the image
    width, lines, image, to = min(W * C, wide - pad * C), memory.ctypes.data, x.ctypes.data, V.ctypes.data
    memory[: (r + 1) * wide], (point, tile) = 0, V.strides[:2]
    for a in range(S):
        for p in range(r + 1):
            i, j, s = _input(r, p, one)
            line = lines + (p * wide + pad * C) * size
            h, g = (2 * th + i) * S + a - pad, (2 * th + j) * S + a - pad
            first, second = one if 0 <= h < H else one - one, s if 0 <= g < H else one - one
            h, g = image + min(max(h, 0), H - 1) * W * C * size, image + min(max(g, 0), H - 1) * W * C * size
            mix2(x, width, line, h, first, g, second)
        for p in range(r + 1):
            for q in range(r + 1):
                i, j, s = _input(r, q, one)
                for tw in range(TW):
                    line = lines + (p * wide + 2 * tw * SC) * size
                    out = to + (p * (r + 1) + q) * point + (t + tw) * tile + a * SC * size
                    mix2(x, SC, out, line + i * SC * size, one, line + j * SC * size, s)


@loop
def to_points_adjoint(V, gx, S, pad, memory):
    """gx (N,H,W,C) = D' V: every pixel once."""
    N, H, W, _ = gx.shape
    r, band = _taps(len(V)), 8  # tile rows of one turn, which begins with the one above
    TH, TW = (H + 2 * pad - S * r) // S // 2 + 1, (W + 2 * pad - S * r) // S // 2 + 1
    bands = (TH + band - 1) // band
    for b in prange(N * bands):
        n, top = b // bands, b % bands * band
        _rows_from_points(V, n * TH * TW, gx[n], top, min(TH, top + band), TH, TW, S, pad, memory[get_thread_id()])


@part
def _rows_from_points(V, t, gx, top, bottom, TH, TW, S, pad, memory):
    """The rows of gx (H,W,C) under tile rows top..bottom-1; the tile row above adds to them too. t: the first tile."""
    H, _, C = gx.shape
    r, SC = _taps(len(V)), S * C
    wide = (2 * TW + r - 1) * SC
    lines = memory[: 2 * (r + 1) * S * wide].reshape(2, r + 1, S, wide)
    lines[:] = 0
    last = bottom if bottom < TH else (H + pad - 1) // (2 * S) + 1  # below the tiles: their last tails, then zeros
    for th in range(max(0, top - 1), last):
        if th < TH:
            _columns_from_points(V, t + th * TW, r, TW, S, SC, lines[th % 2])
        else:
            lines[th % 2][:] = 0
        if th >= top:
            _two_rows(lines[th % 2], lines[1 - th % 2], r, th, S, pad, gx)


@part
def _columns_from_points(V, t, r, TW, S, SC, lines):
    """lines[p, a] = D' along one tile row: coarse pixels side by side, overlapping tiles added."""
    one, size = V.dtype.type(1), V.itemsize
    (point, tile), pixel = V.strides[:2], SC * size
    for p in range(r + 1):
        for a in range(S):
            left = lines[p, a].ctypes.data
            g = V.ctypes.data + p * (r + 1) * point + t * tile + a * pixel
            b = g  # the tile before: at first none
            for tw in range(TW):
                old = one if tw else one - one
                right = left + pixel
                if r == 2:
                    mix2(V, SC, left, g, one, b + 2 * point, old)
                    mix3(V, SC, right, g + point, one, g, -one, g + 2 * point, -one)
                else:
                    mix4(V, SC, left, g, one, b, -old, b + point, old, b + 2 * point, old)
                    mix4(V, SC, right, g + point, one, g + 2 * point, -one, g + 3 * point, -one, b + 3 * point, old)
                left, b, g = left + 2 * pixel, g, g + tile
            if r == 2:
                mix1(V, SC, left, b + 2 * point, one)
            else:
                mix3(V, SC, left, b, -one, b + point, one, b + 2 * point, one)
                mix1(V, SC, left + pixel, b + 3 * point, one)


@part
def _two_rows(now, before, r, th, S, pad, gx):
    """D' over the tile rows th and th - 1: the two coarse rows that begin tile row th, into gx (H,W,C)."""
    H, W, C = gx.shape
    one, inside, cut, point = gx.dtype.type(1), min(W * C, now.shape[2] - pad * C), pad * C, now.strides[0]
    for u in range(2):
        for a in range(S):
            h = (2 * th + u) * S + a - pad
            if h < 0 or h >= H:
                continue
            out, n, b = gx[h].ctypes.data, now[0, a, cut:].ctypes.data, before[0, a, cut:].ctypes.data
            if r == 2 and u == 0:
                mix2(gx, inside, out, n, one, b + 2 * point, one)
            elif r == 2:
                mix3(gx, inside, out, n + point, one, n, -one, n + 2 * point, -one)
            elif u == 0:
                mix4(gx, inside, out, n, one, b, -one, b + point, one, b + 2 * point, one)
            else:
                mix4(gx, inside, out, n + point, one, n + 2 * point, -one, n + 3 * point, -one, b + 3 * point, one)
            gx[h].reshape(-1)[inside:] = 0


# --- A: M -> y, and A': gy -> M ----------------------------------------------------------------------------


@loop
def from_points(M, y):
    """y (N,OH,OW,O) = A M; M is used up."""
    N, OH, OW, _ = y.shape
    TH, TW = (OH + 1) // 2, (OW + 1) // 2
    for row in prange(N * TH):
        _row_from_points(M, row * TW, y[row // TH], row % TH)


@part
def _row_from_points(M, t, y, th):
    """Rows 2 th and 2 th + 1 of y (OH,OW,O) = A M; the tiles start at t. The points of a tile are summed in place."""
    OH, OW, O = y.shape
    r, one, point = _taps(len(M)), y.dtype.type(1), M.strides[0]
    third, down = one if r == 3 else one - one, (r + 1) * point
    for tw in range((OW + 1) // 2):
        m = M[0, t + tw].ctypes.data
        for q in range(r + 1):  # down the columns: point rows 0 and 1 become output rows 0 and 1
            g = m + q * point
            mix3(M, O, g, g, one, g + down, one, g + 2 * down, third)
            mix3(M, O, g + down, g + down, one, g + 2 * down, one if r == 2 else -one, g + r * down, third)
        for u in range(min(2, OH - 2 * th)):
            for v in range(min(2, OW - 2 * tw)):
                g, out = m + u * down + v * point, y[2 * th + u, 2 * tw + v].ctypes.data
                second = -one if r == 3 and v == 1 else one
                mix3(M, O, out, g, one, g + point, second, m + u * down + min(v + 2, r) * point, third)


@loop
def from_points_adjoint(gy, M, memory):
    """M = A' gy."""
    N, OH, OW, _ = gy.shape
    TH, TW = (OH + 1) // 2, (OW + 1) // 2
    for row in prange(N * TH):
        _row_adjoint(gy[row // TH], row % TH, M, row * TW, TW, memory[get_thread_id()])


@part
def _row_adjoint(gy, th, M, t, TW, memory):
    """M[:, t : t+TW] = A' gy for tile row th of gy (OH,OW,O): first over its two rows, then along them."""
    OH, OW, O = gy.shape
    r, one, size = _taps(len(M)), gy.dtype.type(1), gy.itemsize
    pair = memory[: 2 * TW * O]
    pair[OW * O :] = 0
    upper, lower = gy[2 * th].ctypes.data, gy[min(2 * th + 1, OH - 1)].ctypes.data
    there = one if 2 * th + 1 < OH else one - one
    for p in range(r + 1):
        c0, c1 = _output(r, p, one)
        mix2(gy, OW * O, pair.ctypes.data, upper, c0, lower, c1 * there)
        for q in range(r + 1):
            c0, c1 = _output(r, q, one)
            for tw in range(TW):
                left, out = pair.ctypes.data + 2 * tw * O * size, M[p * (r + 1) + q, t + tw].ctypes.data
                mix2(gy, O, out, left, c0, left + O * size, c1)


# --- G: w -> U, and G': gU -> gw ---------------------------------------------------------------------------


@part
def panel_of_weights(w, p, o, n, S, out):
    """Columns o..o+n-1 of U[p] as (Q, NR), the rows in the order (row phase, column phase, channel)."""
    C, step, size = w.shape[2], panel(w.itemsize) * w.itemsize, w.itemsize
    to = out.ctypes.data
    if n * size < step:
        out[: S * S * C * panel(size)] = 0
    for a in range(S):
        for b in range(S):
            _points(w, p, w[a, b, 0, o:].ctypes.data, C, w.strides[2], n, S, to, step)
            to += C * step


@part
def panel_turned(w, p, q, n, S, out, lines):
    """Columns q..q+n-1 of U[p]' as (O, NR); `lines` has room for GROUP of them, which are turned together."""
    (C, O), NR = w.shape[2:], panel(w.itemsize)
    for first in range(0, n, GROUP):
        some = min(GROUP, n - first)
        for i in range(some):
            k = q + first + i
            _points(w, p, w[k // (S * C), k // C % S, k % C].ctypes.data, 1, 0, O, S, lines[i * O :].ctypes.data, 0)
        transpose(some, O, lines, O, out[first:], NR)


@part
def _points(w, p, g, count, apart, n, S, out, step):
    """Rows of U[p] = G g G', n numbers each: the first tap of the first is at g, those of the next rows `apart` on."""
    r, one, down, right = w.shape[0] // S, w.dtype.type(1), S * w.strides[0], S * w.strides[1]
    i, j = p // (r + 1), p % (r + 1)
    if r == 3:
        for c in range(count):
            _point_of_nine(w, i, j, g + c * apart, down, right, n, out + c * step)
    elif i == 1 and j == 1:
        for c in range(count):
            f = g + c * apart
            mix4(w, n, out + c * step, f, one, f + down, one, f + right, one, f + down + right, one)
    elif i == 1 or j == 1:
        f, other = (g + j // 2 * right, down) if i == 1 else (g + i // 2 * down, right)
        for c in range(count):
            mix2(w, n, out + c * step, f + c * apart, one, f + c * apart + other, one)
    else:
        f = g + i // 2 * down + j // 2 * right
        for c in range(count):
            mix1(w, n, out + c * step, f + c * apart, one)


@part
def _point_of_nine(w, i, j, g, down, right, n, out):
    """One row for r = 3: three taps wide for each row of G that is not zero at i."""
    one, before = w.dtype.type(1), 0.0
    a, b, c = _filter(3, j, 0, one), _filter(3, j, 1, one), _filter(3, j, 2, one)
    for t in range(3):
        h, f = _filter(3, i, t, one), g + t * down
        if h != 0 and before == 0:
            mix3(w, n, out, f, h * a, f + right, h * b, f + 2 * right, h * c)
        elif h != 0:
            mix4(w, n, out, out, one, f, h * a, f + right, h * b, f + 2 * right, h * c)
        before += abs(h)


@loop
def weights_adjoint(gU, gw, S, memory):
    """gw (K,K,C,O) = G' gU, gU (P, Q, O)."""
    for k in prange(S * S * gw.shape[2]):
        _channel_of_weights(gU, gw, S, k, memory[get_thread_id()])


@part
def _channel_of_weights(gU, gw, S, k, memory):
    """The taps of phase (a, b) and channel c, which row k of U comes from: G' gU[:, k] G, first down, then along."""
    r, size, C, O = gw.shape[0] // S, gw.itemsize, *gw.shape[2:]
    a, b, c = k // (S * C), k // C % S, k % C
    for t in range(r):
        for q in range(r + 1):
            _weigh_back(gw, O, memory[q * O :].ctypes.data, gU[q, k].ctypes.data, (r + 1) * gU.strides[0], r, t)
        for s in range(r):
            _weigh_back(gw, O, gw[S * t + a, S * s + b, c].ctypes.data, memory.ctypes.data, O * size, r, s)


@part
def _weigh_back(gw, n, out, g, step, r, t):
    """out = column t of G times the points at g, g + step, ..."""
    one = gw.dtype.type(1)
    first, second, third = _filter(r, 0, t, one), _filter(r, 1, t, one), _filter(r, 2, t, one)
    if r == 2:
        mix3(gw, n, out, g, first, g + step, second, g + 2 * step, third)
    else:
        mix4(gw, n, out, g, first, g + step, second, g + 2 * step, third, g + 3 * step, _filter(r, 3, t, one))
