"""`inachus evaluate` of translators and `inachus compare`, end to end on models of a few steps.

What the numbers are worth is in `test_fidelity.py` and `test_translation_scores.py`.
"""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import small
from test_cli import done, pixels, run, write_squares
from test_cli_faults import refused

from inachus import kernels
from inachus.engine.training import checkpoint, log
from inachus.models import MODELS
from inachus.models.translation.pix2pix import Pix2Pix

ASKED = ["--data", "sides", "--steps", 2, "--batch", 4, *small.words("pix2pix")]
RUNS = "l1", "gan", "gan-l1"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with pairs, without a cache, for what no test changes."""
    folder = tmp_path_factory.mktemp("compared")
    small.write_sides(folder / "sides")
    write_squares(folder / "squares.npz")
    return folder


@pytest.fixture(autouse=True)
def at_home(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("INACHUS_CACHE", str(home / "cache"))
    monkeypatch.delenv("INACHUS_DATA", raising=False)
    monkeypatch.setattr(kernels, "_host", None)


@pytest.fixture(scope="module")
def compared(home):
    """A comparison of pix2pix, and what was printed: (directory, finished)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("INACHUS_CACHE", str(home / "cache"))
        finished = run("compare", "pix2pix", *ASKED, "--out", "compared")
    assert finished.code == 0, finished.err
    return home / "compared", finished


def weights(folder):
    """The tensors of the newest checkpoint."""
    return checkpoint.load(folder)[0]


def assert_equal_weights(one, other):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


# --- evaluate ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in small.TRANSLATORS if hasattr(MODELS[name], "paired")])
def test_every_translator_between_two_sides_is_evaluated(name):
    path = Path(f"run-{name}")
    done("train", name, "--data", "sides", "--steps", 1, "--batch", 4, "--out", path, *small.words(name))
    text, told = done("evaluate", path), json.loads((path / "metrics.json").read_text())
    assert told["step"] == 1
    ways = ["bright to dark"] if MODELS[name].paired else ["bright to dark", "dark to bright"]
    assert list(told["directions"]) == ways
    lines = text.splitlines()
    for way, scores in told["directions"].items():
        assert scores["pictures"] == 4  # the tenth that is held out
        assert 0 < scores["l1"] < 1 and -1 <= scores["ssim"] <= 1 and 0 < scores["psnr"] < 100
        assert ("nearest" in scores["baselines"]) == MODELS[name].paired == ("cycle_l1" not in scores)
        assert f"{way}: L1 {scores['l1']:.4f} ({scores['ratio']:.2f} of {scores['best_baseline']})" in text
    assert [line.split()[0] for line in lines].count("copy") == len(ways)
    assert "sharpness" in (path / "report.html").read_text()


@pytest.mark.parametrize("name", [name for name, cls in MODELS.items() if hasattr(cls, "test_pairs")])
def test_models_that_make_their_pairs_are_evaluated(name):
    path = Path(f"run-{name}")
    done("train", name, "--data", "squares.npz", "--steps", 1, "--batch", 4, "--out", path, *small.words(name))
    done("evaluate", path, "--n", 7)
    (scores,) = json.loads((path / "metrics.json").read_text())["directions"].values()
    assert scores["pictures"] == 7 and 0 < scores["l1"] < 1 and {"mean", "nearest"} <= scores["baselines"].keys()


def test_a_model_of_many_domains_is_evaluated_into_each():
    done("train", "stargan", "--data", "squares.npz", "--steps", 1, "--batch", 4, "--out", "stars",
         *small.words("stargan"))
    text = done("evaluate", "stars", "--n", 9)
    scores = json.loads(Path("stars/metrics.json").read_text())["directions"]
    assert list(scores) == [f"others to {k}" for k in range(4)]
    rates = [each["target_rate"] for each in scores.values()]
    assert [each["pictures"] for each in scores.values()] == [27] * 4 and all(0 <= rate <= 1 for rate in rates)
    assert f"overall: seen as the target {np.mean(rates):.1%} | N=108" in text


def test_a_small_data_set_is_compared_in_small_batches():
    small.write_sides(Path("few"), count=6)
    words = ["--data", "few", "--set", "hold_out=0", "--out", "few-compared", *small.words("pix2pix")]
    for steps in (1, 2):  # begun, and gone on with
        done("compare", "pix2pix", *words, "--steps", steps)
    assert json.loads(Path("few-compared/l1/options.json").read_text())["batch"] == 6


def test_what_evaluate_is_asked_for_matters(compared):
    path = compared[0] / "gan-l1"
    plain, few, seed, off, batch = (
        json.loads(done("evaluate", path, "--json", *more))["directions"]["bright to dark"]
        for more in ([], ["--n", 2], ["--seed", 5], ["--dropout", "off"], ["--norm", "batch"])
    )
    assert json.loads((path / "metrics.json").read_text())["directions"]["bright to dark"] == batch
    assert few["pictures"] == 2 and plain["pictures"] == 4
    assert len({each["l1"] for each in (plain, few, seed, off, batch)}) == 5
    refused(2, "--n must lie between 1 and", "evaluate", path, "--n", 0)


def test_a_heap_without_a_truth_is_judged_by_its_looks(home):
    for side, other in (("bright", "dark"), ("dark", "bright")):
        (home / "heaps" / side).mkdir(parents=True)
        for file in sorted((home / "sides" / side).iterdir())[side == "dark" :]:
            shutil.copy(file, home / "heaps" / side / f"{other}-{file.name}")
    done("train", "cyclegan", "--data", "heaps", "--steps", 1, "--out", "heap", *small.words("cyclegan"))
    result = run("evaluate", "heap")
    assert result.code == 0, result.err
    scores = json.loads(Path("heap/metrics.json").read_text())["directions"]
    for way, each in scores.items():
        assert way in result.out and "there and back L1" in result.out
        assert each["cycle_l1"] > 0 and each["features"] in ("classifier", "random") and "l1" not in each


def test_data_of_another_shape_is_refused():
    done("train", "cyclegan", "--data", "sides", "--steps", 1, "--out", "grey", "--set", "channels=1",
         *small.words("cyclegan"))
    options = json.loads(Path("grey/options.json").read_text())
    options["settings"]["channels"] = 3
    Path("grey/options.json").write_text(json.dumps(options))
    refused(3, r"\(12, 12, 3\).*\(12, 12, 1\)", "evaluate", "grey")


# --- compare ----------------------------------------------------------------------------------------------


def test_compare_trains_scores_and_draws_every_variant(compared):
    folder, finished = compared
    losses = []
    for name in RUNS:
        assert log.read(folder / name)[-1]["step"] == 2
        losses.append(json.loads((folder / name / "options.json").read_text())["settings"]["loss"])
    assert losses == ["l1", "gan", "gan+l1"]
    scores = json.loads((folder / "comparison.json").read_text())["directions"]["bright to dark"]
    assert list(scores) == list(Pix2Pix.variants)
    rows = {re.split(r"\s{2,}", line)[0]: line.split() for line in finished.out.splitlines()}
    for name, each in scores.items():
        assert [f"{each['l1']:.4f}", f"{each['psnr']:.2f}", f"{each['ssim']:.4f}"] == rows[name][-4:-1]
    assert {"copy", "mean", "nearest", "truth"} <= rows.keys()
    columns, side = 5, 3 * 32 + 2  # input, three variants, truth; pictures of 32 pixels three times as large
    height, width, _ = pixels(folder / "comparison.png").shape
    assert width == columns * side + 2 and height > 4 * side


def test_a_run_of_a_comparison_is_what_train_makes(compared):
    folder, _ = compared
    done("train", "pix2pix", *ASKED, "--set", "loss=gan", "--out", "alone")
    assert_equal_weights(folder / "gan", "alone")
    alone = json.loads(done("evaluate", "alone", "--json"))["directions"]
    scores = json.loads((folder / "comparison.json").read_text())["directions"]
    assert alone["bright to dark"] == scores["bright to dark"]["GAN"]


def test_a_second_call_trains_nothing_and_draws_again(compared, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "again")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("tensors.safetensors")}
    picture, scores = ((folder / name).read_bytes() for name in ("comparison.png", "comparison.json"))
    (folder / "comparison.png").unlink()
    result = run("compare", "pix2pix", "--out", folder)
    assert result.code == 0 and result.err.count("trained already") == 3
    assert result.out.replace(str(folder), "compared") == compared[1].out
    assert (folder / "comparison.png").read_bytes() == picture
    assert (folder / "comparison.json").read_bytes() == scores
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("tensors.safetensors")} == before
    fewer = done("compare", "pix2pix", "--out", folder, "--n", 2)
    assert "2 test pictures" in fewer and fewer != result.out


def test_a_comparison_that_was_stopped_ends_as_if_it_had_not_been(compared, tmp_path, monkeypatch):
    steps, step = [], Pix2Pix.step

    def interrupted(model, batch):
        steps.append(model.settings.loss)
        if len(steps) == 3:  # the first step of the second variant
            os.kill(os.getpid(), signal.SIGINT)
        return step(model, batch)

    monkeypatch.setattr(Pix2Pix, "step", interrupted)
    stopped = run("compare", "pix2pix", *ASKED, "--out", tmp_path)
    assert stopped.code == 130 and stopped.out == "" and steps == ["l1", "l1", "gan"]
    assert f"continue with: inachus compare pix2pix --out {tmp_path}" in stopped.err
    assert not (tmp_path / "comparison.png").exists() and not (tmp_path / "gan-l1").exists()
    done("compare", "pix2pix", "--out", tmp_path)
    assert steps == ["l1", "l1", "gan", "gan", "gan+l1", "gan+l1"]
    for name in RUNS:
        assert_equal_weights(tmp_path / name, compared[0] / name)


def test_more_steps_continue_all(compared, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "more")
    shutil.rmtree(folder / "gan")  # a variant that starts late gets what the others had
    result = run("compare", "pix2pix", "--steps", 3, "--out", folder)
    assert result.code == 0 and result.err.count("resuming from step 2") == 2
    options = [json.loads((folder / name / "options.json").read_text()) for name in RUNS]
    assert [each["steps"] for each in options] == [3, 3, 3]
    assert len({json.dumps(each["settings"] | {"loss": ""}) for each in options}) == 1


def test_two_heaps_are_compared_both_ways():
    words = ["--data", "sides", "--steps", 1, "--out", "cycles", *small.words("cyclegan"), "--set", "cycle=5"]
    told = done("compare", "cyclegan", *words)
    assert told.count("truth") == 2 and "there and back" not in told
    settings = [
        json.loads(Path(f"cycles/{name}/options.json").read_text())["settings"]
        for name in ("with-the-cycle", "without")
    ]
    usual = MODELS["cyclegan"].Settings()
    assert [(each["cycle"], each["identity"]) for each in settings] == [(5, usual.identity), (0, 0)]
    scores = json.loads(Path("cycles/comparison.json").read_text())["directions"]
    assert list(scores) == ["bright to dark", "dark to bright"]
    assert all(list(each) == ["with the cycle", "without"] for each in scores.values())


@pytest.mark.parametrize("match, words", [
    (r"dcgan has no variants to compare; these have: pix2pix, cyclegan", ["dcgan"]),
    (r"unknown model 'pix3pix'; did you mean 'pix2pix'", ["pix3pix"]),
    (r"--set loss: that is what the variants differ in", ["pix2pix", "--set", "loss=l1"]),
    (r"unknown setting 'weigth'; did you mean 'weight'", ["pix2pix", "--set", "weigth=1"]),
    (r"--n must be at least 1", ["pix2pix", "--n", "0"]),
    (r"begun otherwise \(batch is 4, not 8\)", ["pix2pix", "--batch", "8", "--out", "FOLDER"]),
    (r"begun otherwise \(steps is 2, not 1; weight is None, not 3\)",
     ["pix2pix", "--steps", "1", "--set", "weight=3", "--out", "FOLDER"]),
    (r"begun otherwise \(model is pix2pix, not cyclegan\)", ["cyclegan", "--out", "FOLDER"]),
])
def test_what_cannot_be_compared_is_refused(match, words, compared):
    refused(2, match, "compare", *(word.replace("FOLDER", str(compared[0])) for word in words))


def test_a_damaged_comparison_is_named(tmp_path):
    (tmp_path / "comparison.json").write_text("{}")
    refused(4, "comparison.json: not a comparison", "compare", "pix2pix", "--out", tmp_path)
