// Kernels for tests/test_emulator.py that are wrong, each in one way: `// fault` marks where.
#include "device.cuh"

extern "C" __global__ void no_barrier(float* y) {  // reverses the block's numbers
    SHARED(float, tile);
    tile[threadIdx.x] = y[threadIdx.x];
    y[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];  // fault: others have not written
}

extern "C" __global__ void overwritten(float* y, int steps) {  // moves the block's numbers on, step by step
    SHARED(float, tile);
    for (int i = 0; i < steps; i++) {
        tile[threadIdx.x] = y[threadIdx.x];
        __syncthreads();
        y[threadIdx.x] = tile[(threadIdx.x + 1) % blockDim.x];  // fault: before all have read, some write again
    }
}

extern "C" __global__ void divergent(float* y) {
    if (threadIdx.x < 40) __syncthreads();
    else y[0] = 1, __syncthreads(), y[1] = 1;  // fault: not the same barrier
    y[threadIdx.x] = 1;
}

extern "C" __global__ void one_way(float* y) {
    if (threadIdx.x < 40) __syncthreads();
    y[threadIdx.x] = __shfl_xor_sync(~0u, 1.f, 1);  // fault: lanes 0 to 7 of warp 1 are at the barrier
}

extern "C" __global__ void missing_lane(float* y) {
    if (threadIdx.x == 5) return;
    y[threadIdx.x] = __shfl_xor_sync(~0u, 1.f, 1);
}

extern "C" __global__ void half_a_warp(float* y) {
    unsigned a[4] = {}, b[2] = {};
    mma_tf32(y, a, b);
}

extern "C" __global__ void past(float* y, int by) {
    SHARED(float, tile);
    tile[static_cast<int>(threadIdx.x) + by] = 1;  // fault: past
    y[threadIdx.x] = 1;
}

extern "C" __global__ void no_wait(const float* x, float* y) {
    SHARED(float, tile);
    copy4(tile + threadIdx.x, x + threadIdx.x, true);
    copy_commit();
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void no_commit(const float* x, float* y) {
    SHARED(float, tile);
    copy4(tile + threadIdx.x, x + threadIdx.x, true);
    copy_wait<0>();
    y[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void crooked(const float* x) {
    SHARED(float, tile);
    copy16(tile, x + 1, true);  // fault: crooked
}

extern "C" __global__ void outside(const float* x) {
    SHARED(float, tile);
    copy4(tile + 64 + threadIdx.x, x, true);  // fault: outside
}

extern "C" __global__ void beyond(float* y, long long by) {
    y[threadIdx.x] = y[threadIdx.x + by];  // fault: beyond
}

extern "C" __global__ void deep(float* y) {
    volatile char much[1 << 20];
    much[threadIdx.x] = 1;
    y[threadIdx.x] = much[threadIdx.x];
}
