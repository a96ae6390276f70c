"""inachus train: a model, a data set, a run directory."""

import argparse
import dataclasses
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from inachus.engine.errors import DataError, ResourceError, UsageError
from inachus.models.cli.device import DEVICE_HELP, PRECISIONS, choose
from inachus.models.cli.problems import wrong_numbers


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("train", help="train a model on a data set or a folder of pictures")
    p.add_argument("model", nargs="?", metavar="MODEL", help="one of `inachus models`; not with --resume")
    add_training(p)
    p.add_argument("--profile", action="store_true", help="print the share of time of each operation at the end")
    p.add_argument(
        "--detect-anomaly", action="store_true", help="slow: name the operation that makes the first NaN or infinity"
    )
    p.add_argument("--out", type=Path, metavar="DIR", help="run directory (runs/MODEL-DATA)")
    p.add_argument("--resume", type=Path, metavar="RUN", help="continue this run; --steps may extend it")
    p.add_argument("--dry-run", action="store_true", help="print settings, networks and data, train nothing")
    p.add_argument(
        "--evaluate-every", type=int, metavar="N", help="steps between scores, of which the best is kept (0)"
    )
    p.set_defaults(run=run)


def add_training(p: argparse.ArgumentParser) -> None:
    """The options of every command that trains."""
    p.add_argument(
        "--data", metavar="NAME|PATH", help="a name of `inachus data list`, a folder, zip, npz or idx file (digits)"
    )
    p.add_argument("--steps", type=int, help="train up to this step")
    p.add_argument("--batch", type=int, help="items in a batch (the model's own: 64 for most)")
    p.add_argument("--seed", type=int, help="seed of weights, noise and order (0)")
    p.add_argument("--device", help=DEVICE_HELP)
    p.add_argument("--precision", choices=PRECISIONS, help="of the products of CUDA kernels (tf32)")
    p.add_argument("--eager", action="store_true", help="no graph of the step: every operation by itself")
    p.add_argument("--threads", type=int, help="cores to use (all that this process may use)")
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="pairs",
        help="a setting of the model; `inachus models MODEL` lists them; may be repeated",
    )
    p.add_argument("--sample-every", type=int, metavar="N", help="steps between grids (250)")
    p.add_argument("--save-every", type=int, metavar="N", help="steps between checkpoints (500)")


SCORED = 2_000  # samples of a score
SCHEDULE = {"sample_every": 250, "save_every": 500, "evaluate_every": 0}


def run(args: argparse.Namespace) -> int:
    """Trains; returns 0, or 128 plus the number of the signal that ended it."""
    from inachus.engine.profile import Profile

    options = asked(args)
    choose_device(options, args.threads)
    dataset = loaded(options, args.resume)
    if dataset.kind == "points" and not args.resume:
        options = asked(_for_points(args)) | {"device": options["device"]}
    model = made(options, dataset)
    if not (args.batch or args.resume):
        fit(options, model, dataset)
    if args.dry_run:
        print(_description(options, model, dataset))
        return 0
    directory = args.resume or args.out or _free(options)
    with Profile() if args.profile else nullcontext() as profile:
        capture = not (args.eager or args.profile)
        signum = trained(model, dataset, directory, options, capture, anomaly=args.detect_anomaly)
    if profile:
        print(profile.table())
    if signum is not None:
        say(f"stopped and saved; continue with: inachus train --resume {directory}")
        return 128 + signum
    grids = sorted((directory / "samples").glob("*.png"))  # none if the user cleared them and no step was left
    files = ("film", directory / "samples.gif"), ("report", directory / "report.html")
    for label, path in (*(("grid", grid) for grid in grids[-1:]), *files):
        if path.exists():
            print(f"{label:7}{path}")
    return 0


def asked(args) -> dict:
    """The options of the run that is asked for, a new one or one to continue. Raises UsageError for what cannot be."""
    for problem in wrong_numbers(args):
        raise UsageError(problem)
    return _resumed(args) if args.resume else _fresh(args)


def _fresh(args) -> dict:
    """The options of a new run, from the command line and the model's presets."""
    from inachus.models import MODELS
    from inachus.models.settings import nearest, parse

    if not args.model:
        raise UsageError(f"which model? one of {', '.join(MODELS)}; or --resume RUN")
    if args.model not in MODELS:
        raise UsageError(f"unknown model '{args.model}'{nearest(args.model, MODELS)}")
    if args.out and (args.out / "options.json").exists():
        raise UsageError(
            f"{args.out} already holds a run: continue it with --resume {args.out}, or choose another --out"
        )
    if args.out and args.out.exists() and not args.out.is_dir():
        raise UsageError(f"{args.out} is a file: choose another --out")
    cls = MODELS[args.model]
    options = {
        "model": args.model,
        "data": args.data or cls.data,
        "steps": args.steps or cls.steps,
        "batch": args.batch or cls.batch,
        "seed": args.seed or 0,
        "device": args.device or "auto",
        "precision": args.precision or "tf32",
        "settings": dataclasses.asdict(parse(cls.Settings, args.pairs)),
    }
    if options["settings"].get("decay") == 0:  # a short training is the beginning of a usual one
        options["settings"]["decay"] = max(options["steps"], cls.steps)
    return options | {name: usual if (n := getattr(args, name)) is None else n for name, usual in SCHEDULE.items()}


def _for_points(args) -> argparse.Namespace:
    """The arguments with the model's own `points`, its presets for such data, where the user gave none."""
    from inachus.models import MODELS

    usual = getattr(MODELS[args.model], "points", {})
    return argparse.Namespace(**vars(args) | {k: v for k, v in usual.items() if getattr(args, k) is None})


def _resumed(args) -> dict:
    """The options of the run to continue; another end, schedule or place of the data may be given, nothing else."""
    from inachus.kernels import problem
    from inachus.models.runs import read_options
    from inachus.models.settings import parse

    options = read_options(args.resume)
    options.setdefault("precision", "tf32")  # of runs that are older than the option
    asked = {k: getattr(args, k) for k in ("model", "batch", "seed", "device", "precision")}
    asked["device"] = None if args.device == "auto" else args.device
    if asked["device"] and problem(options["device"]):
        options["device"] = asked["device"]  # the run goes on where its device is not, equal to rounding
    differ = [f"{k} is {options[k]}, not {v}" for k, v in asked.items() if v is not None and v != options[k]]
    if args.pairs:
        from inachus.models import MODELS

        changed = dataclasses.asdict(parse(MODELS[options["model"]].Settings, args.pairs))
        named = {pair.partition("=")[0] for pair in args.pairs}
        differ += [
            f"{k} is {options['settings'].get(k)}, not {changed[k]}"
            for k in sorted(named)
            if changed[k] != options["settings"].get(k)
        ]
    if args.out and args.out.resolve() != args.resume.resolve():
        differ.append(f"it lies in {args.resume}, not {args.out}")
    if differ:
        raise UsageError(
            f"{args.resume}: a resumed run keeps its options ({'; '.join(differ)}); leave them out, or start a new run"
        )
    given = {name: getattr(args, name) for name in ("steps", "data", *SCHEDULE)}
    return options | {name: value for name, value in given.items() if value is not None}


def choose_device(options: dict, threads: int | None) -> None:
    """Selects the backend, its threads and precision; in the options, "auto" becomes the name of what was chosen."""
    from inachus.kernels import use_threads

    options["device"] = choose(options["device"], options["precision"])
    if threads:
        use_threads(threads)


def loaded(options: dict, resume: Path | None = None):
    """The training data of a run, or of the one to `resume`, where data that is gone is a DataError."""
    from inachus.models import MODELS
    from inachus.models.runs import check_same_data, load_data

    try:
        cls = MODELS[options["model"]]
        dataset = load_data(cls, options["data"], cls.Settings(**options["settings"]))
    except UsageError as error:
        if resume:  # the user named no data now: what the run was trained on is gone
            raise DataError(f"{resume}: its data cannot be loaded: {error}") from None
        raise
    if resume:
        check_same_data(options, dataset)
    return dataset


def made(options: dict, dataset):
    """The untrained model; adds to the options what describes the data."""
    from inachus.engine.data import lasting
    from inachus.engine.data.pairs import maps
    from inachus.models.runs import build

    facts = {
        "source": dataset.source,
        "count": len(dataset),
        "fingerprint": dataset.fingerprint,
        "notes": dataset.notes,
    }
    if dataset.kind == "pairs":
        facts["maps"] = maps.records(dataset)
    options |= {
        "data": lasting(options["data"]),
        "shape": list(dataset.shape),
        "classes": dataset.classes,
        "dataset": facts,
        "versions": _versions(),
    }
    return build(options)


def fit(options: dict, model, dataset) -> None:
    """Makes the preset batch as small as a small data set asks for, with a line."""
    from inachus.models.runs import fitting

    if (batch := fitting(options["batch"], model, dataset)) < options["batch"]:
        say(f"batches of {batch} instead of {options['batch']}: there is no more data")
        options["batch"] = batch


def trained(model, dataset, directory: Path, options: dict, capture: bool = True, anomaly: bool = False) -> int | None:
    """Trains as the options say; returns None at the end, or the number of the signal that ended it, all saved."""
    from inachus.engine.training.loop import Plan, train
    from inachus.kernels.memory import memory, size

    if Path(directory).is_dir() and not os.access(directory, os.W_OK):
        raise UsageError(f"{directory} is not writable: choose another --out")
    schedule = (options[k] for k in ("steps", "batch", "seed", "sample_every", "save_every"))
    plan = Plan(*schedule, capture=capture, anomaly=anomaly)
    if options["evaluate_every"]:
        plan.score_every = options["evaluate_every"]
        plan.score_name = "frechet" if dataset.kind == "pictures" else "sliced_wasserstein"
        plan.score = _score(options)
    say(f"{options['model']} on {dataset.source}; run directory {directory}")
    for note in dataset.notes:
        say(note)
    fixed = memory().used  # what the model takes, whatever the batch
    try:
        signum = train(model, dataset, directory, plan, options, say)
    except MemoryError as error:
        raise _shortage(error, options, fixed) from error
    if peak := memory().peak:
        say(f"device memory: {size(peak)} at most")
    return signum


def _shortage(error: MemoryError, options: dict, fixed: int) -> Exception:
    """What a trainer can do about memory that ran out; off a device the error itself, which `main` explains."""
    from inachus.kernels import DEVICES
    from inachus.kernels.memory import shortage

    if options["device"] not in DEVICES:
        return error
    return ResourceError(f"{options['model']}, batch {options['batch']}: {shortage(error, fixed, options['batch'])}")


def _score(options: dict):
    """The distance of 2,000 samples, on features of the judge of the data."""
    from inachus.engine.evaluation.judgement import distance
    from inachus.models import MODELS
    from inachus.models.cli.evaluate import splits
    from inachus.models.runs import load_data

    cls = MODELS[options["model"]]
    if not hasattr(cls, "sample"):
        raise UsageError(f"{options['model']} makes no samples that could be scored: leave out --evaluate-every")
    settings = cls.Settings(**options["settings"])
    train, test = splits(lambda split: load_data(cls, options["data"], settings, split))
    measure = distance(train, test, SCORED, say)
    return lambda model: measure(model.sample(SCORED, seed=1))


def _description(options: dict, model, dataset) -> str:
    """What --dry-run prints."""
    from inachus.models.cli.models import networks

    lines = [f"{k:9}{options[k]}" for k in ("model", "data", "steps", "batch", "seed", "device")]
    lines += [f"{k:9}{v}" for k, v in options["settings"].items()]
    lines += ["", f"data     {dataset.source}"]
    lines += [f"         {note}" for note in dataset.notes]
    if dataset.labels is not None:
        import numpy as np

        counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
        lines += ["classes  " + ", ".join(f"{name} {n:,}" for name, n in zip(dataset.classes, counts, strict=True))]
    return "\n".join([*lines, "", networks(model)])


def _free(options: dict) -> Path:
    """runs/MODEL-DATA, numbered if it is taken."""
    stem = f"{options['model']}-{Path(options['data']).stem or 'data'}"
    names = [stem, *(f"{stem}-{i}" for i in range(2, 10_000))]
    return next(path for name in names if not (path := Path("runs") / name).exists())


def _versions() -> dict:
    import platform

    import numpy

    from inachus import __version__

    return {"inachus": __version__, "numpy": numpy.__version__, "python": platform.python_version()}


def say(text: str) -> None:
    """One line on stderr, above the progress bar."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
