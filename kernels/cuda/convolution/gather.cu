// Convolution and its gradient in the image, which is also the transposed convolution, as one matrix product:
//     conv2d       y[n,oh,ow,o]  = lrelu(b[o] + sum over kh,kw,c of x[n, oh S+kh-P, ow S+kw-P, c] w[kh,kw,c,o])
//     conv2d_dx    gx[n,i,j,c]   = lrelu(b[c] + sum over kh,kw,o of gy[n, (i+P-kh)/S, (j+P-kw)/S, o] w[kh,kw,c,o])
// where the second sum runs over the taps for which S divides. Layout NHWC, weights (KH,KW,C,O) for both.
//
//   conv2d_naive, conv2d_dx_naive    one thread computes one output: the definition, and the way of float64
//   gather, TRANSPOSED 0             rows of A are windows, gathered tap by tap while they are copied; B is w
//   gather, TRANSPOSED 1             pixels with the same (i+P) % S, (j+P) % S see the same taps: S x S phases, each of
//                                    them a convolution with stride 1, so that nothing is multiplied by zeros
//   gather, TRANSPOSED 2             all phases read the same gy: of few channels they are columns of one product
//   add_parts (product.cuh)          few tiles and a long sum: many blocks take a part of it, and the parts are added
#include "device.cuh"
#include "product.cuh"

#ifndef TRANSPOSED
#define TRANSPOSED 0
#endif

// --- one thread, one output ------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(256)
conv2d_naive(const real* x, const real* w, const real* b, real* y, Shape s, real slope) {
    long long i = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
    if (i >= static_cast<long long>(s.N) * s.OH * s.OW * s.O) return;
    int o = i % s.O, ow = i / s.O % s.OW, oh = i / s.O / s.OW % s.OH;
    long long n = i / s.O / s.OW / s.OH;
    x += static_cast<long long>(blockIdx.y) * s.x, w += static_cast<long long>(blockIdx.y) * s.w, y += blockIdx.y * s.y;
    real sum = 0;
    for (int kh = 0; kh < s.KH; kh++)
        for (int kw = 0; kw < s.KW; kw++) {
            int h = oh * s.S + kh - s.P, v = ow * s.S + kw - s.P;
            if (h < 0 || h >= s.H || v < 0 || v >= s.W) continue;
            const real* pixel = x + ((n * s.H + h) * s.W + v) * s.pixel;
            const real* tap = w + static_cast<long long>(kh * s.KW + kw) * s.C * s.O + o;
            for (int c = 0; c < s.C; c++) sum += pixel[c] * tap[static_cast<long long>(c) * s.O];
        }
    if (b) sum += b[o % s.period];
    y[i] = sum > 0 ? sum : slope * sum;
}

extern "C" __global__ void __launch_bounds__(256)
conv2d_dx_naive(const real* gy, const real* w, const real* b, real* gx, Shape s, real slope) {
    long long i = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
    if (i >= static_cast<long long>(s.N) * s.H * s.W * s.C) return;
    int c = i % s.C, v = i / s.C % s.W, h = i / s.C / s.W % s.H;
    long long n = i / s.C / s.W / s.H;
    gy += blockIdx.y * s.x, w += blockIdx.y * s.w, gx += blockIdx.y * s.y;
    real sum = 0;
    for (int kh = (h + s.P) % s.S; kh < s.KH; kh += s.S)
        for (int kw = (v + s.P) % s.S; kw < s.KW; kw += s.S) {
            int oh = (h + s.P - kh) / s.S, ow = (v + s.P - kw) / s.S;
            if (h + s.P < kh || oh >= s.OH || v + s.P < kw || ow >= s.OW) continue;
            const real* pixel = gy + ((n * s.OH + oh) * s.OW + ow) * s.pixel;
            const real* tap = w + (static_cast<long long>(kh * s.KW + kw) * s.C + c) * s.O;
            for (int o = 0; o < s.O; o++) sum += pixel[o] * tap[o];
        }
    if (b) sum += b[c % s.period];
    gx[i] = sum > 0 ? sum : slope * sum;
}

// --- tiles on tensor cores -------------------------------------------------------------------------------------

// What all copies of a line have in common: where its window begins, as an offset and as pixel (y, z); w: its result.
#if TRANSPOSED
__device__ __forceinline__ int4 row_at(const Shape& s, int m, int a, int b) {
    if (m >= s.N * s.rows * s.cols) return make_int4(0, FAR, FAR, 0);
    int j = m % s.cols, i = m / s.cols % s.rows, n = m / s.cols / s.rows;
#if TRANSPOSED == 2
    int oh = s.P / s.S + i, ow = s.P / s.S + j, h = oh * s.S - s.P, v = ow * s.S - s.P;  // pixel of phase 0, 0
#else
    int h = i * s.S + ((a - s.P) % s.S + s.S) % s.S, v = j * s.S + ((b - s.P) % s.S + s.S) % s.S;
    int oh = (h + s.P - a) / s.S, ow = (v + s.P - b) / s.S;
    if (h >= s.H || v >= s.W) return make_int4(0, FAR, FAR, 0);
#endif
    int from = ((n * s.OH + oh) * s.OW + ow) * s.pixel + blockIdx.y * s.x;
    return make_int4(from, oh, ow, ((n * s.H + h) * s.W + v) * s.C);
}

__device__ __forceinline__ int4 column_at(const Shape& s, int n, int a, int b) {
#if TRANSPOSED == 2
    int phase = n / s.C;
    n %= s.C, a = phase / s.S, b = phase % s.S;
    if (a >= s.S) return make_int4(0, FAR, FAR, 0);
#endif
    if (n >= s.C) return make_int4(0, FAR, FAR, 0);
    return make_int4(((a * s.KW + b) * s.C + n) * s.O + blockIdx.y * s.w, a, b, 0);
}
#else
__device__ __forceinline__ int4 row_at(const Shape& s, int m, int, int) {
    if (m >= s.N * s.OH * s.OW) return make_int4(0, FAR, FAR, 0);
    int ow = m % s.OW, oh = m / s.OW % s.OH, n = m / s.OW / s.OH, h = oh * s.S - s.P, v = ow * s.S - s.P;
    return make_int4(((n * s.H + h) * s.W + v) * s.pixel + blockIdx.y * s.x, h, v, m * s.O);
}
#endif

// The number c of tap (u, v) at which a thread stands in K; goes on by BK = taps * depth + rest without a division.
struct Walk {
    int c, v, u;
    __device__ __forceinline__ Walk(const Shape& s, int depth, int width, int k) {
        c = k % depth, v = k / depth % width, u = k / depth / width;
    }
    __device__ __forceinline__ void go(const Shape& s, int depth, int width) {
        c += s.rest, v += s.taps;
        if (c >= depth) c -= depth, v++;
        while (v >= width) v -= width, u++;
    }
};

// What lies `offset` from the beginning of each line's window, if its pixel is in the image: so far down and right.
template <int lines, int bit>
__device__ __forceinline__ void copy_along(float* to, const int4* table, const float* from, int offset, int down,
                                           int right, int height, int width) {
    const int k = threadIdx.x % (BK / VA) * VA;
    share_table<lines, THREADS * VA / BK>(table, threadIdx.x % THREADS / (BK / VA), [&](int line, int4 at) {
        bool in = inside(at.y + down, height) && inside(at.z + right, width);
        copy<VA>(to + along<bit>(line, k), from + (at.x + offset), in);
    });
}

// Stores GROUP results of neighbouring columns from n on, of the row `at`.
__device__ __forceinline__ void store(float* y, const Shape& s, int4 at, int n, int columns, const float (&v)[GROUP]) {
#if TRANSPOSED == 2
    static_assert(GROUP == 1, "");
    int phase = n / s.C, a = phase / s.S, b = phase % s.S, h = at.y * s.S - s.P + a, w = at.z * s.S - s.P + b;
    if (n < columns && inside(h, s.H) && inside(w, s.W)) y[at.w + (a * s.W + b) * s.C + n % s.C] = v[0];
#else
    put(y + at.w, n, columns, v);
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
gather(const float* x, const float* w, const float* b, float* y, Shape s, float slope) {
    SHARED(float, memory);
    float *tiles_a = memory, *tiles_b = memory + STAGES * BM * BK;
    int4* rows = reinterpret_cast<int4*>(tiles_b + STAGES * BN * BK);

    const int N = TRANSPOSED == 2 ? s.S * s.S * s.C : TRANSPOSED ? s.C : s.O, tiles_n = (N + BN - 1) / BN;
    const int m0 = blockIdx.x / tiles_n * BM, n0 = blockIdx.x % tiles_n * BN;
    const int part = blockIdx.z % s.splits, phase = blockIdx.z / s.splits, pa = phase / s.S, pb = phase % s.S;
    const int depth = TRANSPOSED ? s.O : s.C;
    const int U = TRANSPOSED ? (s.KH - pa + s.S - 1) / s.S : s.KH, V = TRANSPOSED ? (s.KW - pb + s.S - 1) / s.S : s.KW;
    const int K = U * V * depth, begin = part * s.steps, steps = min(s.steps, (K + BK - 1) / BK - begin);
    y += blockIdx.y * s.y + part * s.part;

    share<BM>([&](int i, int first) { rows[first + i * THREADS] = row_at(s, m0 + first + i * THREADS, pa, pb); });
#if TRANSPOSED
    int4* columns = rows + BM;
    share<BN>([&](int i, int first) { columns[first + i * THREADS] = column_at(s, n0 + first + i * THREADS, pa, pb); });
#endif
    __syncthreads();

    const int warp_m = threadIdx.x / 32 % (BM / WM) * WM, warp_n = threadIdx.x / 32 / (BM / WM) * WN;
    Tile c = {};
    if (steps > 0) {
        Walk at(s, depth, V, begin * BK + threadIdx.x % (BK / VA) * VA);
        int k0 = begin * BK;
        const float* lane_a = tiles_a + lane_along(warp_m, true);
        const float* lane_b = tiles_b + (TRANSPOSED ? lane_along(warp_n, false) : lane_across<BN>(warp_n));
        accumulate(c, steps,
            [&](int stage) {
                float *a = tiles_a + stage * BM * BK, *right = tiles_b + stage * BN * BK;
                bool in = at.u < U;
#if TRANSPOSED
                copy_along<BM, A_BIT>(a, rows, x, at.c - (at.u * s.OW + at.v) * s.pixel, in ? -at.u : FAR, -at.v,
                                      s.OH, s.OW);
                copy_along<BN, B_BIT>(right, columns, w, (at.u * s.KW + at.v) * s.S * s.C * s.O + at.c,
                                      in ? at.u * s.S : FAR, at.v * s.S, s.KH, s.KW);
#else
                copy_along<BM, A_BIT>(a, rows, x, (at.u * s.W + at.v) * s.pixel + at.c, in ? at.u : FAR, at.v,
                                      s.H, s.W);
                copy_across<BN, VB>(right, w, blockIdx.y * s.w, s.O, k0, K, n0, s.O);
#endif
                at.go(s, depth, V);
                k0 += BK;
            },
            [&](RowsOfA& a, int stage, int k) { read_a_along(a, lane_a + stage * BM * BK, k); },
            [&](ColumnsOfB& right, int stage, int k, int n) {
#if TRANSPOSED
                read_b_along(right, lane_b + stage * BN * BK, k, n);
#else
                read_b_across(right, lane_b + stage * BN * BK, k, n);
#endif
            });
    }
#pragma unroll
    for (int q = 0; q < NT * 2; q += GROUP) {  // two float4 of each row from 32 columns
        const int j = q / 2 / GROUP * GROUP, e = q / GROUP % 2, n = n0 + warp_n + column_of(j, e);
        float add[GROUP];
#pragma unroll
        for (int i = 0; i < GROUP; i++) add[i] = b && n + i < N ? b[(n + i) % s.period] : 0;
#pragma unroll
        for (int i = 0; i < MT * 2; i++) {
            int4 row = rows[warp_m + row_of(false, i / 2, i % 2)];
            float v[GROUP];
#pragma unroll
            for (int x = 0; x < GROUP; x++) v[x] = activate(c[i / 2][j + x][i % 2 * 2 + e] + add[x], slope);
            if (row.y != FAR) store(y, s, row, n, N, v);
        }
    }
}
