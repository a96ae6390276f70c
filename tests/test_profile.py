"""The profile: what it names, that times add up, that nothing stays wrapped."""

import numpy as np
import pytest

from inachus import kernels
from inachus.engine import ops, tensor
from inachus.engine.data import Batch
from inachus.engine.profile import Profile
from inachus.models import MODELS


@pytest.fixture
def model():
    return MODELS["gan"]((28, 28, 1), 0, 0)


BATCH = Batch(np.zeros((8, 28, 28, 1), np.float32))


def test_a_profile_names_ops_their_gradients_and_lone_kernels(model):
    with Profile() as profile:
        model.step(BATCH)
        model.step(BATCH)
    names = {"dense", "dense_dw", "norm", "norm'", "bias_act", "bias_act'", "adam", "ema", "normal"}
    assert names <= set(profile.calls)
    assert "matmul" not in profile.calls  # it belongs to the op that calls it
    assert profile.calls["normal"] == 2
    assert 0 < sum(profile.seconds.values()) < profile.total
    lines = profile.table(rows=3).splitlines()
    assert len(lines) == 5
    assert lines[-1].endswith("everything else")
    assert sum(float(line.split("%")[0]) for line in lines[1:]) == pytest.approx(100, abs=0.3)


def test_a_profile_leaves_no_trace(model):
    before = [(op.forward, op.rule) for op in tensor.OPS.values()]
    host = kernels.host()
    functions = [getattr(host, name) for name in host.__all__]
    with pytest.raises(ZeroDivisionError), Profile():
        assert ops.relu.__module__
        model.step(BATCH)
        raise ZeroDivisionError
    assert [(op.forward, op.rule) for op in tensor.OPS.values()] == before
    assert [getattr(host, name) for name in host.__all__] == functions


def test_the_numbers_are_the_same_under_a_profile(model):
    other = MODELS["gan"]((28, 28, 1), 0, 0)
    with Profile():
        profiled = model.step(BATCH)
    assert profiled == other.step(BATCH)
