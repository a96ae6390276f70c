// Fibers: a stack each, and the switch from one to another: the registers that a function must keep are pushed on
// the old stack and popped from the new one. No system call, about 2 ns; ucontext on other processors.
#pragma once
#include <stddef.h>
#include <sys/mman.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__) && !defined(__aarch64__)
#define EMULATOR_UCONTEXT
#endif
#ifdef EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace emulator {

constexpr size_t PAGE = 1 << 16;  // a multiple of every page size in use
constexpr size_t STACK = 4 * PAGE;

struct Fiber {
    char* stack = nullptr;  // lowest usable byte; below it a page that no one may touch
    char* top = nullptr;
    void* fake = nullptr;  // the sanitizer's
#ifdef EMULATOR_UCONTEXT
    ucontext_t registers;
#else
    void* registers;  // the stack pointer; the rest lies there
#endif
};

#ifndef EMULATOR_UCONTEXT
extern "C" void emulator_switch(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
    .text
    .p2align 4
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_switch, . - emulator_switch
)");
constexpr size_t FRAME = 8, RETURN = 6;  // words of a new stack's top (sp is 8 mod 16 where a function begins)
#else
asm(R"(
    .text
    .p2align 4
    .type emulator_switch, %function
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size emulator_switch, . - emulator_switch
)");
constexpr size_t FRAME = 20, RETURN = 11;
#endif
#endif

// A new stack between two unusable pages; tops differ in their place in a page, so that they share no cache lines.
inline Fiber* make_fiber(size_t number) {
    char* low = static_cast<char*>(mmap(nullptr, PAGE + STACK, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (low == MAP_FAILED || mprotect(low, PAGE, PROT_NONE)) return nullptr;
    Fiber* fiber = new Fiber;
    fiber->stack = low + PAGE;
    fiber->top = fiber->stack + STACK - 64 - number % 29 * 320;
    return fiber;
}

// The next switch to the fiber begins `work`, which must not return.
inline void prepare(Fiber* fiber, void (*work)()) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(fiber->stack, STACK);
    fiber->fake = nullptr;
#endif
#ifdef EMULATOR_UCONTEXT
    getcontext(&fiber->registers);
    fiber->registers.uc_stack.ss_sp = fiber->stack;
    fiber->registers.uc_stack.ss_size = static_cast<size_t>(fiber->top - fiber->stack);
    makecontext(&fiber->registers, work, 0);
#else
    void** words = reinterpret_cast<void**>(fiber->top) - FRAME;
    for (size_t i = 0; i < FRAME; i++) words[i] = nullptr;
    words[RETURN] = reinterpret_cast<void*>(work);
    fiber->registers = words;
#endif
}

// Leaves `from` and runs `to` until something switches back; `ends`: nothing will.
inline void switch_fiber(Fiber* from, Fiber* to, bool ends = false) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(ends ? nullptr : &from->fake, to->stack, static_cast<size_t>(to->top - to->stack));
#endif
    (void)ends;
#ifdef EMULATOR_UCONTEXT
    swapcontext(&from->registers, &to->registers);
#else
    emulator_switch(&from->registers, to->registers);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
#endif
}

// The first words of a new fiber; the sanitizer tells the bounds of `home`, the stack of whoever called.
inline void begun(Fiber* home) {
#if defined(__SANITIZE_ADDRESS__)
    const void* low;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &low, &bytes);
    if (home->stack) return;
    home->stack = static_cast<char*>(const_cast<void*>(low));
    home->top = home->stack + bytes;
#endif
    (void)home;
}

}  // namespace emulator
