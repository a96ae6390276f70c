"""A training step and the device it runs on: what changes from step to step, what is read back, and when.

On a device the host only queues work and runs ahead. So a step says which of its numbers the host counts on (`live`)
and which it would like to be read (`readings`); with that, `Stepper` can record the step once, replay it as one graph
(`cuda/graph.py`), and read losses many steps at a time. On the host all of this is plain calls. Knows no GAN.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from inachus import kernels

WARM_UP = 3  # steps taken one operation after the other, before one is recorded: kernels compile, caches fill
ROWS = 64  # steps whose numbers the device keeps until they are read

_recording: Any = None  # the step that is being captured
_stepper: "Stepper | None" = None  # whose step is running


def live(function: Callable[[], float]) -> Any:
    """function(): a number that the host counts on from step to step, such as a learning rate or a place in a stream.

    In a captured step it is a dial, which kernels read from device memory, and `function` is called before each replay.
    """
    return function() if _recording is None else _recording.live(function)


def readings(values: dict[str, Any]) -> dict[str, float]:
    """The means of some arrays by name, as numbers; inside a `Stepper` on a device they are kept there for later."""
    if _stepper is not None and _stepper.ring is not None:
        return _stepper.keep(values)
    return {name: float(kernels.fetch(array).mean()) for name, array in values.items()}


class Stepper:
    """Takes the steps of one training: step(batch), where batch has `items` and `labels`, arrays of the host.

    `counters()` gives everything the host counts in a step and `restore(counts)` puts it back: needed once, if the step
    cannot be captured after all, which `say` tells in one line. With `capture` False every step is taken eagerly.
    `phase()` tells the coming step's course from another one's, if a step has several: each is recorded by itself.
    """

    def __init__(
        self,
        step: Callable,
        counters: Callable,
        restore: Callable,
        say: Callable,
        capture: bool = True,
        phase: Callable | None = None,
    ):
        self.step, self.counters, self.restore, self.say = step, counters, restore, say
        self.phase, self.course = phase or (lambda: None), None
        self.ahead = kernels.home() is not np  # of the device
        self.ring = kernels.home().zeros((ROWS, 16), np.float32) if self.ahead else None
        self.names: tuple[str, ...] = ()
        self.waiting: list = []  # (number, names) of the steps in the ring, or on the host (number, values)
        self.row, self.eager = 0, 0 if capture and self.ahead else -1  # eager steps so far; -1: for ever
        self.captured: Any = None

    def __call__(self, number: int, batch: Any) -> None:
        """Takes step `number`."""
        if not self.ahead:
            self.waiting.append((number, self.step(batch)))
            return
        if len(self.waiting) == ROWS:
            raise RuntimeError(f"read() is due after {ROWS} steps")
        if (phase := self.phase()) != self.course:
            self.course, self.captured, self.eager = phase, None, min(self.eager, 0)
        if self.captured is None and self.eager >= WARM_UP:
            self.capture(batch)
        if self.captured is not None and self.captured.fits(batch):
            self.captured.replay(batch)
        else:
            items, labels = batch.items, batch.labels
            with self._running():
                self.step(type(batch)(kernels.place(items), None if labels is None else kernels.place(labels)))
            self.eager += self.eager >= 0
        self.waiting.append((number, self.names))

    @contextmanager
    def _running(self) -> Iterator[None]:
        global _stepper
        before, _stepper = _stepper, self
        try:
            yield
        finally:
            _stepper = before

    def capture(self, batch: Any) -> None:
        """Records the step; if something in it has to wait for the device, says so in a line and gives up for ever."""
        global _recording
        from inachus.kernels.cuda.graph import CapturedStep

        counts, row, known, step = self.counters(), self.row, set(kernels.NUMBERS), CapturedStep(batch)
        before, _recording = _recording, step
        try:
            with self._running():
                step.record(self.step)
            self.captured = step
        except Exception as error:
            self.eager, self.row = -1, row
            kernels.forget_numbers(known)
            self.restore(counts)
            self.say(f"the step runs operation by operation, not as one graph: {' '.join(str(error).split())}")
        finally:
            _recording = before

    def keep(self, values: dict[str, Any]) -> dict:
        """Queues the means of some arrays into the ring."""
        self.names = tuple(values)
        kernels.selected().keep_means(self.ring, live(self._next_row), list(values.values()))
        return dict.fromkeys(values, float("nan"))  # not read yet

    def _next_row(self) -> int:
        row, self.row = self.row, (self.row + 1) % ROWS
        return row

    def read(self, now: bool = True) -> list[tuple[int, dict[str, float]]]:
        """(number, values) of the steps not read yet; unless needed `now`, none before the device's ring is full."""
        if not self.ahead:
            done, self.waiting = self.waiting, []
            return done
        if not self.waiting or not (now or len(self.waiting) == ROWS):
            return []
        rows, first = kernels.fetch(self.ring), self.row - len(self.waiting)
        values = [map(float, rows[(first + i) % ROWS]) for i in range(len(self.waiting))]
        done = [(n, dict(zip(names, row, strict=False))) for (n, names), row in zip(self.waiting, values, strict=True)]
        self.waiting = []
        return done
