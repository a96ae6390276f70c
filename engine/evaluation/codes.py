"""What codes are worth: how well those of a generator match classes, those of an encoder tell classes apart.

Arithmetic on arrays of codes and labels; nothing here knows a network. The models that have codes call it in
their `examine`: `models/conditional/infogan.py`, `models/inference/`. The distances of samples are in `distances.py`,
what becomes of a picture that goes through a code is in `reconstruction.py`.
"""

import numpy as np

from inachus.engine.errors import UsageError
from inachus.engine.evaluation.distances import squared_distance_blocks


def assigned(worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of the min(R, C) entries of worth (R, C), no two in a line, whose sum is largest.

    Kuhn (1955), "The Hungarian method", by shortest augmenting paths: O(R^2 C) for R <= C. UsageError unless all of
    `worth` is finite.
    """
    worth = np.asarray(worth, np.float64)
    if worth.ndim != 2 or not np.isfinite(worth).all():
        raise UsageError(f"assigned: needs a matrix of finite numbers, not {worth.shape}")
    if len(worth) > worth.shape[1]:
        columns, rows = assigned(worth.T)
        order = rows.argsort()
        return rows[order], columns[order]
    owner = np.full(worth.shape[1] + 1, -1)  # row of each column; the last column is where the new row waits
    u, v = np.zeros(len(worth)), np.zeros(worth.shape[1] + 1)
    for row in range(len(worth)):
        owner[-1] = row
        _augment(-worth, owner, u, v)
    columns = np.flatnonzero(owner[:-1] >= 0)
    order = owner[columns].argsort()
    return owner[columns][order], columns[order]


def _augment(cost: np.ndarray, owner: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    """Gives the waiting row a column along the cheapest path; u and v keep cost - u - v >= 0, and 0 where owned."""
    start = column = len(v) - 1
    least, before = np.full(start, np.inf), np.full(start, start)
    seen = np.zeros(start + 1, bool)
    while owner[column] >= 0:
        seen[column], row = True, owner[column]
        slack = cost[row] - u[row] - v[:-1]
        better = ~seen[:-1] & (slack < least)
        least[better], before[better] = slack[better], column
        column = int(np.where(seen[:-1], np.inf, least).argmin())
        step = least[column]
        u[owner[seen]] += step
        v[seen] -= step
        least[~seen[:-1]] -= step
    while column != start:
        owner[column], column = owner[before[column]], before[column]


def code_match(codes: np.ndarray, labels: np.ndarray, values: int, classes: int) -> float:
    """Share of items whose label is the one that their code stands for, at the best one-to-one choice of these.

    codes (N,) in 0..values-1, labels (N,) in 0..classes-1; a code or class that is left over matches nothing.
    """
    counts = np.zeros((values, classes), np.int64)
    np.add.at(counts, (codes, labels), 1)
    return float(counts[assigned(counts)].sum() / len(codes))


def information(log_q: np.ndarray, codes: np.ndarray) -> float:
    """H(c) + E log Q(c | x) in nats, of even codes (N,) and log_q (N, K) of a guess at each: at most ln K.

    A lower bound of the mutual information of code and item. Chen et al. (2016), eq. 4.
    """
    return float(np.log(log_q.shape[1]) + log_q[np.arange(len(codes)), codes].mean(dtype=np.float64))


def neighbour_accuracy(known: np.ndarray, labels: np.ndarray, queries: np.ndarray, truth: np.ndarray) -> float:
    """Share of queries (M, ...) whose nearest of known (N, ...) in L2 has their label: 1-NN, the first of equals."""
    x, y = (a.reshape(len(a), -1).astype(np.float64) for a in (queries, known))
    nearest = np.concatenate([squared.argmin(axis=1) for _, squared in squared_distance_blocks(x, y)])
    return float((labels[nearest] == truth).mean())
