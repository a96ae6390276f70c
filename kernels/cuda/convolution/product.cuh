// The product of a tile on tensor cores, C (BM x BN) += A (BM x K) B (K x BN), and what happens to its result. Included
// by gather.cu and weights.cu, which say what A and B are; operands.cuh says how they get here.
//
// BM/WM x BN/WN warps share the tile, each holds WM x WN of it in registers: WM/16 x WN/8 products of the tensor core.
// K goes in steps of 32 through STAGES buffers, which asynchronous copies fill while the oldest is multiplied.
#pragma once
#include "operands.cuh"

#ifndef PRECISION
#define PRECISION 0  // of operands, 0 tf32: 10 bits of mantissa, 1 fp32: two numbers of those, 2 bf16: 7 bits
#endif
#ifndef REAL
#define REAL float  // of the naive kernels
#endif
typedef REAL real;

struct Shape {  // of a convolution, x (N,H,W,C), w (KH,KW,C,O), y (N,OH,OW,O), stride S, pad P, and of its launch
    int N, H, W, C, KH, KW, OH, OW, O, S, P;
    int pixel, other;        // numbers from one pixel to the next, of the image that is read; weights: of x, of gy
    int rows, cols;          // gather: pixels of a phase, at most
    int splits, steps;       // parts of the sum, steps of BK in each
    int taps, rest, images;  // gather: BK / channels, BK % channels; weights: BK / OW % OH, BK % OW, BK / OW / OH
    int period;              // gather: b repeats itself after so many columns
    int x, w;                // numbers from one product to the next, of gridDim.y, in the first and the second operand
    long long y, part;       // and in the result; from one part of the sum to the next
};

constexpr int FAR = 1 << 28;  // where no pixel and no tap lies, nor what is added to it

typedef float Tile[MT][NT][4];  // of a warp: [i][j][2h + x] is row g + 8h, column 2t + x of product (i, j)

// The row of (i, h), A lying across or along, and the first of GROUP columns of (j, x), j a multiple of GROUP.
__device__ __forceinline__ int row_of(bool across, int i, int h) {
    return across ? i / 2 * 32 + 4 * p(lane_g()) + i % 2 * 2 + h : 16 * i + 8 * h + lane_g();
}
__device__ __forceinline__ int column_of(int j, int x) {
    return GROUP == 4 ? 8 * j + 4 * (lane_t() + 4 * x) : 8 * j + 2 * lane_t() + x;
}

// --- three precisions ------------------------------------------------------------------------------------------

// x and half a unit of its 10 bits of mantissa: the tensor core cuts off the rest, so this rounds to nearest, ties away
// from zero. cvt.rna.tf32 does the same in four instructions instead of two. Infinity and every NaN stay what they are.
__device__ __forceinline__ unsigned nearest(float x) {
    float power = __uint_as_float(__float_as_uint(x) & 0xff800000);  // of two, with the sign of x
    return __float_as_uint(x + power * 0x1p-11f);
}

// c[.][j0 .. j0+GROUP-1] += a b over 16 k.
#if PRECISION == 0
__device__ __forceinline__ void multiply(Tile& c, int j0, const RowsOfA& a, const ColumnsOfB& b) {
#pragma unroll
    for (int s = 0; s < 4; s += 2) {
        unsigned right[GROUP][2];
#pragma unroll
        for (int j = 0; j < GROUP; j++) right[j][0] = nearest(b[j][s]), right[j][1] = nearest(b[j][s + 1]);
#pragma unroll
        for (int i = 0; i < MT; i++) {
            unsigned left[4];
#pragma unroll
            for (int x = 0; x < 4; x++) left[x] = nearest(a[i][x % 2][s + x / 2]);
#pragma unroll
            for (int j = 0; j < GROUP; j++) mma_tf32(c[i][j0 + j], left, right[j]);
        }
    }
}
#elif PRECISION == 1
// x = large + small; small large + large small + large large misses 2^-22 of the product. What the tensor core sums
// over 16 k is added to c outside of it, to nearest: inside it is cut off, and that adds up (Ootomo and Yokota 2022).
__device__ __forceinline__ void split(float x, unsigned& large, unsigned& small) {
    large = nearest(x) & 0xffffe000;
    small = __float_as_uint(x - __uint_as_float(large));
}

__device__ __forceinline__ void multiply(Tile& c, int j0, const RowsOfA& a, const ColumnsOfB& b) {
#pragma unroll
    for (int i = 0; i < MT; i++) {
        float sum[GROUP][4] = {};
#pragma unroll
        for (int s = 0; s < 4; s += 2) {
            unsigned left[2][4], right[2][GROUP][2];
#pragma unroll
            for (int x = 0; x < 4; x++) split(a[i][x % 2][s + x / 2], left[0][x], left[1][x]);
#pragma unroll
            for (int x = 0; x < 2 * GROUP; x++)
                split(b[x / 2][s + x % 2], right[0][x / 2][x % 2], right[1][x / 2][x % 2]);
#pragma unroll
            for (int x = 2; x >= 0; x--)
#pragma unroll
                for (int j = 0; j < GROUP; j++) mma_tf32(sum[j], left[x == 2], right[x == 1][j]);
        }
#pragma unroll
        for (int x = 0; x < 4 * GROUP; x++) c[i][j0 + x / 4][x % 4] += sum[x / 4][x % 4];
    }
}
#else
__device__ __forceinline__ void multiply(Tile& c, int j0, const RowsOfA& a, const ColumnsOfB& b) {
    unsigned right[GROUP][2];
#pragma unroll
    for (int x = 0; x < 2 * GROUP; x++) right[x / 2][x % 2] = bf16x2(b[x / 2][x % 2 * 2], b[x / 2][x % 2 * 2 + 1]);
#pragma unroll
    for (int i = 0; i < MT; i++) {
        unsigned left[4];
#pragma unroll
        for (int x = 0; x < 4; x++) left[x] = bf16x2(a[i][x % 2][x / 2 * 2], a[i][x % 2][x / 2 * 2 + 1]);
#pragma unroll
        for (int j = 0; j < GROUP; j++) mma_bf16(c[i][j0 + j], left, right[j]);
    }
}
#endif

// --- all steps -------------------------------------------------------------------------------------------------

constexpr int AT_ONCE = PRECISION == 1 ? 1 : 2;  // halves of a step written out: two of fp32 need more registers

// c += the product over `steps` x 32 k. load(stage) starts the copies of the next step into a buffer, read_a(a, stage,
// k0) and read_b(b, stage, k0, column) take 16 k from one. One barrier a step: behind it all threads see what has
// arrived, and what was multiplied before may be overwritten.
template <class Load, class ReadA, class ReadB>
__device__ __forceinline__ void accumulate(Tile& c, int steps, Load load, ReadA read_a, ReadB read_b) {
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) {
        if (stage < steps) load(stage);
        copy_commit();
    }
    for (int step = 0, full = 0, empty = STAGES - 1; step < steps; step++) {
        copy_wait<STAGES - 2>();
        __syncthreads();
#pragma unroll AT_ONCE
        for (int k = 0; k < BK; k += 16) {
            RowsOfA a;
            read_a(a, full, k);
#pragma unroll
            for (int j = 0; j < NT; j += GROUP) {
                ColumnsOfB b;
                read_b(b, full, k, 8 * j);
                if (k == 0 && j == 0) {
                    if (step + STAGES - 1 < steps) load(empty);
                    copy_commit();
                }
                multiply(c, j, a, b);
            }
        }
        full = full == STAGES - 1 ? 0 : full + 1;
        empty = empty == STAGES - 1 ? 0 : empty + 1;
    }
}

// Stores GROUP results of columns n, n+1, ... of a row of so many columns.
__device__ __forceinline__ void put(float* row, int n, int columns, const float (&v)[GROUP]) {
    if constexpr (GROUP == 4)
        if (columns % 4 == 0) {
            if (n < columns) *reinterpret_cast<float4*>(row + n) = make_float4(v[0], v[1], v[2], v[3]);
            return;
        }
#pragma unroll
    for (int x = 0; x < GROUP; x++)
        if (n + x < columns) row[n + x] = v[x];
}

__device__ __forceinline__ float activate(float v, float slope) { return v > 0 ? v : slope * v; }

// y = lrelu(b + sum over s of parts[s]), b may be null: the parts of a split sum, always added in the same order. A
// block computes 256 / lanes numbers; `lanes` threads share the parts of each, every lanes-th is one's own.
extern "C" __global__ void __launch_bounds__(256)
add_parts(const float* parts, const float* b, float* y, int splits, int lanes, long long size, int period,
          float slope) {
    SHARED(float, sums);
    int numbers = 256 / lanes, lane = threadIdx.x / numbers;
    long long i = static_cast<long long>(blockIdx.x) * numbers + threadIdx.x % numbers;
    float sum = 0;
    if (i < size)
#pragma unroll 8
        for (int s = lane; s < splits; s += lanes) sum += parts[s * size + i];
    if (lanes > 1) {
        sums[threadIdx.x] = sum;
        __syncthreads();
        for (int j = 1; lane == 0 && j < lanes; j++) sum += sums[threadIdx.x + j * numbers];
    }
    if (lane == 0 && i < size) y[i] = activate(b ? sum + b[i % period] : sum, slope);
}
