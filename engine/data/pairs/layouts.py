"""What lies where: from the names of files to two sides, their splits, and which file belongs to which.

Only names are looked at here. Understood are, as a folder or zip, with or without a folder around everything:

    two folders          A/1.png B/1.jpg, or any two names: equal file names, endings aside, are true pairs
    side by side         1.png, twice as wide as high: the left half is A, the right half is B
    splits around them   train/A/1.png, A/train/1.png, train/1.png and so on; val stands in for a missing test
    splits in the name   trainA/ trainB/ testA/ testB/: never true pairs; train/ trainannot/: pairs by their names
    two sources          ONE,TWO, each a folder or zip of pictures, with splits or without

A folder `palette` is no side: see `maps.py`. Read next: `sources.py`.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from inachus.engine.data.bounded import NoSplit, fault, shown
from inachus.engine.data.pictures import LISTED, Places, folders_of, natural, unwrapped

UNDERSTOOD = (
    "understood are two folders with equal file names (A/1.png B/1.png), pictures side by side (twice as wide as "
    "high), both also inside train/ and test/, trainA/ trainB/ testA/ testB/, and two folders or zips as ONE,TWO"
)
SPLIT = re.compile(r"(train|test|validation|valid|val)(?:ing)?[ _-]?(.*)", re.IGNORECASE)
PALETTE = "palette"
File = tuple[str, ...]  # its name in a shelf, folder by folder
Files = dict[str, File]  # by what two partners have in common: the name without its ending


@dataclass(frozen=True)
class Layout:
    """The files (of a, of b) in each split, "" if there are no splits; side by side, both are the same.

    Of more sources than two, which are no pairs, the files of each.
    """

    path: Path
    sides: tuple[str, ...]
    splits: dict[str, tuple[Files, ...]]
    joined: bool = False  # side by side in one picture
    heaps: bool = False  # no true pairs, whatever the names
    loose: int = 0  # pictures that lie in neither side

    def find(self, split: str) -> tuple[str, bool]:
        """(the key in `splits` under which it lies, is it only a part of that?); NoSplit if there is none."""
        tests = [name for name in ("test", "val") if name in self.splits]
        trains = [name for name in ("train", "") if name in self.splits]
        if split == "test" and tests:
            return tests[0], False
        if not trains:
            raise fault(self.path, f"no {split} split: it holds only {', '.join(sorted(self.splits))}", NoSplit)
        return trains[0], not tests


def of_one(path: Path, names: list[File]) -> Layout:
    """The layout of one folder or zip; DataError, naming what is understood, if it is none of them."""
    places = _placed(names)
    cells, suffixed = _cells(unwrapped(places))
    loose = len(places) - sum(map(len, cells.values()))
    sides = sorted({side for _, side in cells}, key=lambda side: natural((side,)))
    splits = sorted({split for split, _ in cells})
    if sides == [""]:
        both = {split: (files, files) for split in splits if (files := _files(cells[split, ""]))}
        return Layout(path, ("A", "B"), both, joined=True, loose=loose)
    lacking = [
        split + side if suffixed else f"{split}/{side}"
        for split in splits
        for side in sides
        if (split, side) not in cells
    ]
    if len(sides) != 2:
        raise fault(path, f"no pairs in it: it holds {listed(sides)}, not two folders; {UNDERSTOOD}")
    if lacking:
        raise fault(path, f"no pairs in it: it lacks {listed(lacking)}; {UNDERSTOOD}")
    both = {split: (_files(cells[split, sides[0]]), _files(cells[split, sides[1]])) for split in splits}
    names = tuple(shown(side or "pictures") for side in sides)
    return Layout(path, names, both, heaps=suffixed and "" not in sides, loose=loose)


def of_several(paths: list[Path], names: list[list[File]]) -> Layout:
    """The layout of two sources or more; DataError if one of them has splits that another has not."""
    whole = Path(",".join(map(str, paths)))
    sides = [_splits(unwrapped(_placed(each))) for each in names]
    if any(side.keys() != sides[0].keys() for side in sides):
        found = " and ".join(listed([split or "no splits" for split in sorted(side)]) for side in sides)
        raise fault(whole, f"they differ in their splits: {found}")
    stems = [path.stem for path in paths]
    titles = stems if len({*stems}) == len(stems) else map(str, paths)
    every = {split: tuple(_files(side[split]) for side in sides) for split in sorted(sides[0])}
    return Layout(whole, tuple(map(shown, titles)), every)


def partners(layout: Layout, split: str, paired: bool | None) -> tuple[list[File], list[File], bool, list[str]]:
    """(files of a, files of b, are they true pairs?, notes) in natural order.

    `paired` None lets the layout decide, then the names. DataError for heaps that were asked to be pairs and, with up
    to ten of them, for files without a partner where others have one, unless `paired` is False.
    """
    a, b = layout.splits[split]
    common, alone = a.keys() & b.keys(), in_order(a.keys() ^ b.keys())
    if not common or (layout.heaps and not paired) or (alone and paired is False):
        if paired:
            raise fault(layout.path, f"no file of a has a partner in b, which was asked for; {UNDERSTOOD}")
        return [a[stem] for stem in in_order(a)], [b[stem] for stem in in_order(b)], False, []
    if alone:
        remedy = "add or remove them, or train what needs no partners (cyclegan)"
        raise fault(layout.path, f"{len(alone):,} files without a partner of the same name: {listed(alone)}; {remedy}")
    stems = in_order(common)
    notes = [] if layout.joined else [f"{len(stems):,} true pairs, by equal file names"]
    if notes and paired is None and all(stem.isdecimal() for stem in stems):
        notes[0] += ": mere numbers, so train what needs no partners (cyclegan) if they mean nothing"
    return [a[stem] for stem in stems], [b[stem] for stem in stems], True, notes


def _placed(names: list[File]) -> Places:
    return {name: name for name in sorted(names) if PALETTE not in name[:-1]}


def _cells(places: Places) -> tuple[dict[tuple[str, str], Places], bool]:
    """(split, side) -> what lies there, either "" where there is none; and whether the two stand in one name."""
    cells = defaultdict(dict)
    matches = {top: SPLIT.fullmatch(top) for top in folders_of(places)}
    if not matches or not all(matches.values()):  # sides, with splits inside or not
        for side in matches or [""]:
            for split, inside in _splits(_inside(places, side)).items():
                cells[split, side] = inside
        return cells, False
    if any(match[2] for match in matches.values()):  # trainA
        for top, match in matches.items():
            cells[_plain(match[1]), match[2]] |= _inside(places, top)
        return cells, True
    for split, inside in _splits(places).items():  # splits, with sides inside or not
        for side in folders_of(inside) or [""]:
            cells[split, side] = _inside(inside, side)
    return cells, False


def _splits(places: Places) -> dict[str, Places]:
    """What lies in each split, or everything under "" if it is not all in folders train, test and the like."""
    matches = {top: SPLIT.fullmatch(top) for top in folders_of(places)}
    if not matches or not all(match and not match[2] for match in matches.values()):
        return {"": places}
    splits = defaultdict(dict)
    for top, match in matches.items():
        splits[_plain(match[1])] |= _inside(places, top)
    return splits


def _inside(places: Places, top: str) -> Places:
    """What lies in a top folder; "" is the top itself."""
    return {file: place[1:] for file, place in places.items() if len(place) > 1 and place[0] == top} if top else places


def _plain(word: str) -> str:
    return {"tr": "train", "te": "test", "va": "val"}[word[:2].lower()]


def _files(places: Places) -> Files:
    files = {}
    for file, place in places.items():
        whole = "/".join(place)
        stem = whole.rpartition(".")[0]
        files[whole if stem in files else stem] = file
    return files


def in_order(stems) -> list[str]:
    """Names in natural order."""
    return sorted(stems, key=lambda stem: natural((stem,)))


def listed(words: list[str]) -> str:
    """Up to ten of them, for a message."""
    return ", ".join(map(shown, words[:LISTED])) + (", ..." if len(words) > LISTED else "")
