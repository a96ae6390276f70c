"""Every command of the command line on a run of a few steps, end to end, and the parts such tests need.

What happens when something is wrong is in `test_cli_faults.py`, stopping and resuming in `test_loop.py`.
"""

import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import small
from PIL import Image

from inachus import kernels
from inachus.engine.data import list_sources
from inachus.engine.training import checkpoint, log
from inachus.models import MODELS
from inachus.models.cli import COMMANDS, main

Finished = namedtuple("Finished", "code out err")


def write_squares(path, train=96, test=200):
    """An `.npz` of grey 8x8 pictures in four classes: the class is the bright quarter. Any judge can tell."""
    rng, arrays = np.random.default_rng(0), {}
    for split, count in (("train", train), ("test", test)):
        labels = np.arange(count) % 4
        pictures = rng.integers(0, 60, (count, 8, 8), np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            row, column = 4 * (label // 2), 4 * (label % 2)
            picture[row : row + 4, column : column + 4] += 180
        arrays |= {f"x_{split}": pictures, f"y_{split}": labels}
    np.savez(path, **{name: array for name, array in arrays.items() if len(array)})
    return path


def run(*words):
    """(code, out, err) of `inachus WORDS...` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return Finished(code, out.getvalue(), err.getvalue())


def done(*words):
    """What a command that must succeed printed on stdout."""
    result = run(*words)
    assert result.code == 0, result.err
    return result.out


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with data and, later, runs and a cache of its own."""
    folder = tmp_path_factory.mktemp("home")
    write_squares(folder / "squares.npz")
    small.write_sides(folder / "sides")
    return folder


@pytest.fixture(autouse=True)
def at_home(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("INACHUS_CACHE", str(home / "cache"))
    monkeypatch.delenv("INACHUS_DATA", raising=False)
    monkeypatch.setattr(kernels, "_host", None)


@pytest.fixture(scope="module")
def cgan(home):
    """A cgan trained for four steps."""
    path = home / "cgan-run"
    done("train", "cgan", "--data", home / "squares.npz", "--steps", 4, "--batch", 8, "--out", path)
    return path


def pixels(path):
    """The pixels of a PNG."""
    with Image.open(path) as image:
        return np.asarray(image)


# --- the front door ----------------------------------------------------------------------------------------


def test_help_answers_at_once():
    seconds = []
    for _ in range(5):
        began = sum(os.times()[2:4])  # of the children, so that a busy machine is no fault
        result = subprocess.run([sys.executable, "-m", "inachus", "--help"], capture_output=True, text=True)
        seconds.append(sum(os.times()[2:4]) - began)
        assert result.returncode == 0 and "train" in result.stdout and not result.stderr
    assert min(seconds) < 0.5


@pytest.mark.parametrize("command", [module.__name__.rpartition(".")[2] for module in COMMANDS])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0 and f"inachus {command}" in capsys.readouterr().out


def test_version():
    assert done("--version").startswith("inachus ")


# --- train -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_and_does_what_it_is_for(name):
    path, cls = Path(f"run-{name}"), MODELS[name]
    source = "sides" if hasattr(cls, "paired") else "squares.npz,squares.npz" if name == "dann" else "squares.npz"
    printed = done("train", name, "--data", source, "--steps", 3, "--batch", 8, "--out", path, *small.words(name))
    lines = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert lines == {"grid": f"{path}/samples/000003.png", "film": f"{path}/samples.gif",
                     "report": f"{path}/report.html"}
    assert all(Path(file).stat().st_size for file in lines.values())
    assert (path / "samples/000000.png").is_file() and (path / "checkpoints/latest").is_file()
    assert [entry["step"] for entry in log.read(path)] == [3]
    assert json.loads((path / "options.json").read_text())["model"] == name
    if name in small.GENERATORS:
        for command in ("sample", "interpolate") if hasattr(cls, "noise") else ("sample",):
            assert Path(done(command, path).strip()).is_file()
    else:
        assert name in small.TRANSLATORS or hasattr(cls, "complete") or hasattr(cls, "adapts")


def test_there_is_no_walk_without_codes():
    words = ["--data", "squares.npz", "--steps", 1, "--batch", 8, *small.words("energy")]
    done("train", "energy", *words, "--out", "climbed")
    result = run("interpolate", "climbed")
    assert result.code == 2 and "without a code" in result.err


def test_a_small_data_set_makes_small_batches():
    """Without --batch; who asks for more than there is hears how much there is."""
    small.write_sides(Path("few"), count=6)
    words = ["train", "pix2pix", "--data", "few", "--steps", 1, *small.words("pix2pix"), "--set", "hold_out=0"]
    told = run(*words, "--out", "few-run")
    assert told.code == 0 and "batches of 6 instead of 16" in told.err
    assert json.loads(Path("few-run/options.json").read_text())["batch"] == 6
    assert "between 1 and 6" in run(*words, "--batch", 7, "--out", "more").err


def test_a_run_without_a_name_gets_one():
    words = ["train", "autoencoder", "--data", "squares.npz", "--steps", 1, "--batch", 8]
    for folder in ("runs/autoencoder-squares", "runs/autoencoder-squares-2"):
        assert f"{folder}/report.html" in done(*words)


def test_stdout_is_for_results_and_stderr_for_messages():
    words = ["train", "gan", "--data", "squares.npz", "--steps", 4, "--batch", 8, "--out", "spoken"]
    result = run(*words, "--sample-every", 2, "--save-every", 2, "--seed", 5, "--device", "reference")
    assert len(result.out.splitlines()) == 3
    told = result.err.splitlines()
    assert "run directory spoken" in told[0]
    assert [line.split(":")[0] for line in told[1:]] == ["step 2 of 4", "step 4 of 4"]


def test_a_dry_run_writes_nothing(home):
    before = sorted(home.rglob("*"))
    words = ["train", "cgan", "--data", "squares.npz", "--set", "join=concat", "--out", "never"]
    told = done(*words, "--dry-run")
    for words in ("join     concat", "96 pictures 8x8x1 in 4 classes", "0 24, 1 24", "trainable", "Dense"):
        assert words in told
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("more, steps, batch", [([], 12_000, 256), (["--steps", 40, "--batch", 8], 40, 8)])
def test_points_have_presets_of_their_own_unless_told(home, more, steps, batch):
    told = done("train", "wgangp", "--data", "mixture-ring8", "--dry-run", *more)
    assert re.search(rf"steps +{steps}\nbatch +{batch}\n", told) and re.search(r"decay +12000\n", told)


def test_resume_goes_on_and_may_extend():
    words = ["--data", "squares.npz", "--batch", 8, "--out", "extended"]
    done("train", "gan", *words, "--steps", 2)
    result = run("train", "--resume", "extended", "--steps", 4, "--batch", 8)
    assert result.code == 0 and "resuming from step 2" in result.err
    assert [entry["step"] for entry in log.read("extended")] == [2, 4]
    assert json.loads(Path("extended/options.json").read_text())["steps"] == 4
    done("train", "--resume", "extended")  # nothing left to do is no error
    shutil.rmtree("extended/samples")
    assert "report.html" in done("train", "--resume", "extended")


@pytest.mark.parametrize("data, name", [("squares.npz", "frechet"), ("mixture-ring8", "sliced_wasserstein")])
def test_evaluating_during_the_training_keeps_the_best(data, name):
    path = Path(f"scored-{name}")
    done("train", "gan", "--data", data, "--steps", 4, "--batch", 8, "--evaluate-every", 2, "--out", path)
    scores = [json.loads(line) for line in (path / "scores.jsonl").read_text().splitlines()]
    assert [score["step"] for score in scores] == [2, 4]
    best = min(scores, key=lambda score: score[name])
    _, meta = checkpoint.load(path / "checkpoints/best")
    assert meta["step"] == best["step"] and round(meta["best"]["score"], 4) == best[name]
    assert Path(done("sample", path, "--best", "--n", 4).strip()).is_file()


# --- sample and interpolate --------------------------------------------------------------------------------


def test_sample_is_a_function_of_its_options(cgan, tmp_path):
    choices = {"plain": [], "again": [], "seed": ["--seed", 1], "weights": ["--weights", "last"],
               "norm": ["--norm", "batch"], "label": ["--label", 2], "name": ["--label", "2"]}
    grids = {}
    for name, options in choices.items():
        out = tmp_path / f"{name}.png"
        assert done("sample", cgan, "--n", 8, "--out", out, *options).strip() == str(out)
        grids[name] = out.read_bytes()
    assert grids["plain"] == grids["again"] and grids["label"] == grids["name"]
    assert len(set(grids.values())) == len(choices) - 2


def test_sample_each_writes_the_datas_own_size(cgan, tmp_path):
    printed = done("sample", cgan, "--n", 5, "--out", tmp_path / "grid.png", "--each", tmp_path / "each")
    assert printed.splitlines() == [str(tmp_path / "grid.png"), str(tmp_path / "each")]
    files = sorted((tmp_path / "each").iterdir())
    assert [file.name for file in files] == [f"{i:05d}.png" for i in range(5)]
    assert all(pixels(file).shape == (8, 8) for file in files)


def test_points_are_sampled_as_a_cloud_but_not_walked():
    done("train", "gan", "--data", "mixture-ring8", "--steps", 1, "--batch", 8, "--out", "points")
    assert pixels(done("sample", "points").strip()).shape == (480, 480, 3)
    assert run("interpolate", "points").code == 2


def test_interpolate_draws_one_walk_a_row(cgan, tmp_path):
    out = tmp_path / "walk.png"
    done("interpolate", cgan, "--rows", 3, "--steps", 4, "--out", out)
    tile = 8 * 8 + 2  # pixels, enlarged to about 64, and the gap
    assert pixels(out).shape == (3 * tile + 2, 4 * tile + 2, 3)


# --- evaluate ----------------------------------------------------------------------------------------------


def test_evaluate_prints_one_line_and_keeps_everything(cgan):
    first, second = (run("evaluate", cgan, "--n", 200, *more) for more in ([], ["--json"]))
    assert first.code == second.code == 0, first.err
    for words in ("classifier-Frechet", "floor", "KID", "P/R", "coverage", "label agreement", "N=200/200"):
        assert words in first.out
    assert len(first.out.splitlines()) == 1
    measures = json.loads(second.out)
    assert measures == json.loads((cgan / "metrics.json").read_text())
    assert measures["step"] == 4 and measures["judge_accuracy"] > 0.9
    assert "training the judge" not in second.err  # it was kept
    assert "frechet" in (cgan / "report.html").read_text()


def test_evaluate_knows_what_it_lacks():
    write_squares(Path("alone.npz"), train=32, test=0)
    done("train", "gan", "--data", "alone.npz", "--steps", 1, "--batch", 8, "--out", "alone")
    result = run("evaluate", "alone", "--n", 100)
    assert result.code == 0 and "no test split" in result.err


def test_points_are_judged_by_their_modes():
    done("train", "gan", "--data", "mixture-grid25", "--steps", 1, "--batch", 8, "--out", "grid25")
    assert done("evaluate", "grid25", "--n", 500).startswith("modes ")


# --- models, data, doctor ----------------------------------------------------------------------------------


def test_models_lists_all_and_explains_one():
    lines = done("models").splitlines()
    assert [line.split()[0] for line in lines] == list(MODELS) and all(len(line) > 20 for line in lines)
    for name, cls in MODELS.items():
        told = done("models", name)
        assert all(f"  {setting} " in told for setting in (f.name for f in dataclasses.fields(cls.Settings)))
        assert "trainable" in told


def test_data_lists_the_names():
    told = done("data", "list")
    assert all(name in told for name, _, _ in list_sources())


def test_data_check_reads_everything(tmp_path):
    result = run("data", "check", "squares.npz")
    assert result.code == 0 and not result.out and "0 odd files" in result.err
    for number in range(3):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:50])
    result = run("data", "check", tmp_path)
    assert result.code == 3 and len(result.out.splitlines()) == 1 and "1.png" in result.out


def test_the_doctor_finds_this_machine_well():
    told = done("doctor")
    assert "gradients     ok" in told and all(name in told for name in kernels.HOSTS)
