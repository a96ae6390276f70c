"""The bench without a GPU: what it counts, that both of its GPU programs run on the emulated device, what it reports.

No time is tested. The layers' operations are those that papers count; a row says what was measured beside what.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from inachus.kernels import emulator
from inachus.kernels.emulator import arrays

BENCH = Path(__file__).parents[1] / "bench"
needs_emulator = pytest.mark.skipif(not emulator.available(), reason="no compiler for the emulator")


@pytest.fixture
def bench(monkeypatch):
    """import_module for the files of bench/."""
    monkeypatch.syspath_prepend(str(BENCH))
    return import_module


def run(*command, **variables):
    """A command in the repository root."""
    return subprocess.run(
        list(map(str, command)), cwd=BENCH.parent, capture_output=True, text=True, timeout=170,
        env={**os.environ, **variables},
    )


# --- what layers cost --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network, part, published",  # GFLOP of one image forward
    [("dcgan-64", "G", 0.209), ("dcgan-64", "D", 0.208), ("unet-256", "", 12.1), ("resnet-9", "", 99.1),
     ("patchgan-6", "", 6.4), ("patchgan-3", "", 6.3)],
)
def test_a_networks_operations_are_those_that_papers_count(bench, network, part, published):
    shapes = bench("cases.shapes")
    layers = [layer for layer in shapes.NETWORKS[network] if layer.name.startswith(part)]
    digits = len(str(published).partition(".")[2])
    assert round(shapes.forward_flops(layers) / 1e9, digits) == published
    assert shapes.forward_flops(layers, border=False) <= shapes.forward_flops(layers)


def test_networks_have_the_parameters_of_our_models(bench):
    shapes, loops = bench("cases.shapes"), bench("cases.loops")
    for part, count in (("G", 3_576_704), ("D", 2_765_568)):
        layers = [layer for layer in shapes.NETWORKS["dcgan-64"] if layer.name.startswith(part)]
        assert sum(np.prod(shape) for shape in loops.parameters(layers)) == count


def test_a_pass_has_the_operations_of_its_matrix_product(bench):
    shapes = bench("cases.shapes")
    for network in shapes.NETWORKS.values():
        for layer in network:
            for name in ("forward", "dx", "dw"):
                product = layer.product(name, 3)
                assert product is None or 2 * np.prod(product) == layer.flops(3, border=True) or layer.S == 1


def test_flops_without_the_border_are_counted_product_by_product(bench):
    layer = bench("cases.shapes").Layer("", 5, 2, 3, 4, 2, 1)
    inside = [0 <= i * 2 + k - 1 < 5 for i in range(layer.out) for k in range(4)]
    assert layer.flops(1) == 2 * 2 * 3 * sum(a and b for a in inside for b in inside)
    assert layer.bytes(7) == 4 * (7 * 25 * 2 + 16 * 6 + 7 * layer.out**2 * 3)


# --- how it measures ---------------------------------------------------------------------------------------


def test_sides_take_turns(bench):
    clock, calls = bench("measure.clock"), []
    times = clock.measure(clock.HostClock(), {n: lambda n=n: lambda: calls.append(n) for n in "ab"}, 1e-4)
    assert calls == ["a", "b"] * (len(calls) // 2)
    assert len(times["a"]) == len(times["b"]) == len(calls) // 2 - 2  # two turns to warm up


@needs_emulator
@pytest.mark.parametrize("kernel", ["tf32_loop", "bf16_loop"])
def test_a_ceilings_loop_multiplies_in_every_turn(bench, kernel):
    ceilings, sums = bench("measure.ceilings"), []
    for turns in (1, 3):
        out = arrays.empty(256, np.float32)
        ceilings.loop(kernel, out, turns)
        sums.append(out.get())
    assert np.abs(sums[0]).max() > 1
    np.testing.assert_allclose(sums[1], 3 * sums[0], rtol=1e-4, atol=1e-4)


def test_a_roof_is_the_higher_of_two_ceilings_and_fp32_may_be_three_products(bench):
    ceilings = bench("measure.ceilings")
    found = {"tf32_tflops": 300, "cublas_tf32_tflops": 390, "fp32_tflops": 60, "bf16_tflops": 500, "copy_gbps": 4000}
    assert ceilings.roofs(found) == {"tf32": 390, "fp32": 130, "bf16": 500}
    assert ceilings.floor_us(39e9, 4e6, "tf32", found) == pytest.approx(100)
    assert ceilings.floor_us(39e6, 4e8, "tf32", found) == pytest.approx(100)


@needs_emulator
def test_kernels_are_checked_and_measured(tmp_path):
    only = "toy batch 2 G2|adam|normal|hinge|matmul"
    done = run(sys.executable, BENCH / "kernels.py", "--device", "emulated", "--toy", "--without-torch", "--seconds", 0,
               "--precisions", "fp32", "--only", only, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("kernels-*.json")
    rows = json.loads(file.read_text())["rows"]
    assert {"forward", "dx", "dw", "norm", "norm_bwd", "adam", "normal", "hinge", "matmul"} <= {
        row["op"] for row in rows
    }
    assert {row["impl"] for row in rows} == {"ours", "cuda naive"}
    assert all(row["err"] < 1e-4 and row["p20"] <= row["median_us"] <= row["p80"] for row in rows)


@needs_emulator
def test_a_wrong_kernel_is_told_and_not_timed(bench, capsys):
    kernels, sides = bench("kernels"), bench("cases.sides")
    x = np.arange(6, dtype=np.float32)
    subject = sides.Subject("tanh", "", "", "", "", 0, 8, (x,), {}, "torch")
    subject.sides |= {"ours": lambda: lambda: x + 1, "torch": lambda: lambda: x}
    it = object.__new__(kernels.Bench)
    it.rows, it.ceilings, it.on = [], {}, bench("measure.clock").HostClock()
    it.args = type("Args", (), {"seconds": 0})
    it.measure(subject)
    by = {row["impl"]: row for row in it.rows}
    assert by["ours"]["failed"] == "wrong" and "median_us" not in by["ours"]
    assert by["torch"]["err"] == 0 and by["torch"]["median_us"] >= 0


@needs_emulator
def test_whole_steps_are_measured_on_a_device(tmp_path):
    done = run(sys.executable, BENCH / "train.py", "toy", "--device", "emulated", "--steps", 1, "--rounds", 1,
               "--precisions", "tf32", "--sides", "inachus captured", "inachus eager", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("train-*.json")
    (row,) = json.loads(file.read_text())["rows"]
    assert (row["case"], row["batch"], row["precision"]) == ("toy", 2, "tf32")
    for side in ("inachus captured", "inachus eager"):
        assert row[side]["median_ms"] > 0 and row[side]["peak_mb"] > 0
        assert "notes" not in row[side]  # it was captured


@pytest.mark.parametrize("name, settings", [
    ("pix2pix", {"width": 4, "dropout": 0.0}), ("cyclegan", {"width": 4, "blocks": 1, "pool": 0})
])
def test_the_step_of_a_translator_beside_ours_is_the_same(bench, name, settings):
    torch = pytest.importorskip("torch")
    settings |= bench("train").PAPER if name == "cyclegan" else {}
    model, batch = bench("cases.steps").model_and_batch(name, settings, ((32, 32, 3),) * 2, 2)
    twin = bench("cases.translators").STEPS[name](settings, ((32, 32, 3),) * 2, 2)
    for part, network in twin.networks.items():
        for ours, theirs in zip(getattr(model, part).parameters(), network.parameters(), strict=True):
            weight = torch.tensor(ours.numpy())
            theirs.data.copy_(weight.permute(3, 2, 0, 1) if weight.ndim == 4 else weight)
    twin.a, twin.b = (torch.tensor(side).permute(0, 3, 1, 2) for side in (batch.a, batch.b))
    for _ in range(3):
        ours, theirs = list(model.step(batch).values()), [value.item() for value in twin.step()]
        np.testing.assert_allclose(ours[: len(theirs)], theirs, rtol=1e-4)


# --- what it reports ---------------------------------------------------------------------------------------


def test_the_page_is_that_of_the_committed_results(bench, tmp_path):
    shutil.copytree(BENCH / "results", tmp_path / "results")
    assert bench("report").page(tmp_path / "results", tmp_path / "RESULTS.md") == (BENCH / "RESULTS.md").read_text()


def test_without_results_of_a_gpu_the_page_says_so(bench, tmp_path):
    assert "No figure measured on a GPU has been committed yet" in bench("report").page(tmp_path, tmp_path / "R.md")


def test_the_page_and_the_picture_of_a_gpu(bench, tmp_path):
    ceilings = {"copy_gbps": 3000.0, "tf32_tflops": 300.0, "fp32_tflops": 60.0, "bf16_tflops": 600.0}
    facts = {"name": "NVIDIA Test 1", "cores": 1, "commit": "abc", "torch": "2", "ceilings": ceilings}
    head = {"op": "dw", "network": "dcgan-64", "layer": "D2 conv", "shape": "batch 128", "precision": "tf32"}
    speed = {"p20": 1, "p80": 99, "tflops": 12.5, "gbps": 250.0, "roofline_pct": 8.0, "err": 1e-4, "warm": False}
    rows = [{**head, "impl": "ours", "median_us": 50.0, "ratio": 0.5, **speed},
            {**head, "impl": "cudnn", "median_us": 25.0, "ratio": 1.0, **speed},
            {**head, "impl": "cuda naive", "failed": "RuntimeError: no"}]
    side = {"median_ms": 2.5, "images_per_s": 51_200, "peak_mb": 300.0}
    step = {"case": "dcgan-64:128", "batch": 128, "precision": "tf32", "inachus captured": side,
            "torch eager": {**side, "our_time_ratio": 0.5}, "torch compile": {"error": "RuntimeError: no compiler"}}
    for name, content in (("kernels", rows), ("train", [step])):
        record = {"environment": facts, "rows": content}
        (tmp_path / f"{name}-test-1-2026-11-25.json").write_text(json.dumps(record))
    text = bench("report").page(tmp_path, tmp_path / "RESULTS.md")
    assert "| dcgan-64 D2 conv | batch 128 | dw | 50.0 | 25.0 | 0.50 | 12.5 | 8.00 | 1e-04 |" in text
    assert "Slower than the vendor's kernel in 1 of 1 sizes." in text
    assert "| dcgan-64 | 128 | tf32 | torch eager | 2.50 | 51200 | 300 | 2.00 |" in text
    assert "torch compile: RuntimeError: no compiler" in text and "| cuda naive | RuntimeError: no |" in text
    assert "(roofline-test-1.png)" in text and "No figure" not in text
    assert 2_000 < (tmp_path / "roofline-test-1.png").stat().st_size < 300_000


# --- the one command ---------------------------------------------------------------------------------------


def test_the_command_for_a_gpu_says_in_one_line_that_there_is_none(tmp_path):
    done = run("bash", BENCH / "on_gpu.sh", tmp_path / "out", PYTHON=sys.executable, CUDA_VISIBLE_DEVICES="-1")
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.startswith("no GPU to test on: CuPy") and done.stderr.count("\n") == 1


def test_the_command_for_a_gpu_wants_a_folder():
    done = run("bash", BENCH / "on_gpu.sh")
    assert (done.returncode, done.stderr) == (2, "usage: bash bench/on_gpu.sh OUT\n")
