"""`check`: reads a whole source, of whatever kind, and lists everything odd in it instead of stopping at the first.

It reads with the same functions as `load` and keeps nothing. Whether two folders are meant to be pairs, only their
names can tell: they are taken as such if they are called A and B, or if nearly all files have a partner. Read next:
`sources.py`.
"""

from collections import Counter
from pathlib import Path

from inachus.engine.data import arrays, decode, pictures, zips
from inachus.engine.data.bounded import NoSplit, shown
from inachus.engine.data.dataset import SPLITS, Request
from inachus.engine.data.pairs import layouts
from inachus.engine.data.pairs.layouts import PALETTE, Layout
from inachus.engine.data.pairs.sources import check_partners, odd_partners
from inachus.engine.data.pictures import Shelf
from inachus.engine.data.sources import SOURCES, Stored, folder_reader, load, parts_of, resolved
from inachus.engine.errors import DataError

COMMON_SHARE = 0.9  # a picture's size is odd when this share has another one; and so with partners
LETTERS = {"a", "b"}
Size = tuple[int, int]  # width, height
Rows = list[tuple[str, str]]


class Findings(list):
    """Rows (file, reason) of what `check` found odd, and `summary`, one line on the whole."""

    def __init__(self, rows: Rows, summary: str):
        super().__init__(rows)
        self.summary = summary


def check(name_or_path) -> Findings:
    """Read a whole data set and list every odd file with its reason, not stopping at the first.

    Odd is what cannot be read, a picture whose size differs from that of nearly all others, a file that is no picture,
    and of pairs a file without a partner or with one of other proportions. Raises UsageError for a name that is
    neither a data set nor a path.
    """
    parts = parts_of(name_or_path)
    if len(parts) > 1:
        return _check_several(name_or_path, parts)
    if str(name_or_path) in SOURCES:
        return _check_arrays(name_or_path)
    path = resolved(name_or_path)
    if (path.is_dir() and folder_reader(path) is pictures.picture_dataset) or path.suffix.lower() == ".zip":
        return _check_pictures(path)
    return _check_arrays(path)


# --- arrays -------------------------------------------------------------------------------------------------


def _check_arrays(name_or_path) -> Findings:
    """Both splits of a source whose files are read whole or not at all; a split it lacks is not odd."""
    where, read, lacking = shown(name_or_path), [], ""
    odd = _odd_files(name_or_path)  # of a split, `load` would name only the first
    for split in SPLITS:
        try:
            read.append(f"{split}: {load(name_or_path, split=split).source}")
        except NoSplit as error:
            lacking = str(error)
        except DataError as error:
            reason = str(error)
            if not any(reason.startswith(f"{file}: ") for file, _ in odd):
                odd.append((where, reason.removeprefix(f"{where}: ")))
    if not read and not odd:
        odd.append((where, lacking))
    return Findings(odd, f"{where}: {len(odd)} odd files; readable: {'; '.join(read) or 'nothing'}")


def _odd_files(name_or_path) -> Rows:
    """Of a source of several array files, those that cannot be read by themselves."""
    if str(name_or_path) in SOURCES:
        source = SOURCES[str(name_or_path)]
        folders = {source.find(split) for split in SPLITS} - {None} if isinstance(source, Stored) else set()
    else:
        path = resolved(name_or_path)
        folders = {path} if path.is_dir() else set()
    odd = []
    for folder in sorted(folders):
        reader = folder_reader(folder)
        if reader is arrays.idx_folder:
            kinds = {"images": 3, "labels": 1}
            found = {arrays.find_idx(folder, split, kind): rank for split in SPLITS for kind, rank in kinds.items()}
            odd += [row for path, rank in found.items() if path for row in _fault(path, arrays.read_idx, path, rank)]
        elif reader is arrays.cifar_folder:
            for path in sorted(folder.glob("*_batch*.bin")):
                odd += _fault(path, arrays.cifar_file, path, Request())
    return odd


def _fault(path: Path, read, *arguments) -> Rows:
    """[(file, reason)] if it cannot be read; []."""
    try:
        read(*arguments)
    except DataError as error:
        return [(shown(path), str(error).removeprefix(f"{shown(path)}: "))]
    return []


# --- pictures -----------------------------------------------------------------------------------------------


def _check_several(name_or_path, parts: list[str]) -> Findings:
    each = [check(part) for part in parts]
    odd = [row for findings in each for row in findings]
    if len(parts) == 2:
        try:
            odd += check_partners(name_or_path)
        except DataError as error:
            odd.append((shown(name_or_path), str(error).removeprefix(f"{shown(name_or_path)}: ")))
    whole = f"{shown(name_or_path)}: {len(odd):,} odd files"
    return Findings(odd, "; ".join([*(findings.summary for findings in each), whole]))


def _check_pictures(path: Path) -> Findings:
    sizes: dict[tuple[str, ...], Size] = {}
    try:
        with pictures.open_shelf(path) as shelf:
            odd = _unreadable(shelf, sizes)
            odd += [(shown(path / other), "not a picture: ignored") for other in sorted(shelf.others)]
            odd += _odd_pairs(shelf, sizes)
            known = {file for file, _ in odd}
            odd += [row for row in _odd_sizes(shelf, sizes) if row[0] not in known]
    except DataError as error:
        odd = _odd_entries(path) or [(shown(path), str(error).removeprefix(f"{shown(path)}: "))]
        return Findings(odd, f"{shown(path)}: unreadable")
    counts = Counter(sizes.values()).most_common()
    some = [f"{w}x{h} ({count:,})" for (w, h), count in counts[:3]] + ["..."] * (len(counts) > 3)
    remedy = "; pass --set size= to train on them" if len(counts) > 1 else ""
    summary = f"{len(sizes):,} readable pictures, {len(odd):,} odd files; sizes: {', '.join(some)}{remedy}"
    return Findings(odd, f"{shown(path)}: {summary}")


def _unreadable(shelf: Shelf, sizes: dict) -> Rows:
    """The files that do not decode; `sizes` gets those of the others, but for palettes."""
    odd = []
    for name in sorted(shelf.names, key=pictures.natural):
        label = shelf.label(name)
        try:
            pixels, _ = decode.decode(shelf.read(name), label, channels=3)
            if PALETTE not in name[:-1]:
                sizes[name] = pixels.shape[1], pixels.shape[0]
        except DataError as error:
            odd.append((label, str(error).removeprefix(f"{label}: ")))
    return odd


def _odd_sizes(shelf: Shelf, sizes: dict) -> Rows:
    counts = Counter(sizes.values()).most_common(1)
    if not counts or counts[0][1] < COMMON_SHARE * len(sizes):
        return []
    (w, h), count = counts[0]
    reason = f"where {count:,} of {len(sizes):,} are {w}x{h}"
    return [(shelf.label(name), f"is {v}x{g}, {reason}") for name, (v, g) in sizes.items() if (v, g) != (w, h)]


def _odd_pairs(shelf: Shelf, sizes: dict) -> Rows:
    """Of a folder or zip that is meant as pairs: halves that are none, files alone, pairs of other proportions."""
    try:
        layout = layouts.of_one(shelf.path, shelf.names)
    except DataError:
        return []
    if layout.joined:
        wide = [name for name, (w, h) in sizes.items() if w == 2 * h]
        if len(wide) <= len(sizes) / 2:  # plain pictures
            return []
        reason = f"not twice as wide as high, where {len(wide):,} of {len(sizes):,} are: no pair side by side"
        return [(shelf.label(name), f"is {w}x{h}, {reason}") for name, (w, h) in sizes.items() if w != 2 * h]
    odd = []
    for split, (a, b) in layout.splits.items():
        if _meant(layout, len(a.keys() & b.keys()), len(a.keys() | b.keys())):
            odd += odd_partners(layout, split, [shelf, shelf])
    return odd


def _meant(layout: Layout, common: int, every: int) -> bool:
    """True for sides called A and B that share names, and for any two that share nearly all."""
    named = {side.lower() for side in layout.sides} == LETTERS
    return common > 0 and not layout.heaps and (named or common >= COMMON_SHARE * every)


def _odd_entries(path: Path) -> Rows:
    """The entries for which an archive is refused."""
    if path.is_dir():
        return []
    try:
        with zips.opened(path) as archive:
            return [(shown(path), f"entry '{entry}' {reason}: refused") for entry, reason in zips.odd_members(archive)]
    except DataError:
        return []
