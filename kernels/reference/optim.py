"""One update of a flat parameter buffer, in place: `p`, its gradient `g` and the optimizer's own buffers, all (n,).

Blocked, so that a chain of NumPy operations reads memory once. Conventions are PyTorch's: eps outside the root.
"""

import numpy as np

from inachus.kernels.reference.blocks import BLOCK, spans


def sgd(p, g, v, lr, momentum):
    """v <- momentum v + g; p <- p - lr v. Polyak (1964)."""
    for i in spans(p.size, BLOCK):
        v[i] *= momentum
        v[i] += g[i]
        p[i] -= lr * v[i]


def rmsprop(p, g, v, lr, alpha, eps):
    """v <- alpha v + (1-alpha) g^2; p <- p - lr g / (sqrt(v) + eps). Tieleman and Hinton (2012)."""
    for i in spans(p.size, BLOCK):
        v[i] *= alpha
        v[i] += (1 - alpha) * np.square(g[i])
        d = np.sqrt(v[i])
        d += eps
        p[i] -= lr * g[i] / d


def adam(p, g, m, v, lr, beta1, beta2, eps, t):
    """Adam with bias correction at step t = 1, 2, ...: p <- p - lr mhat / (sqrt(vhat) + eps). Kingma and Ba (2015)."""
    root = (1 - beta2**t) ** 0.5
    step, eps = lr * root / (1 - beta1**t), eps * root  # both corrections, moved out of the loop
    for i in spans(p.size, BLOCK):
        d = g[i] - m[i]
        d *= 1 - beta1
        m[i] += d
        np.square(g[i], out=d)
        d *= 1 - beta2
        v[i] *= beta2
        v[i] += d
        np.sqrt(v[i], out=d)
        d += eps
        np.divide(m[i], d, out=d)
        d *= step
        p[i] -= d


def ema(a, p, decay):
    """a <- decay a + (1-decay) p."""
    for i in spans(p.size, BLOCK):
        a[i] += (1 - decay) * (p[i] - a[i])
