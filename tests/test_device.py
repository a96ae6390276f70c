"""A device as a whole: its arrays, training on it, a captured step, its memory. The emulated one, or the GPU if asked.

That each kernel is right is in `test_kernels.py` and beside it; here whole networks train, and must tell what the
reference tells.
"""

import os
from functools import partial

import numpy as np
import pytest
import small
from test_ops import CASES

from inachus import kernels
from inachus.engine import Tensor, constant, grad, nn, ops
from inachus.engine.data import Batch
from inachus.engine.random import Generator
from inachus.engine.training import state
from inachus.kernels import fetch
from inachus.kernels.emulator import device as emulated_device
from inachus.kernels.memory import memory, shortage
from inachus.kernels.steps import ROWS, WARM_UP, Stepper, readings

DEVICE = os.environ.get("INACHUS_TEST_DEVICE", "emulated")
# For how many steps; dropout, a pool, a rate that changes, norms of each kind.
TRIED = {"dcgan": 20, "pix2pix": 8, "cyclegan": 8}


@pytest.fixture(autouse=True)
def device(a_device):
    """The device as the home of new arrays, computing as exactly as it can."""
    backend = kernels.use(DEVICE)
    backend.use_precision("fp32")
    return backend


# --- training ----------------------------------------------------------------------------------------------


def trained(name, steps, *, where, capture=False, precision="fp32"):
    """(model, the numbers of every step, what was said) after some steps on a device."""
    kernels.use(where)
    if where == DEVICE:
        kernels.selected().use_precision(precision)
    model, dataset, said, told = small.model(name, seed=1), small.dataset(name), [], []
    counts = partial(state.counters, model), partial(state.set_counters, model)
    stepper = Stepper(model.step, *counts, said.append, capture)
    for number in range(1, steps + 1):
        stepper(number, small.batch(model, dataset, 2, number))
        told += stepper.read(now=number % 7 == 0)
    told += stepper.read()
    assert [n for n, _ in told] == list(range(1, steps + 1))
    return model, [values for _, values in told], said


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("name", TRIED)
def test_many_steps_tell_what_the_reference_tells(name, precision):
    _, expected, _ = trained(name, TRIED[name], where="reference")
    _, found, _ = trained(name, TRIED[name], where=DEVICE, precision=precision)
    rtol = {"fp32": 1e-4, "tf32": 1e-2}[precision]
    for step, (a, b) in enumerate(zip(found, expected, strict=True), 1):
        for key in b:
            assert a[key] == pytest.approx(b[key], rel=rtol, abs=rtol), f"step {step}, {key}"


@pytest.mark.parametrize("name", TRIED)
def test_a_captured_step_is_the_eager_one_bit_for_bit(name):
    eager, told, _ = trained(name, 9, where=DEVICE)
    captured, same, said = trained(name, 9, where=DEVICE, capture=True)
    assert not said
    assert told == same
    one, two = state.collect(eager), state.collect(captured)
    assert one[1] == two[1]
    for key, array in one[0].items():
        np.testing.assert_array_equal(array, two[0][key], err_msg=key)


# --- captured steps ----------------------------------------------------------------------------------------


class Counting:
    """A step that only does what `body` says to a network of one layer."""

    def __init__(self, body):
        self.net, self.body, self.made = nn.Dense(2, 2), body, 0
        self.rng = Generator(1)

    def step(self, batch):
        self.made += 1
        y = self.net(constant(batch.items))
        self.body(self, y)
        return readings({"y": y.data})


def stepped(model, steps, size=3):
    said = []
    stepper = Stepper(model.step, partial(state.counters, model), partial(state.set_counters, model), said.append)
    for n in range(1, steps + 1):
        rows = np.full((size(n) if callable(size) else size, 2), n, np.float32)
        stepper(n, Batch(rows))
    return stepper, said


def test_a_replayed_step_calls_no_python():
    model = Counting(lambda model, y: None)
    stepper, said = stepped(model, WARM_UP + 20)
    assert (model.made, said) == (WARM_UP + 1, [])
    assert stepper.captured is not None


def test_each_replay_sees_its_own_batch_and_its_own_noise():
    model = Counting(lambda model, y: None)
    model.step = lambda batch: readings({"x": batch.items, "z": model.rng.normal((4,))})
    stepper, said = stepped(model, WARM_UP + 5)
    seen = [values for _, values in stepper.read()]
    assert not said
    assert [v["x"] for v in seen] == list(range(1, WARM_UP + 6))
    rng = Generator(1)
    np.testing.assert_allclose([v["z"] for v in seen], [fetch(rng.normal((4,))).mean() for _ in seen], rtol=1e-6)


def test_a_step_that_waits_for_the_device_runs_eagerly_and_says_why():
    model = Counting(lambda model, y: float(y.data.sum()))

    def step(batch):
        model.rng.normal((1,))
        return Counting.step(model, batch)

    model.step = step
    stepper, said = stepped(model, WARM_UP + 4)
    assert len(said) == 1
    assert said[0].startswith("the step runs operation by operation, not as one graph: ")
    assert len(stepper.read()) == WARM_UP + 4
    assert model.rng.position == WARM_UP + 4  # the failed recording has drawn nothing


def test_a_recording_that_fails_at_its_end_loses_no_numbers():
    model = Counting(lambda model, y: None)

    def step(batch):
        values = readings({"x": batch.items})
        float(batch.items.sum())
        return values

    model.step = step
    stepper, said = stepped(model, WARM_UP + 4)
    assert len(said) == 1
    assert [values["x"] for _, values in stepper.read()] == list(range(1, WARM_UP + 5))


def test_a_number_first_met_in_a_recording_that_fails_is_right_afterwards():
    def body(model, y):
        if model.made > WARM_UP:
            z = y * 7.25
            float(z.data.sum())

    stepped(Counting(body), WARM_UP + 1)
    assert (constant(np.ones(2, np.float32)) * 7.25).numpy().tolist() == [7.25, 7.25]


def test_another_batch_size_is_no_problem():
    model = Counting(lambda model, y: None)
    stepper, said = stepped(model, 9, size=lambda n: 5 if n == 7 else 3)
    assert (said, len(stepper.read())) == ([], 9)


def test_numbers_wait_on_the_device_until_they_are_read():
    model = Counting(lambda model, y: None)
    stepper, _ = stepped(model, ROWS)
    assert [n for n, _ in stepper.read(now=False)] == list(range(1, ROWS + 1))
    assert stepper.read() == []


# --- arrays ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_op_runs_on_the_device(name):
    for case in CASES[name]:
        leaves = [Tensor(np.asarray(a, np.float64), requires_grad=True) for a in case.inputs]
        y = case.f(*leaves)
        assert kernels.device(y.data) == DEVICE
        np.testing.assert_allclose(y.numpy(), case.expected(*case.inputs), rtol=1e-9, atol=1e-9)
        for g in grad(y, leaves, create_graph=True):
            assert kernels.device(g.data) == DEVICE


def test_host_and_device_never_mix():
    x = constant(np.ones(3, np.float32))
    for mix in (lambda: x.data + np.ones(3, np.float32), lambda: np.asarray(x.data)):
        with pytest.raises(TypeError):
            mix()
    kernels.use("reference")
    with pytest.raises(TypeError, match="add: tensors on"):
        ops.add(x, constant(np.ones(3, np.float32)))


@pytest.mark.skipif(DEVICE != "emulated", reason="memory of its own, to be filled up")
def test_memory_that_runs_out_is_explained(monkeypatch):
    monkeypatch.setattr(emulated_device.memory, "limit", memory().used + 100_000)
    fixed, kept = memory().used, []
    with pytest.raises(MemoryError) as error:
        while True:
            kept.append(constant(np.zeros(10_000, np.float32)))
    text = shortage(error.value, fixed, 64)
    assert text == "out of GPU memory: 0.04 MB more were needed and 0.02 MB are free; try --batch 32"
