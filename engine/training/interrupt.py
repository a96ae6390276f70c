"""Ctrl-C and its relatives: the first asks a training to stop after this step, the second stops it at once.

This file saves nothing and stops nothing by itself. Read next: `loop.py`, which looks at `signum` after each
step, saves, and exits with 128 + signum.
"""

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """Context in which the first SIGINT, SIGTERM or SIGHUP only sets `signum`; a second one ends the process.

        with Interrupt() as interrupt:
            while interrupt.signum is None: step()

    Handlers are put back on the way out. A signal that was ignored before (nohup) stays ignored. Outside the
    main thread, where Python delivers no signals, nothing is installed and `signum` stays None.
    """

    def __init__(self):
        self.signum: int | None = None
        self._before = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                if signal.getsignal(signum) not in (signal.SIG_IGN, None):  # None: C code's, not ours to move
                    self._before[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(self, *exception) -> None:
        for signum in list(self._before):
            signal.signal(signum, self._before.pop(signum))

    def _receive(self, signum, frame):
        if self.signum is None:
            self.signum = int(signum)
            for other in self._before:  # the next one ends the process even while a kernel runs, without asking us
                signal.signal(other, signal.SIG_DFL)
