"""The memory of the selected device: what arrays hold, the most that was taken, what is left, and what to do then.

A device's pool keeps what is freed, so that its size is the peak. Out of memory is CuPy's OutOfMemoryError, or the
emulated device's of the same make. Nothing is computed here.
"""

import re
from typing import NamedTuple

from inachus import kernels


class Memory(NamedTuple):
    """Bytes that arrays occupy now, that the process took at most, and that are left for it; all 0 on the host."""

    used: int = 0
    peak: int = 0
    free: int = 0


def memory() -> Memory:
    """What the selected device's memory holds."""
    home = kernels.home()
    if home.__name__ == kernels.DEVICES["emulated"]:
        from inachus.kernels.emulator.device import memory as m

        return Memory(m.used, m.peak, m.limit - m.used)
    if home.__name__ == kernels.DEVICES["cuda"]:
        pool, free = home.get_default_memory_pool(), home.cuda.runtime.memGetInfo()[0]
        return Memory(pool.used_bytes(), pool.total_bytes(), free + pool.free_bytes())
    return Memory()


def described(name: str) -> str:
    """A device that is there, in words: its card, and the memory that is free."""
    if name == "emulated":
        return "CUDA kernels without a GPU, compiled by g++"
    cupy = kernels.arrays_of("cuda")
    card, (free, total) = cupy.cuda.runtime.getDeviceProperties(0), cupy.cuda.runtime.memGetInfo()
    room = f"compute {card['major']}.{card['minor']}, {size(free)} of {size(total)} free"
    return f"{card['name'].decode()} ({room}), cupy {cupy.__version__}"


def shortage(error: MemoryError, fixed: int, batch: int) -> str:
    """What to say when a step of `batch` items ran out of memory, of which `fixed` bytes do not depend on the batch."""
    told = re.search(r"allocating ([\d,]+) bytes", str(error))  # what both kinds of arrays say
    now, needed = memory(), int(told[1].replace(",", "")) if told else 0
    room, asked = now.used + now.free - fixed, now.used + needed - fixed
    fits = max(1, int(batch * room / max(asked, 1) / 1.5))  # what the rest of the step needs is not known
    smaller = min(1 << (fits.bit_length() - 1), max(1, batch // 2))
    remedy = f"try --batch {smaller}" if batch > 1 else "use smaller pictures or a narrower network (--set)"
    return f"out of GPU memory: {size(needed)} more were needed and {size(now.free)} are free; {remedy}"


def size(n: int) -> str:
    """A number of bytes in words."""
    return f"{n / 1e9:.2f} GB" if n >= 1e8 else f"{n / 1e6:.2f} MB"
