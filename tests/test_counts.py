"""Counts that say what a change costs without a clock: launches and bytes of a step, registers and spills of kernels.

The committed figures are in bench/results/counts.json; `python bench/counts.py --save` accepts new ones.
"""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from inachus.kernels import emulator

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(scope="module")
def counts():
    """bench/counts.py as a module."""
    if not emulator.available():
        pytest.skip(emulator.missing())
    spec = importlib.util.spec_from_file_location("counts", BENCH / "counts.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["counts"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def committed():
    """The figures that hold."""
    return json.loads((BENCH / "results" / "counts.json").read_text())


@pytest.mark.parametrize("name", ["gan", "dcgan-64:64"])
def test_a_step_launches_and_allocates_what_it_did(counts, committed, name, a_device):
    found = counts.step(name)
    assert not counts.differences(committed["steps"][name], found)
    assert found["launches"] == sum(found["by"].values())


@pytest.mark.slow
def test_every_kernel_compiles_for_two_architectures_without_a_spill(counts, committed):
    release = counts.nvcc()
    if release is None:
        pytest.skip("nvcc is not installed")
    found = counts.registers()  # raises for a spill
    assert found.keys() == committed["registers"].keys()
    for kernels_of in found.values():
        assert all(set(by_architecture) == set(counts.ARCHITECTURES) for by_architecture in kernels_of.values())
    if release == committed["nvcc"]:
        assert not counts.differences(committed["registers"], found)
    else:
        assert max(n for file in found.values() for kernel in file.values() for n in kernel.values()) <= 255
