"""inachus compare --losses: does the loss matter? Every loss in many trials, and what can be concluded from them.

    DIR/study.json        what was asked for
    DIR/trials.jsonl      a line for each finished trial: its settings, every score, the best and the last
    DIR/LOSS/NUMBER/      the run of a trial, as `inachus train` makes it; of its checkpoints the best one stays
    DIR/losses.png        the range of the scores of each loss, and the best that k trials can be expected to find
    DIR/losses.md         the same as a table, with the conclusion

Trials are run in rounds, one of each loss, so that the comparison is fair whenever it ends. A second call goes on where
the first was interrupted, in the middle of a trial too. What is drawn at the end is made of the log alone:
`--trials 0` draws it again. Lucic et al. (2018); the losses and their ranges are in `models/generation/ranges.py`.
"""

import argparse
import json
import math
import shutil
import time
from pathlib import Path

from inachus.engine.errors import CheckpointError, NumericError, UsageError
from inachus.models.cli import train

KEPT = "data", "steps", "batch", "seed", "ranges", "width", "device", "precision"
PRESET = {"data": "fashion-mnist", "steps": 15_000, "batch": 64, "seed": 0, "ranges": "wide", "width": 16,
          "device": "auto", "precision": "tf32"}  # fmt: skip
SCORES = 8  # in each trial


def add(p: argparse.ArgumentParser) -> None:
    """Its options."""
    g = p.add_argument_group("the losses, instead of a model's variants")
    g.add_argument("--losses", metavar="all|A,B", help="losses to compare on --data (fashion-mnist), --steps (15,000)")
    g.add_argument("--trials", type=int, help="of each loss, the first as its authors suggest (10)")
    g.add_argument("--ranges", choices=("wide", "narrow"), help="what the others are drawn from (wide)")
    g.add_argument("--width", type=int, help="of the networks: 16 is a quarter of the paper's, for a CPU (16)")
    g.add_argument("--budget", type=float, metavar="HOURS", help="after which no trial is begun")


def run(args: argparse.Namespace) -> int:
    """Runs what is missing, then draws; returns 0, or 128 plus the number of the signal that ended a trial."""
    losses, trials, out = _losses(args.losses), 10 if args.trials is None else args.trials, args.out
    if trials < 0 or (args.budget is not None and not args.budget > 0):
        raise UsageError("--trials must not be negative, --budget is hours above 0")
    if args.pairs:
        raise UsageError(f"--set {args.pairs[0]}: settings are what the trials differ in; --width is that of all")
    out = out or Path("runs") / f"losses-{Path(args.data or PRESET['data']).stem}"
    call, done = _call(args, out), _log(out)
    end, dataset = time.monotonic() + 3600 * (args.budget or math.inf), None
    for number in range(trials):
        for loss in losses:
            if (loss, number) in done:
                continue
            if time.monotonic() > end:
                train.say(f"the budget is used up before {loss} {number}: call again to go on")
                break
            entry, signum, dataset = _trial(call, loss, number, out / loss / f"{number:03d}", args, dataset)
            if signum is not None:
                train.say(f"stopped and saved; continue with: inachus compare --losses {args.losses} --out {out}")
                return 128 + signum
            done[loss, number] = entry
            _append(out, entry)
            train.say(_sentence(entry))
    _show(out, {entry: done[entry] for entry in sorted(done)}, call)
    return 0


def _losses(asked: str) -> list[str]:
    from inachus.models.generation.ranges import LOSSES
    from inachus.models.settings import nearest

    names = list(LOSSES) if asked == "all" else [name for name in asked.split(",") if name]
    for name in names:
        if name not in LOSSES:
            raise UsageError(f"--losses: unknown loss '{name}'{nearest(name, LOSSES)}")
    return names


def _call(args, out: Path) -> dict:
    """What all trials have in common: what was asked for first. UsageError if another is asked for now."""
    from inachus.engine.data import lasting
    from inachus.engine.training.durable import write_file

    asked = {name: getattr(args, name) for name in KEPT}
    asked["data"] = args.data and lasting(args.data)
    path = out / "study.json"
    if path.exists():
        try:
            begun = json.loads(path.read_bytes())
            begun = {name: begun[name] for name in KEPT}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: not a study ({error!r}); remove it, the runs beside it remain") from None
        if differ := [f"{k} is {begun[k]}, not {v}" for k, v in asked.items() if v is not None and v != begun[k]]:
            remedy = "leave these options out, or choose another --out"
            raise UsageError(f"{out} holds a study that was begun otherwise ({'; '.join(differ)}): {remedy}")
        return begun
    call = {k: PRESET[k] if v is None else v for k, v in asked.items()} | {"data": lasting(args.data or PRESET["data"])}
    write_file(path, json.dumps(call, indent=1).encode())
    return call


def _trial(call: dict, loss: str, number: int, directory: Path, args, dataset):
    """(entry of the log, signal or None, data) of one trial, begun or gone on with."""
    from inachus.models import MODELS
    from inachus.models.generation.ranges import LOSSES, trial

    model, _ = LOSSES[loss]
    fields = set(MODELS[model].Settings.__dataclass_fields__)
    settings = trial(loss, number, call["ranges"], call["seed"], fields)
    there = (directory / "options.json").exists()
    where = {"out": None, "resume": directory} if there else {"out": directory, "resume": None}
    every = max(1, call["steps"] // SCORES)
    pairs = [f"{k}={v}" for k, v in (settings | {"width": call["width"]}).items()]
    how = {"model": model, "steps": call["steps"], "sample_every": every, "save_every": every, "evaluate_every": every}
    plan = vars(args) | call | how | where | {"pairs": pairs, "seed": call["seed"] + number}
    options = train.asked(argparse.Namespace(**plan))
    train.choose_device(options, args.threads)
    dataset = dataset or train.loaded(options)
    began, failed, signum = time.monotonic(), None, None
    try:
        signum = train.trained(train.made(options, dataset), dataset, directory, options, capture=not args.eager)
    except NumericError as error:
        failed = str(error)
    entry = {"loss": loss, "trial": number, "seed": plan["seed"], "settings": settings, "scores": _scores(directory)}
    values = [score for _, score in entry["scores"]]
    entry |= {"best": min(values, default=None), "last": values[-1] if values and not failed else None}
    entry |= {"failed": failed, "seconds": round(time.monotonic() - began)}
    if signum is None:
        for old in (directory / "checkpoints").glob("step-*"):  # the best one is kept apart: `inachus sample --best`
            shutil.rmtree(old)
        (directory / "checkpoints" / "latest").unlink(missing_ok=True)
    return entry, signum, dataset


def _scores(directory: Path) -> list[tuple[int, float]]:
    """(step, distance) of a run, each step once."""
    path, found = directory / "scores.jsonl", {}
    for line in path.read_text().splitlines() if path.exists() else ():
        entry = json.loads(line)
        step = entry.pop("step")
        found[step] = next(iter(entry.values()))
    return sorted(found.items())


def _log(out: Path) -> dict[tuple[str, int], dict]:
    """{(loss, trial): entry} of the finished trials; a line that a crash tore is left out."""
    path, found = out / "trials.jsonl", {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            found[entry["loss"], entry["trial"]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _append(out: Path, entry: dict) -> None:
    from inachus.engine.training.durable import disk_errors

    path = out / "trials.jsonl"
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with disk_errors(path), open(path, "a") as file:
        file.write("\n" * torn + json.dumps(entry) + "\n")


def _sentence(entry: dict) -> str:
    words = entry["failed"] or f"best {entry['best']:.2f}, last {entry['last']:.2f}"
    settings = ", ".join(f"{k} {v}" for k, v in entry["settings"].items()) or "as suggested"
    return f"{entry['loss']} {entry['trial']} ({settings}): {words}"


def _show(out: Path, done: dict, call: dict) -> None:
    """Table, picture and conclusion of the log."""
    from PIL import Image

    from inachus.engine.evaluation import sensitivity
    from inachus.engine.training import charts, pictures
    from inachus.engine.training.durable import write_file

    if not done:
        raise UsageError(f"{out}: no trial is finished; call with --trials 1 or more")
    scores: dict[str, list[float]] = {}
    for (loss, _), entry in done.items():
        scores.setdefault(loss, []).append(math.inf if entry["best"] is None else entry["best"])
    head = f"{call['data']}, {call['steps']:,} steps, {call['ranges']} ranges, width {call['width']}"
    useful = {name: s for name, s in scores.items() if any(map(math.isfinite, s))}
    curves = {name: [sensitivity.best_of(s, k) for k in range(1, len(s) + 1)] for name, s in useful.items()}
    charts_ = [charts.boxes(f"distance of every trial: {head}", scores)]
    charts_ += [charts.bands("the best of k trials, 95 % bands", curves)] if curves else []
    sheet = Image.new("RGB", (charts_[0].width, sum(chart.height for chart in charts_)), "white")
    for i, chart in enumerate(charts_):
        sheet.paste(chart, (0, i * charts_[0].height))
    pictures.save_png(sheet, out / "losses.png")
    lines = ["| loss | trials | failed | best | quartiles | worst | best of k |", "|---|---|---|---|---|---|---|"]
    for name, values in scores.items():
        s = sensitivity.summary(values)
        parts = [s["trials"], s["failed"]]
        if "best" in s:
            mean, low, high = sensitivity.best_of(values, len(values))
            quartiles = f"{s['first']:.2f}, {s['median']:.2f}, {s['third']:.2f}"
            parts += [f"{s['best']:.2f}", quartiles, f"{s['worst']:.2f}", f"{mean:.2f} [{low:.2f}, {high:.2f}]"]
        else:
            parts += [""] * 4
        lines.append(f"| {name} | {' | '.join(map(str, parts))} |")
    text = "\n".join([head, "", *lines, "", *sensitivity.conclusion(scores), ""])
    write_file(out / "losses.md", text.encode())
    print(f"{text}\npicture   {out / 'losses.png'}\nlog       {out / 'trials.jsonl'}")
