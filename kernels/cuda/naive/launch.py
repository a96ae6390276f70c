"""How the Numba kernels start, and how a thread finds its number. Not here: the launch of .cu files (`../launch.py`).

A kernel is a function that many threads run at once. Threads come in blocks, blocks in a grid; each thread asks where
it stands and computes what belongs to that place. A launch only puts the work on a stream: nobody waits for it.
"""

import numpy as np
from numba import config, cuda

from inachus.kernels import xp

THREADS = 256  # of a block

config.CUDA_ARRAY_INTERFACE_SYNC = 0  # or every CuPy array of every launch waits for the stream to run empty
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small grids are what readers try first


def launch(kernel, grid, block, *args):
    """Runs `kernel` in grid x block threads, on contiguous arrays (copies, where they are not); the last is a result.

    Numba compiles a kernel when it is first launched, once for each combination of argument types.
    """
    y = args[-1]
    kernel[grid, block, _stream(y)](*(_plain(a) if isinstance(a, type(y)) else a for a in args))


def launch_each(kernel, *args):
    """Runs `kernel` with one thread, or a few more, for each number of the last array."""
    launch(kernel, -(-args[-1].size // THREADS), THREADS, *args)


def _plain(a):
    """a itself or a copy, contiguous, and writable because Numba takes every array for a result too."""
    a = xp(a).ascontiguousarray(a)
    return a if getattr(a.flags, "writeable", True) else a.copy()  # CuPy's always are


def _stream(y):
    """CuPy's current stream; for NumPy arrays, which Numba copies to the GPU and back, the default one."""
    if isinstance(y, np.ndarray):
        return 0
    import cupy

    return cuda.external_stream(cupy.cuda.get_current_stream().ptr)


@cuda.jit(device=True)
def place(i, shape):
    """The place (n, h, w, c) of number i of an array of this shape: c runs fastest, as in memory.

    So neighbouring threads have neighbouring c, and what they read or write along c, memory delivers in one go.
    """
    _, H, W, C = shape
    return i // C // W // H, i // C // W % H, i // C % W, i % C
