"""inachus translate: pictures of any size through a trained translator, one picture at a time.

What a picture becomes is `models/translation/anysize.py`; how it is read is how the training read it
(`engine/data/decode.py`; class maps `engine/data/pairs/maps.py`). Here: which files, and what they are called.
"""

import argparse
import os
import sys
from collections import Counter, namedtuple
from collections.abc import Callable
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

from inachus.engine.errors import DataError, NumericError, ResourceError, UsageError
from inachus.models.cli.sample import add_sampling, check_can, opened

MARK = "Software", "inachus"  # in every picture written here: such files may be overwritten

Input = namedtuple("Input", "label path place read")  # place: its folders and name below what was passed

EPILOG = """Pictures are mirrored at their borders up to what the network takes and cut back: sizes stay, times the
model's scale. So do folders and names, with the ending .png. Translations of an earlier call are overwritten; any other
file in their place, an input, or two inputs of one name are refused before anything is written. Of unreadable pictures
each is named, the others are translated, and the exit code is 3."""


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("translate", help="turn pictures into others with a trained model", epilog=EPILOG)
    p.add_argument("directory", type=Path, metavar="RUN", help="a run directory")
    p.add_argument("images", type=Path, nargs="+", metavar="IMAGES", help="pictures, folders of them, zips of them")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the translations go")
    p.add_argument("--to", metavar="SIDE", help="side or class to translate into: its name, or A or B (the second)")
    p.add_argument("--fit", action="store_true", help="resize to the trained size (shorter side) first, and back after")
    p.add_argument(
        "--tile",
        type=int,
        metavar="N",
        help="for pictures larger than memory: overlapping tiles of N pixels a side; each is normalised by its own "
        "statistics where a norm uses those of the picture",
    )
    add_sampling(p)
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Writes the translations and prints where and how many. Raises DataError at the end if some were unreadable."""
    from inachus.models.translation.anysize import AnySize

    check_can("translate", args.directory)
    with ExitStack() as stack:
        inputs = gathered(args.images, args.out, stack)
        targets = outputs(inputs, args.out)
        model, options, step = opened(args)
        to = direction(args.to, model, options)
        source, result = class_maps(options, to)
        translator = AnySize(model, to, fit=args.fit, tile=args.tile, smooth=(not source, not result))
        known = ways(model, options)
        _say(f"{options['model']}, step {step:,}" + (f": into {known[to]}" if known else ""))
        _all(inputs, targets, translator, reader(source, translator.trained[2]), args)


def ways(model, options: dict) -> dict[int, str]:
    """What a model translates into, by the number its `translate` takes: classes, or sides, or {} without a choice."""
    names = dict(enumerate(options["classes"]))
    if not isinstance(model.shape[0], tuple):  # one kind of pictures: of every class
        return names
    if not isinstance(options["shape"][0], list):  # pairs that the model makes itself
        return {}
    return names if getattr(model, "paired", True) is False else {1: names[1]}


def direction(asked: str | None, model, options: dict) -> int:
    """What `--to` means, the second side by default. Raises UsageError for what the model does not translate into."""
    from inachus.models.settings import nearest

    known, names = ways(model, options), options["classes"]
    if asked is None:
        return 1
    if not known:
        raise UsageError(f"{options['model']} has no sides to choose from: leave out --to")
    letters = {"a": 0, "b": 1} if isinstance(model.shape[0], tuple) else {}
    folded = letters | {name.casefold(): i for i, name in enumerate(names)}
    to = names.index(asked) if asked in names else folded.get(asked.casefold())
    if to is None:
        raise UsageError(f"--to: unknown side '{asked}'{nearest(asked, known.values())}")
    if to not in known:
        remedy = "train another run with --set direction=BtoA for the way back"
        raise UsageError(f"{options['model']} goes one way, {names[0]} into {names[1]}: {remedy}")
    return to


def class_maps(options: dict, to: int) -> list[dict | None]:
    """What the run keeps of its class maps (`maps.Colours`): of the side that is translated, of the one it becomes."""
    maps = options["dataset"].get("maps")
    return [maps[1 - to], maps[to]] if maps else [None, None]


def gathered(paths: list[Path], out: Path, stack: ExitStack) -> list[Input]:
    """The pictures in these files, folders and zips, in natural order; what lies in `out`, below a folder, is left out.

    Raises UsageError for a path that is not there, DataError for a folder or zip without pictures.
    """
    from inachus.engine.data.bounded import fault
    from inachus.engine.data.pictures import natural, open_shelf, single_shelf

    inputs, inside = [], out.resolve()
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{path}: there is no such file or folder")
        several = path.is_dir() or path.suffix.lower() == ".zip"
        shelf = stack.enter_context(open_shelf(path)) if several else single_shelf(path)
        names = sorted(shelf.names, key=natural)
        if path.is_dir() and inside != (root := path.resolve()) and inside.is_relative_to(root):
            names = [name for name in names if not root.joinpath(*name).is_relative_to(inside)]
        if not names:
            raise fault(path, f"no pictures in it but those in {out}: pass other pictures")
        if shelf.others:
            _say(f"{path}: {len(shelf.others):,} files that are no pictures ignored")
        inputs += [Input(shelf.label(name), shelf.path.joinpath(*name), name, shelf.read) for name in names]
    return inputs


def outputs(inputs: list[Input], out: Path) -> list[Path]:
    """Where each translation goes. Raises UsageError where something would be lost."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: choose another --out")
    if out.is_dir() and not os.access(out, os.W_OK):
        raise UsageError(f"{out} is not writable: choose another --out")
    targets, taken = [out.joinpath(*_renamed(item.place)) for item in inputs], {}
    for item, target in zip(inputs, targets, strict=True):
        if (other := taken.setdefault(target, item)) is not item:
            raise UsageError(
                f"{other.label} and {item.label} would both become {target}: rename one, or translate it apart"
            )
    folders = {folder for target in targets for folder in target.parents}
    sources = {place for item in inputs for place in (_real(item.path), item.path.resolve())}
    for target in targets:
        if _real(target) in sources:
            raise UsageError(f"{target} is one of the pictures to translate: choose another --out")
        if target in folders:
            raise UsageError(f"{target} would be a picture and a folder of others: rename one, or translate it apart")
        if os.path.lexists(target) and not _ours(target):
            remedy = "remove it, or choose another --out"
            raise UsageError(f"{target} exists, and this command overwrites only its own pictures: {remedy}")
    return targets


def _renamed(place: tuple[str, ...]) -> tuple[str, ...]:
    """The same folders and name, the ending of a picture replaced by .png."""
    from inachus.engine.data.pictures import ENDINGS

    stem, dot, ending = place[-1].rpartition(".")
    return *place[:-1], (stem if stem and dot + ending.lower() in ENDINGS else place[-1]) + ".png"


def _real(path: Path) -> Path:
    """The name itself, in the folder that is really meant."""
    return path.parent.resolve() / path.name


def _ours(path: Path) -> bool:
    """True for a PNG that carries our mark."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get(MARK[0]) == MARK[1]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _all(inputs: list[Input], targets: list[Path], translator, read: Callable, args: argparse.Namespace) -> None:
    """Translates and saves one after the other, prints the line, and raises what was wrong with unreadable pictures."""
    from tqdm import tqdm

    from inachus.engine.data.decode import counted
    from inachus.engine.training.durable import write_file

    notes, failures = Counter(), []
    bar = tqdm(inputs, unit="picture", disable=None, dynamic_ncols=True)
    for item, target in zip(bar, targets, strict=True):
        try:
            made, conversions = _one(item, translator, read, args.seed)
        except (DataError, NumericError, ResourceError) as error:
            if len(inputs) == 1:
                raise
            _say(str(error))
            failures.append(type(error))  # not the error, which holds on to the picture
            continue
        notes.update(conversions)
        write_file(target, png(made))
    for note in counted(notes, len(inputs)):
        _say(note)
    if len(failures) < len(inputs):
        print(f"{args.out}  {len(inputs) - len(failures):,} of {len(inputs):,} pictures")
    if failures:
        raise failures[0](f"{len(failures):,} of {len(inputs):,} pictures were not translated, see above")


def _one(item: Input, translator, read: Callable, seed: int):
    """(pixels of the translation, conversions made in reading) of one picture; every error names it."""
    pixels, conversions = read(item.read(item.place), item.label)
    try:
        return translator(pixels, seed), conversions
    except (DataError, NumericError) as error:
        raise type(error)(f"{item.label}: {error}") from None
    except MemoryError as error:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise ResourceError(
            f"{item.label}: out of memory with {size} pixels: pass --tile 512, or a smaller N"
        ) from error


def reader(record: dict | None, channels: int) -> Callable[[bytes, str], tuple]:
    """(bytes, label) -> (uint8 (H, W, channels), conversions), as the training read this side."""
    from inachus.engine.data import decode
    from inachus.engine.data.pairs.maps import Colours

    if record is not None:
        return Colours.recorded(record).read
    return lambda data, label: decode.decode(data, label, channels)


def png(pixels) -> bytes:
    """A PNG, grey if the pixels (H, W, C) are, with our mark."""
    from PIL import Image, PngImagePlugin

    mark, file = PngImagePlugin.PngInfo(), BytesIO()
    mark.add_text(*MARK)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", pnginfo=mark)
    return file.getvalue()


def _say(text: str) -> None:
    """One line on stderr, above the bar."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
