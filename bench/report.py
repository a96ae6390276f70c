"""bench/RESULTS.md and the roofline picture, from the JSON files of bench/results/: `python bench/report.py`.

Of each bench and each machine the newest file counts. Nothing is measured here, and nothing is written by hand there.
"""

import argparse
import json
import os
import re
from pathlib import Path

from measure.roofline import draw

HERE = Path(__file__).parent
NOTHING_YET = """No figure measured on a GPU has been committed yet. On a machine with one,

    bash bench/on_gpu.sh OUT

tests the kernels there and measures them, in under nine minutes; its header says which files to copy here.
"""


def newest(folder: Path) -> list[tuple[str, str, dict]]:
    """(bench, card or "", content) of the newest file of each bench and machine."""
    found = {}
    for path in sorted(folder.glob("*.json"), key=lambda path: path.name[-15:]):  # by date
        bench = re.match(r"(kernels|train|layers)-", path.name)
        if bench:
            content = json.loads(path.read_text())
            card = content["environment"].get("name", "")
            if bench[1] != "kernels" or card:  # the emulated device's times mean nothing
                found[bench[1], card] = content
    return [(*key, content) for key, content in found.items()]


def table(head: str, rows: list[list]) -> str:
    """Markdown, numbers aligned to the right; `head` is the row of titles, words first, then numbers after `||`."""
    words, numbers = (part.split("|") for part in head.split("||"))
    titles = [title.strip() for title in words + numbers]
    lines = [titles, ["---"] * len(words) + ["---:"] * len(numbers)] + [[_cell(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if 0 < abs(value) < 1e-3:
        return f"{value:.0e}"
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


# --- a GPU -----------------------------------------------------------------------------------------------------


def machine(facts: dict) -> str:
    """One sentence about what was measured where."""
    names = {"torch": "PyTorch", "cupy": "CuPy", "cudnn": "cuDNN", "cuda": "CUDA", "driver_version": "driver"}
    versions = ", ".join(f"{word} {facts[key]}" for key, word in names.items() if key in facts)
    state = ", ".join(facts[key] for key in ("clocks.sm", "power.limit") if key in facts)
    return f"{facts.get('name', facts.get('cpu', ''))}; {versions}; {state or str(facts['cores']) + ' cores'}; " \
           f"commit {facts['commit'] or 'unknown'}.\n"


def kernels(content: dict) -> str:
    """The sections about single kernels."""
    facts, rows = content["environment"], [r for r in content["rows"] if "failed" not in r]
    cold = [r for r in rows if not r["warm"]]
    by = {(r["network"], r["shape"], r["layer"], r["op"], r["precision"], r["impl"]): r for r in cold}
    parts = [machine(facts), "### Ceilings, measured in the same run\n",
             table("ceiling||value", [[k.replace("_", " "), v] for k, v in facts["ceilings"].items()])]
    ours = [r for r in cold if r["impl"] == "ours"]
    ratios = [r["ratio"] for r in ours if r["ratio"]]
    parts.append(f"Slower than the vendor's kernel in {sum(r < 1 for r in ratios)} of {len(ratios)} sizes.\n")
    parts += ["### Products\n", PRODUCTS, *(_products(p, ours, by) for p in ("tf32", "fp32", "bf16"))]
    bound = [r for r in ours if r["precision"] == "float32"]
    if bound:
        parts += ["### Bound by memory\n", table(
            "kernel | size||ours us | PyTorch us | ratio | GB/s | % of the roof | error",
            [[f"{r['op']}", f"{r['network']} {r['layer']}", r["median_us"], _median(by, r, "torch"), r["ratio"],
              r["gbps"], r["roofline_pct"], r["err"]] for r in bound])]
    warm = [r for r in rows if r["warm"] and r["impl"] == "ours"]
    if warm:
        parts += ["### Short kernels, many in a graph, data in the cache (warm)\n", table(
            "kernel | size | precision||ours us | ratio",
            [[r["op"], f"{r['network']} {r['layer']}", r["precision"], r["median_us"], r["ratio"]] for r in warm])]
    parts += _versions(cold)
    failed = [r for r in content["rows"] if "failed" in r]
    if failed:
        parts += ["### What failed\n", table("kernel | size | side | why||error", [
            [r["op"], f"{r['network']} {r.get('layer', '')}", r["impl"], r["failed"], r.get("err")] for r in failed])]
    return "\n".join(part for part in parts if part)


PRODUCTS = """Medians; useful TFLOP/s; `ratio` is the time of cuDNN (for matmul cuBLAS) to ours in the same precision:
above 1 ours is faster. The roof is the most this device did in products of that precision, or in copying, whichever
binds. The sum of a network counts each layer once.
"""


def _median(by, row, impl):
    found = by.get((row["network"], row["shape"], row["layer"], row["op"], row["precision"], impl))
    return found and found["median_us"]


def _products(precision, ours, by):
    rows = [r for r in ours if r["precision"] == precision]
    if not rows:
        return ""
    lines, sums = [], {}
    for r in rows:
        rival = _median(by, r, "cublas" if r["op"] == "matmul" else "cudnn")
        speed = r["median_us"], rival, r["ratio"], r["tflops"], r["roofline_pct"], r["err"]
        lines.append([f"{r['network']} {r['layer']}", r["shape"], r["op"], *speed])
        if rival:
            total = sums.setdefault((r["network"], r["shape"]), [0, 0])
            total[0] += r["median_us"]
            total[1] += rival
    lines += [[f"**{n}**", shape, "all", a, b, b / a, None, None, None] for (n, shape), (a, b) in sums.items() if n]
    return f"**{precision}**\n\n" + table(
        "layer | size | pass||ours us | vendor us | ratio | TFLOP/s | % of the roof | error", lines)


def _versions(cold):
    """From naive to chosen, where both were timed."""
    sizes, lines = {}, []
    for r in cold:
        sizes.setdefault((r["network"], r["shape"], r["layer"], r["op"], r["precision"]), []).append(r)
    for some in sizes.values():
        if any("naive" in r["impl"] or "tile" in r["impl"] for r in some):
            for r in sorted(some, key=lambda r: -r["median_us"]):
                speed = r["median_us"], r["ratio"], r["roofline_pct"]
                lines.append([f"{r['network']} {r['layer']}", r["op"], r["precision"], r["impl"], *speed])
    titles = "size | kernel | precision | side||us | ratio | % of the roof"
    return ["### Versions, slowest first\n", table(titles, lines)] if lines else []


def steps(content: dict) -> str:
    """The section about whole steps on a GPU."""
    lines = []
    for row in content["rows"]:
        head = row["case"].partition(":")[0], row["batch"], row["precision"]
        for name, side in row.items():
            if isinstance(side, dict) and "median_ms" in side:
                ratio = side.get("our_time_ratio") and 1 / side["our_time_ratio"]
                lines.append([*head, name, side["median_ms"], side["images_per_s"], side["peak_mb"], ratio])
            elif isinstance(side, dict):
                lines.append([*head, f"{name}: {side['error']}", *[None] * 4])
    return "\n".join(["### Whole training steps\n", machine(content["environment"]), STEPS, table(
        "model | batch | precision | side||ms | images/s | peak MB | our speed to it", lines)])


STEPS = """Wall clock of many steps and one wait at their end, medians of turns; a batch from the host in every step,
losses read every 50. `tf32`: both sides' convolutions and products; `fp32`: neither's. Memory is what arrays held at
most.
"""


# --- the CPU ---------------------------------------------------------------------------------------------------


def cpu_steps(content: dict) -> str:
    """Whole steps on the CPU."""
    lines = []
    for row in content["rows"]:
        torch = min((s for n, s in row.items() if n.startswith("torch")), key=lambda s: s["median_ms"], default={})
        ours, least = row["inachus"], torch.get("median_ms")
        lines.append([row["case"].partition(":")[0], row["batch"], row["device"], ours["median_ms"], least,
                      least and least / ours["median_ms"], torch.get("our_memory_ratio")])
    return "\n".join(["### Whole training steps\n", machine(content["environment"]), table(
        "model | batch | backend||ours ms | PyTorch ms | speed | memory", lines)])


def cpu_layers(content: dict) -> str:
    """Sums over the layers of networks, on the CPU."""
    lines = [[r["network"], r["batch"], r["our_ms"], r.get("torch_ms"), r.get("ratio")]
             for r in content["rows"] if r["layer"] == "all"]
    return "\n".join(["### All layers of a network, forward and backward\n", machine(content["environment"]), table(
        "network | batch||ours ms | PyTorch ms | speed", lines)])


# --- the page --------------------------------------------------------------------------------------------------


def page(folder: Path, out: Path) -> str:
    """The text of RESULTS.md at `out`; draws a roofline beside the results for each card that has some."""
    found = newest(folder)
    cards = sorted({card for _, card, _ in found if card})
    parts = ["# Results\n", "Made by `python bench/report.py` from the files in `bench/results/`; do not edit.\n"]
    parts += [] if cards else ["## On a GPU\n", NOTHING_YET]
    for card in cards:
        parts.append(f"## {card}\n")
        contents = {bench: content for bench, c, content in found if c == card}
        if "train" in contents:
            parts.append(steps(contents["train"]))
        if "kernels" in contents:
            slug = re.sub(r"[^a-z0-9]+", "-", card.lower().replace("nvidia", "")).strip("-")
            picture = folder / f"roofline-{slug}.png"
            draw(contents["kernels"], picture)
            parts += [f"![roofline]({os.path.relpath(picture, out.parent)})\n", kernels(contents["kernels"])]
    host = [cpu_steps(c) for bench, card, c in found if bench == "train" and not card]
    host += [cpu_layers(c) for bench, _, c in found if bench == "layers"]
    return "\n".join([*parts, "## On a CPU\n", *host] if host else parts)


def main() -> None:
    """Writes the page."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON files")
    p.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    args = p.parse_args()
    args.out.write_text(page(args.results, args.out))
    print(args.out)


if __name__ == "__main__":
    main()
