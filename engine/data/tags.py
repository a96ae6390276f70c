"""Tags: what the names of classes are made of, "aqua hair, brown eyes" of a colour of hair and one of eyes.

A model that is told tags learns from each face with blue eyes what blue eyes are, whatever the hair.
"""

from functools import cached_property

import numpy as np


class Tags:
    """Classes as combinations of values: `parts`, the values of each part in the order in which they first occur, and
    `table`, int64 (classes, parts), the value of each class in each part.

    Names of equally many parts between commas, whose parts have no more values together than there are classes;
    otherwise each class is one value of a single part.
    """

    def __init__(self, names: list[str]):
        split = [[part.strip() for part in name.split(",")] for name in names]
        columns = list(zip(*split, strict=False))
        parts = [list(dict.fromkeys(column)) for column in columns]
        if len({len(words) for words in split}) != 1 or sum(map(len, parts)) > len(names):
            columns, parts = [names], [names]
        self.parts = parts
        self.table = np.array(
            [[values.index(word) for word in column] for values, column in zip(parts, columns, strict=True)], np.int64
        ).T  # (parts, classes) -> (classes, parts)

    @cached_property
    def one_hot(self) -> np.ndarray:
        """float32 (classes, values of all parts): a one for the value of each part."""
        blocks = [np.eye(len(values), dtype=np.float32) for values in self.parts]
        return np.concatenate([block[self.table[:, i]] for i, block in enumerate(blocks)], axis=1)

    def having(self, part: int, value: int) -> np.ndarray:
        """The classes with this value, int64."""
        return np.flatnonzero(self.table[:, part] == value)
