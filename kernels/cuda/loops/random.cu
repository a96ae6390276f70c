// Philox4x32-10, a counter-based generator (Salmon et al. 2011): four 32-bit numbers for each place of a stream.
//     counter = (start + i, stream), 64 bits each;  key = seed;  ten rounds of two products and some exclusive ors
//     uniform   (r >> 8) 2^-24
//     normal    sqrt(-2 ln u) (cos, sin)(2 pi v), u and v from a pair of the stream (Box and Muller)
// There is one version: a thread makes the four numbers of one place. Normal numbers are computed in double, as the
// reference does; sine and cosine are polynomials on an eighth of a turn, because CUDA's need local memory.
#include "device.cuh"
#include "loops/philox.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
philox(unsigned long long seed, unsigned long long stream, unsigned long long start, const unsigned long long* dial,
       unsigned* bits, long long n) {
    const long long i = (blockIdx.x * (long long)THREADS + threadIdx.x) * 4;
    if (i >= n) return;
    const Four r = philox_at(seed, stream, (dial != nullptr ? *dial : start) + i / 4);
    *reinterpret_cast<Four*>(bits + i) = r;
}

// n numbers f(four numbers of the stream)[0..3].
template <class F>
__device__ __forceinline__ void fours(unsigned long long seed, unsigned long long stream, unsigned long long start,
                                      const unsigned long long* dial, real* y, long long n, F f) {
    const long long i = (blockIdx.x * (long long)THREADS + threadIdx.x) * 4;
    if (i >= n) return;
    real out[4];
    f(philox_at(seed, stream, (dial != nullptr ? *dial : start) + i / 4), out);
    store_four(y + i, out, n - i);
}

extern "C" __global__ void __launch_bounds__(THREADS)
uniform(unsigned long long seed, unsigned long long stream, unsigned long long start, const unsigned long long* dial,
        real* y, long long n) {
    fours(seed, stream, start, dial, y, n, [](const Four& r, real* out) {
#pragma unroll
        for (int k = 0; k < 4; ++k) out[k] = fraction(r.of[k]);
    });
}

// cos and sin of 2 pi turn / 2^24, turn < 2^24: the nearest quarter of a turn, and Taylor's series for the rest.
__device__ __forceinline__ void cos_sin(unsigned turn, double& cosine, double& sine) {
    const unsigned quarter = (turn + (1u << 21)) >> 22;
    const double a = (int(turn) - int(quarter << 22)) * (6.283185307179586 / (1 << 24)), b = a * a;  // |a| <= pi / 4
    double c = 1, s = 1;
#pragma unroll
    for (int k = 16; k > 0; k -= 2) c = 1 - b * (1.0 / (k * (k - 1))) * c, s = 1 - b * (1.0 / (k * (k + 1))) * s;
    s *= a;
    cosine = quarter & 1 ? (quarter & 2 ? s : -s) : (quarter & 2 ? -c : c);
    sine = quarter & 1 ? (quarter & 2 ? -c : c) : (quarter & 2 ? -s : s);
}

extern "C" __global__ void __launch_bounds__(THREADS)
normal(unsigned long long seed, unsigned long long stream, unsigned long long start, const unsigned long long* dial,
       real* y, long long n) {
    fours(seed, stream, start, dial, y, n, [](const Four& r, real* out) {
#pragma unroll
        for (int k = 0; k < 4; k += 2) {
            const double radius = sqrt(-2 * log(((r.of[k] >> 8) + 1) * (1.0 / (1 << 24))));
            double cosine, sine;
            cos_sin(r.of[k + 1] >> 8, cosine, sine);
            out[k] = radius * cosine, out[k + 1] = radius * sine;
        }
    });
}
