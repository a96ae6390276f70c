"""The mathematics once more, as naive loops over Python numbers in double precision: what kernels must equal.

Nothing here imports the project, and nothing is fast. Letters as everywhere: `N H W C` input, `KH KW` kernel,
`OH OW` output. `close` is the comparison that all tests make.
"""

import math
from itertools import product

import numpy as np


def close(got, expected, *, scale=None, terms=1, c=8):
    """Asserts |got - expected| <= c eps sqrt(terms) scale: `terms` roundings of numbers as large as `scale`.

    eps is that of got's dtype; scale is by default the largest |expected|; for sums, that of absolute values.
    """
    got, expected = np.asarray(got), np.asarray(expected, np.float64)
    assert got.shape == expected.shape, f"shape {got.shape} instead of {expected.shape}"
    kind = np.finfo(got.dtype)
    scale = np.max(np.abs(expected), initial=0) if scale is None else scale
    bound = c * float(kind.eps) * math.sqrt(terms) * np.asarray(scale, np.float64) + float(kind.tiny)
    error = np.abs(got.astype(np.float64) - expected)
    assert (error <= bound).all(), f"off by {np.max(error):.3g}, {np.max(error / bound):.3g} times the bound"


def places(*shape):
    """All index tuples of an array of this shape."""
    return product(*map(range, shape))


def matmul(a, b):
    """Rows times columns, leading axes broadcast."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.broadcast_to(v, (*lead, *v.shape[-2:])).astype(float) for v in (a, b))
    y = np.empty((*lead, a.shape[-2], b.shape[-1]))
    for *i, m, n in places(*y.shape):
        y[*i, m, n] = math.fsum(p * q for p, q in zip(a[*i, m], b[*i, :, n], strict=True))
    return y


# --- convolution: which output sees which input through which tap ------------------------------------------


def links(x_shape, w_shape, stride, pad):
    """Places in (x, w, y) of every product of a convolution."""
    (N, H, W, C), (KH, KW, _, outputs) = x_shape, w_shape
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    for n, oh, ow, kh, kw in places(N, OH, OW, KH, KW):
        i, j = oh * stride + kh - pad, ow * stride + kw - pad
        if 0 <= i < H and 0 <= j < W:
            for c, o in places(C, outputs):
                yield (n, i, j, c), (kh, kw, c, o), (n, oh, ow, o)


def conv2d(x, w, stride, pad):
    """Every output sums what it sees."""
    OH, OW = ((n + 2 * pad - k) // stride + 1 for n, k in zip(x.shape[1:3], w.shape[:2], strict=True))
    y = np.zeros((len(x), OH, OW, w.shape[3]))
    for a, b, c in links(x.shape, w.shape, stride, pad):
        y[c] += float(x[a]) * float(w[b])
    return y


def conv2d_dx(gy, w, hw, stride, pad):
    """The transposed convolution: every number of gy is scattered over the pixels it came from."""
    gx = np.zeros((len(gy), *hw, w.shape[2]))
    for a, b, c in links(gx.shape, w.shape, stride, pad):
        gx[a] += float(gy[c]) * float(w[b])
    return gx


def conv2d_dw(x, gy, khw, stride, pad):
    """Every tap collects the products of the pixels and outputs it connects."""
    gw = np.zeros((*khw, x.shape[3], gy.shape[3]))
    for a, b, c in links(x.shape, gw.shape, stride, pad):
        gw[b] += float(x[a]) * float(gy[c])
    return gw


# --- normalisation and activation --------------------------------------------------------------------------


def leaky_relu(x, slope):
    """x where positive, slope x elsewhere."""
    return np.array([v if v > 0 else slope * v for v in map(float, x.flat)]).reshape(x.shape)


def leaky_relu_bwd(gy, y, slope):
    """gy where y is positive, slope gy elsewhere."""
    pairs = zip(map(float, gy.flat), map(float, y.flat), strict=True)
    return np.array([g if v > 0 else slope * g for g, v in pairs]).reshape(gy.shape)


def norm(x, gamma, beta, groups, eps, slope):
    """(y, mean, rstd): each channel of each of `groups` runs of the first axis gets mean 0 and variance 1."""
    x3 = x.astype(float).reshape(groups, -1, x.shape[-1])
    y, (G, M, C) = np.empty_like(x3), x3.shape
    mean, rstd = np.empty((G, C)), np.empty((G, C))
    for g, c in places(G, C):
        column = x3[g, :, c].tolist()
        mean[g, c] = math.fsum(column) / M
        rstd[g, c] = 1 / math.sqrt(math.fsum((v - mean[g, c]) ** 2 for v in column) / M + eps)
        for m, v in enumerate(column):
            y[g, m, c] = gamma[c] * (v - mean[g, c]) * rstd[g, c] + beta[c]
    return leaky_relu(y.reshape(x.shape), slope), mean, rstd


def norm_bwd(gy, y, x, gamma, mean, rstd, slope):
    """(gx, ggamma, gbeta) by the Jacobian: d xhat_i / d x_j = rstd (delta_ij - 1/M - xhat_i xhat_j / M)."""
    G, C = mean.shape
    x3, g3 = (a.astype(float).reshape(G, -1, C) for a in (x, leaky_relu_bwd(gy, y, slope)))
    M, gx, ggamma, gbeta = x3.shape[1], np.zeros_like(x3), np.zeros(C), np.zeros(C)
    for g, c in places(G, C):
        r = float(rstd[g, c])
        xhat = [(v - float(mean[g, c])) * r for v in x3[g, :, c].tolist()]
        for i in range(M):
            ggamma[c] += g3[g, i, c] * xhat[i]
            gbeta[c] += g3[g, i, c]
            for j in range(M):
                gx[g, j, c] += g3[g, i, c] * float(gamma[c]) * r * ((i == j) - 1 / M - xhat[i] * xhat[j] / M)
    return gx.reshape(x.shape), ggamma, gbeta


def track(running_mean, running_var, mean, rstd, eps, momentum, count):
    """(running mean, running variance) of one channel after a batch of `count` rows; the variance unbiased."""
    biased = 1 / rstd**2 - eps
    unbiased = biased * count / (count - 1) if count > 1 else biased
    return tuple((1 - momentum) * old + momentum * new for old, new in ((running_mean, mean), (running_var, unbiased)))


def sigmoid(v: float) -> float:
    """1 / (1 + e^-v), by whichever exponential is small."""
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


def softplus(v: float) -> float:
    """log(1 + e^v), by the exponential that is small."""
    return max(v, 0.0) + math.log1p(math.exp(-abs(v)))


# --- losses and softmax: the losses of one number, their slopes in it, and means ---------------------------


def bce(s: float, t: float) -> tuple[float, float]:
    """-t log sigmoid(s) - (1-t) log sigmoid(-s), with log sigmoid(s) = -softplus(-s)."""
    return t * softplus(-s) + (1 - t) * softplus(s), sigmoid(s) - t


def squared(s: float, t: float) -> tuple[float, float]:
    """(s - t)^2."""
    return (s - t) ** 2, 2 * (s - t)


def absolute(s: float, t: float) -> tuple[float, float]:
    """|s - t|."""
    return abs(s - t), (s > t) - (s < t)


def hinge(s: float, sign: float) -> tuple[float, float]:
    """max(0, 1 - sign s)."""
    return (1 - sign * s, -sign) if sign * s < 1 else (0, 0)


def averaged(term, s, t):
    """(mean, gradient) of a loss of one number over s; t has the shape of s or is one number for all."""
    values, slopes = zip(*map(term, map(float, s.flat), map(float, np.broadcast_to(t, s.shape).flat)), strict=True)
    return math.fsum(values) / s.size, np.reshape(slopes, s.shape) / s.size


def bce_with_logits(s, t):
    """The mean alone."""
    return averaged(bce, s, t)[0]


def softmax(x):
    """e^x / sum e^x over the last axis."""
    y = np.empty(x.shape)
    for i in places(*x.shape[:-1]):
        e = [math.exp(v - max(map(float, x[i]))) for v in map(float, x[i])]
        y[i] = [v / math.fsum(e) for v in e]
    return y


# --- pictures: pooling, resizing, padding ------------------------------------------------------------------


def pool(x, size, reduce):
    """`reduce` over disjoint size x size windows, the border that fills none left out."""
    N, H, W, C = x.shape
    y = np.empty((N, H // size, W // size, C))
    for n, i, j, c in places(*y.shape):
        y[n, i, j, c] = reduce([float(x[n, i * size + a, j * size + b, c]) for a, b in places(size, size)])
    return y


def upsample(x, scale):
    """Pixel (i, j) of the result is pixel (i // scale, j // scale) of x."""
    N, H, W, C = x.shape
    y = np.empty((N, H * scale, W * scale, C))
    for n, i, j, c in places(*y.shape):
        y[n, i, j, c] = x[n, i // scale, j // scale, c]
    return y


def pixel_shuffle(x, scale):
    """Channel c scale^2 + a scale + b of pixel (i, j) is channel c of pixel (i scale + a, j scale + b)."""
    N, H, W, C = x.shape
    y = np.empty((N, H * scale, W * scale, C // scale**2))
    for n, i, j, c, a, b in places(N, H, W, C // scale**2, scale, scale):
        y[n, i * scale + a, j * scale + b, c] = x[n, i, j, (c * scale + a) * scale + b]
    return y


def reflect_pad(x, rows, cols):
    """Outside the picture its pixels come back, counted from the border, which itself is not repeated."""
    def inside(i, n):
        return -i if i < 0 else 2 * (n - 1) - i if i >= n else i

    N, H, W, C = x.shape
    y = np.empty((N, H + sum(rows), W + sum(cols), C))
    for n, i, j, c in places(*y.shape):
        y[n, i, j, c] = x[n, inside(i - rows[0], H), inside(j - cols[0], W), c]
    return y


def sent_back(move, gy, shape):
    """The adjoint of a `move` from `shape` to gy's: each number of gy is added where its own came from."""
    gx = np.zeros(math.prod(shape))
    for place, g in zip(move(np.arange(gx.size).reshape(shape)).flat, gy.flat, strict=True):
        gx[int(place)] += float(g)
    return gx.reshape(shape)


def dropout(x, seed, stream, start, rate):
    """Number i of x is dropped if number i of the stream, as a fraction, is below `rate`."""
    bits = [r >> 8 for block in philox(seed, stream, start, -(-x.size // 4)) for r in block]
    kept = [v / (1 - rate) if r / 2**24 >= rate else 0.0 for v, r in zip(map(float, x.flat), bits, strict=False)]
    return np.reshape(kept, x.shape)


# --- optimizers, one number at a time: each returns the new values of what it changes ----------------------


def sgd(p, g, v, lr, momentum):
    """Polyak (1964)."""
    v = momentum * v + g
    return p - lr * v, v


def rmsprop(p, g, v, lr, alpha, eps):
    """Tieleman and Hinton (2012)."""
    v = alpha * v + (1 - alpha) * g * g
    return p - lr * g / (math.sqrt(v) + eps), v


def adam(p, g, m, v, lr, beta1, beta2, eps, t):
    """Kingma and Ba (2015), algorithm 1."""
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return p - lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps), m, v


def ema(a, p, decay):
    """Exponential moving average."""
    return (decay * a + (1 - decay) * p,)


# --- random numbers ----------------------------------------------------------------------------------------


def philox4x32(counter, key):
    """Ten rounds on four 32-bit integers under a key of two. Salmon et al. (2011)."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        (hi0, lo0), (hi1, lo1) = divmod(0xD2511F53 * c0, 2**32), divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def philox(seed, stream, start, blocks):
    """The blocks start, start+1, ... of a stream, their 64-bit numbers cut into halves, low half first."""
    def halves(n):
        return n % 2**32, n // 2**32 % 2**32

    return [philox4x32((*halves(start + i), *halves(stream)), halves(seed)) for i in range(blocks)]
