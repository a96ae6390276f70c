"""From a name, a path or two of them to Pairs: `load_pairs`.

Which files belong together is `layouts.py`; a test split where there is none, `heldout.py`; reading them, `sides.py`
and `maps.py`; pairs that are drawn, `shapes.py`. Read next: `layouts.py`.
"""

from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from inachus.engine.data import decode
from inachus.engine.data.bounded import NoSplit, fault, shown
from inachus.engine.data.dataset import SHARE, Request
from inachus.engine.data.pairs import layouts, shapes
from inachus.engine.data.pairs.dataset import Pairs
from inachus.engine.data.pairs.heldout import divide, marks
from inachus.engine.data.pairs.layouts import File, Layout
from inachus.engine.data.pairs.sides import Disproportion, check_halves, read_halves, read_side, together
from inachus.engine.data.pictures import ENDINGS, Shelf, natural, open_shelf
from inachus.engine.data.sources import SOURCES, parts_of, resolved
from inachus.engine.errors import DataError, UsageError

DIRECTIONS = ("AtoB", "BtoA")
MAPS = ("", "a", "b", "ab")


@dataclass(frozen=True)
class Wish:
    """What the caller of `load_pairs` wants of files, checked once; UsageError for what cannot be."""

    request: Request
    direction: str
    paired: bool | None
    maps: str | None
    hold_out: float

    def __post_init__(self):
        rules = {
            "direction": (self.direction in DIRECTIONS, f"one of {', '.join(DIRECTIONS)}"),
            "maps": (self.maps is None or self.maps in MAPS, "a, b, ab, or empty for no class maps"),
            "hold_out": (0 <= self.hold_out < 1, SHARE),
        }
        wrong = [f"{name}={getattr(self, name)!r} must be {rule}" for name, (fits, rule) in rules.items() if not fits]
        if wrong:
            raise UsageError("load_pairs: " + "; ".join(wrong))

    @property
    def classes(self) -> list[bool | None]:
        """For a and b, whether they are class maps; None where that is to be recognised."""
        return [None if self.maps is None else side in self.maps for side in "ab"]


def load_pairs(
    name_or_path,
    *,
    split="train",
    size=None,
    channels=None,
    direction="AtoB",
    paired=None,
    maps=None,
    hold_out=0.1,
    limit=None,
    seed=0,
    on_bad="stop",
    progress=None,
) -> Pairs:
    """The pairs of a name in `shapes.DRAWN`, in a folder or zip (see `layouts.py`), or in "ONE,TWO", two of these.

    `direction` "BtoA" exchanges the sides, so that a model always translates a into b. `paired` True insists on true
    pairs, False makes two heaps of them, None takes what is there. `maps` names the sides, as stored, that are class
    maps ("a", "b", "ab", "" for none), None recognises them (see `maps.py`). Where there is no test (or val) split,
    the share `hold_out` of the pairs is it, chosen by content. The rest is as in `load`: `size` cuts the centre square
    of each side and resizes it; `channels` leaves class maps alone.

    Raises UsageError for an unknown name or an impossible option, DataError for anything wrong with the data.
    """
    request = Request(split, size, channels, limit, seed, on_bad, progress)
    wish = Wish(request, direction, paired, maps, hold_out)
    name = str(name_or_path)
    if name in shapes.DRAWN:
        pairs = shapes.pairs(name, request, paired)
    elif name in SOURCES:
        raise UsageError(f"'{name}' has no two sides, as {' and '.join(shapes.DRAWN)} have; {layouts.UNDERSTOOD}")
    else:
        pairs = _read(_places(name), wish)
    if paired is False:  # only now, so that the split is the same and true pairs of the test split remain unseen
        pairs = pairs.drop_pairing()
    pairs = pairs if direction == "AtoB" else pairs.swapped()
    return replace(pairs, source=_described(pairs))


def _described(pairs: Pairs) -> str:
    a, b = (f"{side} {'x'.join(map(str, shape))}" for side, shape in zip(pairs.sides, pairs.shape, strict=True))
    if pairs.paired:
        return f"{pairs.source} ({len(pairs):,} true pairs, {a} and {b})"
    return f"{pairs.source} (no pairs: {len(pairs.a):,} of {a}, {len(pairs.b):,} of {b})"


def _places(name: str) -> list[Path]:
    """The one or two sources that are meant; a folder of nothing but one or two zips means these."""
    paths = [resolved(part) for part in parts_of(name)]
    if len(paths) > 2:
        raise UsageError(f"'{shown(name)}' are {len(paths)} sources, and pairs have two sides; stargan takes them all")
    if len(paths) == 1 and paths[0].is_dir():
        inside = [path for path in paths[0].iterdir() if not path.name.startswith(".")]
        zips = [path for path in inside if path.suffix.lower() == ".zip"]
        if 1 <= len(zips) <= 2 and not any(path.is_dir() or path.name.lower().endswith(ENDINGS) for path in inside):
            return sorted(zips, key=lambda path: natural((path.name,)))
    return paths


def check_partners(name_or_path) -> list[tuple[str, str]]:
    """(file, reason) of every file whose partner is missing, where others have one, or has other proportions.

    Raises DataError if what lies there are no two sides.
    """
    with ExitStack() as stack:
        shelves, layout = _opened(stack, _places(str(name_or_path)))
        shared = [split for split, (a, b) in layout.splits.items() if a.keys() & b.keys()]
        return [row for split in shared for row in odd_partners(layout, split, shelves)]


def odd_partners(layout: Layout, split: str, shelves: list[Shelf]) -> list[tuple[str, str]]:
    """(file, reason) of what is odd about the pairs of a split; only the headers of pictures are read."""
    (a, b), odd = layout.splits[split], []
    for side, shelf, other, name in zip((a, b), shelves, (b, a), reversed(layout.sides), strict=True):
        for stem in layouts.in_order(side.keys() - other.keys()):
            odd.append((shelf.label(side[stem]), f"has no partner of the same name in {name}"))
    for stem in layouts.in_order(a.keys() & b.keys()):
        files = [(shelf, side[stem]) for shelf, side in zip(shelves, (a, b), strict=True)]
        with suppress(DataError):  # reading says what is wrong with it
            (w, h), (v, g) = [decode.header(shelf.read(file), shelf.label(file))[0] for shelf, file in files]
            if w * g != v * h:
                (first, second) = [shelf.label(file) for shelf, file in files]
                odd.append((first, f"is {w}x{h}, its partner {second} {v}x{g}: proportions differ"))
    return odd


def _opened(stack: ExitStack, paths: list[Path]) -> tuple[list[Shelf], Layout]:
    """The shelves of a and b, which may be one, and what lies in them."""
    shelves = [stack.enter_context(open_shelf(path)) for path in paths]
    names = [shelf.names for shelf in shelves]
    layout = layouts.of_several(paths, names) if len(paths) == 2 else layouts.of_one(paths[0], names[0])
    return [shelves[0], shelves[-1]], layout


def _read(paths: list[Path], wish: Wish) -> Pairs:
    with ExitStack() as stack:
        shelves, layout = _opened(stack, paths)
        files, paired, notes = _chosen(layout, shelves, wish)
        if layout.joined:
            sides = read_halves(shelves[0], files[0], wish.request, wish.classes)
        else:
            each = zip(shelves, files, wish.classes, strict=True)
            sides = [read_side(shelf, side, wish.request, classes) for shelf, side, classes in each]
    if paired:
        try:
            sides = together(layout.path, files[0], sides)
        except Disproportion:
            if wish.paired:
                raise
            paired, notes = False, [*notes[1:], "equal file names, but no true pairs: proportions differ"]
    a, b = sides
    if layout.joined:
        notes += a.notes
    else:
        notes += [f"{name}: {note}" for name, side in zip(layout.sides, sides, strict=True) for note in side.notes]
    read = tuple([shown("/".join(names[i])) for i in side.kept] for names, side in zip(files, sides, strict=True))
    palettes, tables, where = (a.palette, b.palette), (a.table, b.table), shown(layout.path)
    name = shown(",".join(path.name for path in paths))
    return Pairs(name, a.items, b.items, paired, layout.sides, read, palettes, tables, where, notes)


def _chosen(layout: Layout, shelves: list[Shelf], wish: Wish) -> tuple[list[list[File]], bool, list[str]]:
    """(files of a and of b, are they true pairs?, notes) of the split that is asked for."""
    request, path = wish.request, layout.path
    part, divided = layout.find(request.split)
    a, b, paired, notes = layouts.partners(layout, part, wish.paired)
    if layout.loose:
        notes.append(f"{layout.loose:,} pictures in neither side left out")
    if part == "val":
        notes.append("val stands in for test")
    if layout.joined:
        check_halves(shelves[0], a)
    files = [a, b]
    if divided and (wish.hold_out or request.split == "test"):
        halves = (0, 1) if layout.joined else (None, None)
        seen = [marks(*each) for each in zip(shelves, files, halves, strict=True)]
        *rows, more = divide(*seen, paired, wish.hold_out, request.split == "test")
        files = [[side[i] for i in kept] for side, kept in zip(files, rows, strict=True)]
        if not all(files):
            reason = f"no {request.split} split: too few pictures to hold out {wish.hold_out:.0%}"
            raise fault(path, f"{reason}; pass a larger --set hold_out=, or make folders train and test", NoSplit)
        notes += more
    return [[side[i] for i in request.chosen(len(side))] for side in files], paired, notes
