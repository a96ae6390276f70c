"""How long things take: a clock of the host, and one of the GPU, for several sides that take turns.

On a GPU a time lies between two events around what one call queues. Before it the L2 cache is overwritten, and the
device is held by a kernel that does nothing until the host has queued the whole turn: so the time is the device's
alone, whatever Python takes to launch. Events resolve about a microsecond; what is shorter is also timed as a graph of
REPEATS calls, with its data in the cache: "warm". A side is a function that prepares a call, outside the clock, and
returns it.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from inachus.kernels import home
from inachus.kernels.cuda.launch import launch

CEILINGS = str(Path(__file__).parent / "ceilings.cu")
REPEATS = 20  # calls in a graph
LEAST, MOST = 5, 100  # repetitions
Side = Callable[[], Callable[[], object]]


class HostClock:
    """Wall clock, for the host and for the emulated device, whose times mean nothing."""

    def turn(self, sides: dict[str, Side], flush: bool = True) -> dict[str, float]:
        """Microseconds of one call of each side."""
        times = {}
        for name, prepare in sides.items():
            run = prepare()
            start = time.perf_counter()
            run()
            times[name] = 1e6 * (time.perf_counter() - start)
        return times


class DeviceClock:
    """Events on the current stream of CuPy, on which PyTorch works too (`share_stream`)."""

    def __init__(self):
        import cupy

        self.cupy, self.stream = cupy, cupy.cuda.get_current_stream()
        self.trash = cupy.empty(max(1 << 28, 4 * cupy.cuda.Device().attributes["L2CacheSize"]), np.uint8)
        self.ahead = 0.02  # seconds that the host takes to queue a turn

    def turn(self, sides: dict[str, Side], flush: bool = True) -> dict[str, float]:
        """Microseconds of one call of each side; the cache is cold, or with `flush` False as the last call left it."""
        event, pairs = self.cupy.cuda.Event, {}
        nanoseconds = int(1e9 * min(1.5 * self.ahead, 0.1))
        launch(CEILINGS, "hold", 1, 1, (np.int64(nanoseconds),), like=self.trash)
        start = time.perf_counter()
        for name, prepare in sides.items():
            run = prepare()
            if flush:
                self.trash.data.memset_async(0, self.trash.nbytes, self.stream)
            pairs[name] = event(), event()
            pairs[name][0].record(self.stream)
            run()
            pairs[name][1].record(self.stream)
        self.ahead = time.perf_counter() - start
        self.stream.synchronize()
        return {name: 1e3 * self.cupy.cuda.get_elapsed_time(*pair) for name, pair in pairs.items()}

    def repeated(self, prepare: Side, with_torch: bool) -> Side:
        """A side of one graph that makes REPEATS calls."""
        runs = [prepare() for _ in range(REPEATS)]

        def all_of_them():
            for run in runs:
                run()

        replay = _torch_graph(all_of_them) if with_torch else self._graph(all_of_them)
        return lambda: replay

    def _graph(self, function):
        pool = self.cupy.cuda.MemoryPool()
        self.stream.synchronize()
        with self.cupy.cuda.using_allocator(pool.malloc):
            self.stream.begin_capture()
            try:
                function()
            finally:
                graph = self.stream.end_capture()
        return lambda: graph.launch(self.stream) if pool else None  # keeps the pool


def _torch_graph(function):
    import torch

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
        function()
    return graph.replay


def clock() -> HostClock | DeviceClock:
    """The clock of the selected device."""
    return DeviceClock() if home().__name__ == "cupy" else HostClock()


def share_stream() -> None:
    """From now on PyTorch works on CuPy's current stream, so that what one queues follows what the other did."""
    import cupy
    import torch

    torch.cuda.set_stream(torch.cuda.ExternalStream(cupy.cuda.get_current_stream().ptr))


def measure(on: HostClock | DeviceClock, sides: dict[str, Side], seconds: float, flush: bool = True) -> dict[str, list]:
    """Microseconds of each repetition of each side, in turns A, B, A, B; about `seconds` of work for each, at most."""
    on.turn(sides, flush)
    guess = on.turn(sides, flush)
    many = {name: int(min(max(LEAST, seconds * 1e6 / max(us, 1)), MOST)) for name, us in guess.items()}
    if isinstance(on, HostClock):
        many = {name: max(1, min(n, int(seconds * 1e6 / max(guess[name], 1)))) for name, n in many.items()}
    times = {name: [] for name in sides}
    for i in range(max(many.values())):
        turn = on.turn({name: side for name, side in sides.items() if i < many[name]}, flush)
        for name, us in turn.items():
            times[name].append(us)
    return times


def summary(us: list[float]) -> dict[str, float]:
    """Median and the 20th and 80th percentile."""
    p20, median, p80 = np.percentile(us, [20, 50, 80])
    return {"median_us": round(float(median), 2), "p20": round(float(p20), 2), "p80": round(float(p80), 2)}
