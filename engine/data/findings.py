"""`check`: reads a whole source, of whatever kind, and lists everything odd in it instead of stopping at the first.

It reads with the same functions as `load` and keeps nothing. Read next: `sources.py`.
"""

from collections import Counter
from pathlib import Path

from inachus.engine.data import decode, pictures
from inachus.engine.data.bounded import NoSplit, shown
from inachus.engine.data.dataset import SPLITS
from inachus.engine.data.pairs.layouts import PALETTE
from inachus.engine.data.pairs.sources import check_partners
from inachus.engine.data.sources import SOURCES, folder_reader, load, parts_of, resolved
from inachus.engine.errors import DataError

COMMON_SHARE = 0.9  # a picture's size is odd when this share has another one


class Findings(list):
    """Rows (file, reason) of what `check` found odd, and `summary`, one line on the whole."""

    def __init__(self, rows, summary: str):
        super().__init__(rows)
        self.summary = summary


def check(name_or_path) -> Findings:
    """Read a whole data set and list every odd file with its reason, not stopping at the first.

    Odd is what cannot be read, a picture whose size differs from that of nearly all others, and a file that
    is no picture; of the pairs "ONE,TWO" also a file without a partner. Raises UsageError for a name that is
    neither a data set nor a path.
    """
    parts = parts_of(name_or_path)
    if len(parts) > 1:
        both = [check(part) for part in parts]
        odd = [row for findings in both for row in findings]
        try:
            if len(parts) == 2:
                check_partners(name_or_path)
        except DataError as error:
            odd.append((shown(name_or_path), str(error).removeprefix(f"{shown(name_or_path)}: ")))
        return Findings(odd, "; ".join(findings.summary for findings in both))
    if str(name_or_path) in SOURCES:
        return _check_arrays(name_or_path)
    path = resolved(name_or_path)
    if (path.is_dir() and folder_reader(path) is pictures.picture_dataset) or path.suffix.lower() == ".zip":
        return _check_pictures(path)
    return _check_arrays(path)


def _check_arrays(name_or_path) -> Findings:
    """Both splits of a source whose files are read whole or not at all; a split it lacks is not odd."""
    where, odd, read = shown(name_or_path), [], []
    for split in SPLITS:
        try:
            read.append(f"{split}: {load(name_or_path, split=split).source}")
        except NoSplit as error:
            lacking = str(error)
        except DataError as error:
            odd.append((where, str(error)))
    if not read and not odd:
        odd.append((where, lacking))
    return Findings(odd, f"{where}: {len(odd)} odd files; readable: {'; '.join(read) or 'nothing'}")


def _check_pictures(path: Path) -> Findings:
    odd, sizes = [], {}
    try:
        with pictures.open_shelf(path) as shelf:
            for name in sorted(shelf.names, key=pictures.natural):
                label = shelf.label(name)
                try:
                    pixels, _ = decode.decode(shelf.read(name), label, channels=3)
                    if PALETTE not in name[:-1]:
                        sizes[label] = f"{pixels.shape[1]}x{pixels.shape[0]}"
                except DataError as error:
                    odd.append((label, str(error).removeprefix(f"{label}: ")))
            odd += [(shown(path / other), "not a picture: ignored") for other in sorted(shelf.others)]
    except DataError as error:
        return Findings([(shown(path), str(error))], f"{shown(path)}: unreadable")
    counts = Counter(sizes.values()).most_common()
    if counts and counts[0][1] >= COMMON_SHARE * len(sizes):
        usual, count = counts[0]
        reason = f"where {count:,} of {len(sizes):,} are {usual}"
        odd += [(label, f"is {size}, {reason}") for label, size in sizes.items() if size != usual]
    some = [f"{size} ({count:,})" for size, count in counts[:3]] + ["..."] * (len(counts) > 3)
    remedy = "; pass --set size= to train on them" if len(counts) > 1 else ""
    summary = f"{len(sizes):,} readable pictures, {len(odd):,} odd files; sizes: {', '.join(some)}{remedy}"
    return Findings(odd, f"{shown(path)}: {summary}")
