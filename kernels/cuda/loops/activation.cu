// Bias and activations, forward and backward; a gradient is computed from the output, y.
//     bias_act       y = lrelu(x + b)                    gx = gy lrelu'(y), gb = the sum of gx over all rows
//     leaky_relu     y = x > 0 ? x : slope x             gx = y > 0 ? gy : slope gy
//     tanh           y = tanh(x)                         gx = gy (1 - y^2)
//     sigmoid        y = 1 / (1 + e^-x)                  softplus   y = max(x, 0) + log(1 + e^-|x|)
// There is one version of each: every number is loaded and stored once, 16 bytes at a time. With a bias, a thread keeps
// its channels (columns.cuh); gb is added up by the block that finishes last.
#include "device.cuh"
#include "loops/columns.cuh"
#include "loops/tickets.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
leaky_relu(const real* __restrict__ x, real* __restrict__ y, long long n, real slope) {
    each({x}, y, n, [=](real v) { return lrelu(v, slope); });
}

extern "C" __global__ void __launch_bounds__(THREADS)
leaky_relu_bwd(const real* __restrict__ gy, const real* __restrict__ y, real* __restrict__ gx, long long n,
               real slope) {
    each({gy, y}, gx, n, [=](real g, real v) { return v > 0 ? g : slope * g; });
}

extern "C" __global__ void __launch_bounds__(THREADS)
tanh_fwd(const real* __restrict__ x, real* __restrict__ y, long long n) {
    each({x}, y, n, [](real v) { return tanh(v); });
}

extern "C" __global__ void __launch_bounds__(THREADS)
tanh_bwd(const real* __restrict__ gy, const real* __restrict__ y, real* __restrict__ gx, long long n) {
    each({gy, y}, gx, n, [](real g, real v) { return g * (1 - v * v); });
}

extern "C" __global__ void __launch_bounds__(THREADS)
sigmoid(const real* __restrict__ x, real* __restrict__ y, long long n) {
    each({x}, y, n, [](real v) {
        const real e = exp(-fabs(v));  // at most 1
        return (v >= 0 ? 1 : e) / (1 + e);
    });
}

extern "C" __global__ void __launch_bounds__(THREADS)
softplus(const real* __restrict__ x, real* __restrict__ y, long long n) {
    each({x}, y, n, [](real v) { return max(v, real(0)) + log1p(exp(-fabs(v))); });
}

// --- with a bias --------------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS, 4)
bias_act(const real* __restrict__ x, const real* __restrict__ b, real* __restrict__ y, real slope, Columns s) {
    const Place at = place(s);
    if (at.turns == 0) return;
    const Row bias = load<W>(b + at.c, false);
    sweep({x}, s.C, s.C, at, [&](const Row(&v)[1], long long i) {
        Row out;
#pragma unroll
        for (int k = 0; k < W; ++k) out.of[k] = lrelu(v[0].of[k] + bias.of[k], slope);
        store(y + i, out, true);
    });
}

struct Sum {
    real of[W];

    __device__ __forceinline__ void merge(const Sum& other) {
#pragma unroll
        for (int k = 0; k < W; ++k) of[k] += other.of[k];
    }
};

// gy has `stride` numbers from row to row; parts (chunks, C) are the sums of the chunks.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
bias_act_bwd(const real* __restrict__ gy, long long stride, const real* __restrict__ y, real* __restrict__ gx,
             real* parts, unsigned* tickets, real* gb, real slope, Columns s) {
    SHARED(Sum, memory);
    const Place at = place(s);
    Sum own = {};
    sweep({gy, y}, stride, s.C, at, [&](const Row(&v)[2], long long i) {
        Row out;
#pragma unroll
        for (int k = 0; k < W; ++k) {
            out.of[k] = v[1].of[k] > 0 ? v[0].of[k] : slope * v[0].of[k];
            own.of[k] += out.of[k];
        }
        store(gx + i, out, true);
    });
    own = together(own, memory);
    if (at.writes)
#pragma unroll
        for (int k = 0; k < W; ++k) parts[at.chunk * (long long)s.C + at.c + k] = own.of[k];
    if (!last_block(tickets + at.tile, s.chunks, memory)) return;
    Sum all = {};
    if (at.c < s.C)
        for (int i = threadIdx.y; i < s.chunks; i += blockDim.y)
#pragma unroll
            for (int k = 0; k < W; ++k) all.of[k] += parts[i * (long long)s.C + at.c + k];
    all = together(all, memory);
    if (at.writes)
#pragma unroll
        for (int k = 0; k < W; ++k) gb[at.c + k] = all.of[k];
}
