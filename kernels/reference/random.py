"""Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011), the same stream on every backend.

The number at a place of the stream depends on the key and the place alone, so any part can be drawn anywhere, in
any order. Not here: who owns a key and where its counter stands (`engine/random.py`).
"""

import numpy as np

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(seed, stream, start, blocks):
    """uint32 (blocks, 4): key `seed`, counter (start + i) in the low and `stream` in the high 64 bits."""
    counter = np.arange(start, start + blocks, dtype=np.uint64)
    x = [counter & LOW, counter >> HALF, np.uint64(stream) & LOW, np.uint64(stream) >> HALF]
    k0, k1 = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    with np.errstate(over="ignore"):  # the key schedule wraps round by design
        for _ in range(10):
            a, b = MULTIPLIERS[0] * x[0], MULTIPLIERS[1] * x[2]
            x = [(b >> HALF) ^ x[1] ^ k0, b & LOW, (a >> HALF) ^ x[3] ^ k1, a & LOW]
            k0, k1 = k0 + WEYL[0], k1 + WEYL[1]
    return np.stack(np.broadcast_arrays(*x), axis=1).astype(np.uint32)


def uniform(seed, stream, start, shape, dtype):
    """U[0, 1) of 24 bits, (r >> 8) 2^-24: exact in float32, and the same numbers in float64."""
    n = int(np.prod(shape))
    bits = philox(seed, stream, start, -(-n // 4)).reshape(-1)[:n]
    return ((bits >> np.uint32(8)) * np.float32(2**-24)).astype(dtype).reshape(shape)


def normal(seed, stream, start, shape, dtype):
    """N(0, 1) by Box and Muller: sqrt(-2 ln u) (cos, sin)(2 pi v), with u = ((r0 >> 8) + 1) 2^-24, v = (r1 >> 8) 2^-24.

    Each pair of the stream gives two neighbours of the result.
    """
    n = int(np.prod(shape))
    bits = philox(seed, stream, start, -(-n // 4)).reshape(-1, 2) >> np.uint32(8)  # (pairs, 2)
    radius = np.sqrt(-2 * np.log((bits[:, 0] + 1.0) * 2**-24))
    angle = bits[:, 1] * (2 * np.pi * 2**-24)
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)  # (pairs, 2)
    return z.reshape(-1)[:n].astype(dtype).reshape(shape)
