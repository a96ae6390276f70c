"""Several sources as the classes of one data set, and a test split for class folders that have none.

For what translates between any number of domains. Both hold out by content, as pairs do (`heldout.py`): two sources
have the same test pictures as sides and as classes, but for those that several classes share.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import numpy as np

from inachus.engine.data.bounded import NoSplit, fault, shown
from inachus.engine.data.dataset import Dataset, Request
from inachus.engine.data.pairs import layouts
from inachus.engine.data.pairs.heldout import marks, part_of_classes
from inachus.engine.data.pictures import Shelf, arrange, arranged_dataset, open_shelf


@dataclass
class Joined(Shelf):
    """Shelves as one; `homes` tells the shelf of each name, and its name there."""

    homes: dict = field(default_factory=dict)

    def label(self, name: tuple[str, ...]) -> str:
        """A file as the message of its own shelf shows it."""
        shelf, file = self.homes[name]
        return shelf.label(file)


def several(paths: list[Path], request: Request) -> Dataset:
    """The split of folders and zips, each a class, in this order.

    Raises DataError if only some have splits, and NoSplit for a test split that is nowhere if nothing is held out.
    """
    homes = {}
    with ExitStack() as stack:
        shelves = [stack.enter_context(open_shelf(path)) for path in paths]
        layout = layouts.of_several(paths, [shelf.names for shelf in shelves])
        part, divided = layout.find(request.split)
        labels, places = [], []
        for label, (shelf, side) in enumerate(zip(shelves, layout.splits[part], strict=True)):
            for place in layouts.in_order(side):
                homes[str(label), *side[place]] = shelf, side[place]
                labels.append(label)
                places.append(place)
        shelf = Joined(layout.path, list(homes), lambda name: homes[name][0].read(homes[name][1]), homes=homes)
        notes = ["val stands in for test"] if part == "val" else []
        arranged = shelf.names, np.array(labels), list(layout.sides), notes
        if divided:
            arranged = _divided(shelf, arranged, places, request)
        dataset = arranged_dataset(shelf, *arranged, request)
    dataset.name = shown(",".join(path.name for path in paths))
    return dataset


def divided_folders(path: Path, request: Request) -> Dataset:
    """As `picture_dataset`, but where there is no test split, the share `hold_out` of the pictures is it."""
    with open_shelf(path) as shelf:
        try:
            arrange(shelf, "test")
            arranged = arrange(shelf, request.split)
        except NoSplit:
            names, labels, *more = arrange(shelf, "train")
            alike = takewhile(lambda folders: folders[0] == folders[1], zip(min(names), max(names), strict=False))
            depth = len([*alike]) + 1  # of what lies in the class folders
            places = names if labels is None else ["/".join(name[depth:]).rpartition(".")[0] for name in names]
            arranged = _divided(shelf, (names, labels, *more), places, request)
        return arranged_dataset(shelf, *arranged, request)


def _divided(shelf: Shelf, arranged: tuple, places: list, request: Request) -> tuple:
    """What `arrange` gave, of one split alone. Raises NoSplit if nothing is in it."""
    names, labels, classes, notes = arranged
    test, share = request.split == "test", request.hold_out
    if not share:
        if test:
            raise fault(shelf.path, "no test split: make folders train and test", NoSplit)
        return arranged
    one_class = np.zeros(len(names), np.int64) if labels is None else labels
    rows, more = part_of_classes(marks(shelf, names), one_class, places, share, test)
    if not rows:
        reason = f"no {request.split} split: too few pictures to hold out {share:.0%}"
        raise fault(shelf.path, f"{reason}; pass a larger --set hold_out=, or make folders train and test", NoSplit)
    return [names[i] for i in rows], None if labels is None else labels[rows], classes, notes + more
