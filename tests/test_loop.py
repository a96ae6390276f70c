"""A training that is stopped, killed, starved or diverging: what it saved is good, and going on changes nothing.

A resumed run must equal the uninterrupted one bit for bit: every array of the last checkpoint, every generator's
position, every line of the log but for the seconds.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import small
from test_cli import done, run, write_squares

from inachus.engine.errors import NumericError
from inachus.engine.training import checkpoint, log, loop
from inachus.engine.training.durable import lock
from inachus.models import MODELS

BATCH = small.COUNT // 5  # an epoch is five steps


def made(name, *pairs):
    """A model with its smallest networks."""
    return small.model(name, *pairs, seed=1)


def train(model, folder, steps, say=lambda text: None, **plan):
    """`loop.train` on the smallest data, logging every step."""
    plan = loop.Plan(steps, BATCH, 1, **{"log_every": 1, "save_every": 100, "sample_every": 3} | plan)
    name = next(name for name, cls in MODELS.items() if type(model) is cls)
    return loop.train(model, small.dataset(name), folder, plan, {}, say)


def outcome(folder):
    """All that two equal trainings have in common."""
    tensors, meta = checkpoint.load(folder)
    return tensors, meta["step"], meta["state"], [entry | {"seconds": 0} for entry in log.read(folder)]


def assert_same(found, expected):
    """Bit for bit the same outcome."""
    for name, array in expected[0].items():
        assert np.array_equal(found[0][name], array), f"{name} differs"
    assert found[0].keys() == expected[0].keys() and found[1:] == expected[1:]


def saved_steps(folder):
    """The steps of which checkpoints are there."""
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


def temporaries(folder):
    """What a dead or failed writer left behind."""
    return [path for path in folder.rglob(".*") if path.name.startswith((".tmp", ".old"))]


# --- stopping and going on ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_resumed_training_equals_an_uninterrupted_one(name, tmp_path):
    train(made(name), tmp_path / "whole", 8, sample_every=100)
    for steps in (0, 3, 5, 8):  # before the first, within an epoch, at its end
        train(made(name), tmp_path / "parts", steps, sample_every=100)
        assert saved_steps(tmp_path / "parts")[-1] == steps
    assert_same(outcome(tmp_path / "parts"), outcome(tmp_path / "whole"))


def test_so_does_one_that_takes_three_batches_a_step(tmp_path):
    train(made("gan", "k=3"), tmp_path / "whole", 5)
    for steps in (2, 5):
        train(made("gan", "k=3"), tmp_path / "parts", steps)
    assert_same(outcome(tmp_path / "parts"), outcome(tmp_path / "whole"))


def test_saving_and_sampling_more_often_changes_nothing(tmp_path):
    train(made("cgan"), tmp_path / "seldom", 6, sample_every=100)
    train(made("cgan"), tmp_path / "often", 6, sample_every=1, save_every=1)
    assert_same(outcome(tmp_path / "often"), outcome(tmp_path / "seldom"))


def test_going_on_from_an_older_checkpoint_forgets_the_later_lines(tmp_path):
    train(made("gan"), tmp_path / "whole", 4, save_every=2)
    expected = outcome(tmp_path / "whole")
    (tmp_path / "whole/checkpoints/step-00000004/meta.json").write_bytes(b"")
    said = []
    train(made("gan"), tmp_path / "whole", 4, said.append, save_every=2)
    assert "step-00000004" in said[0] and said[1] == "resuming from step 2"
    assert_same(outcome(tmp_path / "whole"), expected)


def test_a_run_holds_what_it_promises(tmp_path):
    train(made("dcgan"), tmp_path / "run", 7, save_every=2, keep=2)
    assert saved_steps(tmp_path / "run") == [6, 7]
    frames = sorted(path.name for path in (tmp_path / "run/samples").iterdir())
    assert frames == [f"{step:06d}.png" for step in (0, 3, 6, 7)]
    assert all((tmp_path / "run" / name).stat().st_size for name in ("samples.gif", "report.html", "options.json"))
    assert not temporaries(tmp_path / "run")


def test_the_best_is_kept_and_remembered(tmp_path):
    def rated(steps, *scores):
        scores = iter(scores)
        train(made("gan"), tmp_path, steps, score_every=1, score=lambda model: next(scores), score_name="distance")
        return checkpoint.load(tmp_path / "checkpoints/best")[1]

    best = rated(3, 3.0, 1.0, 2.0)
    assert best["step"] == 2 and best["best"] == {"name": "distance", "score": 1.0}
    assert rated(4, 1.5)["step"] == 2
    assert rated(5, 0.5)["step"] == 5
    lines = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [line["distance"] for line in lines] == [3.0, 1.0, 2.0, 1.5, 0.5]


@pytest.mark.parametrize("moment", ["step", "preview"])
def test_a_signal_at_any_moment_stops_after_a_saved_step(moment, tmp_path):
    model, calls = made("gan"), []
    method = getattr(model, moment)

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return method(*arguments)

    setattr(model, moment, interrupted)
    assert train(model, tmp_path, 50) == signal.SIGINT
    steps = [entry["step"] for entry in log.read(tmp_path)]
    assert saved_steps(tmp_path)[-1] == steps[-1] <= 4
    train(made("gan"), tmp_path, 6)
    train(made("gan"), tmp_path / "whole", 6)
    assert_same(outcome(tmp_path), outcome(tmp_path / "whole"))


# --- numbers that stop being numbers -----------------------------------------------------------------------


def test_a_diverging_training_ends_before_it_spoils_a_checkpoint(tmp_path):
    write_squares(tmp_path / "squares.npz")
    words = ["--data", tmp_path / "squares.npz", "--batch", 8, "--save-every", 1, "--out", tmp_path / "run"]
    result = run("train", "gan", *words, "--set", "lr=1e30")
    assert result.code == 5 and re.search(r"not finite .*step.*is good.*--set lr=", result.err.splitlines()[-1])
    tensors, meta = checkpoint.load(tmp_path / "run")
    assert all(np.isfinite(array).all() for array in tensors.values())
    assert f"the checkpoint of step {meta['step']} is good" in result.err
    assert run("sample", tmp_path / "run").code == 0


def test_weights_that_broke_unseen_are_not_saved(tmp_path):
    model = made("gan")

    def step(batch):
        model.G.parameters()[0].data[0] = np.nan
        return {"loss": 0.5}

    model.step = step
    match = r"not finite after step 1; broken are G\.0\.weight \(network G, layer 0, Dense\); .*of step 0 is good"
    with pytest.raises(NumericError, match=match):
        train(model, tmp_path, 9, save_every=4, sample_every=100)
    assert saved_steps(tmp_path) == [0]


# --- the real command, killed, stopped and starved ----------------------------------------------------------

COMMAND = """
import resource, signal, sys
from inachus.models.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background ignores it
signal.signal(signal.SIGTERM, signal.SIG_DFL)
limit = int(sys.argv[1])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


def command(*words, limit=0):
    """`inachus WORDS...` as a process, which may write no file of more than `limit` bytes."""
    words = [sys.executable, "-c", COMMAND, str(limit), *map(str, words)]
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=one_thread)


def finished(process):
    """(exit code, the last line on stderr) of a process that ends by itself."""
    with process:
        _, told = process.communicate(timeout=120)
    return process.returncode, (told.splitlines() or [""])[-1]


def wait_for_a_moment(process, folder, moments):
    """Returns while the process starts, or a little after it saved a checkpoint; at once if it has ended."""
    latest = folder / "checkpoints/latest"
    before = latest.read_bytes() if latest.exists() else b""
    starting = moments.random() < 0.25
    while not starting and process.poll() is None and (not latest.exists() or latest.read_bytes() == before):
        time.sleep(0.001)
    time.sleep(moments.uniform(0, 0.4 if starting else 0.05))


def killed_until_done(folder, kills, steps, name, *words, seed=0):
    """Trains in `folder`/killed, killed at random moments; returns how often that happened before it was done."""
    moments, killed = random.Random(seed), folder / "killed"
    every = ["--save-every", 5, "--sample-every", 20]
    start = ["train", name, *words, "--batch", 8, "--steps", steps, *every, "--out"]
    assert finished(command(*start, folder / "whole"))[0] == 0
    for kill in range(kills):
        known = (killed / "options.json").exists()
        process = command(*(["train", *every, "--resume"] if known else start), killed)
        wait_for_a_moment(process, killed, moments)
        process.kill()
        if finished(process)[0] == 0:
            return kill
    assert finished(command("train", *every, "--resume", killed))[0] == 0
    return kills


@pytest.fixture
def squares(tmp_path):
    return write_squares(tmp_path / "squares.npz")


def assert_kills_leave_no_trace(folder):
    """The killed training equals the other one, and nothing is left of the writers that died."""
    assert_same(outcome(folder / "killed"), outcome(folder / "whole"))
    frames = [sorted(p.name for p in (folder / run / "samples").iterdir()) for run in ("killed", "whole")]
    assert frames[0] == frames[1] and not temporaries(folder)


def test_kill_9_at_random_moments_changes_nothing(tmp_path, squares):
    assert killed_until_done(tmp_path, 3, 40, "cgan", "--data", squares) >= 2
    assert_kills_leave_no_trace(tmp_path)


# Their state is that of gan, or of cyclegan, kept the same way.
ALIKE = ("autoencoder", "acgan", "nsgan", "lsgan", "hinge", "wgan", "wgangp", "dragan", "vae", "infogan", "bigan",
         "vaegan", "discogan", "dualgan")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name not in ALIKE])
def test_kill_9_ten_times(name, tmp_path, squares):
    source = small.write_sides(tmp_path / "sides") if hasattr(MODELS[name], "paired") else squares
    source = f"{squares},{squares}" if hasattr(MODELS[name], "adapts") else source
    assert killed_until_done(tmp_path, 10, 150, name, "--data", source, *small.words(name), seed=1) >= 5
    assert_kills_leave_no_trace(tmp_path)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(signum, tmp_path, squares):
    folder = tmp_path / "run"
    words = ["train", "gan", "--data", squares, "--batch", 8, "--steps", 10**6, "--save-every", 10**6]
    process = command(*words, "--sample-every", 10**6, "--out", folder)
    deadline = time.monotonic() + 60
    while not log.read(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signum)
    code, told = finished(process)
    assert code == 128 + signum
    assert told == f"stopped and saved; continue with: inachus train --resume {folder}"
    last = saved_steps(folder)[-1]
    assert last == log.read(folder)[-1]["step"] > 0
    done("train", "--resume", folder, "--steps", last + 2)
    assert saved_steps(folder)[-1] == last + 2


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, squares):
    folder = tmp_path / "run"
    done("train", "gan", "--data", squares, "--steps", 2, "--batch", 8, "--out", folder)
    before = outcome(folder)
    code, told = finished(command("train", "--resume", folder, "--steps", 4, limit=500_000))
    assert code == 6
    assert re.search(r"inachus: .*step-00000004.*free space.*--resume", told), told
    assert_same(outcome(folder)[:3], before[:3])
    assert not temporaries(folder)
    done("train", "--resume", folder, "--steps", 4)
    assert [entry["step"] for entry in log.read(folder)] == [2, 4]


def test_one_directory_has_one_training(tmp_path, squares):
    folder = tmp_path / "run"
    done("train", "gan", "--data", squares, "--steps", 1, "--batch", 8, "--out", folder)
    with lock(folder):
        result = run("train", "--resume", folder, "--steps", 2)
    assert result.code == 6
    assert re.search(rf"in use by process {os.getpid()} on .*another --out", result.err.splitlines()[-1])
    done("train", "--resume", folder, "--steps", 2)
