"""One update of a flat parameter buffer on the GPU, in place: the launchers of `optim.cu`.

`p` and the optimizer's buffers are (n,); the gradient g is too, or a list of arrays, the gradient in parts: in order
and n numbers in all. Up to PARTS parts are one launch. Conventions are PyTorch's: eps outside the root.
"""

import numpy as np

from inachus.kernels import address, xp
from inachus.kernels.cuda.graph import dial, turned
from inachus.kernels.cuda.launch import launch
from inachus.kernels.cuda.loops.columns import THREADS, reals
from inachus.kernels.reference.optim import pairs, parts

PARTS, PIECE = 64, 8192  # parts of a launch, bytes of one array that a block changes
TABLE = np.dtype([("from", "u8", PARTS), ("to", "u8", PARTS), ("begin", "i8", PARTS), ("size", "i8", PARTS),
                  ("block", "u4", PARTS)], align=True)


def sgd(p, g, v, lr, momentum):
    """v <- momentum v + g; p <- p - lr v. Polyak (1964)."""
    _update("sgd", p, _gradients(p, g), (p, v, *_number(lr), p.dtype.type(momentum)))


def rmsprop(p, g, v, lr, alpha, eps):
    """v <- alpha v + (1-alpha) g^2; p <- p - lr g / (sqrt(v) + eps). Tieleman and Hinton (2012)."""
    numbers = (p.dtype.type(number) for number in (alpha, 1 - alpha, eps))
    _update("rmsprop", p, _gradients(p, g), (p, v, *_number(lr), *numbers))


def adam(p, g, m, v, lr, beta1, beta2, eps, t):
    """Adam with bias correction at step t = 1, 2, ...: p <- p - lr mhat / (sqrt(vhat) + eps). Kingma and Ba (2015)."""
    def root(t):
        return (1 - beta2**t) ** 0.5

    step = turned(lambda lr, t: lr * root(t) / (1 - beta1**t), lr, t)  # both corrections, moved out of the loop
    small = turned(lambda t: eps * root(t), t)
    numbers = (p.dtype.type(number) for number in (1 - beta1, beta2, 1 - beta2))
    _update("adam", p, _gradients(p, g), (p, m, v, *_number(step), *numbers, *_number(small)))


def ema(a, p, decay):
    """a <- decay a + (1-decay) p for one contiguous array, or for each of a list; p is alike, in any layout."""
    rows = [(address(average), 0, xp(value).ascontiguousarray(value)) for average, value in pairs(a, p)]
    like = a[0] if isinstance(a, list | tuple) else a
    _update("ema", like, rows, _number(turned(lambda decay: 1 - decay, decay)))


def _number(value):
    """A number, and where the device finds it if it changes from step to step."""
    value, pointer = dial(turned(float, value))  # a whole number too is a double on the device
    return np.float64(value), pointer


def _gradients(p, g):
    return [(0, place.start, xp(p).ascontiguousarray(part)) for place, part in parts(p, g)]


def _update(kernel, like, rows, args):
    """Launches over rows (address of the average, place in p, what it is changed by), as many at a time as fit."""
    rows = [row for row in rows if row[2].size]
    for i in range(0, len(rows), PARTS):
        some, table = rows[i : i + PARTS], np.zeros(1, TABLE)
        blocks = np.cumsum([0, *(-(-part.nbytes // PIECE) for _, _, part in some)])
        table["block"] = 2**32 - 1
        for name, values in (("to", [to for to, _, _ in some]), ("begin", [begin for _, begin, _ in some]),
                             ("from", [address(part) for _, _, part in some]),
                             ("size", [part.size for _, _, part in some]), ("block", blocks[:-1])):
            table[name][0, : len(some)] = values
        defines = reals(like.dtype)
        launch("loops/optim.cu", kernel, blocks[-1], THREADS, (*args, table), like=like, defines=defines)
