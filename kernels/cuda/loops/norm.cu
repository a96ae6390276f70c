// Normalisation over (G, M, C): BatchNorm for G = 1 group, InstanceNorm for as many groups as pictures.
//     y = lrelu(gamma xhat + beta),  xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps), over M numbers of a channel
//     gx = gamma rstd (g - mean(g) - xhat mean(g xhat)),  g = gy lrelu'(y),  ggamma = sum g xhat,  gbeta = sum g
// Versions:
//     naive                         a block a channel, three passes: neighbouring threads read numbers that are C apart
//     statistics, normalise         two launches, wide loads, all channels and rows at once: x is read twice, y written
//     normalise_small               one launch for groups of few rows: the second pass finds x in the cache
//     sums, normalise_bwd, ..small  the same for the gradient: gy, x, y are read twice, gx written; of y only the signs
//                                   matter, and none where slope is 1
// The mean may be thousands of deviations large. So squares are those of distances from the thread's first row, means
// are distances from the group's, merged as Chan, Golub and LeVeque (1983) do: no large numbers cancel.
#include "device.cuh"
#include "loops/columns.cuh"
#include "loops/tickets.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
naive(const real* x, const real* gamma, const real* beta, real* y, real* mean, real* rstd, long long M, int C, real eps,
      real slope) {
    SHARED(real, sums);
    auto total = [&](real own) {
        sums[threadIdx.x] = own;
        for (unsigned half = THREADS / 2; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        }
        __syncthreads();
        const real all = sums[0];
        __syncthreads();
        return all;
    };
    const int c = blockIdx.x % C;
    const long long begin = blockIdx.x / C * M * C + c, end = begin + M * C, step = THREADS * (long long)C;
    const long long first = begin + threadIdx.x * (long long)C;
    real sum = 0, squares = 0;
    for (long long i = first; i < end; i += step) sum += x[i];
    const real centre = total(sum) / M;
    for (long long i = first; i < end; i += step) squares += (x[i] - centre) * (x[i] - centre);
    const real r = 1 / sqrt(total(squares) / M + eps);
    for (long long i = first; i < end; i += step) y[i] = lrelu((x[i] - centre) * r * gamma[c] + beta[c], slope);
    if (threadIdx.x == 0) mean[blockIdx.x] = centre, rstd[blockIdx.x] = r;
}

// --- forward ----------------------------------------------------------------------------------------------------

// Of n numbers in each of W channels: their mean, as distance from the group's origin, and the squares around it.
struct Moments {
    real n, mean[W], squares[W];

    __device__ __forceinline__ void merge(const Moments& other) {
        if (other.n == 0) return;
        const real share = other.n / (n + other.n);
#pragma unroll
        for (int k = 0; k < W; ++k) {
            const real off = other.mean[k] - mean[k];
            mean[k] += off * share;
            squares[k] += other.squares[k] + off * off * (n * share);
        }
        n += other.n;
    }
};

// The first row of a group.
__device__ __forceinline__ Row origin(const real* x, const Columns& s, const Place& at) {
    return at.c < s.C && s.M > 0 ? load<W>(x + at.group * s.M * s.C + at.c, true) : Row{};
}

__device__ __forceinline__ Moments moments_of_rows(const real* x, const Columns& s, const Place& at) {
    Moments own = {};
    if (at.turns == 0) return own;
    const Row first = load<W>(x + at.first * s.C + at.c, true), from = origin(x, s, at);
    sweep({x}, s.C, s.C, at, [&](const Row(&v)[1], long long) {
#pragma unroll
        for (int k = 0; k < W; ++k) {
            const real d = v[0].of[k] - first.of[k];
            own.mean[k] += d;
            own.squares[k] += d * d;
        }
    });
    own.n = at.turns;
#pragma unroll
    for (int k = 0; k < W; ++k) {
        const real off = own.mean[k] / own.n;
        own.squares[k] = max(real(0), own.squares[k] - own.mean[k] * off);
        own.mean[k] = first.of[k] - from.of[k] + off;
    }
    return own;
}

// What the chunks of a group have left in `parts`, (G, chunks, 2, C).
__device__ __forceinline__ Moments moments_of_chunks(const real* parts, const Columns& s, const Place& at) {
    Moments own = {};
    if (at.c < s.C)
        for (int b = threadIdx.y; b < s.chunks; b += blockDim.y) {
            const real* const p = parts + (at.group * (long long)s.chunks + b) * 2 * s.C + at.c;
            Moments chunk;
            chunk.n = min(s.rows, s.M - b * s.rows);
#pragma unroll
            for (int k = 0; k < W; ++k) chunk.mean[k] = p[k], chunk.squares[k] = p[s.C + k];
            own.merge(chunk);
        }
    return own;
}

// Writes mean and rstd of a group's W channels; in `all` they replace distances and squares.
__device__ __forceinline__ void finish(Moments& all, const real* x, real* mean, real* rstd, real eps, const Columns& s,
                                       const Place& at) {
    const Row from = origin(x, s, at);
#pragma unroll
    for (int k = 0; k < W; ++k) {
        all.mean[k] += from.of[k];
        all.squares[k] = 1 / sqrt(all.squares[k] / all.n + eps);
        if (at.writes) mean[at.channel + k] = all.mean[k], rstd[at.channel + k] = all.squares[k];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
statistics(const real* __restrict__ x, real* parts, real* mean, real* rstd, unsigned* tickets, real eps, Columns s) {
    SHARED(Moments, memory);
    const Place at = place(s);
    const Moments chunk = together(moments_of_rows(x, s, at), memory);
    real* const p = parts + (at.group * (long long)s.chunks + at.chunk) * 2 * s.C + at.c;
    if (at.writes)
#pragma unroll
        for (int k = 0; k < W; ++k) p[k] = chunk.mean[k], p[s.C + k] = chunk.squares[k];
    if (!last_block(tickets + at.group * s.tiles + at.tile, s.chunks, memory)) return;
    Moments all = together(moments_of_chunks(parts, s, at), memory);
    finish(all, x, mean, rstd, eps, s, at);
}

// With mean and rstd of this thread's channels.
__device__ __forceinline__ void normalise_rows(const real* x, const real* gamma, const real* beta, real* y,
                                               const real* mean, const real* rstd, real slope, const Columns& s,
                                               const Place& at) {
    if (at.turns == 0) return;
    real centre[W], scale[W], shift[W];
#pragma unroll
    for (int k = 0; k < W; ++k) centre[k] = mean[k], scale[k] = gamma[at.c + k] * rstd[k], shift[k] = beta[at.c + k];
    sweep({x}, s.C, s.C, backwards(at), [&](const Row(&v)[1], long long i) {
        Row out;
#pragma unroll
        for (int k = 0; k < W; ++k) out.of[k] = lrelu((v[0].of[k] - centre[k]) * scale[k] + shift[k], slope);
        store(y + i, out, true);
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
normalise(const real* __restrict__ x, const real* __restrict__ gamma, const real* __restrict__ beta,
          real* __restrict__ y, const real* __restrict__ mean, const real* __restrict__ rstd, real slope, Columns s) {
    const Place at = place(s);
    normalise_rows(x, gamma, beta, y, mean + at.channel, rstd + at.channel, slope, s, at);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
normalise_small(const real* __restrict__ x, const real* __restrict__ gamma, const real* __restrict__ beta,
                real* __restrict__ y, real* mean, real* rstd, real eps, real slope, Columns s) {
    SHARED(Moments, memory);
    const Place at = place(s);
    Moments all = together(moments_of_rows(x, s, at), memory);
    finish(all, x, mean, rstd, eps, s, at);
    normalise_rows(x, gamma, beta, y, all.mean, all.squares, slope, s, at);
}

// var = (1 / rstd^2 - eps) unbiased; running <- running + momentum (new - running).
extern "C" __global__ void __launch_bounds__(THREADS)
track(real* running_mean, real* running_var, const real* mean, const real* rstd, real eps, real momentum, real unbiased,
      int C) {
    const int c = blockIdx.x * THREADS + threadIdx.x;
    if (c >= C) return;
    const real var = (1 / (rstd[c] * rstd[c]) - eps) * unbiased;
    running_mean[c] += momentum * (mean[c] - running_mean[c]);
    running_var[c] += momentum * (var - running_var[c]);
}

// --- backward ---------------------------------------------------------------------------------------------------

// Over the rows: of g, and of g (x - mean); with a factor rstd, which comes later, that is g xhat.
struct Sums {
    real g[W], gx[W];

    __device__ __forceinline__ void merge(const Sums& other) {
#pragma unroll
        for (int k = 0; k < W; ++k) g[k] += other.g[k], gx[k] += other.gx[k];
    }
};

// What the gradient is made of; gy has `stride` numbers from row to row. Without y, which is then null, g is gy.
struct Given {
    const real *gy, *x, *y;
    long long stride;
    real slope;
};

// f(g, x, i) for each row.
template <class F>
__device__ __forceinline__ void sweep(const Given& in, int C, const Place& at, F f) {
    if (in.y == nullptr)
        return sweep({in.gy, in.x}, in.stride, C, at, [&](const Row(&v)[2], long long i) { f(v[0], v[1], i); });
    sweep({in.gy, in.x, in.y}, in.stride, C, at, [&](const Row(&v)[3], long long i) {
        Row g;
#pragma unroll
        for (int k = 0; k < W; ++k) g.of[k] = v[2].of[k] > 0 ? v[0].of[k] : in.slope * v[0].of[k];
        f(g, v[1], i);
    });
}

__device__ __forceinline__ Sums sums_of_rows(const Given& in, const real* mean, const Columns& s, const Place& at) {
    Sums own = {};
    if (at.turns == 0) return own;
    const Row centre = load<W>(mean, false);
    sweep(in, s.C, at, [&](const Row& g, const Row& x, long long) {
#pragma unroll
        for (int k = 0; k < W; ++k) own.g[k] += g.of[k], own.gx[k] += g.of[k] * (x.of[k] - centre.of[k]);
    });
    return own;
}

// The sums of `count` chunks or groups in `pairs`, (count, 2, C); of groups with their factors rstd, otherwise null.
__device__ __forceinline__ Sums sums_of_pairs(const real* pairs, const real* rstd, int count, const Columns& s,
                                              const Place& at) {
    Sums own = {};
    if (at.c < s.C)
        for (int i = threadIdx.y; i < count; i += blockDim.y)
#pragma unroll
            for (int k = 0; k < W; ++k) {
                const real* const p = pairs + i * 2LL * s.C + at.c + k;
                own.g[k] += p[0], own.gx[k] += rstd == nullptr ? p[s.C] : p[s.C] * rstd[i * (long long)s.C + at.c + k];
            }
    return own;
}

__device__ __forceinline__ void write(const Sums& sums, real* g, real* gx, const Place& at) {
    if (at.writes)
#pragma unroll
        for (int k = 0; k < W; ++k) g[at.c + k] = sums.g[k], gx[at.c + k] = sums.gx[k];
}

// parts (G, chunks, 2, C), totals (G, 2, C): the two sums.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
sums(const real* __restrict__ gy, long long stride, const real* __restrict__ x, const real* __restrict__ y,
     const real* __restrict__ mean, real* parts, real* totals, unsigned* tickets, real slope, Columns s) {
    SHARED(Sums, memory);
    const Place at = place(s);
    const Sums own = sums_of_rows({gy, x, y, stride, slope}, mean + at.channel, s, at);
    parts += at.group * (long long)s.chunks * 2 * s.C, totals += at.group * 2LL * s.C;
    real* const mine = parts + at.chunk * 2LL * s.C;
    write(together(own, memory), mine, mine + s.C, at);
    if (last_block(tickets + at.group * s.tiles + at.tile, s.chunks, memory))
        write(together(sums_of_pairs(parts, nullptr, s.chunks, s, at), memory), totals, totals + s.C, at);
}

// mean, rstd and sums of this thread's channels.
__device__ __forceinline__ void normalise_rows_bwd(const Given& in, const real* gamma, const real* mean,
                                                   const real* rstd, const Sums& sums, real* gx, const Columns& s,
                                                   const Place& at) {
    if (at.turns == 0) return;
    real centre[W], scale[W], shift[W], tilt[W];
#pragma unroll
    for (int k = 0; k < W; ++k) {
        centre[k] = mean[k], scale[k] = gamma[at.c + k] * rstd[k];
        shift[k] = sums.g[k] / s.M, tilt[k] = sums.gx[k] * rstd[k] * rstd[k] / s.M;
    }
    sweep(in, s.C, backwards(at), [&](const Row& g, const Row& x, long long i) {
        Row out;
#pragma unroll
        for (int k = 0; k < W; ++k) out.of[k] = (g.of[k] - shift[k] - (x.of[k] - centre[k]) * tilt[k]) * scale[k];
        store(gx + i, out, true);
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
normalise_bwd(const real* __restrict__ gy, long long stride, const real* __restrict__ x, const real* __restrict__ y,
              const real* __restrict__ gamma, const real* __restrict__ mean, const real* __restrict__ rstd,
              const real* totals, real* __restrict__ gx, real* ggamma, real* gbeta, real slope, Columns s) {
    SHARED(Sums, memory);
    const Place at = place(s);
    const real* const total = totals + at.group * 2LL * s.C + at.c;
    Sums all = {};
    if (at.turns)
#pragma unroll
        for (int k = 0; k < W; ++k) all.g[k] = total[k], all.gx[k] = total[s.C + k];
    normalise_rows_bwd({gy, x, y, stride, slope}, gamma, mean + at.channel, rstd + at.channel, all, gx, s, at);
    if (at.group == 0 && at.chunk == 0)
        write(together(sums_of_pairs(totals, rstd, s.G, s, at), memory), gbeta, ggamma, at);
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
normalise_bwd_small(const real* __restrict__ gy, long long stride, const real* __restrict__ x,
                    const real* __restrict__ y, const real* __restrict__ gamma, const real* __restrict__ mean,
                    const real* __restrict__ rstd, real* totals, unsigned* tickets, real* __restrict__ gx, real* ggamma,
                    real* gbeta, real slope, Columns s) {
    SHARED(Sums, memory);
    const Place at = place(s);
    const Given in = {gy, x, y, stride, slope};
    const Sums all = together(sums_of_rows(in, mean + at.channel, s, at), memory);
    real* const mine = totals + at.group * 2LL * s.C;
    write(all, mine, mine + s.C, at);
    normalise_rows_bwd(in, gamma, mean + at.channel, rstd + at.channel, all, gx, s, at);
    if (last_block(tickets + at.tile, s.G, memory))
        write(together(sums_of_pairs(totals, rstd, s.G, s, at), memory), gbeta, ggamma, at);
}
