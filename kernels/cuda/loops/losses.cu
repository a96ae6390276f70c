// The losses every GAN step ends in: the mean over all n scores s and its gradient gs, in one pass and one launch.
//     bce_with_logits   mean of max(s, 0) - s t + log(1 + e^-|s|)     gs = (sigmoid(s) - t) / n
//     squared_error     mean of (s - t)^2                             gs = 2 (s - t) / n
//     absolute_error    mean of |s - t|                               gs = sign(s - t) / n
//     hinge             mean of max(0, 1 - t s), t a sign             gs = 1 - t s > 0 ? -t / n : 0
// Versions: with one block, which is what short s get, a block reduction is all there is to see; more blocks leave
// their sums in `parts`, and the one that finishes last adds them up. Terms are computed in `real`, added in double.
#include "device.cuh"
#include "loops/packs.cuh"
#include "loops/tickets.cuh"

constexpr int BATCH = 2;  // packs that a thread loads before it uses the first

struct Term {
    real value, slope;
};

// The sum of all threads' numbers, in a tree; known to thread 0.
__device__ __forceinline__ double total(double own, double* memory) {
    memory[threadIdx.x] = own;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) memory[threadIdx.x] += memory[threadIdx.x + half];
    }
    __syncthreads();
    const double all = memory[0];
    __syncthreads();  // the memory may be used again
    return all;
}

// gs of every score, and the sum of this thread's terms. The targets are those at t, or `one` for all if t is null.
template <int W, class F>
__device__ __forceinline__ double sweep(const real* s, const real* t, real one, real* gs, long long n, F term) {
    const long long step = gridDim.x * (long long)THREADS * W;
    const real share = real(1) / n;
    double sum = 0;
    for (long long i = (blockIdx.x * (long long)THREADS + threadIdx.x) * W; i < n; i += BATCH * step) {
        Pack<W> score[BATCH], target[BATCH];
#pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            const long long j = i + b * step;
            score[b] = load<W>(s + j, j + W <= n, n - j);
            if (t != nullptr) target[b] = load<W>(t + j, j + W <= n, n - j);
        }
#pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            const long long j = i + b * step;
            Pack<W> slope;
#pragma unroll
            for (int k = 0; k < W; ++k) {
                const Term got = term(score[b].of[k], t != nullptr ? target[b].of[k] : one);
                slope.of[k] = got.slope * share;
                if (j + k < n) sum += got.value;
            }
            store(gs + j, slope, j + W <= n, n - j);
        }
    }
    return sum;
}

template <class F>
__device__ __forceinline__ void mean_of(const real* s, const real* t, real one, real* loss, real* gs, double* parts,
                                        unsigned* ticket, long long n, F term) {
    SHARED(double, memory);
    const bool whole = aligned(s, t, gs);
    const double own = whole ? sweep<WIDE>(s, t, one, gs, n, term) : sweep<1>(s, t, one, gs, n, term);
    const double sum = total(own, memory);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
    if (!last_block(ticket, gridDim.x, memory)) return;
    double all = 0;
    for (unsigned i = threadIdx.x; i < gridDim.x; i += THREADS) all += parts[i];
    all = total(all, memory);
    if (threadIdx.x == 0) *loss = all / n;
}

// t has a target for `each` score, or one for all.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
bce_with_logits(const real* __restrict__ s, const real* __restrict__ t, int each, real* loss, real* __restrict__ gs,
                double* parts, unsigned* ticket, long long n) {
    mean_of(s, each ? t : nullptr, each ? real(0) : *t, loss, gs, parts, ticket, n, [](real v, real to) -> Term {
        const real e = exp(-fabs(v));  // at most 1
        return {max(v, real(0)) - v * to + log1p(e), (v >= 0 ? 1 : e) / (1 + e) - to};
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
squared_error(const real* __restrict__ s, const real* __restrict__ t, int each, real* loss, real* __restrict__ gs,
              double* parts, unsigned* ticket, long long n) {
    mean_of(s, each ? t : nullptr, each ? real(0) : *t, loss, gs, parts, ticket, n, [](real v, real to) -> Term {
        const real d = v - to;
        return {d * d, 2 * d};
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
absolute_error(const real* __restrict__ s, const real* __restrict__ t, int each, real* loss, real* __restrict__ gs,
               double* parts, unsigned* ticket, long long n) {
    mean_of(s, each ? t : nullptr, each ? real(0) : *t, loss, gs, parts, ticket, n, [](real v, real to) -> Term {
        return {fabs(v - to), real((v > to) - (v < to))};
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
hinge(const real* __restrict__ s, real sign, real* loss, real* __restrict__ gs, double* parts, unsigned* ticket,
      long long n) {
    mean_of(s, nullptr, sign, loss, gs, parts, ticket, n, [](real v, real to) -> Term {
        const real margin = 1 - to * v;
        return {margin <= 0 ? real(0) : margin, margin > 0 ? -to : real(0)};
    });
}
