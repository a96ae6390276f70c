"""One update of a flat parameter buffer in one pass, in place: `p`, its gradient `g` and the optimizer's own buffers.

`p` and the buffers are (n,); g is too, or a list of arrays, the gradient in parts: in order and n numbers in all. Each
part is a loop of its own. Conventions are PyTorch's: eps outside the root.
"""

import math

from numba import prange

from inachus.kernels.cpu.loops import BLOCK, loop, part, plain
from inachus.kernels.reference.optim import pairs, parts


def sgd(p, g, v, lr, momentum):
    """v <- momentum v + g; p <- p - lr v. Polyak (1964)."""
    numbers = _numbers(p, lr, momentum)
    for i, gi in parts(p, g):
        _sgd(p[i], plain(gi), v[i], *numbers)


def rmsprop(p, g, v, lr, alpha, eps):
    """v <- alpha v + (1-alpha) g^2; p <- p - lr g / (sqrt(v) + eps). Tieleman and Hinton (2012)."""
    numbers = _numbers(p, lr, alpha, 1 - alpha, eps)
    for i, gi in parts(p, g):
        _rmsprop(p[i], plain(gi), v[i], *numbers)


def adam(p, g, m, v, lr, beta1, beta2, eps, t):
    """Adam with bias correction at step t = 1, 2, ...: p <- p - lr mhat / (sqrt(vhat) + eps). Kingma and Ba (2015)."""
    root = (1 - beta2**t) ** 0.5
    step = lr * root / (1 - beta1**t)  # both corrections, moved out of the loop
    numbers = _numbers(p, step, 1 - beta1, beta2, 1 - beta2, eps * root)
    for i, gi in parts(p, g):
        _adam(p[i], plain(gi), m[i], v[i], *numbers)


def ema(a, p, decay):
    """a <- decay a + (1-decay) p for one contiguous array, or for each of a list; p is alike, in any layout."""
    for average, value in pairs(a, p):
        _ema(average, plain(value), *_numbers(average, 1 - decay))


def _numbers(p, *numbers):
    return [p.dtype.type(number) for number in numbers]


@loop
def _sgd(p, g, v, lr, momentum):
    for b in prange((len(p) + BLOCK - 1) // BLOCK):
        i, j = b * BLOCK, (b + 1) * BLOCK
        _sgd_block(p[i:j], g[i:j], v[i:j], lr, momentum)


@part
def _sgd_block(p, g, v, lr, momentum):
    for i in range(len(p)):
        v[i] = momentum * v[i] + g[i]
        p[i] -= lr * v[i]


@loop
def _rmsprop(p, g, v, lr, alpha, rest, eps):
    for b in prange((len(p) + BLOCK - 1) // BLOCK):
        i, j = b * BLOCK, (b + 1) * BLOCK
        _rmsprop_block(p[i:j], g[i:j], v[i:j], lr, alpha, rest, eps)


@part
def _rmsprop_block(p, g, v, lr, alpha, rest, eps):
    for i in range(len(p)):
        v[i] = alpha * v[i] + rest * (g[i] * g[i])
        p[i] -= lr * g[i] / (math.sqrt(v[i]) + eps)


@loop
def _adam(p, g, m, v, step, rest1, beta2, rest2, eps):
    for b in prange((len(p) + BLOCK - 1) // BLOCK):
        i, j = b * BLOCK, (b + 1) * BLOCK
        _adam_block(p[i:j], g[i:j], m[i:j], v[i:j], step, rest1, beta2, rest2, eps)


@part
def _adam_block(p, g, m, v, step, rest1, beta2, rest2, eps):
    for i in range(len(p)):
        m[i] += rest1 * (g[i] - m[i])
        v[i] = beta2 * v[i] + rest2 * (g[i] * g[i])
        p[i] -= step * m[i] / (math.sqrt(v[i]) + eps)


@loop
def _ema(a, p, rest):
    for b in prange((len(p) + BLOCK - 1) // BLOCK):
        _ema_block(a[b * BLOCK : (b + 1) * BLOCK], p[b * BLOCK : (b + 1) * BLOCK], rest)


@part
def _ema_block(a, p, rest):
    for i in range(len(a)):
        a[i] += rest * (p[i] - a[i])
