"""Odd numbers and scarce resources: whatever is thrown at ops and trainings gives the right result or one clear line.

Strange arrays (strided, reversed, read-only, of another byte order, float16, 0-d, empty), strange data (all equal,
sides equal), learning rates beyond reason, memory that ends, hash seeds and thread counts that differ, long trainings.
"""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import small
from PIL import Image
from test_cli import done, run, write_squares
from test_loop import assert_same, outcome, saved_steps
from test_ops import each_case

from inachus.engine import Tensor, data, grad, losses, nn, ops
from inachus.engine.training import checkpoint, log, loop
from inachus.kernels.steps import Stepper
from inachus.models.generation.gan import GAN
from inachus.models.settings import parse

# --- strange arrays ----------------------------------------------------------------------------------------


def strided(a):
    """Every second number along the last axis of an array that is twice as wide."""
    if not a.ndim:
        return a
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan, a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def backwards(a):
    """Negative strides along every axis."""
    turned = tuple(slice(None, None, -1) for _ in a.shape)
    return np.ascontiguousarray(a[turned])[turned]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def other_order(a):
    return a.astype(a.dtype.newbyteorder())


def half(a):
    return a.astype(np.float16)


STRANGE = {"strided": strided, "backwards": backwards, "read-only": read_only, "fortran": np.asfortranarray,
           "byte order": other_order}


def computed(case, arrays):
    """The value and the gradients."""
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    y = case.f(*leaves)
    return [y, *grad(y, leaves)]


@each_case
def test_strange_arrays_give_what_plain_ones_give(kernels, case):
    plain = [np.ascontiguousarray(a, np.float32) for a in case.inputs]
    expected = computed(case, plain)
    for name, strange in STRANGE.items():
        for a, b in zip(computed(case, map(strange, plain)), expected, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-5, err_msg=name)


@each_case
def test_float16_is_computed_as_float32(kernels, case):
    coarse = [half(np.asarray(a)) for a in case.inputs]
    expected = computed(case, [a.astype(np.float32) for a in coarse])
    for a, b in zip(computed(case, coarse), expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "abs", "square", "neg", "tanh", "sigmoid", "softplus", "relu",
                                  "leaky_relu", "sum", "mean"])
def test_a_number_is_an_array_of_no_axes(kernels, name):
    f = getattr(ops, name)
    zero, one = (Tensor(np.full(shape, 0.7, np.float32), requires_grad=True) for shape in ((), (1,)))
    y = f(zero)
    assert y.shape == () and y.item() == f(one).item()
    assert grad(y, [zero])[0].item() == grad(f(one).sum(), [one])[0].item()


def empty(*shape):
    return Tensor(np.zeros(shape, np.float32), requires_grad=True)


NOTHING = {  # ops of an empty batch whose result is empty too, or a sum of nothing
    "relu": (ops.relu, empty(0, 3)),
    "tanh": (ops.tanh, empty(0, 3)),
    "softmax": (ops.softmax, empty(0, 3)),
    "sum": (ops.sum, empty(0, 3)),
    "dense": (ops.dense, empty(0, 3), empty(3, 2), empty(2)),
    "matmul": (ops.matmul, empty(2, 0), empty(0, 2)),
    "concat": (lambda *xs: ops.concat(xs, axis=0), empty(0, 2), empty(1, 2)),
    "upsample": (lambda x: ops.upsample_nearest(x, scale=2), empty(0, 2, 2, 3)),
    "shuffle": (lambda x: ops.pixel_shuffle(x, scale=2), empty(0, 2, 2, 4)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_an_empty_batch_gives_an_empty_result(kernels, name):
    f, *leaves = NOTHING[name]
    leaves = [Tensor(leaf.numpy(), requires_grad=True) for leaf in leaves]
    y = f(*leaves)
    assert not y.numpy().any()
    assert [g.shape for g in grad(y, leaves)] == [leaf.shape for leaf in leaves]


REFUSED = {  # those that have no value then
    "mean": lambda: ops.mean(empty(0, 3)),
    "conv2d": lambda: ops.conv2d(empty(0, 5, 5, 2), empty(3, 3, 2, 4)),
    "conv_transpose2d": lambda: ops.conv_transpose2d(empty(0, 5, 5, 2), empty(3, 3, 4, 2)),
    "batch_norm": lambda: ops.batch_norm(empty(0, 3), empty(3), empty(3)),
    "instance_norm": lambda: ops.instance_norm(empty(2, 0, 2, 3)),
    "mean ": lambda: ops.layer_norm(empty(0, 3)),
    "bce_with_logits": lambda: losses.bce_with_logits(empty(0, 1), 1.0),
    "mse": lambda: losses.mse(empty(0, 1), empty(0, 1)),
    "l1": lambda: losses.l1(empty(0, 1), 0.0),
    "hinge": lambda: losses.hinge(empty(0, 1), 1),
    "cross_entropy": lambda: losses.cross_entropy(empty(0, 3), np.zeros(0, np.int64)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_value_for_nothing_says_so(kernels, name):
    with pytest.raises(ValueError, match=rf"{name.strip()}: has no value for no numbers \(shape .*\): is the batch"):
        REFUSED[name]()


# --- strange data and learning rates -----------------------------------------------------------------------


def pictures_file(path, items):
    np.savez(path, x=items, y=np.arange(len(items)) % 2)
    return path


FLAT = {"zero": 0, "grey": 128, "white": 255}


@pytest.mark.parametrize("name", ["gan", "vae", "wgangp"])
@pytest.mark.parametrize("value", FLAT)
def test_data_that_are_all_equal_train_without_a_crash(tmp_path, name, value):
    path = pictures_file(tmp_path / "flat.npz", np.full((48, 8, 8, 1), FLAT[value], np.uint8))
    words = ["--batch", 8, "--steps", 3, "--out", tmp_path / "run", *small.words(name)]
    result = run("train", name, "--data", path, *words)
    assert result.code == 0 and "all the same, so" in result.err
    assert all(np.isfinite(a).all() for a in checkpoint.load(tmp_path / "run")[0].values())


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_sides_that_are_equal_train_without_a_crash(tmp_path, name):
    for side in ("a", "b"):
        (tmp_path / "sides" / side).mkdir(parents=True)
        for i, picture in enumerate(small.pictures(24, 32)):
            Image.fromarray(picture).save(tmp_path / "sides" / side / f"{i}.png")
    words = ["--data", tmp_path / "sides", "--batch", 1, "--steps", 2, "--out", tmp_path / "run"]
    result = run("train", name, *words, *small.words(name), "--set", "hold_out=0")
    assert result.code == 0, result.err
    assert ("a and b are the same pictures" in result.err) == (name == "pix2pix")
    assert saved_steps(tmp_path / "run")[-1] == 2


@pytest.mark.parametrize("name", ["gan", "vae", "wgan"])
def test_a_learning_rate_beyond_reason_ends_in_one_line_or_in_finite_weights(tmp_path, name):
    write_squares(tmp_path / "squares.npz")
    words = ["--data", tmp_path / "squares.npz", "--batch", 8, "--steps", 20, "--out", tmp_path / "run"]
    result = run("train", name, *words, *small.words(name), "--set", "lr=1e6")
    tensors, meta = checkpoint.load(tmp_path / "run")
    assert all(np.isfinite(a).all() for a in tensors.values())
    if result.code:
        *_, line = result.err.splitlines()
        assert result.code == 5 and f"the checkpoint of step {meta['step']} is good" in line and "--set lr=" in line


# --- scarce resources --------------------------------------------------------------------------------------

LIMITED = """
import resource, sys
from inachus.kernels.steps import Stepper
from inachus.models.cli import main
take = Stepper.__call__
def limited(self, number, batch):
    ballast = []
    if number == 3:  # the process may not grow, and what it has is full up to small pieces
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 500_000, used + 500_000))
        for size in (1 << 20, 1 << 16):
            try:
                while True:
                    ballast.append(bytearray(size))
            except MemoryError:
                pass
    take(self, number, batch)
Stepper.__call__ = limited
sys.exit(main(sys.argv[1:]))
"""


def python(code, *words, **environment):
    """A process with one thread; (exit code, stdout, stderr)."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"} | environment
    result = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, timeout=120,
                            env=environment)
    return result.returncode, result.stdout, result.stderr


def test_memory_of_the_host_that_ends_leaves_the_checkpoint(tmp_path):
    write_squares(tmp_path / "squares.npz")
    words = ["train", "gan", "--data", tmp_path / "squares.npz", "--batch", 64, "--steps", 9, "--save-every", 1]
    code, _, told = python(LIMITED, *words, "--device", "reference", "--out", tmp_path / "run")
    assert (code, "Traceback" in told) == (6, False), told
    assert re.search(r"^inachus: out of memory.*--batch", told.splitlines()[-1])
    assert saved_steps(tmp_path / "run") == [0, 1, 2]
    done("train", "--resume", tmp_path / "run", "--steps", 3, "--device", "reference")


def test_memory_of_a_device_that_ends_leaves_the_checkpoint(tmp_path, a_device, monkeypatch):
    from inachus.kernels.emulator import device as emulated_device
    from inachus.kernels.memory import memory

    write_squares(tmp_path / "squares.npz")
    words = ["--data", tmp_path / "squares.npz", "--batch", 8, "--device", "emulated", "--out", tmp_path / "run"]
    done("train", "gan", *words, "--steps", 1)
    before = outcome(tmp_path / "run")
    take = Stepper.__call__

    def limited(self, number, batch):
        if number == 3:
            monkeypatch.setattr(emulated_device.memory, "limit", memory().used + 100_000)
        take(self, number, batch)

    monkeypatch.setattr(Stepper, "__call__", limited)
    result = run("train", "--resume", tmp_path / "run", "--steps", 9)
    *_, line = result.err.splitlines()
    assert result.code == 6 and re.search(r"out of GPU memory: \S+ .B more were needed and \S+ .B are free; try", line)
    assert_same(outcome(tmp_path / "run"), before)


@pytest.mark.slow
def test_a_cache_of_compiled_kernels_that_is_damaged_is_made_again(tmp_path):
    code = "import numpy as np; from inachus.kernels import cpu; print(cpu.leaky_relu(np.ones(3, np.float32), 0.0))"
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert python(code, **cache)[:2] == (0, "[1. 1. 1.]\n")
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert files
    for i, path in enumerate(files):
        content = path.read_bytes()
        path.write_bytes((b"", content[: len(content) // 2], bytes(len(content)))[i % 3])
    assert python(code, **cache)[:2] == (0, "[1. 1. 1.]\n")


@pytest.mark.slow
def test_a_cache_that_cannot_be_made_is_done_without(tmp_path):
    code = "import numpy as np; from inachus.kernels import cpu; print(cpu.leaky_relu(np.ones(3, np.float32), 0.0))"
    (tmp_path / "file").write_bytes(b"")
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path / "file/cache"))[:2] == (0, "[1. 1. 1.]\n")


# --- the same again, and for long --------------------------------------------------------------------------

TWICE = """
import hashlib, sys
from inachus.models.cli import main
from inachus.engine.training import checkpoint
assert main(sys.argv[1:]) == 0
tensors, meta = checkpoint.load(sys.argv[-1])
print(hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest(), meta["state"])
"""


@pytest.mark.slow
def test_hash_seed_and_threads_change_no_bit(tmp_path):
    write_squares(tmp_path / "squares.npz")
    words = ["train", "cgan", "--data", tmp_path / "squares.npz", "--batch", 8, "--steps", 5, "--out"]
    told = [python(TWICE, *words, tmp_path / seed, PYTHONHASHSEED=seed, NUMBA_NUM_THREADS=threads)
            for seed, threads in (("0", "1"), ("12345", "2"))]
    assert told[0][0] == 0 and told[0][1].splitlines()[-1] == told[1][1].splitlines()[-1]


def resident():
    """Bytes of this process that lie in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Little(GAN):
    """Points from networks of a few dozen weights."""

    def networks(self):
        """(generator, discriminator)."""
        layers = [(nn.Dense(i, 8), nn.BatchNorm(8), nn.LeakyReLU(), nn.Dense(8, o)) for i, o in ((2, 2), (2, 1))]
        return tuple(nn.Sequential(*each) for each in layers)


@pytest.mark.slow
def test_ten_thousand_steps_hold_memory_files_and_log_flat(tmp_path):
    points = data.Dataset("points", np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32))
    model, seen = Little((2,), settings=parse(GAN.Settings, ["z=2"])), []

    def preview(dataset):
        seen.append((resident(), len(os.listdir("/proc/self/fd")), len(log.read(tmp_path))))
        return {"items": model.sample(64), "columns": 8, "titles": None}

    model.preview = preview
    loop.train(model, points, tmp_path, loop.Plan(10_000, 8, sample_every=1000, save_every=1000), {}, lambda text: None)
    memory, files, lines = zip(*seen, strict=True)
    assert memory[-1] - memory[3] < 4e6, memory
    assert len(set(files[1:])) == 1, files
    assert lines == tuple(range(0, 1001, 100)) and (tmp_path / "log.jsonl").stat().st_size < 150_000
    assert len(saved_steps(tmp_path)) == 3
