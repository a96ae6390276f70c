// One update of flat parameters p, in place, by their gradient g; the state m, v is as long as p. Every number is
// loaded and stored once: sgd and rmsprop move 5 numbers an element, adam 7, ema 3.
//     sgd       v <- momentum v + g                     p <- p - lr v
//     rmsprop   v <- alpha v + (1-alpha) g^2            p <- p - lr g / (sqrt(v) + eps)
//     adam      m <- beta1 m + (1-beta1) g,  v <- beta2 v + (1-beta2) g^2     p <- p - step m / (sqrt(v) + eps)
//     ema       a <- decay a + (1-decay) p
// The gradient comes in parts, one a layer, and one launch takes them all: a block works on a piece of one part, which
// it finds by bisection. lr, step, eps and decay may be dials: numbers that the device reads when it gets there.
#include "device.cuh"
#include "loops/packs.cuh"

constexpr int PARTS = 64;
constexpr int PIECE = 8192 / sizeof(real);  // numbers of a block

struct Parts {
    const real* from[PARTS];  // the gradients, or what is averaged
    real* to[PARTS];          // the averages
    long long begin[PARTS];   // where a part begins in p
    long long size[PARTS];
    unsigned block[PARTS];  // its first; of unused parts, the largest number
};

__device__ __forceinline__ int part_of_block(const Parts& parts) {
    int i = 0;
#pragma unroll
    for (int step = PARTS / 2; step > 0; step /= 2)
        if (parts.block[i + step] <= blockIdx.x) i += step;
    return i;
}

// f(numbers of the N arrays in `state`, number of g) for n elements; what f changes is stored.
template <int W, int N, class F>
__device__ __forceinline__ void update_packs(real* const (&state)[N], const real* g, long long n, F f) {
    constexpr int TURNS = PIECE / (THREADS * W);
    Pack<W> old[TURNS][N], gradient[TURNS];
#pragma unroll
    for (int t = 0; t < TURNS; ++t) {
        const int i = (t * THREADS + threadIdx.x) * W;
        gradient[t] = load<W>(g + i, i + W <= n, n - i);
#pragma unroll
        for (int a = 0; a < N; ++a) old[t][a] = load<W>(state[a] + i, i + W <= n, n - i);
    }
#pragma unroll
    for (int t = 0; t < TURNS; ++t) {
        const int i = (t * THREADS + threadIdx.x) * W;
#pragma unroll
        for (int k = 0; k < W; ++k) {
            real numbers[N];
#pragma unroll
            for (int a = 0; a < N; ++a) numbers[a] = old[t][a].of[k];
            f(numbers, gradient[t].of[k]);
#pragma unroll
            for (int a = 0; a < N; ++a) old[t][a].of[k] = numbers[a];
        }
#pragma unroll
        for (int a = 0; a < N; ++a) store(state[a] + i, old[t][a], i + W <= n, n - i);
    }
}

// The same for this block's piece; the arrays of `state` begin where the part does.
template <int N, class F>
__device__ __forceinline__ void update(real* const (&state)[N], const Parts& parts, int part, F f) {
    const long long first = (blockIdx.x - parts.block[part]) * (long long)PIECE, n = parts.size[part] - first;
    const real* const g = parts.from[part] + first;
    real* here[N];
    bool whole = aligned(g);
#pragma unroll
    for (int a = 0; a < N; ++a) here[a] = state[a] + first, whole = whole && aligned(here[a]);
    if (whole) update_packs<WIDE>(here, g, n, f);
    else update_packs<1>(here, g, n, f);
}

// A number: the double that the device finds at its dial, if it has one.
__device__ __forceinline__ real now(double value, const void* dial) {
    return dial != nullptr ? *static_cast<const double*>(dial) : value;
}

extern "C" __global__ void __launch_bounds__(THREADS)
sgd(real* p, real* v, double lr, const void* lr_dial, real momentum, Parts parts) {
    const int part = part_of_block(parts);
    const long long i = parts.begin[part];
    const real rate = now(lr, lr_dial);
    update({p + i, v + i}, parts, part, [=](real* of, real g) {
        of[1] = momentum * of[1] + g;
        of[0] -= rate * of[1];
    });
}

extern "C" __global__ void __launch_bounds__(THREADS)
rmsprop(real* p, real* v, double lr, const void* lr_dial, real alpha, real rest, real eps, Parts parts) {
    const int part = part_of_block(parts);
    const long long i = parts.begin[part];
    const real rate = now(lr, lr_dial);
    update({p + i, v + i}, parts, part, [=](real* of, real g) {
        of[1] = alpha * of[1] + rest * (g * g);
        of[0] -= rate * g / (sqrt(of[1]) + eps);
    });
}

extern "C" __global__ void __launch_bounds__(THREADS)
adam(real* p, real* m, real* v, double step, const void* step_dial, real rest1, real beta2, real rest2, double eps,
     const void* eps_dial, Parts parts) {
    const int part = part_of_block(parts);
    const long long i = parts.begin[part];
    const real rate = now(step, step_dial), small = now(eps, eps_dial);
    update({p + i, m + i, v + i}, parts, part, [=](real* of, real g) {
        of[1] += rest1 * (g - of[1]);
        of[2] = beta2 * of[2] + rest2 * (g * g);
        of[0] -= rate * of[1] / (sqrt(of[2]) + small);
    });
}

extern "C" __global__ void __launch_bounds__(THREADS)
ema(double rest, const void* rest_dial, Parts parts) {
    const int part = part_of_block(parts);
    const real share = now(rest, rest_dial);
    update({parts.to[part]}, parts, part, [=](real* of, real p) { of[0] += share * (p - of[0]); });
}
