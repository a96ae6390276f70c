"""inachus models: what can be trained, and what each model's settings mean."""

import argparse
import dataclasses


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("models", help="list the models, or one model's settings and networks")
    p.add_argument("model", nargs="?", metavar="MODEL")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints the list, or one model."""
    from inachus.engine.errors import UsageError
    from inachus.models import MODELS
    from inachus.models.settings import nearest

    if args.model is None:
        for name, cls in MODELS.items():
            print(f"{name:14}{_paper(cls)}")
        return
    if args.model not in MODELS:
        raise UsageError(f"unknown model '{args.model}'{nearest(args.model, MODELS)}")
    cls = MODELS[args.model]
    print(f"{_paper(cls)}\n")
    for f in dataclasses.fields(cls.Settings):
        choices = f" ({', '.join(f.metadata['choices'])})" if f.metadata["choices"] else ""
        print(f"  {f.name:10}{f.default!s:16}{f.metadata['meaning']}{choices}")
    print("\n" + networks(cls((28, 28, 1), 10)))


def _paper(cls: type) -> str:
    """The first line of the file that defines the model: name, paper, idea."""
    import sys

    return sys.modules[cls.__module__].__doc__.splitlines()[0]


def networks(model) -> str:
    """A table for each network of a model, with its parameter counts."""
    from inachus.engine.nn import Module, Sequential, counts, summary

    tables = []
    for name, network in vars(model).items():
        if not isinstance(network, Module):
            continue
        inner = getattr(network, "network", network)  # a conditioned network wraps a plain one
        sample = model.network_inputs()[name]
        if isinstance(inner, Sequential):
            tables.append(summary(inner, sample, title=name))
        if inner is not network:
            tables.append(
                "{} with its label table: total {:,}, trainable {:,}, non-trainable {:,}".format(name, *counts(network))
            )
    return "\n\n".join(tables)
