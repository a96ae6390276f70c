// The primitives of a .cu file that are not plain CUDA C++, with both meanings: PTX on a GPU (sm_80 and newer), and
// under g++ the same effect by kernels/emulator/emulator.h, down to the registers' layout and the rounding.
// The fragments of a warp's matrix product, g = lane / 4, t = lane % 4:
//     tf32 m16n8k8     a[0..3] = A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4]       b[0..1] = B[t][g], B[t+4][g]
//     bf16 m16n8k16    a[0..3] = A[g][2t..], A[g+8][2t..], A[g][2t+8..], A[g+8][2t+8..], two numbers each
//                      b[0..1] = B[2t..][g], B[2t+8..][g], two numbers each, the first in the low half
//     both             c[0..3] = C[g][2t], C[g][2t+1], C[g+8][2t], C[g+8][2t+1]
#pragma once

#ifndef __CUDACC__
#include <emulator.h>
#else

// SHARED(float, tile): one pointer to the block's dynamic shared memory; the only kind that kernels use
#define SHARED(type, name)                                      \
    extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
    type* name = reinterpret_cast<type*>(dynamic_shared)

// 16 bytes from global to shared memory, past the registers; zeros if !in. Both addresses are multiples of 16.
__device__ __forceinline__ void copy16(void* shared, const void* global, bool in) {
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(in ? 16 : 0));
}

// The same for 4 bytes: for rows whose length is no multiple of four numbers.
__device__ __forceinline__ void copy4(void* shared, const void* global, bool in) {
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(global), "r"(in ? 4 : 0));
}

// Closes this thread's group of copies.
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until all but this thread's `pending` newest groups have arrived; other threads need a barrier after it.
template <int pending>
__device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// To the nearest number of 10 + 1 bits of mantissa, ties away from zero: the operand of mma_tf32.
__device__ __forceinline__ unsigned tf32(float x) {
    unsigned y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
}

// Two numbers to the nearest bfloat16, ties to even; `low` in bits 0..15.
__device__ __forceinline__ unsigned bf16x2(float low, float high) {
    unsigned y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

// C += A B, 16x8 += 16x8 8x8, by all 32 lanes of a warp.
__device__ __forceinline__ void mma_tf32(float c[4], const unsigned a[4], const unsigned b[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// C += A B, 16x8 += 16x16 16x8, by all 32 lanes of a warp.
__device__ __forceinline__ void mma_bf16(float c[4], const unsigned a[4], const unsigned b[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif
