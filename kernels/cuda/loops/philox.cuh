// Four numbers of a stream, and how they become fractions: for `random.cu`, and for whoever drops numbers at random.
#pragma once
#include "loops/packs.cuh"

struct alignas(16) Four {
    unsigned of[4];
};

__device__ __forceinline__ Four philox_at(unsigned long long seed, unsigned long long stream,
                                          unsigned long long place) {
    unsigned x0 = place, x1 = place >> 32, x2 = stream, x3 = stream >> 32, k0 = seed, k1 = seed >> 32;
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned a = __umulhi(0xD2511F53u, x0), b = __umulhi(0xCD9E8D57u, x2);
        const unsigned low_a = 0xD2511F53u * x0, low_b = 0xCD9E8D57u * x2;
        x0 = b ^ x1 ^ k0, x1 = low_b, x2 = a ^ x3 ^ k1, x3 = low_a;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return {{x0, x1, x2, x3}};
}

// U[0, 1) of 24 bits: exact in both precisions.
__device__ __forceinline__ real fraction(unsigned r) { return (r >> 8) * real(1.0 / (1 << 24)); }

// At most `count` of four numbers, which begin a multiple of four numbers into an array.
__device__ __forceinline__ void load_four(const real* x, real (&four)[4], long long count) {
    const bool whole = aligned(x);
#pragma unroll
    for (int i = 0; i < 4; i += WIDE) {
        const Pack<WIDE> v = load<WIDE>(x + i, whole && i + WIDE <= count, count - i);
#pragma unroll
        for (int k = 0; k < WIDE; ++k) four[i + k] = v.of[k];
    }
}

__device__ __forceinline__ void store_four(real* y, const real (&four)[4], long long count) {
    const bool whole = aligned(y);
#pragma unroll
    for (int i = 0; i < 4; i += WIDE) {
        Pack<WIDE> v;
#pragma unroll
        for (int k = 0; k < WIDE; ++k) v.of[k] = four[i + k];
        store(y + i, v, whole && i + WIDE <= count, count - i);
    }
}
