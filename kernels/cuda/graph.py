"""A training step recorded once and replayed as one CUDA graph: one launch instead of a few hundred.

Replayed kernels see the same addresses and the same arguments. What must change stands in device memory: the batch in
two fixed arrays, and the numbers that the host counts in `dials`, 8 bytes each, which every replay writes in one copy
before the graph starts. All memory made while recording comes from a pool that lives as long as the graph.
The emulated device records closures instead (`emulator/device.py`); everything else is shared. Read `kernels/steps.py`
first.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from inachus.kernels import home
from inachus.kernels.emulator import arrays as emulated
from inachus.kernels.emulator import device

DIALS = 256  # of one step at most
DEPTH = 4  # replays that the host may be ahead


class Dial:
    """A number that is another one in every replay; `function` computes it, kernels read it at `pointer`."""

    def __init__(self, function: Callable[[], float], step: "CapturedStep"):
        self.function, self.step, self.pointer = function, step, None
        self.turn()

    def turn(self) -> None:
        """Computes the number of the coming step."""
        self.value = self.function()


def dial(number: Any) -> tuple[float, Any]:
    """(value, None) of a plain number; (value now, where the device finds it) of a dial."""
    if not isinstance(number, Dial):
        return number, None
    if number.pointer is None:
        number.pointer = number.step.place(number)
    return number.value, number.pointer


def turned(function: Callable, *numbers: Any) -> Any:
    """function(*numbers); if one of them is a dial, so is the result."""
    dials = [number for number in numbers if isinstance(number, Dial)]
    if not dials:
        return function(*numbers)
    return dials[0].step.live(lambda: function(*(n.value if isinstance(n, Dial) else n for n in numbers)))


class CapturedStep:
    """A step of the arrays of `batch`: `record` once, then `replay` with the numbers of each batch."""

    def __init__(self, batch: Any):
        self.arrays = home()
        self.batch = type(batch)(*(None if a is None else self.arrays.asarray(a) for a in (batch.items, batch.labels)))
        self.uploads = [(a, Upload(a)) for a in (self.batch.items, self.batch.labels) if a is not None]
        self.places, self.numbers = self.arrays.zeros(DIALS, np.uint64), np.zeros(DIALS, np.uint64)
        self.dials: list[Dial] = []
        self.placed: list[Dial] = []
        self.upload_numbers, self.fresh, self.graph = Upload(self.places), True, None

    def live(self, function: Callable[[], float]) -> Dial:
        """A dial that is turned before each replay, after those made before it."""
        self.dials.append(Dial(function, self))
        return self.dials[-1]

    def place(self, number: Dial) -> Any:
        """A view of the 8 bytes where kernels find this dial."""
        if len(self.placed) == DIALS:
            raise RuntimeError(f"more than {DIALS} numbers change from step to step")
        self.placed.append(number)
        return self.places[len(self.placed) - 1 : len(self.placed)]

    def record(self, step: Callable) -> None:
        """Records step(batch) without running it. Raises what the step raises, such as an attempt to wait."""
        self.graph = (_emulated if self.arrays is emulated else _cupy)(lambda: step(self.batch))

    def fits(self, batch: Any) -> bool:
        """True if this graph can take the batch."""
        pairs = ((self.batch.items, batch.items), (self.batch.labels, batch.labels))
        return all(a is b if a is None or b is None else (a.shape, a.dtype) == (b.shape, b.dtype) for a, b in pairs)

    def replay(self, batch: Any) -> None:
        """Queues the next step."""
        if not self.fresh:  # recording has turned them already
            for number in self.dials:
                number.turn()
        self.fresh = False
        for i, number in enumerate(self.placed):
            value = number.value
            self.numbers[i] = value if isinstance(value, int) else np.float64(value).view(np.uint64)
        self.upload_numbers(self.numbers)
        for (_, upload), host in zip(self.uploads, (batch.items, batch.labels), strict=False):
            upload(host)
        self.graph.launch()


def _emulated(function: Callable) -> device.Tape:
    device.begin_capture()
    try:
        function()
    finally:
        tape = device.end_capture()
    return tape


class _cupy:
    """A CUDA graph of what `function` queues on the current stream, and the pool that its arrays came from."""

    def __init__(self, function: Callable):
        import cupy

        self.pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.get_current_stream()
        stream.synchronize()
        with cupy.cuda.using_allocator(self.pool.malloc):
            stream.begin_capture()
            try:
                function()
            except BaseException:
                with suppress(cupy.cuda.runtime.CUDARuntimeError):  # the failure may have ended it
                    stream.end_capture()
                raise
            self.graph = stream.end_capture()
        self.graph.upload(stream)

    def launch(self) -> None:
        """Queues the graph on the current stream."""
        import cupy

        self.graph.launch(cupy.cuda.get_current_stream())


class Upload:
    """Copies from the host into one device array, through pinned buffers, so that the host does not wait.

    A buffer is written again only when the copy out of it is done: the host stays at most DEPTH copies ahead.
    """

    def __init__(self, array: Any):
        self.array, self.turn, self.buffers = array, 0, None
        if not isinstance(array, emulated.Array):
            import cupy
            import cupyx

            self.stream = cupy.cuda.get_current_stream()
            self.buffers = [cupyx.empty_pinned(array.shape, array.dtype) for _ in range(DEPTH)]
            self.events = [cupy.cuda.Event(disable_timing=True) for _ in range(DEPTH)]

    def __call__(self, host: np.ndarray) -> None:
        if self.buffers is None:
            self.array.set(np.ascontiguousarray(host))
            return
        buffer, event, self.turn = self.buffers[self.turn], self.events[self.turn], (self.turn + 1) % DEPTH
        event.synchronize()
        np.copyto(buffer, host)
        self.array.data.copy_from_host_async(buffer.ctypes.data, self.array.nbytes, self.stream)
        event.record(self.stream)
