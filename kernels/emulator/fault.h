// Part of runtime.cpp: what is told when a kernel goes wrong, and how bad addresses are noticed. The shared memory of
// a block ends at pages that no one may touch, and the bytes around it are looked at when the block has ended.

constexpr uint64_t POISON = 0x7fff7fff7fff7fff;  // a NaN as float, double and bfloat16; as int a very large number
constexpr size_t LARGEST = 4 * PAGE;             // of shared memory; the hardware has 227 KB
constexpr size_t MARGIN = 512;                   // bytes before the block that are looked at

char* shared_end;  // where the untouchable pages begin

void say(const char* form, ...) {  // appends to the message
    va_list arguments;
    va_start(arguments, form);
    size_t used = strlen(run.message);
    vsnprintf(run.message + used, run.room - used, form, arguments);
    va_end(arguments);
}

void say_where() {
    run.failed = true;
    say("block (%u, %u, %u)", block.x, block.y, block.z);
    if (current) say(", thread (%u, %u, %u)", current->index.x, current->index.y, current->index.z);
    say(": ");
}

[[noreturn]] void abandon() {  // every thread is left where it is
    switch_fiber(current->fiber, &home, true);
    __builtin_unreachable();
}

template <class... Values>
[[noreturn]] void fail(Place place, const char* form, Values... values) {
    say_where();
    say(form, values...);
    say(" in %s:%d", place.file, place.line);
    abandon();
}

// Tells how many threads wait at what, and how many have returned.
void say_waiting(const char* what) {
    run.failed = true;
    say("block (%u, %u, %u): %s:", block.x, block.y, block.z, what);
    unsigned running = 0, waiting = 0;
    for (Thread* i = all; i < all + total; i++) {
        auto waits = [](Thread* t) { return (warps[t->warp].blocked | warps[t->warp].waiting) >> t->lane & 1; };
        auto same = [&](Thread* t) { return waits(t) && t->kind == i->kind && t->place.line == i->place.line; };
        running += warps[i->warp].ready >> i->lane & 1;
        waiting += waits(i);
        if (!waits(i) || std::any_of(all, i, [&](Thread& t) { return same(&t); })) continue;  // told already
        auto many = std::count_if(i, all + total, [&](Thread& t) { return same(&t); });
        say(" %td wait at %s in %s:%d,", many, NAMES[i->kind], i->place.file, i->place.line);
    }
    if (running) say(" %u are on their way,", running);
    say(" %u have returned", total - running - waiting);
}

[[noreturn]] void fail_waiting(const char* what) {
    say_waiting(what);
    abandon();
}

// --- shared memory --------------------------------------------------------------------------------------------

bool make_shared() {
    if (shared_end) return true;
    char* low = static_cast<char*>(mmap(nullptr, LARGEST * 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (low == MAP_FAILED || mprotect(low, LARGEST, PROT_READ | PROT_WRITE)) return false;
    shared_end = low + LARGEST;
    return true;
}

void poison_shared() {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(shared_end - LARGEST, LARGEST);
#endif
    shared = shared_end - (run.bytes + 15) / 16 * 16;
    std::fill(reinterpret_cast<uint64_t*>(shared - MARGIN), reinterpret_cast<uint64_t*>(shared_end), POISON);
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(shared_end - LARGEST, LARGEST);
    __asan_unpoison_memory_region(shared, run.bytes);
#endif
}

void check_shared() {
#if !defined(__SANITIZE_ADDRESS__)
    auto expected = [](const char* at) { return reinterpret_cast<const char*>(&POISON)[(at - shared_end) & 7]; };
    auto clean = [&](const char* from, const char* to) {
        return std::all_of(from, to, [&](const char& byte) { return byte == expected(&byte); });
    };
    bool before = clean(shared - MARGIN, shared), after = clean(shared + run.bytes, shared_end);
    if (before && after) return;
    say_where();
    say("a thread wrote %s the block's %zu bytes of shared memory", before ? "past" : "before", run.bytes);
#endif
}

// --- bad addresses --------------------------------------------------------------------------------------------

bool within(const char* at, const char* low, size_t bytes) { return at >= low && at < low + bytes; }

void say_fault(int number, const siginfo_t* about) {
    const char* at = static_cast<const char*>(about->si_addr);
    if (number == SIGINT) say("interrupted");
    else if (number == SIGFPE) say("an integer is divided by zero");
    else if (within(at, shared_end - LARGEST, 2 * LARGEST))
        say("byte %td of shared memory, the block has %zu", at - shared, run.bytes);
    else if (within(at, current->fiber->stack - PAGE, PAGE)) say("the thread's stack of %zu bytes overflows", STACK);
    else if (about->si_code == SI_KERNEL) say("a vector access that is not aligned, or an impossible address");
    else say("no memory at address %p", static_cast<const void*>(at));
}

void say_code(void* context) {  // "@file+offset" of the instruction; the loader finds its line
    uintptr_t code = 0;
#if defined(__x86_64__)
    code = static_cast<uintptr_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
    code = static_cast<ucontext_t*>(context)->uc_mcontext.pc;
#endif
    Dl_info about;
    if (code && dladdr(reinterpret_cast<void*>(code), &about) && about.dli_fname)
        say("\n@%s+%zx", about.dli_fname, code - reinterpret_cast<uintptr_t>(about.dli_fbase));
}

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGINT};

struct Watch {  // while it lives, a bad address or Ctrl-C ends the kernel, not the process
    static inline Watch* watch;
    struct sigaction before[4];
    stack_t stack_before;
    pthread_t caller = pthread_self();
    bool interrupted = false;

    Watch() {
#if !defined(__SANITIZE_ADDRESS__)
        watch = this;
        static char memory[1 << 16];  // a stack for the handler: that of a thread may be full
        stack_t stack{};
        stack.ss_sp = memory, stack.ss_size = sizeof memory;
        sigaltstack(&stack, &stack_before);
        struct sigaction action{};
        action.sa_sigaction = caught;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        for (int i = 0; i < 4; i++) sigaction(SIGNALS[i], &action, &before[i]);
#endif
    }
    ~Watch() {
#if !defined(__SANITIZE_ADDRESS__)
        for (int i = 0; i < 4; i++) sigaction(SIGNALS[i], &before[i], nullptr);
        sigaltstack(&stack_before, nullptr);
        if (interrupted) raise(SIGINT);
#endif
    }
    static void caught(int number, siginfo_t* about, void* context) {
        bool ours = pthread_equal(pthread_self(), watch->caller);
        watch->interrupted = ours && number == SIGINT;
        if (ours && !current && number == SIGINT) return;  // between two blocks
        if (!ours || !current) {                           // no kernel's: as if nobody watched
            for (int i = 0; i < 4; i++)
                if (SIGNALS[i] == number) sigaction(number, &watch->before[i], nullptr);
            if (number == SIGINT) raise(SIGINT);
            return;
        }
        say_where();
        say_fault(number, about);
        say_code(context);
        abandon();
    }
};
