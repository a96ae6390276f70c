"""inachus interpolate: the lecture's walk between two latent vectors, one walk a row."""

import argparse
from pathlib import Path

from inachus.engine.errors import UsageError
from inachus.models.cli.sample import add_sampling, check_can, opened


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("interpolate", help="walk between latent vectors of a trained model")
    p.add_argument("directory", type=Path, metavar="RUN", help="a run directory")
    p.add_argument("--rows", type=int, default=8, help="walks (8)")
    p.add_argument("--steps", type=int, default=10, help="pictures in a walk, both ends included (10)")
    p.add_argument("--out", type=Path, help="the picture (RUN/interpolation.png)")
    add_sampling(p)
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Writes the picture and prints where: on the great circle for Gaussian noise, straight for uniform."""
    import numpy as np

    from inachus.engine import constant
    from inachus.engine.random import Generator
    from inachus.engine.training import pictures

    if not (1 <= args.rows <= 1000 and 2 <= args.steps <= 1000):
        raise UsageError("--rows must lie between 1 and 1000, --steps between 2 and 1000")
    check_can("sample", args.directory)
    model, _, _ = opened(args)
    if len(model.shape) != 3:
        raise UsageError(f"{args.directory} makes points, and a walk between points is a line: nothing to draw")
    if not hasattr(model, "noise"):
        raise UsageError(f"{args.directory} makes pictures without a code, so there are none to walk between")
    ends = model.noise(2 * args.rows, Generator(args.seed).spawn("walk")).numpy()
    walk = slerp if getattr(model.settings, "prior", "") == "normal" else lerp
    t = np.linspace(0, 1, args.steps, dtype=np.float32)
    z = np.concatenate(
        [[walk(a, b, s) for s in t] for a, b in zip(ends[::2], ends[1::2], strict=True)]
    )  # (rows*steps, z)
    given = {"labels": np.repeat(np.arange(args.rows) % model.classes, args.steps)} if model.conditional else {}
    items = model.sample(len(z), z=constant(z.astype(np.float32)), **given)
    out = args.out or args.directory / "interpolation.png"
    pictures.save_png(pictures.grid(items, columns=args.steps), out)
    print(out)


def lerp(a, b, t: float):
    """(1-t) a + t b."""
    return (1 - t) * a + t * b


def slerp(a, b, t: float):
    """sin((1-t)w)/sin(w) a + sin(t w)/sin(w) b, w the angle between them: keeps the length that Gaussian noise has."""
    import numpy as np

    cosine = np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    w = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(w) < 1e-6:
        return lerp(a, b, t)
    return (np.sin((1 - t) * w) * a + np.sin(t * w) * b) / np.sin(w)
