"""Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011), the same stream as the reference's.

Not here: who owns a key and where its counter stands (`engine/random.py`).
"""

import math

import numpy as np
from numba import prange

from inachus.kernels.cpu.loops import loop, part

BLOCK = 1 << 7  # places of the stream, of four numbers each, in one turn


def philox(seed, stream, start, blocks):
    """uint32 (blocks, 4): key `seed`, counter (start + i) in the low and `stream` in the high 64 bits."""
    bits = np.empty((blocks, 4), np.uint32)
    _philox(*_words(seed, stream, start), bits)
    return bits


def uniform(seed, stream, start, shape, dtype):
    """U[0, 1) of 24 bits, (r >> 8) 2^-24: exact in float32, and the same numbers in float64."""
    out = np.empty(shape, dtype)
    _uniform(*_words(seed, stream, start), out.reshape(-1))
    return out


def normal(seed, stream, start, shape, dtype):
    """N(0, 1) by Box and Muller: sqrt(-2 ln u) (cos, sin)(2 pi v), with u = ((r0 >> 8) + 1) 2^-24, v = (r1 >> 8) 2^-24.

    Each pair of the stream gives two neighbours of the result.
    """
    out = np.empty(shape, dtype)
    _normal(*_words(seed, stream, start), out.reshape(-1))
    return out


def _words(*numbers):
    return (np.uint64(number) for number in numbers)


@part
def _four(seed, stream, counter):
    """The four numbers at one place of the stream."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, x2, x3 = counter & low, counter >> half, stream & low, stream >> half
    k0, k1 = seed & low, seed >> half
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * x0, np.uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (b >> half) ^ x1 ^ k0, b & low, (a >> half) ^ x3 ^ k1, a & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return x0, x1, x2, x3


@loop
def _philox(seed, stream, start, bits):
    for b in prange((len(bits) + BLOCK - 1) // BLOCK):
        for i in range(b * BLOCK, min(len(bits), (b + 1) * BLOCK)):
            bits[i, 0], bits[i, 1], bits[i, 2], bits[i, 3] = _four(seed, stream, start + np.uint64(i))


@loop
def _uniform(seed, stream, start, out):
    places = (len(out) + 3) // 4
    for b in prange((places + BLOCK - 1) // BLOCK):
        for i in range(b * BLOCK, min(places, (b + 1) * BLOCK)):
            four = _four(seed, stream, start + np.uint64(i))
            for k in range(min(4, len(out) - 4 * i)):
                out[4 * i + k] = (four[k] >> np.uint64(8)) * 2.0**-24


@loop
def _normal(seed, stream, start, out):
    places = (len(out) + 3) // 4
    for b in prange((places + BLOCK - 1) // BLOCK):
        for i in range(b * BLOCK, min(places, (b + 1) * BLOCK)):
            x0, x1, x2, x3 = _four(seed, stream, start + np.uint64(i))
            _pair(x0, x1, out, 4 * i)
            _pair(x2, x3, out, 4 * i + 2)


@part
def _pair(r0, r1, out, i):
    """Two normal numbers, as far as there is room."""
    radius = math.sqrt(-2 * math.log(((r0 >> np.uint64(8)) + 1.0) * 2.0**-24))
    angle = (r1 >> np.uint64(8)) * (2 * math.pi * 2.0**-24)
    if i < len(out):
        out[i] = radius * math.cos(angle)
    if i + 1 < len(out):
        out[i + 1] = radius * math.sin(angle)
