"""inachus models: what can be trained, and what each model's settings mean."""

import argparse
import dataclasses


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("models", help="list the models, or one model's settings and networks")
    one = p.add_mutually_exclusive_group()
    one.add_argument("model", nargs="?", metavar="MODEL")
    one.add_argument(
        "--receptive-field", action="store_true", help="what one output of each patch discriminator sees, by layers"
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints the list, one model, or the receptive fields."""
    from inachus.engine.errors import UsageError
    from inachus.models import MODELS
    from inachus.models.settings import nearest

    if args.receptive_field:
        print(receptive_fields())
        return
    if args.model is None:
        for name, cls in MODELS.items():
            print(f"{name:16}{_paper(cls)}")
        return
    if args.model not in MODELS:
        raise UsageError(f"unknown model '{args.model}'{nearest(args.model, MODELS)}")
    cls = MODELS[args.model]
    print(f"{_paper(cls)}\n")
    for f in dataclasses.fields(cls.Settings):
        choices = f" ({', '.join(f.metadata['choices'])})" if f.metadata["choices"] else ""
        print(f"  {f.name:11} {f.default!s:16}{f.metadata['meaning']}{choices}")
    print("\n" + networks(cls(cls.example, 10)))


def _paper(cls: type) -> str:
    """The first line of the file that defines the model: name, paper, idea."""
    import sys

    return sys.modules[cls.__module__].__doc__.splitlines()[0]


def networks(model) -> str:
    """For each network of a model a table, if its layers follow one another, or else a line with its counts."""
    from inachus.engine.nn import Module, Sequential, counts, summary

    tables = []
    for name, network in vars(model).items():
        if not isinstance(network, Module):
            continue
        inner = getattr(network, "network", network)  # a conditioned network wraps a plain one
        sample = model.network_inputs()[name]
        if isinstance(inner, Sequential):
            tables.append(summary(inner, sample, title=name))
        if not isinstance(inner, Sequential) or counts(inner) != counts(network):
            kind = type(inner).__name__ if inner is network else "with its label table"
            tables.append("{} {}: total {:,}, trainable {:,}, non-trainable {:,}".format(name, kind, *counts(network)))
    return "\n\n".join(tables)


def receptive_fields() -> str:
    """For each patch discriminator the recursion from one output back to the picture, with its numbers."""
    from inachus.models.nets import patchgan

    tables = ["size_in = (size_out - 1) * stride + kernel, from one output back to the picture"]
    for layers in range(6):
        fields = patchgan.receptive_field(patchgan.discriminator(3, width=1, layers=layers))
        title = f"PatchGAN, n = {layers}" if layers else "PixelGAN, n = 0"
        lines, out = [f"{title}: {fields[-1].size} x {fields[-1].size} pixels"], 1
        for name, kernel, stride, size in fields:
            lines.append(f"  {name:13}kernel {kernel}  stride {stride}  ({out} - 1) * {stride} + {kernel} = {size}")
            out = size
        tables.append("\n".join(lines))
    return "\n\n".join(tables)
