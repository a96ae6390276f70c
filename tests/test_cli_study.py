"""`inachus compare --losses`, end to end on points and a few steps, and what is concluded from numbers."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from test_cli import run
from test_cli_faults import refused

from inachus import kernels
from inachus.engine.evaluation import sensitivity
from inachus.engine.training import charts
from inachus.models import MODELS
from inachus.models.cli import study
from inachus.models.generation import ranges

ASKED = ["--losses", "non-saturating,wgangp,vae", "--data", "mixture-ring8", "--steps", 3, "--width", 1, "--batch", 16]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(autouse=True)
def at_home(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("INACHUS_CACHE", str(home / "cache"))
    monkeypatch.setattr(kernels, "_host", None)


def entries(out):
    return [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]


def test_a_study_is_logged_drawn_and_gone_on_with(home, monkeypatch):
    first = run("compare", *ASKED, "--trials", 1, "--out", "s")
    assert first.code == 0, first.err
    log = entries(home / "s")
    assert [(e["loss"], e["trial"]) for e in log] == [("non-saturating", 0), ("wgangp", 0), ("vae", 0)]
    for e in log:
        steps, scores = zip(*e["scores"], strict=True)
        assert steps == (1, 2, 3) and e["best"] == min(scores) and e["last"] == scores[-1]
        checkpoints = home / "s" / e["loss"] / "000" / "checkpoints"
        assert [path.name for path in checkpoints.iterdir()] == ["best"]
    table, picture = (home / "s" / "losses.md").read_text(), (home / "s" / "losses.png").read_bytes()
    assert "best of 1: " in table and table in first.out
    with Image.open(home / "s" / "losses.png") as image:
        assert image.size == (640, 640)

    second = run("compare", *ASKED[:2], "--trials", 2, "--out", "s")  # it need not be told again
    assert second.code == 0, second.err
    both = entries(home / "s")
    assert both[:3] == log and [e["trial"] for e in both[3:]] == [1, 1, 1]
    assert both[3]["settings"]["lr"] == both[4]["settings"]["lr"]  # the same draw for all
    assert (home / "s" / "losses.png").read_bytes() != picture

    (home / "s" / "trials.jsonl").write_bytes((home / "s" / "trials.jsonl").read_bytes() + b'{"loss": "vae", "tri')
    drawn = run("compare", *ASKED[:2], "--trials", 0, "--out", "s")
    assert drawn.code == 0 and "best of 2: " in drawn.out


def test_an_interrupted_trial_goes_on_and_ends_the_same(home, monkeypatch):
    whole = run("compare", *ASKED, "--trials", 1, "--out", "whole")
    assert whole.code == 0, whole.err
    real, calls = study.train.trained, []

    def stopped(model, dataset, directory, options, capture=True):
        calls.append(directory)
        if len(calls) == 2:  # as if a signal had come after two steps
            real(model, dataset, directory, options | {"steps": 2}, capture)
            return 2
        return real(model, dataset, directory, options, capture)

    monkeypatch.setattr(study.train, "trained", stopped)
    part = run("compare", *ASKED, "--trials", 1, "--out", "part")
    assert part.code == 130 and "continue with: inachus compare --losses" in part.err
    assert len(entries(home / "part")) == 1
    monkeypatch.undo()
    monkeypatch.chdir(home)
    monkeypatch.setenv("INACHUS_CACHE", str(home / "cache"))
    rest = run("compare", *ASKED, "--trials", 1, "--out", "part")
    assert rest.code == 0, rest.err
    scores = [{e["loss"]: e["scores"] for e in entries(home / out)} for out in ("whole", "part")]
    assert scores[0] == scores[1]


def test_a_trial_that_diverges_is_counted_and_not_the_end(home, monkeypatch):
    real = study.train.made

    def broken(options, dataset):
        model = real(options, dataset)
        if options["model"] == "wgangp":
            next(iter(model.G.parameters())).data[...] = np.nan
        return model

    monkeypatch.setattr(study.train, "made", broken)
    done = run("compare", *ASKED, "--trials", 1, "--out", "nan")
    assert done.code == 0, done.err
    failed = {e["loss"]: e["failed"] for e in entries(home / "nan")}
    assert "not finite" in failed["wgangp"] and failed["vae"] is None
    assert "| wgangp | 1 | 1 |" in done.out and "failed in every trial: wgangp" in done.out


@pytest.mark.parametrize("arguments, words", [
    (["--losses", "wgan-pg"], "unknown loss 'wgan-pg'; did you mean 'wgangp'"),
    (["--losses", "all", "--trials", -1], "--trials must not be negative"),
    (["--losses", "all", "--budget", 0], "--budget is hours above 0"),
    (["--losses", "all", "--set", "lr=1"], "settings are what the trials differ in"),
    (["pix2pix", "--losses", "all"], "either pix2pix or --losses"),
    ([], "one with variants, such as pix2pix; or --losses all"),
    (["--losses", "vae", "--trials", 0, "--out", "empty"], "no trial is finished"),
])
def test_what_cannot_be_is_refused(arguments, words):
    refused(2, words, "compare", *arguments)


def test_a_study_that_was_begun_otherwise_is_left_alone(home):
    (home / "other").mkdir()
    (home / "other" / "study.json").write_text(json.dumps(study.PRESET))
    refused(2, "steps is 15000, not 3", "compare", "--losses", "vae", "--steps", 3, "--out", "other")
    (home / "other" / "study.json").write_text("{")
    refused(4, "not a study", "compare", "--losses", "vae", "--out", "other")


# --- the trials --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wide", "narrow"])
@pytest.mark.parametrize("loss", ranges.LOSSES)
def test_every_draw_is_a_legal_setting_and_lies_in_its_range(loss, name):
    from inachus.models.settings import parse

    model, suggested = ranges.LOSSES[loss]
    known = set(MODELS[model].Settings.__dataclass_fields__)
    assert ranges.trial(loss, 0, name, 0, known) == suggested
    rates = []
    for number in range(1, 60):
        drawn = ranges.trial(loss, number, name, 0, known)
        settings = parse(MODELS[model].Settings, [f"{k}={v}" for k, v in drawn.items()])
        assert all(getattr(settings, k) == v for k, v in drawn.items())
        rates.append(math.log10(drawn["lr"]))
    low, high = (-5, -2) if name == "wide" else (-4, -3)
    assert low <= min(rates) < low + 0.2 * (high - low) and high - 0.2 * (high - low) < max(rates) <= high
    assert len(set(rates)) == len(rates)
    assert ranges.trial(loss, 7, name, 0, known) != ranges.trial(loss, 7, name, 1, known)


# --- what is concluded -------------------------------------------------------------------------------------


def test_the_best_of_k_is_that_of_order_statistics():
    scores = list(range(1, 101))
    for k in (1, 2, 10):
        exact = sum(1 - (1 - j / 100) ** k - (1 - (1 - (j - 1) / 100) ** k) for j in ()) + sum(
            j * ((1 - (j - 1) / 100) ** k - (1 - j / 100) ** k) for j in scores
        )
        mean, low, high = sensitivity.best_of(scores, k)
        assert mean == pytest.approx(exact, abs=4 * 30 / math.sqrt(5000)) and low <= mean <= high
    assert sensitivity.best_of([3.0, math.inf], 1)[0] == 3.0  # all failed counts as the worst seen


def test_conclusions():
    near, far = [10.0, 12.0, 11.0, 30.0], [50.0, 55.0, 60.0, 52.0]
    lines = "\n".join(sensitivity.conclusion({"far": far, "near": near, "also near": [v + 0.5 for v in near]}))
    assert "best of 4: near" in lines and "cannot be told from it: also near" in lines and "worse: far" in lines
    assert "the choice matters more than tuning" in lines
    assert "every other one is worse" in "\n".join(sensitivity.conclusion({"far": far, "near": near}))
    wide = {"a": [10.0, 500.0, 90.0], "b": [11.0, 400.0, 80.0], "c": [math.inf] * 3}
    text = "\n".join(sensitivity.conclusion(wide))
    assert "tuning matters more than the choice" in text and "failed in every trial: c" in text
    assert sensitivity.conclusion({"a": [1.0]}) == ["too little was trained for a conclusion"]
    assert sensitivity.summary([1.0, 2.0, 3.0, math.inf])["failed"] == 1
    assert sensitivity.summary([math.inf]) == {"trials": 1, "failed": 1}


def test_a_chart_shows_where_the_scores_are():
    groups = {"low": [10.0, 11.0, 12.0], "high": [100.0, 110.0, 120.0], "none": [math.inf]}
    drawn = np.asarray(charts.boxes("t", groups)).astype(int)
    for colour, rows in ((charts.COLOURS[0], "low"), (charts.COLOURS[1], "high")):
        where = np.argwhere(np.abs(drawn - colour).sum(-1) < 60)
        middle = where[:, 0].mean()
        assert middle > 180 if rows == "low" else middle < 140
    curves = {"a": [(30.0, 20.0, 40.0), (20.0, 15.0, 25.0)], "b": [(90.0, 80.0, 95.0), (85.0, 80.0, 90.0)]}
    assert np.asarray(charts.bands("t", curves)).min() < 120
