"""How this backend compiles and runs: `loop` for a loop whose turns share the cores, `part` for what one turn does.

The work is cut by size alone, never by the number of cores, and partial sums are added in their order: the bits do not
depend on the thread count. Python's lock is held while a loop runs, so that two threads of Python's may use this.

Compiled code is kept beside these files, for each kind of processor, and made again when its file changes; a change in
what other files call (this one, `vectors.py`, `gemm`) asks for `make clean`. Not here: any kernel.
"""

import mmap
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import numba
import numpy as np
from numba.core import event

from inachus.kernels import cores
from inachus.kernels.reference import blocks


def _healing(compiles: Callable) -> Callable:
    """The decorator, which compiles again what was kept in files that cannot be read any more."""

    def decorated(function):
        dispatcher = compiles(function)
        cache, load = dispatcher._cache, dispatcher._cache.load_overload

        def loaded(signature, context):
            try:
                return load(signature, context)
            except Exception:  # of a damaged file any can come: it holds pickles
                with suppress(OSError):
                    cache.flush()
                return None

        cache.load_overload = loaded
        return dispatcher

    return decorated


loop = _healing(numba.njit(cache=True, parallel=True, error_model="numpy"))  # its `numba.prange` runs on all threads
part = _healing(numba.njit(cache=True, error_model="numpy"))

BLOCK = 1 << 14  # numbers that one turn of an elementwise loop takes: 64 KB of float32
ROWS = 256  # rows that it takes at most: as many numbers are added in single precision


def rows_of_block(M, C):
    """How many of M rows of C numbers one turn takes."""
    return max(1, min(M, ROWS, BLOCK // C))


def use_threads(n: int) -> None:
    """Runs every loop on n threads, at most as many as there are cores."""
    numba.set_num_threads(max(1, min(n, cores(), numba.config.NUMBA_NUM_THREADS)))


use_threads(blocks.threads())


class _Notice(event.Listener):
    """Says once in a process that it compiles, which means that nothing compiled was found."""

    said = False

    def on_start(self, event):
        """Called for each function that is compiled, by anybody."""
        if not self.said and event.data["dispatcher"].py_func.__module__.startswith(__package__):
            self.said = True
            print("inachus: compiling the cpu kernels for this machine, once; it takes a minute", file=sys.stderr)

    def on_end(self, event):
        """Nothing to say."""


event.register("numba:compile", _Notice())


_arenas = threading.local()  # a thread of Python's may stop between two loops that share one


def arena(use: str, dtype: np.dtype, count: int) -> np.ndarray:
    """`count` numbers of memory that is kept from call to call and grows, in large pages where the system has them."""
    size, kept = count * dtype.itemsize, vars(_arenas)
    if use not in kept or kept[use].nbytes < size:
        memory = mmap.mmap(-1, size + -size % (1 << 21))
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        kept[use] = np.frombuffer(memory, np.uint8)
    return kept[use][:size].view(dtype)


def scratch(dtype: np.dtype, count: int, use: int) -> np.ndarray:
    """(threads, count): an arena with a part for each thread; `use` tells those apart that one function needs."""
    threads = numba.config.NUMBA_NUM_THREADS
    return arena(f"scratch {use}", dtype, threads * count).reshape(threads, count)


def plain(x: np.ndarray) -> np.ndarray:
    """x itself or a copy, contiguous and writable: the one layout that the loops are compiled for."""
    x = np.ascontiguousarray(x)
    return x if x.flags.writeable else x.copy()
