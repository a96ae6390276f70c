"""inachus compare: the variants of one model, trained on the same data from the same seed, scored and drawn together.

    DIR/VARIANT/          one run for each, as `inachus train` makes them
    DIR/comparison.png    test inputs, what each variant makes of them, and the truth
    DIR/comparison.json   what was asked for, and every score

A second call trains what is not finished, then scores and draws again. It need not be told again what the first was.
With --losses it compares losses in many trials instead: `study.py`.
"""

import argparse
import json
import re
from pathlib import Path

from inachus.engine.errors import CheckpointError, UsageError
from inachus.models.cli import sample, study, train
from inachus.models.cli.evaluate import examiner, in_parts, translated_data

SIDE = 96  # pixels: smaller pictures are enlarged by a whole factor to at least this, room for the scores above them
KEPT = (
    "model",
    "data",
    "steps",
    "batch",
    "seed",
    "device",
    "precision",
    "sample_every",
    "save_every",
)  # of the first call


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("compare", help="train the variants of a model, or all losses, and show them side by side")
    p.add_argument("model", nargs="?", metavar="MODEL", help="a model with variants, such as pix2pix and cyclegan")
    train.add_training(p)
    study.add(p)
    p.add_argument("--out", type=Path, metavar="DIR", help="runs and comparison (runs/compare-MODEL-DATA)")
    p.add_argument("--n", type=int, help="test pictures that are scored (all)")
    p.set_defaults(run=run, evaluate_every=None)


def run(args: argparse.Namespace) -> int:
    """Trains, scores and draws; returns 0, or 128 plus the number of the signal that ended a training."""
    if args.losses:
        if args.model:
            raise UsageError(f"either {args.model} or --losses")
        return study.run(args)
    if not args.model:
        raise UsageError("which model? one with variants, such as pix2pix; or --losses all")
    if args.n is not None and args.n < 1:
        raise UsageError(f"--n must be at least 1, not {args.n}")
    cls = _with_variants(args.model)
    out = args.out or Path("runs") / f"compare-{args.model}-{Path(args.data or cls.data).stem or 'data'}"
    call = _call(args, cls, out)
    plans = {name: _planned(args, call, settings, out / slug(name)) for name, settings in cls.variants.items()}
    _write(out, {"asked": call})
    signum = _train(plans, args)
    if signum is not None:
        train.say(f"stopped and saved; continue with: inachus compare {args.model} --out {out}")
        return 128 + signum
    scores, sheet = _judged(plans, args.n)
    _show(out, call, scores, sheet)
    return 0


def slug(name: str) -> str:
    """The folder of a variant: "GAN + L1" becomes "gan-l1"."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def _with_variants(name: str):
    """The class of a model. Raises UsageError for one that has no variants."""
    from inachus.models import MODELS
    from inachus.models.settings import nearest

    if name not in MODELS:
        raise UsageError(f"unknown model '{name}'{nearest(name, MODELS)}")
    if not getattr(MODELS[name], "variants", None):
        others = ", ".join(known for known, cls in MODELS.items() if getattr(cls, "variants", None))
        raise UsageError(f"{name} has no variants to compare; these have: {others}")
    return MODELS[name]


def _call(args, cls: type, out: Path) -> dict:
    """What all variants have in common: options by name, and under `set` the settings as text.

    Of a comparison that was begun in `out`, its own; UsageError if another is asked for than more steps.
    """
    from inachus.engine.data import lasting
    from inachus.models.settings import parse

    parse(cls.Settings, args.pairs)
    given = dict(pair.split("=", 1) for pair in args.pairs)
    if fixed := [key for key in given if all(key in settings for settings in cls.variants.values())]:
        raise UsageError(f"--set {fixed[0]}: that is what the variants differ in; leave it out")
    asked = {name: getattr(args, name) for name in KEPT}
    asked["data"] = args.data and lasting(args.data)
    if begun := _read(out):
        _check_same(out, begun, asked, given)
        return begun | {name: asked[name] or begun[name] for name in ("steps", "device")}
    presets = {"data": lasting(cls.data), "steps": cls.steps, "batch": cls.batch, "seed": 0}
    call = {name: presets.get(name) if value is None else value for name, value in asked.items()}
    if "decay" in cls.Settings.__dataclass_fields__ and not int(given.get("decay", 0)):
        given["decay"] = str(max(call["steps"], cls.steps))  # the same for variants that more steps meet half-way
    return call | {"set": given}


def _check_same(out: Path, begun: dict, asked: dict, given: dict) -> None:
    """Raises UsageError if a second call asks for something else than the first: of steps it may want more."""
    differ = [
        f"{name} is {begun[name]}, not {value}"
        for name, value in asked.items()
        if name != "device" and None not in (value, begun[name]) and value != begun[name]
        if name != "steps" or value < begun[name]
    ]
    differ += [f"{key} is {begun['set'].get(key)}, not {v}" for key, v in given.items() if v != begun["set"].get(key)]
    if differ:
        remedy = "leave these options out, or choose another --out"
        raise UsageError(f"{out} holds a comparison that was begun otherwise ({'; '.join(differ)}): {remedy}")


def _planned(args, call: dict, settings: dict, directory: Path) -> tuple[Path, dict]:
    """(run directory, options) of a variant: a new run, or the one that is there."""
    pairs = [f"{key}={value}" for key, value in (call["set"] | settings).items()]
    there = (directory / "options.json").exists()
    # A run that is there keeps its batch, which may be smaller than the preset.
    where = {"out": None, "resume": directory, "batch": None} if there else {"out": directory, "resume": None}
    return directory, train.asked(argparse.Namespace(**vars(args) | call | where | {"pairs": pairs}))


def _train(plans: dict, args) -> int | None:
    """Trains what is not finished; the number of the signal that ended it, or None."""
    dataset = None
    for name, (directory, options) in plans.items():
        if _steps(directory) >= options["steps"]:
            train.say(f"{name}: trained already, in {directory}")
            continue
        train.choose_device(options, args.threads)
        resume = directory if (directory / "options.json").exists() else None
        dataset = dataset or train.loaded(options, resume)
        model = train.made(options, dataset)
        if not (args.batch or resume):
            train.fit(options, model, dataset)
        signum = train.trained(model, dataset, directory, options, capture=not args.eager)
        if signum is not None:
            return signum
    return None


def _steps(run: Path) -> int:
    """The step of the newest good checkpoint of a run; -1 if it has none."""
    from inachus.engine.training import checkpoint

    return checkpoint.load(run)[1]["step"] if any((run / "checkpoints").glob("step-*")) else -1


def _judged(plans: dict, n: int | None):
    """({direction: {variant: scores}}, the picture of all)."""
    from inachus.engine.data.dataset import normalised
    from inachus.engine.evaluation import verdict
    from inachus.engine.evaluation.translation import spread
    from inachus.engine.training import pictures
    from inachus.models.translation.pairs import SHOWN, rows

    exam, scores = None, {}
    for name, (directory, options) in plans.items():
        usual = {"seed": 0, "weights": "average", "norm": None, "dropout": None, "best": False}
        model, *_ = sample.opened(argparse.Namespace(directory=directory, device=options["device"], **usual))
        if exam is None:
            known, test = translated_data(model, options["data"])
            exam, inputs = examiner(model, known, test, n), spread(test.a, SHOWN)
            columns, titles = [normalised(inputs)], [["input"]]
        translate = in_parts(model, 0)
        for way, each in exam(translate).items():
            scores.setdefault(way, {})[name] = each
        columns.append(translate(inputs, 1))
        first = next(iter(scores.values()))[name]
        titles.append(verdict.heading(name, first))
    if test.paired:
        columns.append(normalised(spread(test.b, SHOWN)))
        titles.append(["truth", f"sharpness {first['sharpness_truth']:.4f}"])
    tiles = rows(*columns)
    return scores, pictures.grid(tiles, scale=-(-SIDE // max(tiles.shape[1:3])), titles=titles)


def _show(out: Path, call: dict, scores: dict, sheet) -> None:
    """Writes the comparison and prints the tables."""
    from inachus.engine.evaluation import verdict
    from inachus.engine.training import pictures

    pictures.save_png(sheet, out / "comparison.png")
    _write(out, {"asked": call, "directions": scores})
    for way, variants in scores.items():
        print(f"{way}, {next(iter(variants.values()))['pictures']:,} test pictures")
        if table := verdict.table(variants):
            print(table)
        for name, each in variants.items():
            if not table or "labels" in each:
                print(verdict.line(name, each))
    print(f"picture   {out / 'comparison.png'}\nscores    {out / 'comparison.json'}")


def _read(out: Path) -> dict | None:
    """What the first call asked for; None if there was none. Raises CheckpointError for a file that is damaged."""
    path = out / "comparison.json"
    try:
        asked = json.loads(path.read_bytes())["asked"]
        if lacking := {*KEPT, "set"} - asked.keys():
            raise KeyError(", ".join(sorted(lacking)))
        return asked
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a comparison ({error!r}); remove it, the runs beside it remain") from None


def _write(out: Path, content: dict) -> None:
    from inachus.engine.training.durable import write_file

    write_file(out / "comparison.json", json.dumps(content, indent=1).encode())
