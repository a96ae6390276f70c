"""What is found out about numbers: the op that made the first NaN, and arrays that changed before backward needed them.

Changes that the engine itself makes are found in every training (`engine/versions.py`), those made by hand, and the
first NaN, while an `Anomaly` is open.
"""

import json
import re

import numpy as np
import pytest
import small
from test_cli import run, write_squares
from test_loop import train

from inachus.engine import Tensor, constant, grad, losses, nn, no_grad, ops, tensor, versions
from inachus.engine.anomaly import Anomaly
from inachus.engine.errors import NumericError
from inachus.engine.optim import EMA, SGD
from inachus.engine.training import state
from inachus.models import MODELS


def leaf(*numbers):
    return Tensor(np.array(numbers, np.float32), requires_grad=True)


def network(**more):
    return nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4), nn.LeakyReLU(), nn.Dense(4, 1), **more)


def rows(n=5):
    return constant(np.random.default_rng(0).standard_normal((n, 3)).astype(np.float32))


# --- changes that the engine makes -------------------------------------------------------------------------


def overwritten_by_step(net, x):
    optimizer = SGD(net.parameters(), 0.1)
    return lambda: optimizer.minimize(net(x).sum())


def overwritten_by_load(net, x):
    kept = {name: array.copy() for name, array in net.state_dict().items()}
    return lambda: net.load_state_dict(kept)


def overwritten_by_drawing(net, x):
    from inachus.engine.nn import init
    from inachus.engine.random import Generator

    return lambda: net.initialize(Generator(1), init.glorot())


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("overwritten", [overwritten_by_step, overwritten_by_load, overwritten_by_drawing])
def test_weights_changed_between_forward_and_backward(kernels, overwritten, twice):
    net, x = network(), rows()
    change = overwritten(net, x)
    loss = ops.square(net(x)).mean()
    change()
    with pytest.raises(RuntimeError, match=r"backward of (dense|bias_act) needs an array of .*changed in place"):
        grad(loss, net.parameters(), create_graph=twice)
    grad(ops.square(net(x)).mean(), net.parameters())  # computed again, all is well


def test_a_norm_whose_scale_was_saved(kernels):
    norm = nn.BatchNorm(3)
    optimizer = SGD(norm.parameters(), 0.1)
    y = norm(rows()).sum()
    optimizer.step([constant(np.ones(3, np.float32))] * 2)
    with pytest.raises(RuntimeError, match=r"backward of norm needs an array of shape \(3,\)"):
        grad(y, norm.parameters())


def test_a_view_of_what_was_changed():
    w = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    optimizer = SGD([w], 0.1)
    turned = w.transpose()
    y = (turned * turned).sum()
    optimizer.step([w])
    with pytest.raises(RuntimeError, match=r"backward of mul needs an array of shape \(3, 2\)"):
        grad(y, [w])


def test_an_average_that_moved():
    net, x = network(), Tensor(rows().data, requires_grad=True)
    average = EMA(net, 0.5)
    y = average.network(x).sum()
    average.update()
    with pytest.raises(RuntimeError, match="changed in place"):
        grad(y, [x])


def test_what_backward_does_not_need_may_change():
    b, x = leaf(1, 2, 3), leaf(3, 4, 5)
    optimizer = SGD([b], 0.1)
    y = (ops.square(x) + b).sum()
    optimizer.step([b])
    gb, gx = grad(y, [b, x])
    assert gb.numpy().tolist() == [1, 1, 1] and gx.numpy().tolist() == [6, 8, 10]


def test_one_factor_may_change_if_only_its_own_gradient_is_wanted():
    w, x = leaf(1, 2), leaf(3, 4)
    SGD([w], 0.1).step([w])  # an older change than the product
    product = (w * x).sum()
    SGD([w], 0.1).step([w])
    assert grad(product, [w])[0].numpy().tolist() == [3, 4]
    product = (w * x).sum()
    SGD([w], 0.1).step([w])
    with pytest.raises(RuntimeError, match="backward of mul"):
        grad(product, [x])


# --- changes by hand, which an Anomaly finds ---------------------------------------------------------------


def by_writing(t):
    t.data[...] = 5


def by_adding(t):
    t.data += 1


def by_another_array(t):
    t.data = t.data + 1


@pytest.mark.parametrize("change", [by_writing, by_adding, by_another_array])
def test_an_input_changed_by_hand(change):
    with Anomaly():
        x = leaf(1, 2)
        y = (x * x).sum()
        change(x)
        with pytest.raises(RuntimeError, match=r"backward of mul needs an array of shape \(2,\)"):
            y.backward()


def test_a_result_and_a_saved_array_changed_by_hand():
    with Anomaly():
        x = leaf(1, 2)
        y = ops.tanh(x)
        z = y.sum()
        by_writing(y)
        with pytest.raises(RuntimeError, match="backward of tanh"):
            grad(z, [x])
        loss = losses.mse(x, 0.0)
        loss.node.saved[...] = 0
        with pytest.raises(RuntimeError, match="backward of squared"):
            grad(loss, [x])


def test_by_hand_too_what_backward_does_not_need_may_change():
    with Anomaly():
        x = leaf(1, 2)
        y = (x + x).sum()
        by_writing(x)
        assert grad(y, [x])[0].numpy().tolist() == [2, 2]


# --- the first number that is none -------------------------------------------------------------------------

CAUSES = {  # what is computed from (1, 0): what is said
    "forward": (lambda x: ops.log(x), r"infinity, made by log \(inputs \(2,\), output \(2,\)\)"),
    "backward": (lambda x: ops.sqrt(x), r"infinity, made by backward of sqrt, in its div"),
    "given": (lambda x: x * constant(np.array([1, np.nan], np.float32)), r"mul was given NaN in an input \(2,\)"),
    "nan": (lambda x: x / x, r"NaN, made by div"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_the_op_is_named(kernels, name):
    f, match = CAUSES[name]
    with Anomaly(), pytest.raises(NumericError, match=match):
        f(leaf(1, 0)).sum().backward()


def test_the_layer_is_named():
    net = network(last=nn.Dense(1, 2))
    net.layers[-1].weight.data[...] = np.finfo(np.float32).max
    with Anomaly(D=net), pytest.raises(NumericError, match=r"made by dense in D\.last \(inputs \(5, 1\), \(1, 2\)"):
        net(rows() * 1e3)
    net.layers[0].weight.data[...] = np.nan
    with Anomaly(D=net), pytest.raises(NumericError, match=r"dense in D\.0 was given NaN in D\.0\.weight \(3, 4\)"):
        net(rows())


def test_the_update_is_named():
    net = network()
    optimizer = SGD(net.parameters(), 1e38)
    with Anomaly(G=net), pytest.raises(NumericError, match=r"made by SGD's update of G\.0\.weight"):
        optimizer.minimize(ops.square(net(rows()) * 100.0).sum() * 1e3)


@pytest.mark.parametrize("name", ["gan", "wgangp", "vae", "triplegan", "cyclegan", "completion"])
def test_a_healthy_step_is_the_same_under_watch(name):
    one, two = (small.model(name, seed=1) for _ in range(2))
    batches = [small.batch(one, small.dataset(name), 4, i) for i in range(2)]
    with np.errstate(all="ignore"):
        expected = [one.step(batch) for batch in batches]
    with Anomaly(**state.networks(two)):
        assert [two.step(batch) for batch in batches] == expected


def test_afterwards_nothing_is_watched():
    before = tensor.Op.__call__, tensor._pull, versions.intact, nn.Module.__call__, SGD.step
    with pytest.raises(NumericError), Anomaly():
        ops.log(leaf(0))
    assert before == (tensor.Op.__call__, tensor._pull, versions.intact, nn.Module.__call__, SGD.step)
    with np.errstate(all="ignore"), no_grad():
        assert np.isinf(ops.log(leaf(0)).numpy()).all()


# --- in a training -----------------------------------------------------------------------------------------


def test_the_command_names_network_layer_step_batch_and_operation(tmp_path):
    write_squares(tmp_path / "squares.npz")
    words = ["--data", tmp_path / "squares.npz", "--batch", 8, "--steps", 9, "--out", tmp_path / "run"]
    result = run("train", "gan", *words, "--set", "lr=1e30")
    *_, line = result.err.splitlines()
    assert result.code == 5 and f"`inachus train --resume {tmp_path}/run --detect-anomaly`" in line
    assert re.search(r"not finite at step 1; broken are G\.0\.weight \(network G, layer 0, Dense\) and \d+ more", line)
    assert re.search(r"the batch held item \d+, item \d+, item \d+ and 5 more; the checkpoint of step 0 is good", line)
    found = json.loads((tmp_path / "run/postmortem.json").read_text())
    assert (found["step"], found["good_checkpoint"], len(found["batch"])) == (1, 0, 8)
    assert found["broken"][0]["name"] == "G.0.weight" and "nan" in found["readings"].values()
    result = run("train", "--resume", tmp_path / "run", "--detect-anomaly")
    *_, line = result.err.splitlines()
    assert result.code == 5 and "--detect-anomaly" not in line
    assert re.search(r"at step 1 the first number that is not finite is infinity, made by dense in D\.\d \(", line)


def test_the_batch_is_named_by_its_files(tmp_path):
    small.write_sides(tmp_path / "sides", 6, 8)
    result = run("train", "gan", "--data", tmp_path / "sides", "--batch", 3, "--steps", 2, "--out", tmp_path / "run",
                 "--set", "lr=1e30")
    assert result.code == 5 and re.search(r"the batch held (dark|bright)/0\d\.png, ", result.err.splitlines()[-1])
    assert all(name.endswith(".png") for name in json.loads((tmp_path / "run/postmortem.json").read_text())["batch"])


@pytest.mark.parametrize("name", MODELS)
def test_every_loader_knows_what_a_batch_holds(name):
    model, dataset = small.model(name), small.dataset(name)
    loader = model.loader(dataset, 4 * model.batches, 0)
    names = loader.names_at(3)
    assert names == loader.names_at(3) != loader.names_at(4) and len(names) >= 4 * model.batches


def test_a_broken_gradient_is_found_in_its_own_step(tmp_path):
    model = small.model("gan", seed=1)
    step, count = model.step, []

    def broken(batch):
        count.append(1)
        values = step(batch)
        if len(count) == 3:
            model.d_optimizer.step([constant(np.full(p.shape, np.nan, np.float32)) for p in model.D.parameters()])
        return values

    model.step = broken
    with pytest.raises(NumericError, match=r"after step 3; broken are D\.\S+ \(network D, layer .*of step 2 is good"):
        train(model, tmp_path, 9, save_every=1, sample_every=100)
