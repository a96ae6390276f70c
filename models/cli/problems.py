"""Everything that is wrong with the words of a training command, found before anything else is done.

`train.py` refuses the first wrong thing it meets; here they are looked for together, so that one message names all.
Read next: `train.py`.
"""

import argparse

from inachus.engine.errors import UsageError


def check(args: argparse.Namespace) -> None:
    """Raises one UsageError that names every wrong number, name and setting of a command that trains."""
    found = [*getattr(args, "problems", ()), *_wrong(args)]
    if found:
        raise UsageError("; ".join(found))


def _wrong(args: argparse.Namespace):
    from inachus.kernels import NAMES, cores
    from inachus.models import MODELS
    from inachus.models.cli.train import LEAST
    from inachus.models.settings import nearest, parse

    if not hasattr(args, "pairs"):  # no command that trains
        return
    model = getattr(args, "model", None)
    if isinstance(model, str) and model not in MODELS:
        yield f"unknown model '{model}'{nearest(model, MODELS)}"
    for name, least in LEAST.items():
        value = getattr(args, name, None)
        if value is not None and not least <= value < 2**63:
            yield f"--{name.replace('_', '-')} must lie between {least} and 2^63 - 1, not {value}"
    threads = getattr(args, "threads", None)
    if threads is not None and not 1 <= threads <= cores():
        yield f"--threads must lie between 1 and {cores()}, the cores this process may use, not {threads}"
    if args.device not in (None, "auto", *NAMES):
        yield f"unknown device '{args.device}'{nearest(args.device, ('auto', *NAMES))}"
    if isinstance(model, str) and model in MODELS:
        try:
            parse(MODELS[model].Settings, args.pairs)
        except UsageError as error:
            yield str(error)
