// ring[row, i] = mean of array i, for up to 16 arrays: what a step tells about itself, kept on the device until it is read.
// One block an array; the arrays are short (losses, logits).
#include "device.cuh"

struct Arrays {
    const void* data[16];
    long long size[16];
    int wide[16];  // 1: double
};

extern "C" __global__ void __launch_bounds__(256) keep_means(float* ring, unsigned long long row, const unsigned long long* dial, Arrays arrays) {
    SHARED(double, sums);
    int i = blockIdx.x;
    double sum = 0;
    for (long long k = threadIdx.x; k < arrays.size[i]; k += blockDim.x)
        sum += arrays.wide[i] ? ((const double*)arrays.data[i])[k] : (double)((const float*)arrays.data[i])[k];
    sums[threadIdx.x] = sum;
    for (int half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) ring[(dial ? *dial : row) * 16 + i] = (float)(sums[0] / arrays.size[i]);
}
