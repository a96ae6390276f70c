"""inachus complete: pictures with a hole, filled by a network trained for it, or by a GAN whose pictures fit around it.

The network is `models/translation/completion.py`, the search `models/translation/semantic.py`; which files there are is
`translate.py`. Here: where the hole is.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

from inachus.engine.errors import DataError, UsageError
from inachus.models.cli.sample import add_sampling, opened, say
from inachus.models.cli.translate import gathered, outputs, png

TOGETHER = 64  # pictures completed at once

EPILOG = """Pictures become squares of the run's size: the centre is cut out and resized. The hole is a square of half
the size in the middle; of a picture with transparent pixels it is these. Known pixels stay as they are. Folders and
names stay, with the ending .png; of unreadable pictures each is named, the others are completed, and the exit code is
3."""


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("complete", help="fill the holes of pictures with a trained model", epilog=EPILOG)
    p.add_argument("directory", type=Path, metavar="RUN", help="a run of completion, or of a GAN such as gan and dcgan")
    p.add_argument("images", type=Path, nargs="+", metavar="IMAGES", help="pictures, folders of them, zips of them")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the completed pictures go")
    where = p.add_mutually_exclusive_group()
    where.add_argument("--mask", type=Path, metavar="PNG", help="a picture that is white where the hole is")
    where.add_argument("--hole", metavar="X,Y,W,H", help="a rectangle, in pixels of the run's size")
    p.add_argument("--steps", type=int, default=300, help="of a GAN: steps of the search (300)")
    p.add_argument("--starts", type=int, default=8, help="of a GAN: codes it begins with, of which the best stays (8)")
    p.add_argument("--blend", action="store_true", help="of a GAN: Poisson blending, no seam but other colours")
    add_sampling(p)
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Writes the pictures and prints where and how many. Raises DataError at the end if some were unreadable."""
    import numpy as np

    from inachus.engine.data.dataset import normalised
    from inachus.engine.training.durable import write_file
    from inachus.models.translation.blending import blended

    for name, value in (("steps", args.steps), ("starts", args.starts)):
        if not 1 <= value <= 100_000:
            raise UsageError(f"--{name} must lie between 1 and 100,000, not {value}")
    with ExitStack() as stack:
        inputs = gathered(args.images, args.out, stack)
        targets = outputs(inputs, args.out)
        model, paint = painter(args)
        kept, pictures, masks = read(inputs, model, given(args, model.shape), getattr(model, "hole", 0))
    for i in range(0, len(kept), TOGETHER):
        part = slice(i, i + TOGETHER)
        x, holes = normalised(pictures[part]), masks[part]
        made = blended(x, paint(x, holes), holes) if args.blend else paint(x, holes)
        pixels = np.rint((made.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
        for number, picture in zip(kept[part], np.where(holes > 0, pixels, pictures[part]), strict=True):
            write_file(targets[number], png(picture))
    print(f"{args.out}  {len(kept):,} of {len(inputs):,} pictures")
    if len(kept) < len(inputs):
        raise DataError(f"{len(inputs) - len(kept):,} of {len(inputs):,} pictures were not completed, see above")


def painter(args: argparse.Namespace):
    """(model, function of pictures and masks) of the run. Raises UsageError for one that can fill no hole."""
    from inachus.models import MODELS
    from inachus.models.translation import semantic

    model, options, step = opened(args)
    name = options["model"]
    if hasattr(model, "complete"):
        if args.blend:
            raise UsageError(f"{name} meets the border of the hole by itself: leave out --blend")
        say(f"{name}, step {step:,}: by a network trained for holes")
        return model, model.complete
    if not semantic.able(model) or len(model.shape) != 3:
        able = [other for other, cls in MODELS.items() if hasattr(cls, "complete") or semantic.able(cls)]
        raise UsageError(f"{name} fills no holes; runs of these do: {', '.join(able)}")
    say(f"{name}, step {step:,}: by a search of {args.steps:,} steps from {args.starts:,} codes for each picture")
    how = {"steps": args.steps, "starts": args.starts, "seed": args.seed}
    return model, lambda x, masks: semantic.paint(model, x, masks, **how)


def given(args: argparse.Namespace, shape: tuple[int, ...]):
    """The mask float32 (H, W, 1) that was passed for all pictures, or None. Raises UsageError for an impossible one."""
    import numpy as np

    from inachus.engine.data.decode import decode
    from inachus.engine.data.pictures import single_shelf

    if args.mask is not None:
        if not args.mask.is_file():
            raise UsageError(f"{args.mask}: there is no such file")
        shelf = single_shelf(args.mask)
        pixels, _ = decode(shelf.read(shelf.names[0]), shelf.label(shelf.names[0]), 1, shape[0])
        mask, what = (pixels >= 128).astype(np.float32), f"{args.mask} is black everywhere"
    elif args.hole is not None:
        mask, what = rectangle(args.hole, shape), f"--hole {args.hole} is empty"
    else:
        return None
    if not mask.any():
        raise UsageError(f"{what}: there is nothing to complete")
    return mask


def rectangle(text: str, shape: tuple[int, ...]):
    """The mask (H, W, 1) of "X,Y,W,H". Raises UsageError for what does not lie in the picture."""
    import numpy as np

    try:
        left, top, width, height = map(int, text.split(","))
    except ValueError:
        raise UsageError(f"--hole {text}: expected four whole numbers X,Y,W,H, such as 16,16,32,32") from None
    if min(left, top, width, height) < 0 or left + width > shape[1] or top + height > shape[0]:
        raise UsageError(f"--hole {text} does not lie in pictures of {shape[1]} x {shape[0]} pixels")
    mask = np.zeros((*shape[:2], 1), np.float32)
    mask[top : top + height, left : left + width] = 1
    return mask


def read(inputs: list, model, mask, side: int):
    """(numbers of the inputs that could be read, pictures uint8 (N, H, W, C), masks float32 (N, H, W, 1)).

    Without a `mask` the hole is where a picture is transparent, else a square of `side` pixels, 0 for the half.
    """
    import numpy as np

    from inachus.engine.data.decode import decode, transparent
    from inachus.engine.data.pairs.made import middle

    shape = model.shape
    usual, kept, pictures, masks = middle(shape, side or shape[0] // 2), [], [], []
    for number, item in enumerate(inputs):
        try:
            data = item.read(item.place)
            pixels, _ = decode(data, item.label, shape[2], shape[0])
            clear = None if mask is not None else transparent(data, item.label, shape[0])
        except DataError as error:
            if len(inputs) == 1:
                raise
            say(str(error))
            continue
        kept.append(number)
        pictures.append(pixels)
        masks.append(next(m for m in (mask, clear, usual) if m is not None))
    if not kept:
        raise DataError(f"none of {len(inputs):,} pictures could be read, see above")
    return kept, np.stack(pictures), np.stack(masks).astype(np.float32)
