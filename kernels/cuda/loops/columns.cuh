// (G, M, C) as columns: what is summed over the M rows of a group, or done alike to each row of a channel. A block
// takes one chunk of rows in as many channels as fill 128 bytes, a line of memory: threadIdx.x counts packs of W
// channels, threadIdx.y rows. A thread keeps its channels, so that no index is divided along the way.
// Sums have one order: rows in a thread, threads in a tree, chunks in the block that finishes last.
#pragma once
#include "loops/packs.cuh"

constexpr int W = WIDTH;  // channels of a thread: WIDE if every row begins at a multiple of 16 bytes, otherwise 1
using Row = Pack<W>;

struct Columns {
    long long M, rows;  // of a group, of a chunk
    int G, C, chunks, tiles;
};

// What a thread owns: channels c..c+W-1 of the rows first, first + step, ..., `turns` of them.
struct Place {
    int group, chunk, tile, c, turns, step;
    long long first, channel;  // channel: c in an array (G, C)
    bool writes;  // it speaks for its channels: one thread of a block does
};

__device__ __forceinline__ Place place(const Columns& s) {
    Place at;
    const int rest = blockIdx.x / s.tiles;
    at.tile = blockIdx.x % s.tiles, at.chunk = rest % s.chunks, at.group = rest / s.chunks;
    at.c = (at.tile * blockDim.x + threadIdx.x) * W;
    at.channel = at.group * (long long)s.C + at.c;
    at.writes = threadIdx.y == 0 && at.c < s.C;
    const long long begin = at.chunk * s.rows + threadIdx.y, end = min(s.M, (at.chunk + 1) * s.rows);
    at.turns = at.c < s.C && begin < end ? (unsigned)(end - begin + blockDim.y - 1) / blockDim.y : 0;
    at.step = blockDim.y, at.first = at.group * s.M + begin;
    return at;
}

// The same rows, last first: a second pass begins with what the first one has left in the cache.
__device__ __forceinline__ Place backwards(Place at) {
    at.first += (at.turns - 1) * (long long)at.step;
    at.step = -at.step;
    return at;
}

// f(packs, i) for each row of a place, i where its numbers begin in a contiguous array. All x[a] are contiguous but the
// first, which has `stride` numbers from row to row. Several rows are loaded before the first is used.
template <int N, class F>
__device__ __forceinline__ void sweep(const real* const (&x)[N], long long stride, int C, const Place& at, F f) {
    constexpr int BATCH = (N == 1 ? 4 : 2) * (W == 1 ? 2 : 1);
    const long long hop = at.step * (long long)C, first_hop = at.step * stride;
    long long i = at.first * C + at.c, j = at.first * stride + at.c;
    int left = at.turns;
#pragma unroll 1
    for (; left >= BATCH; left -= BATCH, j += BATCH * first_hop) {
        Row v[BATCH][N];
#pragma unroll
        for (int b = 0; b < BATCH; ++b)
#pragma unroll
            for (int a = 0; a < N; ++a) v[b][a] = load<W>(x[a] + (a == 0 ? j + b * first_hop : i + b * hop), true);
#pragma unroll
        for (int b = 0; b < BATCH; ++b, i += hop) f(v[b], i);
    }
#pragma unroll 1
    for (; left > 0; --left, i += hop, j += first_hop) {
        Row v[N];
#pragma unroll
        for (int a = 0; a < N; ++a) v[a] = load<W>(x[a] + (a == 0 ? j : i), true);
        f(v, i);
    }
}

// The merger of what all threadIdx.y have, for each threadIdx.x, known to all. `memory` is shared, one T a thread.
template <class T>
__device__ __forceinline__ T together(const T& own, void* memory) {
    T* const column = static_cast<T*>(memory) + threadIdx.x;
    column[threadIdx.y * blockDim.x] = own;
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) column[threadIdx.y * blockDim.x].merge(column[(threadIdx.y + half) * blockDim.x]);
    }
    __syncthreads();
    const T all = *column;
    __syncthreads();  // the memory may be used again
    return all;
}
