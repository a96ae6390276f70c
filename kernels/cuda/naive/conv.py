"""Convolution as it is defined: one thread computes one number of the result, in plain loops.

    y[n,oh,ow,o]    = sum over kh,kw,c  of  x[n,h,v,c]     w[kh,kw,c,o]        h = oh S + kh - P
    gx[n,h,v,c]     = sum over kh,kw,o  of  gy[n,oh,ow,o]  w[kh,kw,c,o]        v = ow S + kw - P
    gw[kh,kw,c,o]   = sum over n,oh,ow  of  x[n,h,v,c]     gy[n,oh,ow,o]       x is zero outside

Each thread gathers what it needs, so that no two write to the same place. What makes it slow: two numbers are read from
memory for each multiplication, though the next thread needs almost the same ones; and conv2d_dw has few threads,
KH KW C O, with long sums.

The next step turns a convolution into a matrix product: `im2col` writes the windows as rows, and `matmul.py` shows how
a product shares what it reads. The step after that is not to write the windows at all but to gather them while
multiplying: read `../convolution/gather.cu` next. Bias and activation are launches of their own here (`norm.py`).
"""

from numba import cuda

from inachus.kernels import xp
from inachus.kernels.cuda.naive.launch import launch_each, place
from inachus.kernels.cuda.naive.matmul import matmul_tiled


def conv2d(x, w, stride, pad):
    """x (N,H,W,C), w (KH,KW,C,O) -> y (N,OH,OW,O)."""
    y = xp(x).empty((*_windows(x, w.shape[:2], stride, pad), w.shape[3]), x.dtype)
    launch_each(_conv2d, x, w, stride, pad, y)
    return y


@cuda.jit
def _conv2d(x, w, stride, pad, y):
    """Thread i computes number i of y: a window of picture n times filter o."""
    i = cuda.grid(1)  # blockIdx.x blockDim.x + threadIdx.x
    if i >= y.size:  # the last block reaches past the end
        return
    n, oh, ow, o = place(i, y.shape)
    (KH, KW, C, _), (_, H, W, _) = w.shape, x.shape
    total = y.dtype.type(0)  # of the arrays' type: Numba takes a plain 0.0 for a double
    for kh in range(KH):
        for kw in range(KW):
            h, v = oh * stride + kh - pad, ow * stride + kw - pad
            if 0 <= h < H and 0 <= v < W:
                for c in range(C):
                    total += x[n, h, v, c] * w[kh, kw, c, o]
    y[n, oh, ow, o] = total


def conv2d_dx(gy, w, hw, stride, pad):
    """Gradient in x, and the transposed convolution: gy (N,OH,OW,O), w (KH,KW,C,O), hw (H,W) -> gx (N,H,W,C)."""
    gx = xp(gy).empty((len(gy), *hw, w.shape[2]), gy.dtype)
    launch_each(_conv2d_dx, gy, w, stride, pad, gx)
    return gx


@cuda.jit
def _conv2d_dx(gy, w, stride, pad, gx):
    """Thread i computes number i of gx: for each tap it asks which output saw its pixel through that tap."""
    i = cuda.grid(1)
    if i >= gx.size:
        return
    n, h, v, c = place(i, gx.shape)
    (KH, KW, _, O), (_, OH, OW, _) = w.shape, gy.shape
    total = gx.dtype.type(0)
    for kh in range(KH):
        for kw in range(KW):
            oh, ow = _seen_by(h, kh, stride, pad, OH), _seen_by(v, kw, stride, pad, OW)
            if oh >= 0 and ow >= 0:
                for o in range(O):
                    total += gy[n, oh, ow, o] * w[kh, kw, c, o]
    gx[n, h, v, c] = total


@cuda.jit(device=True)
def _seen_by(h, kh, stride, pad, OH):
    """The output row oh with oh S + kh - P = h; negative if there is none."""
    oh, rest = (h + pad - kh) // stride, (h + pad - kh) % stride
    return oh if rest == 0 and oh < OH else -1


def conv2d_dw(x, gy, khw, stride, pad):
    """Gradient in w: x (N,H,W,C), gy (N,OH,OW,O), khw (KH,KW) -> gw (KH,KW,C,O)."""
    gw = xp(x).empty((*khw, x.shape[3], gy.shape[3]), x.dtype)
    launch_each(_conv2d_dw, x, gy, stride, pad, gw)
    return gw


@cuda.jit
def _conv2d_dw(x, gy, stride, pad, gw):
    """Thread i computes number i of gw: it follows its tap over all pictures."""
    i = cuda.grid(1)
    if i >= gw.size:
        return
    kh, kw, c, o = place(i, gw.shape)
    (N, H, W, _), (_, OH, OW, _) = x.shape, gy.shape
    total = gw.dtype.type(0)
    for n in range(N):
        for oh in range(OH):
            for ow in range(OW):
                h, v = oh * stride + kh - pad, ow * stride + kw - pad
                if 0 <= h < H and 0 <= v < W:
                    total += x[n, h, v, c] * gy[n, oh, ow, o]
    gw[kh, kw, c, o] = total


# --- a convolution is a matrix product ----------------------------------------------------------------------


def conv2d_as_matmul(x, w, stride, pad):
    """conv2d in two launches, each window a row, each filter a column; the rows are KH KW / S^2 times as large as x."""
    cols, w = im2col(x, w.shape[:2], stride, pad), w.reshape(-1, w.shape[3])  # (N,OH,OW,K), (K,O)
    return matmul_tiled(cols.reshape(-1, len(w)), w).reshape(*cols.shape[:3], -1)


def im2col(x, khw, stride, pad):
    """The windows of x (N,H,W,C), zero outside, each as a row: (N,OH,OW, KH KW C)."""
    cols = xp(x).empty((*_windows(x, khw, stride, pad), khw[0] * khw[1] * x.shape[3]), x.dtype)
    launch_each(_im2col, x, khw[1], stride, pad, cols)
    return cols


@cuda.jit
def _im2col(x, KW, stride, pad, cols):
    """Thread i copies number i of cols."""
    i = cuda.grid(1)
    if i >= cols.size:
        return
    n, oh, ow, k = place(i, cols.shape)
    _, H, W, C = x.shape
    h, v = oh * stride + k // C // KW - pad, ow * stride + k // C % KW - pad
    inside = 0 <= h < H and 0 <= v < W
    cols[n, oh, ow, k] = x[n, h, v, k % C] if inside else 0


def col2im(cols, khw, hw, stride, pad):
    """The adjoint of im2col, (N,OH,OW, KH KW C) -> (N,H,W,C): each pixel sums its copies. Of gy w' it is conv2d_dx."""
    C = cols.shape[3] // (khw[0] * khw[1])
    x = xp(cols).empty((len(cols), *hw, C), cols.dtype)
    launch_each(_col2im, cols, *khw, stride, pad, x)
    return x


@cuda.jit
def _col2im(cols, KH, KW, stride, pad, x):
    """Thread i sums the copies of number i of x."""
    i = cuda.grid(1)
    if i >= x.size:
        return
    n, h, v, c = place(i, x.shape)
    _, OH, OW, _ = cols.shape
    total = x.dtype.type(0)
    for kh in range(KH):
        for kw in range(KW):
            oh, ow = _seen_by(h, kh, stride, pad, OH), _seen_by(v, kw, stride, pad, OW)
            if oh >= 0 and ow >= 0:
                total += cols[n, oh, ow, (kh * KW + kw) * x.shape[3] + c]
    x[n, h, v, c] = total


def _windows(x, khw, stride, pad):
    """(N, OH, OW)."""
    return len(x), *((n + 2 * pad - k) // stride + 1 for n, k in zip(x.shape[1:3], khw, strict=True))
