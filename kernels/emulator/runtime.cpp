// Runs a grid of a kernel on one core: block after block, each CUDA thread a fiber that runs until it must wait.
//
//     barrier          the last thread to arrive makes all of them ready; threads that have returned count as arrived
//     shuffle, mma     each lane leaves its operands and waits once; the last one computes for the whole warp
//     copies           the destination is NaN from the issue until the thread waits for the group
//     order            of blocks, warps and lanes: fixed, or drawn from the launch's seed
//     nothing ready    but threads left: they wait for each other in different places, an error
//
// Read on with product.h (matrix products), fault.h (errors, bad addresses) and fiber.h (how a thread is left).
#include "emulator.h"
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <ucontext.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "fiber.h"

namespace emulator {

const dim3* thread;
dim3 block, threads, blocks;
char* shared;

namespace {

enum Kind : uint64_t { NOTHING, BARRIER, WARP, SHUFFLE, MMA };
const char* const NAMES[] = {"nothing", "__syncthreads", "__syncwarp", "a shuffle", "a matrix product"};

struct Copy {
    char* to;
    const char* from;
    unsigned bytes, group;
    bool in;
};

struct Thread {
    dim3 index;
    unsigned warp, lane;
    Fiber* fiber;
    Kind kind;  // what it waits at, and where
    Place place;
    unsigned group = 0;  // of copies: the open one
    size_t arrived = 0;  // copies whose group was waited for
    std::vector<Copy> copies;
};

struct Warp {  // a bit for each lane; fresh: not begun; blocked: at the barrier; waiting: for other lanes
    unsigned exists, fresh, ready, blocked, waiting;
    uint64_t call[32];  // what the waiting lanes called: kind, line, mask
    uint64_t value[32], result[32];
    unsigned source[32], a[32][4], b[32][2];
    float* c[32];
};

struct Run {  // one launch
    void (*call)(const char*);
    const char* values;
    size_t bytes;
    uint64_t seed;
    char* message;
    size_t room;
    bool failed;
};

Thread all[1024];
Warp warps[32];
Run run;
Thread* current;
Fiber home;                        // the caller of the launch
std::vector<Fiber*> fibers, idle;  // all, those without a thread
unsigned ready, active;            // warps with ready lanes, the warp that runs
unsigned total, left, arrived;     // threads: all, unfinished, at the barrier
uint64_t state;                    // of the random order

uint64_t draw() {  // xorshift64*
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d >> 32;
}

unsigned choose(unsigned bits) {  // one of the bits that are set
    if (!run.seed) return static_cast<unsigned>(__builtin_ctz(bits));
    unsigned turn = draw() & 31, turned = bits >> turn | bits << (-turn & 31);
    return (static_cast<unsigned>(__builtin_ctz(turned)) + turn) & 31;
}

#include "fault.h"
#include "product.h"

// --- the order of threads -------------------------------------------------------------------------------------

void wake(Warp& warp, unsigned lanes) {
    warp.ready |= lanes;
    if (warp.ready) ready |= 1u << (&warp - warps);
}

Thread* pick() {
    if (!ready) return nullptr;
    if (!(ready >> active & 1) || (run.seed && draw() % 8 == 0)) active = choose(ready);
    Warp& warp = warps[active];
    unsigned lane = choose(warp.ready);
    warp.ready &= ~(1u << lane);
    if (!warp.ready) ready &= ~(1u << active);
    return &all[active * 32 + lane];
}

bool begin(Thread* next, Fiber* fiber) {  // gives a fresh thread its fiber
    Warp& warp = warps[next->warp];
    if (!(warp.fresh >> next->lane & 1)) return false;
    warp.fresh &= ~(1u << next->lane);
    next->fiber = fiber;
    return true;
}

void work();

Fiber* take() {
    Fiber* fiber = idle.back();
    idle.pop_back();
    prepare(fiber, work);
    return fiber;
}

void enter(Thread* next) {
    current = next;
    thread = &next->index;
}

void pause() {  // lets others run until this thread is ready again
    Thread *self = current, *next = pick();
    if (next == self) return;
    if (!next) return switch_fiber(self->fiber, &home);
    if (warps[next->warp].fresh >> next->lane & 1) begin(next, take());
    enter(next);
    switch_fiber(self->fiber, next->fiber);
}

void open_barrier() {
    const Thread* first = nullptr;
    for (const Thread* each = all; each < all + total; each++) {
        if (!(warps[each->warp].blocked >> each->lane & 1)) continue;
        if (first && each->place.line != first->place.line)
            fail_waiting("its threads wait for each other at different barriers");
        first = each;
    }
    for (unsigned w = 0; w * 32 < total; w++) wake(warps[w], std::exchange(warps[w].blocked, 0));
    arrived = 0;
    active = choose(ready);
}

void work() {  // a fiber: thread after thread, until one that began elsewhere is to run
    begun(&home);
    for (;;) {
        run.call(run.values);
        if (--left && arrived == left) open_barrier();
        Fiber* fiber = current->fiber;
        Thread* next = pick();
        if (next && begin(next, fiber)) {
            enter(next);
            continue;
        }
        idle.push_back(fiber);
        if (next) enter(next);
        switch_fiber(fiber, next ? next->fiber : &home, true);
    }
}

// True for the last of the lanes in the mask, which serves them all; the others return when they are served.
bool last_of_warp(Kind kind, unsigned mask, Place place) {
    Thread& self = *current;
    Warp& warp = warps[self.warp];
    unsigned bit = 1u << self.lane, lanes = mask & warp.exists;
    self.kind = kind, self.place = place;
    if (!(mask & bit)) fail(place, "the mask %08x leaves out the calling lane", mask);
    uint64_t line = kind == MMA ? static_cast<uint64_t>(place.line) : 0;  // one instruction for all lanes
    warp.call[self.lane] = kind << 60 | line << 32 | mask;
    warp.waiting |= bit;
    if ((warp.waiting & lanes) != lanes) return pause(), false;
    uint64_t others = 0;
    for (unsigned i = 0; i < 32; i++) others |= lanes >> i & 1 ? warp.call[i] ^ warp.call[self.lane] : 0;
    if (others) fail_waiting("the lanes of a warp wait for each other at different calls");
    warp.waiting &= ~lanes;
    wake(warp, lanes & ~bit);
    return true;
}

}  // namespace

// --- what kernels call ----------------------------------------------------------------------------------------

void barrier(Place place) {
    Thread& self = *current;
    self.kind = BARRIER, self.place = place;
    warps[self.warp].blocked |= 1u << self.lane;
    if (++arrived == left) open_barrier();
    pause();
}

void warp_barrier(unsigned mask, Place place) { last_of_warp(WARP, mask, place); }

uint64_t shuffle(unsigned mask, uint64_t value, unsigned source, Place place) {
    Warp& warp = warps[current->warp];
    unsigned lane = current->lane;
    warp.value[lane] = value, warp.source[lane] = source;
    if (last_of_warp(SHUFFLE, mask, place))
        for (unsigned i = 0; i < 32; i++)
            if (mask >> i & 1) {  // from a lane that takes no part comes NaN, where CUDA leaves it open
                bool there = mask & warp.exists & 1u << warp.source[i];
                warp.result[i] = there ? warp.value[warp.source[i]] : POISON;
            }
    return warp.result[lane];
}

void mma(unsigned depth, float* c, const unsigned* a, const unsigned* b, Place place) {
    Warp& warp = warps[current->warp];
    unsigned lane = current->lane;
    if (warp.exists != ~0u) fail(place, "a matrix product needs 32 lanes, the block's last warp has fewer");
    memcpy(warp.a[lane], a, sizeof warp.a[lane]);
    memcpy(warp.b[lane], b, sizeof warp.b[lane]);
    warp.c[lane] = c;
    if (last_of_warp(MMA, ~0u, place)) product(warp, depth);
}

void copy(void* to, const void* from, unsigned bytes, bool in, Place place) {
    char* at = static_cast<char*>(to);
    size_t address = reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from);
    if (address % bytes) fail(place, "copy%u: an address is no multiple of %u", bytes, bytes);
    if (at < shared || at + bytes > shared + run.bytes)
        fail(place, "copy%u: the destination is outside the block's %zu bytes of shared memory", bytes, run.bytes);
    for (unsigned i = 0; i < bytes; i += 4) memcpy(at + i, &POISON, 4);
    current->copies.push_back({at, static_cast<const char*>(from), bytes, current->group, in});
}

void copy_commit() { current->group++; }

void copy_wait(unsigned pending) {
    Thread& self = *current;
    for (; self.arrived < self.copies.size(); self.arrived++) {
        const Copy& copy = self.copies[self.arrived];
        if (copy.group + pending >= self.group) return;
        if (copy.in) memcpy(copy.to, copy.from, copy.bytes);
        else memset(copy.to, 0, copy.bytes);
    }
    self.copies.clear();
    self.arrived = 0;
}

// --- a launch -------------------------------------------------------------------------------------------------

namespace {

bool prepare_threads() {
    while (fibers.size() < total) {
        Fiber* fiber = make_fiber(fibers.size());
        if (!fiber) return false;
        fibers.push_back(fiber);
    }
    idle.assign(fibers.rbegin(), fibers.rend());
    for (unsigned i = 0; i < total; i++) {
        all[i].index = dim3(i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y);
        all[i].warp = i / 32, all[i].lane = i % 32;
    }
    return make_shared();
}

bool run_block(unsigned number) {
    block = dim3(number % blocks.x, number / blocks.x % blocks.y, number / blocks.x / blocks.y);
    poison_shared();
    ready = arrived = 0, left = total;
    for (unsigned w = 0; w * 32 < total; w++) {
        unsigned lanes = total - w * 32 < 32 ? (1u << (total - w * 32)) - 1 : ~0u;
        warps[w].exists = warps[w].fresh = lanes;
        warps[w].ready = warps[w].blocked = warps[w].waiting = 0;
        wake(warps[w], lanes);
    }
    for (unsigned i = 0; i < total; i++) all[i].copies.clear(), all[i].group = 0, all[i].arrived = 0;
    active = choose(ready);
    Thread* first = pick();
    begin(first, take());
    enter(first);
    switch_fiber(&home, first->fiber);
    current = nullptr;
    if (!run.failed && left) say_waiting("its threads wait for ever");
    if (!run.failed) check_shared();
    return !run.failed;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int emulator_run(  // 0: all blocks ended well
    void (*call)(const char*), const char* values, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
    unsigned bz, size_t bytes, uint64_t seed, char* message, size_t room) {
    run = {call, values, bytes, seed, message, room, false};
    blocks = dim3(gx, gy, gz);
    threads = dim3(bx, by, bz);
    total = threads.x * threads.y * threads.z;
    state = seed * 0x9e3779b97f4a7c15 + 1;
    home.stack = nullptr;
    if (!prepare_threads()) return say("no memory for the stacks of the threads"), 1;
    std::vector<unsigned> order(static_cast<size_t>(blocks.x) * blocks.y * blocks.z);
    std::iota(order.begin(), order.end(), 0u);
    if (seed)
        for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[draw() % i]);
    Watch watch;
    bool well = true;
    for (size_t i = 0; i < order.size() && well; i++) well = !watch.interrupted && run_block(order[i]);
    fflush(stdout);  // what kernels printed
    return !well;
}

}  // namespace emulator
