// 16 bytes at a time, the widest load and store there is: what a kernel is made of that only streams through memory.
// A kernel issues several loads before it uses the first: an H100 needs some 30 KB in flight on each multiprocessor.
#pragma once

typedef REAL real;  // float or double, set by the launcher

constexpr int THREADS = 256;
constexpr int WIDE = 16 / sizeof(real);     // numbers in a pack
constexpr int TILE = 16384 / sizeof(real);  // numbers that a block of `each` takes: 64 bytes a thread and array

template <int W>
struct alignas(W * sizeof(real)) Pack {
    real of[W];
};

__device__ __forceinline__ real lrelu(real v, real slope) { return v > 0 ? v : slope * v; }

// True if packs may be read there; a part of a larger array can start anywhere.
template <class... Pointers>
__device__ __forceinline__ bool aligned(Pointers... p) {
    return ((... | reinterpret_cast<unsigned long long>(p)) & 15) == 0;
}

// W numbers at p in one load if they are `whole`, otherwise `count` of them one by one, and zeros.
template <int W>
__device__ __forceinline__ Pack<W> load(const real* p, bool whole, long long count = W) {
    if (whole) return *reinterpret_cast<const Pack<W>*>(p);
    Pack<W> v;
#pragma unroll
    for (int k = 0; k < W; ++k) v.of[k] = k < count ? p[k] : real(0);
    return v;
}

template <int W>
__device__ __forceinline__ void store(real* p, const Pack<W>& v, bool whole, long long count = W) {
    if (whole) {
        *reinterpret_cast<Pack<W>*>(p) = v;
        return;
    }
#pragma unroll
    for (int k = 0; k < W; ++k)
        if (k < count) p[k] = v.of[k];
}

// y[i] = f(x0[i], x1[i], ...) for the n numbers of N arrays; a block takes TILE of them, all loads first.
template <int W, int N, class F>
__device__ __forceinline__ void each_pack(const real* const (&x)[N], real* y, long long n, F f) {
    constexpr int TURNS = TILE / (THREADS * W);
    const long long first = (long long)blockIdx.x * TILE + threadIdx.x * W;
    Pack<W> in[TURNS][N];
#pragma unroll
    for (int t = 0; t < TURNS; ++t)
#pragma unroll
        for (int a = 0; a < N; ++a) {
            const long long i = first + t * THREADS * W;
            in[t][a] = load<W>(x[a] + i, i + W <= n, n - i);
        }
#pragma unroll
    for (int t = 0; t < TURNS; ++t) {
        const long long i = first + t * THREADS * W;
        Pack<W> out;
#pragma unroll
        for (int k = 0; k < W; ++k)
            if constexpr (N == 1) out.of[k] = f(in[t][0].of[k]);
            else out.of[k] = f(in[t][0].of[k], in[t][1].of[k]);
        store(y + i, out, i + W <= n, n - i);
    }
}

template <int N, class F>
__device__ __forceinline__ void each(const real* const (&x)[N], real* y, long long n, F f) {
    bool whole = aligned(y);
#pragma unroll
    for (int a = 0; a < N; ++a) whole = whole && aligned(x[a]);
    if (whole) each_pack<WIDE>(x, y, n, f);
    else each_pack<1>(x, y, n, f);
}
