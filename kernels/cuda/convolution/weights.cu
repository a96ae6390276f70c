// The gradient of a convolution in its weights, as one matrix product over all pixels of the result:
//     gw[kh,kw,c,o] = sum over n,oh,ow of x[n, oh S+kh-P, ow S+kw-P, c] gy[n,oh,ow,o]
// Rows are (kh,kw,c), columns o. Both operands lie pixel after pixel, so that both stand `across` in shared memory.
//
//   conv2d_dw_naive            one thread computes one weight: the definition, and the way of float64
//   weights                    a tile of gw a block, and a part of the pixels: the sum is long, the tiles are few
//   add_parts (product.cuh)    adds the parts in order
#include "device.cuh"
#include "product.cuh"

extern "C" __global__ void __launch_bounds__(256)
conv2d_dw_naive(const real* x, const real* gy, real* gw, Shape s) {
    long long i = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
    if (i >= static_cast<long long>(s.KH) * s.KW * s.C * s.O) return;
    int o = i % s.O, c = i / s.O % s.C, kw = i / s.O / s.C % s.KW, kh = i / s.O / s.C / s.KW;
    x += blockIdx.y * static_cast<long long>(s.x), gy += blockIdx.y * static_cast<long long>(s.w);
    gw += blockIdx.y * s.y;
    real sum = 0;
    for (long long n = 0; n < s.N; n++)
        for (int oh = 0; oh < s.OH; oh++)
            for (int ow = 0; ow < s.OW; ow++) {
                int h = oh * s.S + kh - s.P, v = ow * s.S + kw - s.P;
                if (h < 0 || h >= s.H || v < 0 || v >= s.W) continue;
                sum += x[((n * s.H + h) * s.W + v) * s.pixel + c] * gy[((n * s.OH + oh) * s.OW + ow) * s.other + o];
            }
    gw[i] = sum;
}

// The pixel (n, oh, ow) of the result at which a thread stands; goes on by BK without a division.
struct Walk {
    int n, oh, ow;
    __device__ __forceinline__ Walk(const Shape& s, int k) : n(k / s.OW / s.OH), oh(k / s.OW % s.OH), ow(k % s.OW) {}
    __device__ __forceinline__ void go(const Shape& s) {
        ow += s.rest, oh += s.taps, n += s.images;
        if (ow >= s.OW) ow -= s.OW, oh++;
        if (oh >= s.OH) oh -= s.OH, n++;
    }
    __device__ __forceinline__ int4 window(const Shape& s) const {  // where it begins in x: offset, pixel (y, z)
        int h = oh * s.S - s.P, v = ow * s.S - s.P;
        return n < s.N ? make_int4(((n * s.H + h) * s.W + v) * s.pixel, h, v, 0) : make_int4(0, FAR, FAR, 0);
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
weights(const float* x, const float* gy, float* gw, Shape s) {
    SHARED(float, memory);
    float *tiles_a = memory, *tiles_b = memory + STAGES * BM * BK;
    int4* windows = reinterpret_cast<int4*>(tiles_b + STAGES * BN * BK);  // [STAGES][BK]

    const int M = s.KH * s.KW * s.C, K = s.N * s.OH * s.OW, columns = (s.O + BN - 1) / BN;
    const int m0 = blockIdx.x / columns * BM, n0 = blockIdx.x % columns * BN;
    const int start = blockIdx.z * s.steps, steps = min(s.steps, (K + BK - 1) / BK - start);
    gw += blockIdx.y * s.y + blockIdx.z * s.part;

    constexpr int run = BM / VA, next = THREADS / run;  // threads of a pixel, pixels at once
    static_assert(THREADS % run == 0 && STAGES * BK <= THREADS && BK % next == 0, "");
    const int m = m0 + threadIdx.x % run * VA, tap = m / s.C, down = m < M ? tap / s.KW : FAR, right = tap % s.KW;
    const int offset = (tap / s.KW * s.W + right) * s.pixel + m % s.C + blockIdx.y * s.x;

    if (threadIdx.x < STAGES * BK) windows[threadIdx.x] = Walk(s, start * BK + threadIdx.x).window(s);
    __syncthreads();

    const int warp_m = threadIdx.x / 32 % (BM / WM) * WM, warp_n = threadIdx.x / 32 / (BM / WM) * WN;
    const float *lane_a = tiles_a + lane_across<BM>(warp_m), *lane_b = tiles_b + lane_across<BN>(warp_n);
    Walk at(s, (start + STAGES) * BK + threadIdx.x % BK);
    int loaded = 0;
    Tile c = {};
    accumulate(c, steps,
        [&](int stage) {
            const int4* window = windows + stage * BK;
            share_table<BK, next>(window, threadIdx.x % THREADS / run, [&](int k, int4 w) {
                bool in = inside(w.y + down, s.H) && inside(w.z + right, s.W);
                copy<VA>(tiles_a + stage * BM * BK + across<BM>(k, threadIdx.x % run * VA), x + (w.x + offset), in);
            });
            copy_across<BN, VB>(tiles_b + stage * BN * BK, gy, blockIdx.y * s.w, s.other, (start + loaded) * BK, K,
                                n0, s.O);
            if (++loaded >= STAGES && threadIdx.x < BK) {  // for the next step, in place of one that was loaded long ago
                windows[(stage == STAGES - 1 ? 0 : stage + 1) * BK + threadIdx.x] = at.window(s);
                at.go(s);
            }
        },
        [&](RowsOfA& a, int stage, int k) { read_a_across(a, lane_a + stage * BM * BK, k); },
        [&](ColumnsOfB& b, int stage, int k, int n) { read_b_across(b, lane_b + stage * BN * BK, k, n); });

#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int row = m0 + warp_m + row_of(true, i, h);
            if (row >= M) continue;
#pragma unroll
            for (int j = 0; j < NT; j += GROUP)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float v[GROUP];
#pragma unroll
                    for (int q = 0; q < GROUP; q++) v[q] = c[i][j + q][2 * h + e];
                    put(gw + static_cast<long long>(row) * s.O, n0 + warp_n + column_of(j, e), s.O, v);
                }
        }
}
