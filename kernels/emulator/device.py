"""The emulated device itself: what its memory holds, what was launched on it, and whether a step is being captured.

Not here: the arrays (`arrays.py`), or how a kernel's threads run (`emulator.h`).
"""

from collections import Counter
from collections.abc import Callable

counts: Counter = Counter()  # launches by name, since the process began


class Tape(list):
    """What a captured step does, in order; it keeps the memory of every array that was made meanwhile."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def launch(self) -> None:
        """Replays the step."""
        for function in self:
            function()


_tape: Tape | None = None  # None: operations run at once


class Memory:
    """What live arrays occupy, in bytes; `limit` is the size of the device."""

    def __init__(self):
        self.used = self.peak = self.allocated = 0
        self.limit = 1 << 34

    def take(self, size: int) -> None:
        """Books `size` bytes. Raises OutOfMemoryError beyond the limit."""
        if self.used + size > self.limit:
            raise OutOfMemoryError(size, self.used, self.limit)
        self.used, self.allocated = self.used + size, self.allocated + size
        self.peak = max(self.peak, self.used)


memory = Memory()


class OutOfMemoryError(MemoryError):
    """More memory asked for than the device has left."""

    def __init__(self, size: int, total: int, limit: int):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")
        self._size, self._total, self._limit = size, total, limit


class Buffer:
    """One allocation; the views of an array share it, and its bytes are free with the last of them."""

    def __init__(self, size: int):
        self.memory, self.size = memory, 0  # its own: at the end of the process globals go first
        memory.take(size)
        self.size = size

    def __del__(self):
        self.memory.used -= self.size


def execute(name: str, function: Callable[[], None]) -> None:
    """One launch: runs `function` now, or when the step that is being captured is replayed."""
    counts[name] += 1
    if _tape is None:
        function()
    else:
        _tape.append(function)


def begin_capture() -> None:
    """From now on operations are recorded, not executed."""
    global _tape
    _tape = Tape()


def end_capture() -> Tape:
    """What was recorded since `begin_capture`."""
    global _tape
    tape, _tape = _tape, None
    return tape


def keep(*things: object) -> None:
    """While a step is captured: its graph needs these as long as it lives."""
    if _tape is not None:
        _tape.kept += things


def capturing() -> bool:
    """True between `begin_capture` and `end_capture`."""
    return _tape is not None


def refuse_while_capturing(what: str) -> None:
    """Raises RuntimeError in a capture: a recorded step cannot wait for the host."""
    if _tape is not None:
        raise RuntimeError(f"a captured step cannot {what}")
