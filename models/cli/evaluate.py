"""inachus evaluate: how far the samples of a run are from its data, by a judge trained with this engine."""

import argparse
import json
from pathlib import Path

from inachus.engine.errors import DataError, UsageError
from inachus.models.cli.sample import add_sampling, opened, say


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("evaluate", help="measure a trained model against its data's test split")
    p.add_argument("directory", type=Path, metavar="RUN", help="a run directory")
    p.add_argument("--n", type=int, default=10_000, help="samples (10,000)")
    p.add_argument("--data", metavar="NAME|PATH", help="other data than the run was trained on")
    p.add_argument("--json", action="store_true", help="print all measures as JSON")
    add_sampling(p)
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints one line, and writes everything to RUN/metrics.json and the report."""
    import numpy as np

    from inachus.engine.evaluation import judgement
    from inachus.engine.training import report
    from inachus.engine.training.durable import write_file
    from inachus.models.runs import load_data

    if not 100 <= args.n <= 100_000:
        raise UsageError(f"--n must lie between 100 and 100,000, not {args.n}")
    model, options, step = opened(args)
    train, test = splits(lambda split: load_data(type(model), args.data or options["data"], model.settings, split))
    if train.shape != model.shape:
        raise DataError(
            f"{args.data}: items of shape {train.shape}, but this run makes {model.shape}; give data of that shape"
        )
    labels = np.arange(args.n) % model.classes if model.conditional else None
    parts = range(0, args.n, 500)
    items = np.concatenate(
        [
            model.sample(
                min(500, args.n - i),
                seed=args.seed + 1 + i // 500,
                **({"labels": labels[i : i + 500]} if model.conditional else {}),
            )
            for i in parts
        ]
    )
    result = {"step": step, "seed": args.seed, **judgement.judge_samples(items, train, test, labels, say)}
    write_file(args.directory / "metrics.json", json.dumps(result, indent=1).encode())
    report.write(args.directory)
    print(json.dumps(result) if args.json else judgement.line(result))


def splits(load):
    """(train, test); data without a test split is judged against itself, and that is said."""
    from inachus.engine.data import NoSplit

    train = load("train")
    try:
        return train, load("test")
    except NoSplit:
        say("the data has no test split: samples are compared with the training pictures themselves")
        return train, train
