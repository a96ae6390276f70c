"""Independent blocks of one kernel, on all cores: NumPy releases the interpreter's lock while it computes.

BLAS itself is held to one thread, and a kernel divides its work by size alone, never by the number of cores. So a
result has the same bits on any number of threads. Not here: what a block computes.
"""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from threadpoolctl import threadpool_limits

threadpool_limits(1, user_api="blas")  # for the whole process, as soon as this backend is used

BLOCK = 1 << 17  # elements of one block of an elementwise chain: 512 KB of float32 stay in a second-level cache


def _keep_freed_memory() -> None:
    """Tells glibc not to hand large freed arrays back to the system: the next step wants them again, already mapped."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        for parameter, value in ((-3, 1 << 30), (-1, (1 << 31) - 1), (-8, 1)):  # mmap and trim thresholds, arenas
            mallopt(parameter, value)


_keep_freed_memory()


def threads() -> int:
    """OPENBLAS_NUM_THREADS or OMP_NUM_THREADS if set, as for NumPy itself; otherwise the cores this process may use."""
    asked = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool(pid: int) -> ThreadPoolExecutor:  # a forked child needs its own
    return ThreadPoolExecutor(threads(), "kernel")


def each(function, blocks: list) -> list:
    """[function(block) for block in blocks] with a GEMM or more in each; this thread takes a share."""
    share = -(-len(blocks) // threads())
    shares = [blocks[i : i + share] for i in range(0, len(blocks), share)]
    others = [_pool(os.getpid()).submit(_run, function, blocks) for blocks in shares[1:]]
    return sum((other.result() for other in others), start=_run(function, shares[0]))


def _run(function, blocks):
    return [function(block) for block in blocks]


def spans(n: int, length: int) -> list[slice]:
    """0..n-1 in slices of `length`."""
    length = max(1, length)
    return [slice(i, min(i + length, n)) for i in range(0, n, length)]
