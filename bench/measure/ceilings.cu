// What a device can do at most, by kernels that do nothing else; launched by ceilings.py.
//     fp32_loop   y <- a y + b in registers, 16 independent numbers a thread: 32 operations a turn
//     tf32_loop   C <- C + A B of 16x8x8 on tensor cores, 8 independent tiles a warp: 8 x 2048 operations a turn
//     bf16_loop   the same of 16x8x16: 8 x 4096
//     hold        does nothing for some time, so that the host can queue work behind it
// Operands are no zeros: power, and with it the clock, depends on the numbers.
#include "device.cuh"

// A number in (-1, 1) that differs from thread to thread.
__device__ __forceinline__ float number(int i) {
    unsigned mixed = (blockIdx.x * blockDim.x + threadIdx.x) * 2654435761u + i * 40503u + 12345u;
    mixed = (mixed ^ mixed >> 15) * 2246822519u;
    return static_cast<int>(mixed >> 8) * (1.0f / (1 << 23)) - 1.0f;
}

extern "C" __global__ void __launch_bounds__(256)
fp32_loop(float* out, int turns) {
    float y[16], a = 0.999f + 0.0001f * number(0), b = number(1);
    for (int k = 0; k < 16; k++) y[k] = number(2 + k);
    for (int turn = 0; turn < turns; turn++)
#pragma unroll
        for (int k = 0; k < 16; k++) y[k] = a * y[k] + b;
    float sum = 0;
    for (int k = 0; k < 16; k++) sum += y[k];
    out[blockIdx.x * 256 + threadIdx.x] = sum;
}

template <class Multiply>
__device__ __forceinline__ void tiles(float* out, int turns, Multiply multiply) {
    float c[8][4] = {};
    for (int turn = 0; turn < turns; turn++)
#pragma unroll
        for (int k = 0; k < 8; k++) multiply(c[k]);
    float sum = 0;
    for (int k = 0; k < 32; k++) sum += c[k / 4][k % 4];
    out[blockIdx.x * 256 + threadIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(256)
tf32_loop(float* out, int turns) {
    unsigned a[4], b[2];
    for (int k = 0; k < 4; k++) a[k] = tf32(number(k));
    for (int k = 0; k < 2; k++) b[k] = tf32(number(4 + k));
    tiles(out, turns, [&](float(&c)[4]) { mma_tf32(c, a, b); });
}

extern "C" __global__ void __launch_bounds__(256)
bf16_loop(float* out, int turns) {
    unsigned a[4], b[2];
    for (int k = 0; k < 4; k++) a[k] = bf16x2(number(2 * k), number(2 * k + 1));
    for (int k = 0; k < 2; k++) b[k] = bf16x2(number(8 + 2 * k), number(9 + 2 * k));
    tiles(out, turns, [&](float(&c)[4]) { mma_bf16(c, a, b); });
}

extern "C" __global__ void __launch_bounds__(32)
hold(long long nanoseconds) {
#ifdef __CUDACC__
    unsigned long long now, end;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(end));
    end += nanoseconds;
    do asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    while (now < end);
#endif
}
