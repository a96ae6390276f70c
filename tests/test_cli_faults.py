"""What the command line says when something is wrong: one line that names the thing, and the right exit code.

2 usage, 3 data, 4 checkpoint, 5 numbers, 6 resources; no traceback without --debug, nothing on stdout.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_writers import idx_bytes
from test_cli import done, run, write_squares

from inachus import kernels
from inachus.engine.training import checkpoint
from inachus.models.cli import evaluate, main


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with squares.npz and a gan of three checkpoints, to be copied."""
    folder = tmp_path_factory.mktemp("trained")
    write_squares(folder / "squares.npz")
    done("train", "gan", "--data", folder / "squares.npz", "--steps", 2, "--batch", 8, "--save-every", 1,
         "--set", "z=5", "--out", folder / "run")
    return folder


@pytest.fixture(autouse=True)
def at_home(trained, tmp_path, monkeypatch):
    """A folder of its own with data, without a cache."""
    shutil.copy(trained / "squares.npz", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INACHUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INACHUS_DATA", raising=False)
    monkeypatch.setattr(kernels, "_host", None)


@pytest.fixture
def gan(trained, tmp_path):
    """The run directory "gan" in the working folder."""
    shutil.copytree(trained / "run", tmp_path / "gan")
    options = json.loads(Path("gan/options.json").read_text())
    Path("gan/options.json").write_text(json.dumps(options | {"data": "squares.npz"}))
    return Path("gan")


def refused(code, match, *words):
    """The one line with which `inachus WORDS...` ends; nothing is printed on stdout."""
    result = run(*words)
    *_, line = result.err.splitlines()
    assert (result.code, result.out) == (code, ""), result.err
    assert line.startswith("inachus: ") and "Traceback" not in result.err and "internal" not in line
    assert re.search(match, line), line
    return line


def newest(gan):
    """The checkpoint directories of a run, newest first."""
    return sorted((gan / "checkpoints").glob("step-*"), reverse=True)


def flip(path):
    """Turn one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# --- words and numbers -------------------------------------------------------------------------------------

TRAIN = "train gan --data squares.npz"


@pytest.mark.parametrize("words, match", [
    ("", "no command.*--help"),
    ("trian", "'trian'; did you mean 'train'"),
    ("train", "which model.*gan"),
    ("train dcgn", "'dcgn'; did you mean 'dcgan'"),
    ("models autoencodr", "did you mean 'autoencoder'"),
    ("data chek digits", "did you mean 'check'"),
    ("sample", "RUN"),
    ("evaluate", "RUN"),
    (f"{TRAIN} --stpes 3", "--stpes.*did you mean '--steps'"),
    (f"{TRAIN} --step 3", "did you mean '--steps'"),
    (f"{TRAIN} --steps x", "--steps.*'x'"),
    (f"{TRAIN} --set wdth=3", "unknown setting 'wdth'"),
    (f"{TRAIN} --set betta1=0.5", "'betta1'; did you mean 'beta1'"),
    (f"{TRAIN} --set z", "key=value"),
    (f"{TRAIN} --set z=1.5", "whole number.*1.5"),
    (f"{TRAIN} --set z=0", "0 is outside 1"),
    (f"{TRAIN} --set lr=nan", "finite"),
    (f"{TRAIN} --set lr=inf", "finite"),
    (f"{TRAIN} --set loss=hinge", "'hinge' is none of non-saturating, minimax"),
    (f"{TRAIN} --set z=x --set k=0 --set q=1", "z: .*k: .*'q'|'q'.*z: .*k: "),
    (f"{TRAIN} --device gpu", "unknown device 'gpu'.*cpu"),
    (f"{TRAIN} --threads 0", "--threads must lie between 1 and [0-9]+"),
    (f"{TRAIN} --threads 9999", "the cores this process may use, not 9999"),
    (f"{TRAIN} --device referense", "did you mean 'reference'"),
    (f"{TRAIN} --steps 0", "--steps .*0"),
    (f"{TRAIN} --steps {2**63}", "--steps"),
    (f"{TRAIN} --batch 0", "--batch"),
    (f"{TRAIN} --seed -1", "--seed .*-1"),
    (f"{TRAIN} --save-every 0", "--save-every"),
    (f"{TRAIN} --sample-every -5", "--sample-every"),
    (f"{TRAIN} --batch 97", "batch of 97 .* 96 items: pass --batch"),
    (f"{TRAIN} --batch 33 --set k=3", "batch of 99 .* 96"),
    (f"{TRAIN} --set channels=2", "channels=2"),
    ("train dcgan --data squares.npz", "28, 32, 64 pixels, not 8.*--set size"),
    ("train dcgan --data squares.npz --set size=30", "28, 32, 64 pixels, not 30"),
    ("train gan --data digitz", "'digitz'.*did you mean 'digits'"),
    ("train gan --data missing.npz", "missing.npz.*neither a data set nor an existing path"),
    ("data check missing.npz", "missing.npz"),
    ("data fetch imagenet", "imagenet.*mnist"),
])
def test_usage(words, match):
    before = sorted(Path().rglob("*"))
    line = refused(2, match, *words.split())
    assert len(line) < 300
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("words, match", [
    ("sample gan --n 0", "--n"),
    ("sample gan --n 100001", "--n"),
    ("sample gan --seed -1", "--seed"),
    ("sample gan --label 1", "no label"),
    ("sample gan --weights best", "--weights"),
    ("interpolate gan --steps 1", "--steps"),
    ("interpolate gan --rows 0", "--rows"),
    ("interpolate gan --seed -1", "--seed"),
    ("evaluate gan --n 10", "--n"),
    (f"{TRAIN} --out gan", "already holds a run.*--resume gan"),
    (f"{TRAIN} --out squares.npz", "is a file"),
])
def test_usage_around_a_run(gan, words, match):
    before = {path: path.stat().st_mtime_ns for path in gan.rglob("*")}
    refused(2, match, *words.split())
    assert {path: path.stat().st_mtime_ns for path in gan.rglob("*")} == before


def test_an_unknown_class_is_named():
    done("train", "cgan", "--data", "squares.npz", "--steps", 1, "--batch", 8, "--out", "cgan")
    refused(2, "unknown class 'seven'.*0, 1, 2, 3", "sample", "cgan", "--label", "seven")
    refused(2, "unknown class '4'", "sample", "cgan", "--label", 4)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable():
    Path("closed").mkdir(mode=0o500)
    refused(2, "not writable", *TRAIN.split(), "--out", "closed")
    refused(6, "closed/new.*cannot be written", *TRAIN.split(), "--out", "closed/new")


def test_a_folder_below_a_file_cannot_be_made():
    refused(6, "squares.npz/run.*cannot be written", *TRAIN.split(), "--out", "squares.npz/run")


# --- data --------------------------------------------------------------------------------------------------


def test_data_that_is_not_here():
    refused(3, "fashion-mnist.*INACHUS_DATA.*data fetch", "train", "gan", "--data", "fashion-mnist")


def test_truncated_data():
    pictures = np.zeros((20, 8, 8), np.uint8)
    Path("train-images-idx3-ubyte").write_bytes(idx_bytes(pictures)[:-100])
    refused(3, "train-images-idx3-ubyte", "train", "gan", "--data", "train-images-idx3-ubyte")
    Path("squares.npz").write_bytes(Path("squares.npz").read_bytes()[:2000])
    refused(3, "squares.npz", *TRAIN.split())


def test_conditional_models_need_labels():
    np.savez("plain.npz", x=np.zeros((20, 8, 8), np.uint8))
    refused(3, "cgan needs labels", "train", "cgan", "--data", "plain.npz")


def test_data_that_changed_under_a_run(gan):
    write_squares("squares.npz", train=95)
    refused(3, "95 items .* the 96 this run was trained on", "train", "--resume", gan)
    Path("squares.npz").unlink()
    refused(3, "gan: .*squares.npz", "train", "--resume", gan)


def test_evaluating_on_data_of_another_shape(gan):
    np.savez("wide.npz", x_train=np.zeros((20, 8, 12), np.uint8), x_test=np.zeros((20, 8, 12), np.uint8))
    refused(3, r"\(8, 12, 1\).*\(8, 8, 1\)", "evaluate", gan, "--data", "wide.npz")


# --- runs and checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["train --resume nothing", "sample nothing", "evaluate nothing",
                                   "interpolate nothing", "sample squares.npz", "train --resume ."])
def test_no_run_at_all(words):
    before = sorted(Path().rglob("*"))
    refused(4, words.split()[-1], *words.split())
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("content", [
    *("", "{", "null", "[]", "{}", '{"model": "gan"}', '{"model": "gan", "settings": {}}'),
    *('{"model": "wgun", "settings": {}}', '{"model": [], "settings": {}}', '{"model": "gan", "settings": {"zz": 1}}'),
])
@pytest.mark.parametrize("words", ["sample gan", "train --resume gan"])
def test_damaged_options(gan, content, words):
    (gan / "options.json").write_text(content)
    refused(4, "gan/options.json", *words.split())


def test_a_damaged_checkpoint_falls_back_to_the_one_before(gan):
    flip(newest(gan)[0] / "tensors.safetensors")
    for words in (["sample", gan], ["train", "--resume", gan]):
        result = run(*words)
        assert result.code == 0
        assert re.search(r"passed over: .*step-00000002.*sha256", result.err), result.err
    assert "resuming from step 1" in result.err


def test_without_a_good_checkpoint_there_is_no_run(gan):
    for path in newest(gan):
        flip(path / "meta.json")
    for words in (["sample", gan], ["train", "--resume", gan]):
        refused(4, "gan: has no usable checkpoint.*step-00000002.*step-00000000", *words)
    refused(4, "checkpoints/best", "sample", gan, "--best")


def test_a_checkpoint_of_another_network(gan):
    options = json.loads((gan / "options.json").read_text())
    options["settings"]["z"] = 6
    (gan / "options.json").write_text(json.dumps(options))
    for words in (["sample", gan], ["train", "--resume", gan]):
        refused(4, r"step-00000002.*G.0.weight is \(5, 256\), expected \(6, 256\)", *words)


def test_a_resumed_run_keeps_its_options(gan):
    words = "--resume gan --batch 9 --seed 1 --set z=6 --set k=1 --out elsewhere"
    line = refused(2, "keeps its options", "train", "dcgan", *words.split())
    for change in ("model is gan, not dcgan", "batch is 8, not 9", "seed is 0, not 1", "z is 5, not 6",
                   "lies in gan, not elsewhere"):
        assert change in line
    assert "k is" not in line


def test_the_data_of_a_run_may_move_but_not_change(gan):
    refused(3, "not the .* this run was trained on", "train", "--resume", "gan", "--data", "digits")
    Path("squares.npz").rename("moved.npz")
    assert run("train", "--resume", "gan", "--steps", "3", "--data", "moved.npz").code == 0
    assert json.loads((gan / "options.json").read_text())["data"] == str(Path("moved.npz").absolute())


def test_broken_weights_are_not_sampled(gan):
    tensors, meta = checkpoint.load(gan)
    tensors["G.0.weight"][0, 0] = np.nan
    checkpoint.save(gan, 3, tensors, meta)
    refused(5, "step-00000003: G.0.weight is not finite", "sample", gan)


# --- around everything -------------------------------------------------------------------------------------


def process(*words, **more):
    """`inachus WORDS...` in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "inachus", *words], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **more)


def test_a_reader_that_goes_away_is_no_error():
    with process("models", "dcgan") as child:
        child.stdout.close()  # what `| head` does, before a word was written
        assert child.stderr.read() == ""
    assert child.returncode == 0


def test_debug_shows_the_traceback():
    for debug in ([], ["--debug"]):
        with process("train", "gann", *debug) as child:
            shown = child.stderr.read()
            assert child.stdout.read() == ""
        assert ("Traceback" in shown) == bool(debug) and "did you mean 'gan'" in shown
        assert child.returncode == (1 if debug else 2)


@pytest.mark.parametrize("error, code, match", [
    (KeyError("frechet"), 1, "internal error: KeyError: 'frechet'.*--debug"),
    (MemoryError(), 6, "out of memory.*--batch"),
    (KeyboardInterrupt(), 130, "^$"),
    (ValueError("two\nlines"), 1, "two lines"),
])
def test_what_nobody_expected(monkeypatch, capsys, error, code, match):
    def fail(args):
        raise error

    monkeypatch.setattr(evaluate, "run", fail)
    assert main(["evaluate", "run"]) == code
    shown = capsys.readouterr()
    assert not shown.out and len(shown.err.splitlines()) <= 1
    assert re.search(match, shown.err.strip())
