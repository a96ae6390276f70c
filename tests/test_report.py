"""The report: well-formed, self-contained, escaped, complete, and drawn with the right numbers."""

import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from inachus.engine.errors import CheckpointError
from inachus.engine.training import report
from inachus.engine.training.log import Log
from inachus.engine.training.pictures import animate, grid, save_png

VOID = {"meta", "img", "line"}


class Page(HTMLParser):
    """Reads a page strictly: every tag closed in order, every attribute kept."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if self.open and self.open[-1] != "style" else ""

    def count(self, wanted):
        return sum(tag == wanted for tag, _ in self.tags)


def written(run):
    text = report.write(run).read_text(encoding="utf-8")
    page = Page(text)
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
    return text, page, drawings


@pytest.fixture
def run(tmp_path):
    """A run with everything in it: 3,000 log lines, a NaN, a spike, 40 grids, a film and metrics."""
    run = tmp_path / "my-run"
    rng = np.random.default_rng(0)
    with Log(run) as out:
        for step in range(3000):
            loss = 100.0 if step == 1500 else 1 + rng.random()
            values = {
                "loss_d": loss,
                "g_loss": math.nan if step % 7 == 0 else 2.0,
                "D(x)": 0.7,
                "D(G(z))": 0.2,
            }
            out.write(step * 10, step * 1.5, values | {"images/s": 800.0})
    for step in range(0, 30_000, 750):
        save_png(grid(rng.uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)), run / f"samples/{step:06}.png")
    animate(sorted(run.glob("samples/*")), run / "samples.gif", most=5)
    options = {"model": "dcgan", "data": "fashion", "steps": 40_000, "seed": 7, "adam": {"betas": [0.5, 0.9]}}
    (run / "options.json").write_text(json.dumps(options))
    (run / "metrics.json").write_text(json.dumps({"energy distance": 0.0123456789, "split": "test"}))
    return run


def test_a_full_report(run):
    text, page, drawings = written(run)
    assert page.count("svg") == len(drawings) == 3  # losses, verdicts, images/s
    assert page.count("img") == 14  # 13 grids and the film
    for words in ("my-run", "dcgan", "fashion", "29,990 of 40,000", "1:14:58", "adam.betas", "[0.5, 0.9]"):
        assert words in page.text
    for words in ("step 0", "step 29,250", "energy distance0.0123457", "not a progress bar", "Verdicts of D"):
        assert words in page.text
    assert len(text) < 1_000_000


def test_the_page_is_self_contained(run):
    text, page, _ = written(run)
    assert not {"script", "link", "iframe", "object", "a", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        if tag == "img":
            assert re.match(r"data:image/(png|gif);base64,[A-Za-z0-9+/]+=*$", attributes["src"])
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text


def test_curves_are_thinned_and_inside_their_panel(run):
    _, _, drawings = written(run)
    for drawing in drawings:
        for path in drawing.iter("path"):
            points = np.array(re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path.get("d")), float)
            assert 2 <= len(points) <= report.POINTS
            assert (points >= 0).all() and (points <= (report.WIDTH, report.HEIGHT)).all()
    verdicts = [text.text for text in drawings[1].iter("text")]
    assert verdicts[0] == "0" and "1" in verdicts  # probabilities on the whole of 0..1


def test_hostile_names_are_escaped(tmp_path):
    evil = "<script>alert('x')</script>\"&]]>"
    run = tmp_path / '<b onclick="x">&amp;'
    with Log(run) as out:
        for step in (0, 1):
            out.write(step, 0.0, {evil + "loss": 1.0, evil: float(step)})
    save_png(grid(np.zeros((1, 2, 2, 1), np.float32)), run / 'samples/"><script>.png')
    (run / "options.json").write_text(json.dumps({evil: {evil: evil}, "model": evil, "data": "\ud800"}))
    (run / "metrics.json").write_text(json.dumps([{evil: evil}, {"b": [evil]}]))
    _, page, drawings = written(run)
    assert page.text.count(evil) >= 7 and len(drawings) == 2
    assert not {"script", "b onclick"} & {tag for tag, _ in page.tags}
    assert '<b onclick="x">&amp;' in page.text


def test_an_empty_run_and_a_young_one(tmp_path):
    _, page, drawings = written(tmp_path)
    assert not drawings and tmp_path.name in page.text and "Curves" not in page.text
    with Log(tmp_path) as out:
        out.write(5, 0.1, {"loss": math.nan, "other": 2.0})
    _, page, drawings = written(tmp_path)
    assert len(drawings) == 1 and "loss" not in page.text.split("How to read")[0]


def test_odd_logs_and_settings_are_drawn(tmp_path):
    lines = [
        {"step": 5, "huge": 10**400, "text": "x", "flag": True, "list": [1], "loss": 1e300, "tiny": 1e-12},
        {"step": 5, "loss": 1e30, "tiny": 1e-12},
        {"step": 2**62, "loss": 0.0, "seconds": "x"},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "options.json").write_text("[1, 2]")
    (tmp_path / "metrics.json").write_text("0.5")
    _, page, drawings = written(tmp_path)
    assert len(drawings) == 2 and "[1, 2]" in page.text and "0.5" in page.text


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_damaged_json_is_named(tmp_path, content):
    (tmp_path / "options.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"options\.json: cannot be read as JSON"):
        report.write(tmp_path)


@pytest.mark.parametrize("low, high", [(0, 1), (-3e-7, 2e-7), (17, 23_000), (-1e9, 1e9), (99.9, 100.1)])
def test_ticks_are_round_and_inside(low, high):
    ticks = report._ticks(low, high, 5)
    assert 2 <= len(ticks) <= 6 and all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    apart = (ticks[1] - ticks[0]) / 10.0 ** math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)
    assert min(abs(apart - good) for good in (1, 2, 2.5, 5)) < 1e-6


def test_smoothing_keeps_constants_gaps_and_short_curves():
    values = np.full(500, 3.0)
    values[100:110] = np.nan
    np.testing.assert_allclose(report._smoothed(values), values)
    short = np.arange(10.0)
    assert report._smoothed(short) is short
    noisy = np.random.default_rng(0).normal(size=2000)
    assert report._smoothed(noisy).std() < 0.3
    assert len(report._smoothed(noisy)) == 2000


def test_thinning_keeps_spikes():
    values = np.zeros(10_000)
    values[1234], values[5678] = 9, -9
    steps, kept = report._thinned(np.arange(10_000), values)
    assert len(kept) <= report.POINTS and kept.max() == 9 and kept.min() == -9
    assert (np.diff(steps) > 0).all()


def test_a_path_is_lifted_at_gaps():
    y = np.array([np.nan, 1, 2, np.nan, 3])
    assert report._path(np.arange(5.0), y) == "M1.0 1.0h0L2.0 2.0M4.0 3.0h0"
