"""Signals: the first asks, the second ends the process, and everything is put back."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from inachus.engine.training.interrupt import SIGNALS, Interrupt


@pytest.mark.parametrize("signum", SIGNALS)
def test_the_first_signal_is_only_noted(signum):
    before = [signal.getsignal(s) for s in SIGNALS]
    with Interrupt() as interrupt:
        assert interrupt.signum is None
        os.kill(os.getpid(), signum)
        assert interrupt.signum == signum and type(interrupt.signum) is int
    assert [signal.getsignal(s) for s in SIGNALS] == before


def test_handlers_are_put_back_after_an_error():
    before = [signal.getsignal(s) for s in SIGNALS]
    with pytest.raises(KeyError), Interrupt():
        raise KeyError
    assert [signal.getsignal(s) for s in SIGNALS] == before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupt.signum is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_installs_nothing():
    seen = []

    def work():
        with Interrupt() as interrupt:
            seen.append((interrupt.signum, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, signal.getsignal(signal.SIGINT))]


LOOP = """
import signal, sys, time
from inachus.engine.training.interrupt import Interrupt
for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)
with Interrupt() as interrupt:
    print("ready", flush=True)
    while interrupt.signum is None:
        time.sleep(0.01)
    print("saved", flush=True)
    if sys.argv[1] == "slow":
        time.sleep(60)
    sys.exit(128 + interrupt.signum)
"""


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_loop_stops_once_asked_and_dies_when_asked_twice(signum):
    for pace in ("quick", "slow"):
        command = [sys.executable, "-c", LOOP, pace]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            process.send_signal(signum)
            assert process.stdout.readline() == "saved\n"
            if pace == "slow":
                process.send_signal(signum)
            process.wait(timeout=20)
        assert process.returncode == (128 + signum if pace == "quick" else -signum)
