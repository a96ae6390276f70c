"""Data of which few labels are used: the choice of them (`few`), and batches with a labelled part (`FewLabels`).

As in `dataset.py`, batch number `position` is a pure function of (seed, position). Labels that were not chosen are in
no batch.
"""

import numpy as np

from inachus.engine.data.dataset import Batch, Dataset, Order, philox
from inachus.engine.errors import DataError, UsageError


def few(dataset: Dataset, count: int, seed: int = 0) -> np.ndarray:
    """Indices (count,) of items drawn from every class, equally many, or one more of the first ones; sorted.

    Raises DataError for data without labels or a class with too few, UsageError for fewer labels than classes.
    """
    classes = len(dataset.classes)
    if dataset.labels is None or classes < 2:
        raise DataError(f"{dataset.name}: has no labels to learn from: use class folders, or a data set that has them")
    if count < classes:
        raise UsageError(f"{count} labels for {classes} classes of {dataset.name}: pass --set labels={10 * classes}")
    order = np.argsort(philox(seed, "labelled", 0).random_raw(len(dataset)), kind="stable")
    chosen = []
    for k in range(classes):
        wanted = count // classes + (k < count % classes)
        found = order[dataset.labels[order] == k]
        if len(found) < wanted:
            raise DataError(
                f"{dataset.name}: class '{dataset.classes[k]}' has {len(found)} items, and {wanted} labels of it are "
                f"wanted: pass a smaller --set labels="
            )
        chosen.append(found[:wanted])
    return np.sort(np.concatenate(chosen))


class FewLabels:
    """Endless shuffled batches: items (L+U,...), labels (L,) of the first L, the U others drawn from all of the data.

    U is `size`; L is half of it, or all `count` labels if these are fewer. Both parts have epochs of their own. Raises
    what `few` raises, and UsageError when the data set is smaller than U.
    """

    def __init__(self, dataset: Dataset, size: int, seed: int, count: int):
        self.dataset, self.size, self.seed = dataset, size, seed
        self.known = few(dataset, count, seed)
        self.labelled = Order(dataset.name, count, min(max(1, size // 2), count), seed, "partners")
        self.others = Order(dataset.name, len(dataset), size, seed)

    def batch_at(self, position: int) -> Batch:
        """Batch number `position` (from 0), whatever was read before."""
        known = self.known[self.labelled.indices_at(position)]
        items = self.dataset.normalised(np.concatenate([known, self.others.indices_at(position)]))
        return Batch(items, self.dataset.labels[known])

    def names_at(self, position: int) -> list[str]:
        """The names of the items of batch number `position`."""
        known = self.known[self.labelled.indices_at(position)]
        return self.dataset.named(np.concatenate([known, self.others.indices_at(position)]))
