// What a .cu file sees under g++: the words of CUDA C++ that kernels use. A thread of CUDA is a fiber; what makes
// threads wait for each other (barriers, shuffles, matrix products) is in runtime.cpp, everything else is here.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <type_traits>

#define __global__ __attribute__((used))
#define __device__
#define __host__
#define __forceinline__ inline
#define __align__(n) alignas(n)
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))  // the loader reads it, g++ does not
#define __shared__ error_use_SHARED_of_device_cuh

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// --- what the runtime does ------------------------------------------------------------------------------------

namespace emulator {
struct Place {
    const char* file;
    int line;
};

#pragma GCC visibility push(default)
extern const dim3* thread;           // threadIdx of the running thread
extern dim3 block, threads, blocks;  // blockIdx, blockDim, gridDim
extern char* shared;                 // the block's dynamic shared memory

void barrier(Place place);
void warp_barrier(unsigned mask, Place place);
uint64_t shuffle(unsigned mask, uint64_t value, unsigned source, Place place);
void mma(unsigned depth, float* c, const unsigned* a, const unsigned* b, Place place);  // 8: tf32, 16: bf16
void copy(void* to, const void* from, unsigned bytes, bool in, Place place);
void copy_commit();
void copy_wait(unsigned pending);
#pragma GCC visibility pop

inline unsigned lane() { return (thread->x + threads.x * (thread->y + threads.y * thread->z)) & 31; }

template <class To, class From>
inline To bits(From from) {
    static_assert(sizeof(From) <= sizeof(To) || sizeof(To) <= sizeof(From), "");
    To to{};
    memcpy(&to, &from, sizeof(To) < sizeof(From) ? sizeof(To) : sizeof(From));
    return to;
}
}  // namespace emulator

#define threadIdx (*emulator::thread)
#define blockIdx (emulator::block)
#define blockDim (emulator::threads)
#define gridDim (emulator::blocks)
#define warpSize 32
#define SHARED(type, name) type* name = reinterpret_cast<type*>(emulator::shared)
#define EMULATOR_PLACE emulator::Place place = {__builtin_FILE(), __builtin_LINE()}  // of the caller

// --- barriers, shuffles, atomics ------------------------------------------------------------------------------

inline void __syncthreads(EMULATOR_PLACE) { emulator::barrier(place); }
inline void __syncwarp(unsigned mask = ~0u, EMULATOR_PLACE) { emulator::warp_barrier(mask, place); }
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATOR_PLACE) {
    unsigned lane = emulator::lane(), from = (lane & -width) | (source & (width - 1));
    return emulator::bits<T>(emulator::shuffle(mask, emulator::bits<uint64_t>(value), from, place));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32, EMULATOR_PLACE) {
    unsigned lane = emulator::lane(), from = lane ^ other;
    from = from > (lane | (width - 1)) ? lane : from;
    return emulator::bits<T>(emulator::shuffle(mask, emulator::bits<uint64_t>(value), from, place));
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_PLACE) {
    unsigned lane = emulator::lane(), from = lane + delta;
    from = from > (lane | (width - 1)) ? lane : from;
    return emulator::bits<T>(emulator::shuffle(mask, emulator::bits<uint64_t>(value), from, place));
}

template <class T>
T atomicAdd(T* at, std::common_type_t<T> value) {  // one thread runs at a time: nothing comes between
    static_assert(std::is_arithmetic_v<T>, "");
    T old = *at;
    *at = old + value;
    return old;
}

// --- device.cuh's primitives ----------------------------------------------------------------------------------

inline void copy16(void* shared, const void* global, bool in, EMULATOR_PLACE) {
    if (in) (void)((const volatile uint64_t*)global)[0], (void)((const volatile uint64_t*)global)[1];
    emulator::copy(shared, global, 16, in, place);
}
inline void copy4(void* shared, const void* global, bool in, EMULATOR_PLACE) {
    if (in) (void)*(const volatile uint32_t*)global;  // a bad address is found here, in the kernel's line
    emulator::copy(shared, global, 4, in, place);
}
inline void copy_commit() { emulator::copy_commit(); }
template <int pending>
void copy_wait() {
    emulator::copy_wait(pending);
}

inline unsigned tf32(float x) {
    unsigned u = emulator::bits<unsigned>(x);
    if ((u & 0x7f800000) == 0x7f800000) return x != x ? 0x7fffffff : u;  // NaN, infinity
    return (u + 0x1000) & ~0x1fffu;
}
inline unsigned bf16x2(float low, float high) {
    auto half = [](float x) {
        unsigned u = emulator::bits<unsigned>(x);
        return x != x ? 0x7fffu : (u + 0x7fff + (u >> 16 & 1)) >> 16;
    };
    return half(low) | half(high) << 16;
}
inline void mma_tf32(float* c, const unsigned* a, const unsigned* b, EMULATOR_PLACE) {
    emulator::mma(8, c, a, b, place);
}
inline void mma_bf16(float* c, const unsigned* a, const unsigned* b, EMULATOR_PLACE) {
    emulator::mma(16, c, a, b, place);
}

// --- arithmetic that CUDA C++ has and C++ has not -------------------------------------------------------------

inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
    return a < b ? a : b;
}
template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
    return a < b ? b : a;
}
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float rsqrt(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<uint64_t>(a) * b >> 32; }
inline float __uint_as_float(unsigned u) { return emulator::bits<float>(u); }
inline unsigned __float_as_uint(float x) { return emulator::bits<unsigned>(x); }
template <class T>
T __ldg(const T* at) {
    return *at;
}

#define EMULATOR_VECTOR(name, type, bytes, list, ...)          \
    struct alignas(bytes) name {                               \
        type __VA_ARGS__;                                      \
    };                                                         \
    inline name make_##name list { return name{__VA_ARGS__}; }
EMULATOR_VECTOR(float2, float, 8, (float x, float y), x, y)
EMULATOR_VECTOR(float4, float, 16, (float x, float y, float z, float w), x, y, z, w)
EMULATOR_VECTOR(double2, double, 16, (double x, double y), x, y)
EMULATOR_VECTOR(int4, int, 16, (int x, int y, int z, int w), x, y, z, w)
EMULATOR_VECTOR(uint4, unsigned, 16, (unsigned x, unsigned y, unsigned z, unsigned w), x, y, z, w)

// --- how the loader calls a kernel ----------------------------------------------------------------------------

namespace emulator {
template <class T>
constexpr int kind() {  // f, i, s(truct); of what a pointer points at: F, I, S, V(oid)
    using To = std::remove_cv_t<std::remove_pointer_t<T>>;
    int letter = std::is_floating_point_v<To> ? 'f' : std::is_integral_v<To> ? 'i' : std::is_void_v<To> ? 'v' : 's';
    return std::is_pointer_v<T> ? letter - 'a' + 'A' : letter;
}
template <class T>
constexpr int size() {
    using To = std::remove_pointer_t<T>;
    if constexpr (std::is_void_v<To>) return 0;
    else return sizeof(To);
}
template <class... P>
const int* parameters(void (*)(P...)) {  // kind and size of each, 0 at the end
    static const int table[] = {(kind<P>() << 24 | size<P>())..., 0};
    return table;
}
template <class P>
P next(const char*& values) {
    alignas(P) char value[sizeof(P)];
    memcpy(value, values, sizeof(P));
    values += sizeof(P);
    return *reinterpret_cast<P*>(value);
}
template <class... P>
struct Call {
    Call(void (*kernel)(P...), std::remove_cv_t<P>... values) { kernel(values...); }
};
template <class... P>
void call(void (*kernel)(P...), const char* values) {  // one after the other, without gaps; braces keep that order
    Call<P...>{kernel, next<std::remove_cv_t<P>>(values)...};
}
constexpr int first(int threads, int = 0) { return threads; }
}  // namespace emulator
