"""Hypothesis profiles and the fixture that lets one test body serve every backend.

`dev` (25 examples) runs by default; with the environment variable CI set, `ci` runs 50, the same every time.
INACHUS_TEST_DEVICE=cuda gives the bodies the GPU and nothing else.
"""

import os
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import settings

import inachus.kernels
from inachus.kernels import cuda, emulator, fetch

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

BACKENDS = ["cuda"] if os.environ.get("INACHUS_TEST_DEVICE") == "cuda" else [*inachus.kernels.HOSTS, "emulated"]


@pytest.fixture(scope="module", params=BACKENDS)
def kernels(request):
    """Each backend in turn, selected for the whole engine while the test runs; CUDA kernels in their fp32 mode."""
    name = request.param
    if name == "emulated" and not emulator.available():
        pytest.skip(emulator.missing())
    with selection_kept():
        backend = inachus.kernels.use(name) if name == "cuda" else inachus.kernels.use_host(name)
        if name in inachus.kernels.HOSTS:
            yield backend
        else:
            backend.use_precision("fp32")
            yield OnDevice(backend) if name == "cuda" else backend


@contextmanager
def selection_kept():
    """At the end the backend, the home of new arrays and the precision are what they were before."""
    with pytest.MonkeyPatch.context() as patch:
        for attribute in ("_host", "_home"):
            patch.setattr(inachus.kernels, attribute, getattr(inachus.kernels, attribute))
        before = cuda.precision()
        yield
        cuda.use_precision(before)


@pytest.fixture
def a_device():
    """For a test that selects a device: what was selected before comes back."""
    if os.environ.get("INACHUS_TEST_DEVICE") != "cuda" and not emulator.available():
        pytest.skip(emulator.missing())
    with selection_kept():
        yield


@pytest.fixture
def emulated(a_device):
    """The emulated device as the home of new arrays; gives the CUDA backend."""
    return inachus.kernels.use("emulated")


class OnDevice:
    """A backend of a device for tests that speak NumPy: arguments move there, results and changes come back."""

    def __init__(self, backend):
        self.backend = backend

    def __getattr__(self, name):
        kernel = getattr(self.backend, name)

        def call(*arguments):
            moved = [_there(a) for a in arguments]
            results = kernel(*moved)
            if results is None:  # it has changed its arguments
                for a, b in zip(arguments, moved, strict=True):
                    _back(a, b)
                return None
            return tuple(map(fetch, results)) if isinstance(results, tuple) else fetch(results)

        return call


def _there(a):
    """An array on the device, not contiguous if it is not; lists element by element; the rest as it is."""
    if isinstance(a, list | tuple) and a and isinstance(a[0], np.ndarray):
        return [_there(x) for x in a]
    if not isinstance(a, np.ndarray):
        return a
    home = inachus.kernels.home()
    if a.flags.c_contiguous:
        return home.asarray(a)
    wide = home.full((2 * len(a), *a.shape[1:]), np.nan, a.dtype)
    wide[::2] = home.asarray(np.ascontiguousarray(a))
    return wide[::2]


def _back(a, b):
    if isinstance(a, list):
        for x, y in zip(a, b, strict=True):
            _back(x, y)
    elif isinstance(a, np.ndarray):
        a[...] = fetch(b)
