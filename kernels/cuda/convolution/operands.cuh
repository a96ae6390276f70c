// The operands of a tile of a matrix product, C (BM x BN) += A (BM x K) B (K x BN), on their way to the tensor cores:
// copied from global to shared memory 32 k at a time, read from there by warps 16 k at a time. A line is a row of A or
// a column of B. In shared memory an operand lies
//     along     [line][k], if k runs fastest in global memory: the pixels of a window, the weights read transposed
//     across    [k][line], if lines do: the weights; both operands of the weight gradient
//
// The sum over k has no order as long as A and B agree, and lines may be in any order if the result is stored in it. So
// a lane takes what it can read at once, four numbers side by side. With g = lane / 4 and t = lane % 4
//     k        of every 16 lane t takes 4t .. 4t+3: t and t+4 of one product of eight k, and of a second one
//     lines    across, of every 32 lane g takes 4p(g) .. 4p(g)+3, p(g) = g/2 + 4 (g%2), and B's columns always: results
//              then are four side by side, too, and the four lanes of a g store 64 bytes in a row
// The ^ in the addresses moves numbers so that the eight lanes that are served together never meet in a memory bank.
#pragma once

#ifndef BM  // so that the file compiles by itself: launches name the whole tile
#define BM 64
#define BN 64
#define WM 32
#define WN 32
#define STAGES 3  // buffers of shared memory
#define BLOCKS 3  // that a multiprocessor holds at once: bounds the registers
#endif
#ifndef VA
#define VA 4  // numbers of A copied at once; conv2d_dx: of B, too
#define VB 4
#endif
#define BK 32

constexpr int THREADS = BM / WM * (BN / WN) * 32, MT = WM / 16, NT = WN / 8, GROUP = NT % 4 ? 1 : 4;
static_assert(WM % 32 == 0 && BM % WM == 0 && BN % WN == 0 && (NT % 4 == 0 || NT < 4), "");

typedef float RowsOfA[MT][2][4];     // of a warp: [i][h][s] is row g + 8h of product i, number s of a lane's four k
typedef float ColumnsOfB[GROUP][4];  // columns g of GROUP products

__device__ __forceinline__ int lane_g() { return threadIdx.x % 32 / 4; }
__device__ __forceinline__ int lane_t() { return threadIdx.x % 4; }
__device__ __forceinline__ int p(int g) { return g / 2 + 4 * (g % 2); }

// --- from global to shared memory ------------------------------------------------------------------------------

template <int V>
__device__ __forceinline__ void copy(float* to, const float* from, bool in) {
    if (V == 4) copy16(to, from, in);
    else copy4(to, from, in);
}

// Where number k of a line lies. `bit` of its number tells lines apart that are read together.
template <int bit>
__device__ __forceinline__ int along(int line, int k) { return line * BK + (k ^ (line >> bit & 1) << 4); }

template <int lines>
__device__ __forceinline__ int across(int k, int line) {
    int row = (k & 16) + (k & 3) * 4 + (k >> 2 & 3);
    return row * lines + (lines < 32 ? line : line ^ (row & 3) << 2);
}

constexpr int A_BIT = 0, B_BIT = GROUP == 4 ? 4 : 0;

// Calls one(i, first), i = 0, 1, ...: the threads share `count` pieces, and this one takes first + i THREADS.
template <int count, class One>
__device__ __forceinline__ void share(One one) {
    constexpr int times = (count + THREADS - 1) / THREADS, at_once = times > 8 ? 8 : times;
    int first = threadIdx.x % THREADS;  // so that the compiler knows it to be below THREADS
#pragma unroll at_once
    for (int i = 0; i < times; i++)
        if (count % THREADS == 0 || first + i * THREADS < count) one(i, first);
}

// Calls one(i, table[i]) for i = first, first + next, ... below n. The table, in shared memory, is read four entries at
// a time: between such a read and the asynchronous copy behind it the compiler puts instructions that do nothing.
template <int n, int next, class One>
__device__ __forceinline__ void share_table(const int4* table, int first, One one) {
    constexpr int count = (n + next - 1) / next, some = count % 4 ? 1 : 4;
#pragma unroll
    for (int i = 0; i < count; i += some) {
        if (n % next && first + i * next >= n) break;
        int4 at[some];
#pragma unroll
        for (int q = 0; q < some; q++) at[q] = table[first + (i + q) * next];
#pragma unroll
        for (int q = 0; q < some; q++) one(first + (i + q) * next, at[q]);
    }
}

// Rows k0 .. k0+31 of a matrix (K, N) that begins at from[offset], columns n0 .. n0+lines-1; zeros outside.
template <int lines, int V>
__device__ __forceinline__ void copy_across(float* to, const float* from, int offset, int stride, int k0, int K, int n0,
                                            int N) {
    constexpr int run = lines / V;
    static_assert(THREADS % run == 0, "");
    share<BK * run>([&](int i, int first) {
        int k = first / run + i * THREADS / run, n = first % run * V;
        copy<V>(to + across<lines>(k, n), from + ((k0 + k) * stride + n0 + n + offset), k0 + k < K && n0 + n < N);
    });
}

__device__ __forceinline__ bool inside(int i, int n) { return static_cast<unsigned>(i) < static_cast<unsigned>(n); }

// --- from shared memory to registers ---------------------------------------------------------------------------

// Where a lane's numbers begin if the warp's first line is `line`; from there on all addresses are constants.
__device__ __forceinline__ int lane_along(int line, bool of_a) {
    return (line + (of_a || GROUP == 1 ? lane_g() : 4 * p(lane_g()))) * BK + 4 * lane_t();
}
template <int lines>
__device__ __forceinline__ int lane_across(int line) {
    return lane_t() * lines + line + (lines < 32 ? lane_g() : 4 * p(lane_g()) ^ 4 * lane_t());
}

__device__ __forceinline__ void take(float (&to)[4], const float* from) {
    float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}

// 16 k from k0 on, 0 or 16. Of all lines that a lane reads along, the bit that moves them is that of g.
__device__ __forceinline__ int moved(int k0) { return k0 ^ (lane_g() & 1) << 4; }

__device__ __forceinline__ void read_a_along(RowsOfA& a, const float* lane, int k0) {
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) take(a[i][h], lane + moved(k0) + (16 * i + 8 * h) * BK);
}

__device__ __forceinline__ void read_a_across(RowsOfA& a, const float* lane, int k0) {
#pragma unroll
    for (int i = 0; i < MT; i += 2)
#pragma unroll
        for (int s = 0; s < 4; s++) {
            float v[4];
            take(v, lane + (k0 + 4 * s) * BM + 16 * i);
            a[i][0][s] = v[0], a[i][1][s] = v[1], a[i + 1][0][s] = v[2], a[i + 1][1][s] = v[3];
        }
}

// The columns of GROUP products from column n of the warp on.
__device__ __forceinline__ void read_b_along(ColumnsOfB& b, const float* lane, int k0, int n) {
#pragma unroll
    for (int x = 0; x < GROUP; x++) take(b[x], lane + moved(k0) + (n + x) * BK);
}

__device__ __forceinline__ void read_b_across(ColumnsOfB& b, const float* lane, int k0, int n) {
#pragma unroll
    for (int s = 0; s < 4; s++) {
        const float* from = lane + (k0 + 4 * s) * BN + n;
        if constexpr (GROUP == 4) {
            float v[4];
            take(v, from);
            b[0][s] = v[0], b[1][s] = v[1], b[2][s] = v[2], b[3][s] = v[3];
        } else b[0][s] = *from;
    }
}
