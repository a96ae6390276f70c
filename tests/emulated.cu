// Kernels for tests/test_emulator.py: what CUDA promises, one kernel each.
#include "device.cuh"
#ifndef REAL
#define REAL float
#endif
typedef REAL real;

// c (16,8) += a (16,K) b (K,8) by one warp; the fragments are loaded as PTX defines them.
extern "C" __global__ void __launch_bounds__(32) product_tf32(const float* a, const float* b, float* c, int K, int round) {
    unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
    auto operand = [&](float x) { return round ? tf32(x) : __float_as_uint(x); };
    float sum[4] = {0, 0, 0, 0};
    for (int k = 0; k < K; k += 8) {
        unsigned A[4], B[2];
        A[0] = operand(a[g * K + k + t]);
        A[1] = operand(a[(g + 8) * K + k + t]);
        A[2] = operand(a[g * K + k + t + 4]);
        A[3] = operand(a[(g + 8) * K + k + t + 4]);
        B[0] = operand(b[(k + t) * 8 + g]);
        B[1] = operand(b[(k + t + 4) * 8 + g]);
        mma_tf32(sum, A, B);
    }
    c[g * 8 + 2 * t] += sum[0], c[g * 8 + 2 * t + 1] += sum[1];
    c[(g + 8) * 8 + 2 * t] += sum[2], c[(g + 8) * 8 + 2 * t + 1] += sum[3];
}

extern "C" __global__ void __launch_bounds__(32) product_bf16(const float* a, const float* b, float* c, int K) {
    unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
    float sum[4] = {0, 0, 0, 0};
    for (int k = 0; k < K; k += 16) {
        unsigned A[4], B[2];
        for (int i = 0; i < 4; i++) {
            const float* pair = a + (g + i % 2 * 8) * K + k + 2 * t + i / 2 * 8;
            A[i] = bf16x2(pair[0], pair[1]);
        }
        for (int i = 0; i < 2; i++) {
            const float* pair = b + (k + 2 * t + i * 8) * 8 + g;
            B[i] = bf16x2(pair[0], pair[8]);
        }
        mma_bf16(sum, A, B);
    }
    c[g * 8 + 2 * t] += sum[0], c[g * 8 + 2 * t + 1] += sum[1];
    c[(g + 8) * 8 + 2 * t] += sum[2], c[(g + 8) * 8 + 2 * t + 1] += sum[3];
}

// rounded (2,n): to tf32, and as the halves of a word to bfloat16.
extern "C" __global__ void rounding(const float* x, unsigned* rounded, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) rounded[i] = tf32(x[i]), rounded[n + i] = bf16x2(x[i], x[n - 1 - i]);
}

// y (5,n): the lane 5 higher by xor, 3 later, the third of each eight, the one 4 later in its half, a sum of them all
extern "C" __global__ void shuffles(const real* x, real* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    real own = x[i], sum = own;
    y[i] = __shfl_xor_sync(~0u, own, 5);
    y[n + i] = __shfl_down_sync(~0u, own, 3);
    y[2 * n + i] = __shfl_sync(~0u, own, 2, 8);
    y[3 * n + i] = __shfl_down_sync(~0u, own, 4, 16);
    for (int m = 16; m; m /= 2) sum += __shfl_xor_sync(~0u, sum, m);
    y[4 * n + i] = sum;
}

// The halves of a warp go their own ways, each with a mask of its own.
extern "C" __global__ void halves(int* y) {
    if (threadIdx.x < 16) {
        y[threadIdx.x] = __shfl_xor_sync(0xffffu, static_cast<int>(threadIdx.x), 1);
        __syncwarp(0xffff);
    } else {
        y[threadIdx.x] = __shfl_xor_sync(0xffff0000u, static_cast<int>(threadIdx.x), 2);
    }
}

// total[0..1]: how many threads, and the sum of x; tickets: who came when
extern "C" __global__ void atomics(const real* x, real* total, unsigned* ticket, unsigned* tickets) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    tickets[i] = atomicAdd(ticket, 1);
    atomicAdd(&total[0], 1);
    atomicAdd(&total[1], x[i]);
}

// Each thread copies numbers in two groups and looks at both after it waited for the older one, then for all.
// y (2,2,4) by group for a thread: seen after the first wait, seen after the second
extern "C" __global__ void copies(const float* x, float* y, int wide) {
    SHARED(float, tile);
    float *mine = tile + threadIdx.x * 8, *seen = y + threadIdx.x * 16;
    for (int group = 0; group < 2; group++) {
        if (wide) copy16(mine + group * 4, x + threadIdx.x * 8 + group * 4, threadIdx.x % 2 == 0);
        else
            for (int i = 0; i < 4; i++) copy4(mine + group * 4 + i, x + threadIdx.x * 8 + group * 4 + i, i < 3);
        copy_commit();
    }
    copy_wait<1>();
    for (int i = 0; i < 8; i++) seen[i] = mine[i];
    copy_wait<0>();
    for (int i = 0; i < 8; i++) seen[8 + i] = mine[i];
}

struct Line {
    int n;
    double slope;
    float shift;
};
extern "C" __global__ void line(const real* x, real* y, Line line) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < line.n) y[i] = line.slope * x[i] + line.shift;
}

// y (number of thread, 4): its index in the grid as x, y, z and in the block as one number
extern "C" __global__ void indices(int* y) {
    int inside = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int* at = y + 4 * (block * blockDim.x * blockDim.y * blockDim.z + inside);
    at[0] = blockIdx.x * blockDim.x + threadIdx.x, at[1] = blockIdx.y * blockDim.y + threadIdx.y;
    at[2] = blockIdx.z * blockDim.z + threadIdx.z, at[3] = inside;
}

// y[block]: the sum of the block's numbers by halving, float4 or not; some threads return before the end
extern "C" __global__ void __launch_bounds__(2 * 64) sums(const float4* x, float* y) {
    SHARED(float, tile);
    float4 four = __ldg(x + blockIdx.x * blockDim.x + threadIdx.x);
    tile[threadIdx.x] = four.x + four.y + four.z + four.w;
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x >= half) return;
        tile[threadIdx.x] += tile[threadIdx.x + half];
    }
    y[blockIdx.x] = tile[0];
}

extern "C" __global__ void hello(int n) {
    if (threadIdx.x == 3) printf("block %u, n = %d\n", blockIdx.x, n);
}
