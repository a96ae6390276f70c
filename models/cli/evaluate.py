"""inachus evaluate: how far the samples of a run are from its data, by a judge trained with this engine; of a run that
translates, how far its translations are from the truth; and what a model promises besides, which it measures itself:
its method examine(train, test, say) -> {"name": number}."""

import argparse
import json
from pathlib import Path

from inachus.engine.errors import DataError, UsageError
from inachus.models.cli.sample import add_sampling, opened, say

TOGETHER = 16  # pictures translated at once


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("evaluate", help="measure a trained model against its data's test split")
    p.add_argument("directory", type=Path, metavar="RUN", help="a run directory")
    p.add_argument("--n", type=int, help="samples (10,000), or test pictures of a translator (all)")
    p.add_argument("--data", metavar="NAME|PATH", help="other data than the run was trained on")
    p.add_argument("--json", action="store_true", help="print all measures as JSON")
    add_sampling(p)
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints what people compare, and writes everything to RUN/metrics.json and the report."""
    from inachus.engine.training import report
    from inachus.engine.training.durable import write_file
    from inachus.models import MODELS
    from inachus.models.runs import read_options

    cls = MODELS[read_options(args.directory)["model"]]
    translates = hasattr(cls, "translate") or hasattr(cls, "test_pairs")
    least = 1 if translates else 100
    if args.n is not None and not least <= args.n <= 100_000:
        raise UsageError(f"--n must lie between {least} and 100,000, not {args.n}")
    model, options, step = opened(args)
    scores, text = (translations if translates else samples)(model, options, args)
    result = {"step": step, "seed": args.seed, **scores}
    write_file(args.directory / "metrics.json", json.dumps(result, indent=1).encode())
    report.write(args.directory)
    print(json.dumps(result) if args.json else text)


def samples(model, options: dict, args) -> tuple[dict, str]:
    """(every measure, one line) of a generator."""
    import numpy as np

    from inachus.engine.evaluation import judgement
    from inachus.models.runs import load_data

    n = args.n or 10_000
    train, test = splits(lambda split: load_data(type(model), args.data or options["data"], model.settings, split))
    if train.shape != model.shape:
        raise DataError(
            f"{args.data}: items of shape {train.shape}, but this run makes {model.shape}; give data of that shape"
        )
    if not hasattr(model, "sample"):
        return examined(model, train, test)
    labels = np.arange(n) % model.classes if model.conditional else None
    items = np.concatenate(
        [
            model.sample(
                min(500, n - i),
                seed=args.seed + 1 + i // 500,
                **({"labels": labels[i : i + 500]} if model.conditional else {}),
            )
            for i in range(0, n, 500)
        ]
    )
    result = judgement.judge_samples(items, train, test, labels, say)
    own, text = examined(model, train, test)
    return result | own, "\n".join(filter(None, [judgement.line(result), text]))


def examined(model, train, test) -> tuple[dict, str]:
    """(what the model measures of itself, one line of it); nothing of most models."""
    if not hasattr(model, "examine"):
        return {}, ""
    result = model.examine(train, test, say)
    return result, " | ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in result.items())


def translations(model, options: dict, args) -> tuple[dict, str]:
    """(every measure, a table and a line for each direction) of a translator."""
    from inachus.engine.evaluation import verdict

    train, test = translated_data(model, args.data or options["data"])
    scores = examiner(model, train, test, args.n)(in_parts(model, args.seed))
    lines = [
        text for way, each in scores.items() for text in (verdict.table({"translation": each}), verdict.line(way, each))
    ]
    return {"directions": scores}, "\n".join(filter(None, [*lines, verdict.overall(scores)]))


def translated_data(model, name: str):
    """(train, test): `Pairs` with every true pair there is, or the `Dataset` of a model of many domains.

    Raises DataError for pictures of another shape than the model's.
    """
    from inachus.models.runs import load_data

    cls, shape = type(model), model.shape
    more = {"paired": None} if hasattr(cls, "paired") else {}
    both = splits(lambda split: load_data(cls, name, model.settings, split, **more))
    if hasattr(model, "test_pairs"):  # made of single pictures, which may be larger than those of the training
        return tuple(map(model.test_pairs, both))
    for data in both:
        if tuple(data.shape) != shape:
            raise DataError(
                f"{name}: pictures of {data.shape}, but this run translates {shape}; give data of that shape"
            )
    return both


def examiner(model, train, test, n: int | None = None):
    """What scores such a model on at most n test pictures of a side: translate -> {"A to B": scores}."""
    from inachus.engine.evaluation.translation import judge_of

    return judge_of(train, test, getattr(model, "paired", True), n or len(test), say)


def in_parts(model, seed: int):
    """translate(pictures, to) a few pictures at a time; one by one where batch norm takes the pictures' statistics.

    A model whose `test_pairs` ask for something else than its translations gives that as its `answer`.
    """
    import numpy as np

    from inachus.engine.data.dataset import normalised
    from inachus.engine.nn import BatchNorm, Module

    networks = [network for network in vars(model).values() if isinstance(network, Module)]
    layers = [layer for network in networks for _, layer in network.modules() if isinstance(layer, BatchNorm)]
    answer = getattr(model, "answer", None) or model.translate
    count = 1 if any(layer.statistics == "batch" for layer in layers) else TOGETHER

    def translate(pictures: np.ndarray, to: int) -> np.ndarray:
        made = []
        for i in range(0, len(pictures), count):
            part = pictures[i : i + count]
            part = normalised(part) if part.dtype == np.uint8 else part
            made.append(answer(part, to, seed=seed + i))
        return np.concatenate(made)

    return translate


def splits(load):
    """(train, test); data without a test split is judged against itself, and that is said."""
    from inachus.engine.data import NoSplit

    train = load("train")
    try:
        return train, load("test")
    except NoSplit:
        say("the data has no test split: the model is judged on the training pictures themselves")
        return train, train
