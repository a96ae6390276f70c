"""Everything that is wrong with the words of a training command, found before anything else is done.

`train.py` refuses the first wrong thing it meets; here all are looked for together, so that one message names them.
Read next: `train.py`.
"""

import argparse
from collections.abc import Iterator

from inachus.engine.errors import UsageError

LEAST = {"steps": 1, "batch": 1, "seed": 0, "sample_every": 1, "save_every": 1, "evaluate_every": 0}


def check(args: argparse.Namespace) -> None:
    """Raises one UsageError that names every wrong number, name and setting of a command that trains."""
    found = [*getattr(args, "problems", ()), *_wrong(args)]
    if found:
        raise UsageError("; ".join(found))


def wrong_numbers(args) -> Iterator[str]:
    """What is wrong with each number of a command that trains."""
    from inachus.kernels import cores

    bounds = {name: (least, 2**63 - 1, "2^63 - 1") for name, least in LEAST.items()}
    bounds["threads"] = 1, cores(), f"{cores()}, the cores this process may use"
    for name, (least, most, told) in bounds.items():
        value = getattr(args, name, None)
        if value is not None and not least <= value <= most:
            yield f"--{name.replace('_', '-')} must lie between {least} and {told}, not {value}"


def _wrong(args: argparse.Namespace):
    from inachus.kernels import NAMES
    from inachus.models import MODELS
    from inachus.models.settings import nearest, parse

    if not hasattr(args, "pairs"):  # no command that trains
        return
    model = getattr(args, "model", None)
    if isinstance(model, str) and model not in MODELS:
        yield f"unknown model '{model}'{nearest(model, MODELS)}"
    yield from wrong_numbers(args)
    if args.device not in (None, "auto", *NAMES):
        yield f"unknown device '{args.device}'{nearest(args.device, ('auto', *NAMES))}"
    if isinstance(model, str) and model in MODELS:
        try:
            parse(MODELS[model].Settings, args.pairs)
        except UsageError as error:
            yield str(error)
