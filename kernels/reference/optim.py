"""One update of a flat parameter buffer, in place: `p`, its gradient `g` and the optimizer's own buffers.

`p` and the buffers are (n,); g is too, or a list of arrays, the gradient in parts: in order and n numbers in all.
Blocked, so that a chain of NumPy operations reads memory once. Conventions are PyTorch's: eps outside the root.
"""

import numpy as np

from inachus.kernels.reference.blocks import BLOCK, spans


def sgd(p, g, v, lr, momentum):
    """v <- momentum v + g; p <- p - lr v. Polyak (1964)."""
    for i, gi in _blocks(p, g):
        v[i] *= momentum
        v[i] += gi
        p[i] -= lr * v[i]


def rmsprop(p, g, v, lr, alpha, eps):
    """v <- alpha v + (1-alpha) g^2; p <- p - lr g / (sqrt(v) + eps). Tieleman and Hinton (2012)."""
    for i, gi in _blocks(p, g):
        v[i] *= alpha
        v[i] += (1 - alpha) * np.square(gi)
        d = np.sqrt(v[i])
        d += eps
        p[i] -= lr * gi / d


def adam(p, g, m, v, lr, beta1, beta2, eps, t):
    """Adam with bias correction at step t = 1, 2, ...: p <- p - lr mhat / (sqrt(vhat) + eps). Kingma and Ba (2015)."""
    root = (1 - beta2**t) ** 0.5
    step, eps = lr * root / (1 - beta1**t), eps * root  # both corrections, moved out of the loop
    for i, gi in _blocks(p, g):
        d = gi - m[i]
        d *= 1 - beta1
        m[i] += d
        np.square(gi, out=d)
        d *= 1 - beta2
        v[i] *= beta2
        v[i] += d
        np.sqrt(v[i], out=d)
        d += eps
        np.divide(m[i], d, out=d)
        d *= step
        p[i] -= d


def ema(a, p, decay):
    """a <- decay a + (1-decay) p for one contiguous array, or for each of a list; p is alike, in any layout."""
    for average, value in pairs(a, p):
        for i, new in _blocks(average, value):
            average[i] += (1 - decay) * (new - average[i])


def _blocks(p, g):
    """(places in p, the numbers of g that belong there), block by block."""
    for place, part in parts(p, g):
        for i in spans(part.size, BLOCK):
            yield slice(place.start + i.start, place.start + i.stop), part[i]


def parts(p, g):
    """[(places in p, the flat part of g that belongs there)]; ValueError unless g has as many numbers as p."""
    flat = [part.reshape(-1) for part in (g if isinstance(g, list | tuple) else [g])]
    ends = np.cumsum([0, *(part.size for part in flat)]).tolist()
    if ends[-1] != p.size:
        raise ValueError(f"{p.size} numbers to change, {ends[-1]} to change them by (in {len(flat)} parts)")
    return [(slice(i, j), part) for i, j, part in zip(ends[:-1], ends[1:], flat, strict=True)]


def pairs(a, p):
    """[(a, p)], both flat, for two arrays or two lists; ValueError for lists of different lengths."""
    lists = (a, p) if isinstance(a, list | tuple) else ([a], [p])
    return [(one.reshape(-1), other.reshape(-1)) for one, other in zip(*lists, strict=True)]
