"""inachus sample: pictures from a trained run, as one grid or one file each."""

import argparse
import sys
from pathlib import Path

from inachus.engine.errors import UsageError
from inachus.models.cli.device import DEVICE_HELP, choose

COLUMNS = 20  # classes that get a column each


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("sample", help="make pictures with a trained model")
    p.add_argument("directory", type=Path, metavar="RUN", help="a run directory")
    p.add_argument("--n", type=int, default=64, help="how many (64)")
    p.add_argument("--out", type=Path, help="the grid (RUN/sample.png)")
    p.add_argument(
        "--each",
        type=Path,
        metavar="DIR",
        help="also write every picture into this folder, with the data's size and channels",
    )
    p.add_argument("--label", metavar="CLASS", help="for conditional models: only this class, by name or number")
    add_sampling(p)
    p.set_defaults(run=run)


def add_sampling(p: argparse.ArgumentParser) -> None:
    """The options of every command that makes samples."""
    p.add_argument("--seed", type=int, default=0, help="seed of the noise (0)")
    p.add_argument(
        "--weights", choices=("average", "last"), default="average", help="averaged weights, or the last ones"
    )
    p.add_argument(
        "--norm",
        choices=("running", "batch"),
        help="statistics batch norm uses (running; for translators trained with --batch 1 batch: the picture's own)",
    )
    p.add_argument(
        "--dropout", nargs="?", const="on", choices=("on", "off"), help="keep it on (off; translators: as trained)"
    )
    p.add_argument("--best", action="store_true", help="the best checkpoint instead of the newest")
    p.add_argument("--device", default="auto", help=DEVICE_HELP)


def opened(args: argparse.Namespace):
    """(model, options, step) with the sampling options applied."""
    from inachus.models.runs import at_sampling, at_translating, open_run

    if not 0 <= args.seed < 2**63:
        raise UsageError(f"--seed must lie between 0 and 2^63 - 1, not {args.seed}")
    choose(args.device)
    model, options, step = open_run(args.directory, say, best=args.best)
    dropout = {"on": True, "off": False}.get(args.dropout)
    if hasattr(model, "translate"):
        at_translating(model, options, args.weights, args.norm, dropout)
    else:
        at_sampling(model, args.weights, args.norm or "running", bool(dropout))
    return model, options, step


def check_can(verb: str, directory: Path) -> None:
    """Raises UsageError, with the command that fits, for the run of a model that cannot do this."""
    from inachus.models import MODELS
    from inachus.models.runs import read_options

    name = read_options(directory)["model"]
    able = [word for word in ("sample", "translate", "complete") if hasattr(MODELS[name], word)]
    if not able:
        remedy = f"inachus evaluate {directory} measures it, {directory / 'samples'} shows it"
        raise UsageError(f"{name} does not {verb}, it classifies pictures: {remedy}")
    if verb not in able:
        what = str(directory) if able[0] == "sample" else f"{directory} PICTURES --out DIR"
        raise UsageError(f"{name} does not {verb}, it {able[0]}s: inachus {able[0]} {what}")


def run(args: argparse.Namespace) -> None:
    """Writes the pictures and prints where."""
    import numpy as np

    from inachus.engine.training import pictures
    from inachus.engine.training.loop import draw

    if not 1 <= args.n <= 100_000:
        raise UsageError(f"--n must lie between 1 and 100,000, not {args.n}")
    check_can("sample", args.directory)
    model, options, _ = opened(args)
    given, view = {}, {}
    if args.label is not None:
        given = {"labels": np.full(args.n, _label(args.label, model, options))}
    elif model.conditional and model.classes > COLUMNS:  # too many for a column each: spread over all of them
        given = {"labels": np.arange(args.n) * max(1, model.classes // args.n) % model.classes}
    elif model.conditional:
        columns = min(model.classes, args.n)
        given = {"labels": np.arange(args.n) % columns}
        view = {"columns": columns, "titles": options["classes"][:columns]}
    items = model.sample(args.n, seed=args.seed, **given)
    out = args.out or args.directory / "sample.png"
    pictures.save_png(draw(items, **view), out)
    print(out)
    if args.each and items.ndim == 4:
        for i, item in enumerate(items):
            pictures.save_png(pictures.single(item), args.each / f"{i:05d}.png")
        print(args.each)


def _label(text: str, model, options: dict) -> int:
    """The number of a class given by name or number. Raises UsageError for another, or a model without labels."""
    from inachus.models.settings import nearest

    if not model.conditional:
        raise UsageError(f"{options['model']} takes no label; cgan and acgan do")
    names = [name.casefold() for name in options["classes"]]
    if text.casefold() in names:
        return names.index(text.casefold())
    tags = [sorted(tag.strip() for tag in name.split(",")) for name in (text.casefold(), *names)]
    if tags[0] in tags[1:]:  # the same tags in another order
        return tags.index(tags[0], 1) - 1
    if text.isdecimal() and int(text) < model.classes:
        return int(text)
    raise UsageError(f"unknown class '{text}'{nearest(text, options['classes'])}")


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr)
