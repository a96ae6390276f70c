// Who comes last: several blocks write parts of a sum, and the last of them adds the parts up, in their order.
#pragma once

// True in that of `blocks` blocks which comes last, and there what the others have written can be read. The ticket is 0
// before and after. `memory` is shared.
__device__ __forceinline__ bool last_block(unsigned* ticket, unsigned blocks, void* memory) {
    volatile bool* const last = static_cast<bool*>(memory);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        *last = atomicAdd(ticket, 1u) == blocks - 1;
        if (*last) *ticket = 0;
    }
    __syncthreads();
    const bool result = *last;
    __syncthreads();  // the memory may be used again
    if (result) __threadfence();
    return result;
}
