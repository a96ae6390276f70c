"""Two data sets of one kind of things, such as digits on black and digits on textures: `Domains`, for what learns on
one of them, whose labels it sees, and shall be right on the other.

The labels of the target, if it has any, are for the score alone: no batch holds them. Each of the two is read as any
data set is (`sources.py`). Not here: pictures translated into one another (`pairs/`).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np

from inachus.engine.data.dataset import Batch, Dataset, Order
from inachus.engine.data.sources import load, parts_of
from inachus.engine.errors import DataError, UsageError


@dataclass(eq=False)
class Domains:
    """`known`, pictures with labels, and `target`, pictures of the same shape; if it has labels, in known's classes.

    What asks for `labels` or `classes` gets those of `known`. Raises DataError for two that do not fit together.
    """

    known: Dataset
    target: Dataset
    kind = "domains"

    def __post_init__(self):
        if self.known.kind != "pictures" or self.target.kind != "pictures":
            raise DataError(f"{self.name}: points have no domains; give two sources of pictures")
        if self.known.labels is None:
            raise DataError(f"{self.known.name}: has no labels, and the first source must: use class folders")
        if self.known.shape != self.target.shape:
            sizes = " and ".join(f"{d.shape[1]}x{d.shape[0]}" for d in (self.known, self.target))
            raise DataError(f"{self.name}: pictures of {sizes} pixels: pass one size, such as --set size=28")

    def __len__(self) -> int:
        """Pictures of the larger one."""
        return max(len(self.known), len(self.target))

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.known.name},{self.target.name}"

    @property
    def source(self) -> str:
        """Where both come from, and what they are."""
        return f"{self.known.source}, adapted to {self.target.source}"

    @property
    def notes(self) -> list[str]:
        """Of both, each with its name."""
        return [f"{part.name}: {note}" for part in (self.known, self.target) for note in part.notes]

    @property
    def shape(self) -> tuple[int, ...]:
        """(H,W,C) of one picture."""
        return self.known.shape

    @property
    def labels(self) -> np.ndarray:
        """Those of `known`."""
        return self.known.labels

    @property
    def classes(self) -> list[str]:
        """Those of `known`."""
        return self.known.classes

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over both: equal data, equal fingerprint."""
        return sha256(f"domains {self.known.fingerprint} {self.target.fingerprint}".encode()).hexdigest()


class DomainBatches:
    """Endless batches of two shuffled data sets, each with epochs of its own, as `Batches` are of one.

    Batch number `position`: the pictures (2B,H,W,C) are B known ones and then B of the target, the labels (B,) those of
    the known ones. Raises UsageError when one of the two is smaller than B.
    """

    def __init__(self, domains: Domains, size: int, seed: int = 0):
        self.domains, self.size, self.seed = domains, size, seed
        self.known = Order(domains.known.name, len(domains.known), size, seed)
        self.target = Order(domains.target.name, len(domains.target), size, seed, "partners")

    def batch_at(self, position: int) -> Batch:
        """Batch number `position` (from 0), whatever was read before."""
        known, target = (order.indices_at(position) for order in (self.known, self.target))
        items = [self.domains.known.normalised(known), self.domains.target.normalised(target)]
        return Batch(np.concatenate(items), self.domains.known.labels[known])

    def names_at(self, position: int) -> list[str]:
        """The names of the pictures of batch number `position`."""
        known, target = (order.indices_at(position) for order in (self.known, self.target))
        return self.domains.known.named(known) + self.domains.target.named(target)


def load_domains(name_or_path, **wanted) -> Domains:
    """The two data sets of "SOURCE,TARGET", each a name or a path, read as `load(part, **wanted)` reads it.

    Grey pictures are repeated to colour where the others have colour. Labels of the target whose classes do not have
    the names of the source's are left out, and a note says so. Raises UsageError for one source or for three.
    """
    parts = parts_of(name_or_path)
    if len(parts) != 2:
        raise UsageError(f"'{name_or_path}' is no pair of data sets: pass --data SOURCE,TARGET, each a name or a path")
    known, target = (load(part, **wanted) for part in parts)
    if {known.kind, target.kind} == {"pictures"} and known.shape[2] != target.shape[2]:
        known, target = _coloured(known), _coloured(target)
    return Domains(known, _renamed(target, known.classes))


def _coloured(dataset: Dataset) -> Dataset:
    """Grey as three equal channels."""
    if dataset.shape[2] == 3:
        return dataset
    return replace(dataset, items=np.repeat(dataset.items, 3, axis=-1))  # (N,H,W,1) -> (N,H,W,3)


def _renamed(target: Dataset, classes: list[str]) -> Dataset:
    """The target with labels that count the source's classes, found by their names; without labels if some are not."""
    if target.labels is None or target.classes == classes:
        return target
    if unknown := [name for name in target.classes if name not in classes]:
        note = f"labels left out, for the source has no class '{unknown[0]}': no score on them"
        return replace(target, labels=None, classes=[], notes=[*target.notes, note])
    places = np.array([classes.index(name) for name in target.classes], np.int64)
    return replace(target, labels=places[target.labels], classes=list(classes))
