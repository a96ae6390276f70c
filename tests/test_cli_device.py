"""The command line on the emulated device: it trains, resumes exactly, samples, and says what a device lacks."""

import json

import numpy as np
import pytest
from PIL import Image

from inachus import kernels
from inachus.engine.training import checkpoint
from inachus.kernels.emulator import device
from inachus.models.cli import main

TINY = ["--set", "width=4", "--set", "z=8", "--set", "size=28", "--batch", "4"]


pytestmark = pytest.mark.usefixtures("a_device")


def train(run, steps, *more):
    return main(["train", "dcgan", "--data", "digits", "--device", "emulated", "--steps", str(steps), "--out", str(run),
                 *TINY, *more])


def weights(run):
    return checkpoint.load(checkpoint.latest(run)[0])[0]


def test_a_training_on_the_device_resumes_bit_for_bit(tmp_path, capsys):
    assert train(tmp_path / "whole", 8) == 0
    assert "one graph" not in capsys.readouterr().err
    assert train(tmp_path / "halves", 4, "--save-every", "2") == 0
    assert main(["train", "--resume", str(tmp_path / "halves"), "--steps", "8"]) == 0
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    for name, array in whole.items():
        np.testing.assert_array_equal(array, halves[name], err_msg=name)
    options = json.loads((tmp_path / "whole" / "options.json").read_text())
    assert (options["device"], options["precision"]) == ("emulated", "tf32")
    grids = {}
    for where in ("reference", "emulated"):
        grids[where] = tmp_path / f"{where}.png"
        sampling = ["sample", str(tmp_path / "whole"), "--n", "4", "--device", where, "--out", str(grids[where])]
        assert main(sampling) == 0
    one, two = (np.asarray(Image.open(path), int) for path in grids.values())
    assert np.abs(one - two).max() <= 2


def test_eager_and_captured_trainings_are_the_same(tmp_path):
    train(tmp_path / "captured", 6)
    train(tmp_path / "eager", 6, "--eager")
    captured, eager = weights(tmp_path / "captured"), weights(tmp_path / "eager")
    assert all(np.array_equal(captured[name], eager[name]) for name in captured)
    logs = ((tmp_path / run / "log.jsonl").read_text().splitlines() for run in ("captured", "eager"))
    for lines in zip(*logs, strict=True):
        a, b = ({k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines)
        assert a == b


def test_a_profile_names_the_operations(tmp_path, capsys):
    assert train(tmp_path / "run", 2, "--profile") == 0
    assert "conv2d" in capsys.readouterr().out


def test_memory_that_runs_out_names_a_batch_to_try(tmp_path, capsys, monkeypatch):
    train(tmp_path / "small", 1)
    monkeypatch.setattr(device.memory, "limit", device.memory.used + 1_500_000)
    assert train(tmp_path / "large", 1, "--batch", "64") == 6
    text = capsys.readouterr().err.splitlines()[-1]
    assert text.startswith("inachus: dcgan, batch 64: out of GPU memory: ") and "try --batch" in text


def test_a_machine_without_a_gpu_says_so(tmp_path, capsys):
    if kernels.cuda_available():
        pytest.skip("there is a GPU")
    assert main(["train", "gan", "--device", "cuda", "--out", str(tmp_path / "run")]) == 2
    text = capsys.readouterr().err
    assert text.startswith("inachus: device cuda: CuPy ") and text.endswith("or pass --device cpu\n")
    assert main(["train", "gan", "--dry-run", "--device", "auto"]) == 0
    assert "device   cpu" in capsys.readouterr().out
