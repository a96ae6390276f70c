"""How far a generator's samples are from real data: distances between two sets of feature vectors.

Every function takes points as rows and returns plain numbers; the arithmetic is float64 whatever comes in. No
distance means much alone: print `floor` beside it, the same distance between two halves of the real data.

This is not where features come from, and nothing here trains or loads a network. Read next: classifier.py,
which trains the judge whose penultimate layer is the feature space.
"""

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from inachus.engine.errors import NumericError, UsageError

BLOCK_BYTES = 2**26  # one block of pairwise distances; two are alive at a time, so the peak is about 150 MB
PRESENT = 0.1  # of the even share: of ten classes 1 % of the samples, what a 99 % accurate judge misplaces
HIGH_QUALITY = 3.0  # standard deviations from a mixture centre

# A 2-D Gaussian cut at 3 sigma: E[r^2 | r < 3] / 2 = 1 - u e^-u / (1 - e^-u) with u = 9/2, a std of 0.974.
_CUT = HIGH_QUALITY**2 / 2
_TRUNCATED_STD = math.sqrt(1 - _CUT * math.exp(-_CUT) / (1 - math.exp(-_CUT)))

_T = TypeVar("_T")


# --- two clouds, one number


def enough_samples(n: int, d: int) -> bool:
    """`n >= 2 d`: below it a d x d covariance of n points is too noisy for `frechet` to be worth printing."""
    return n >= 2 * d


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """Frechet distance of the two Gaussians with the sets' moments: 0 when they agree, no upper limit.

    `|m_r - m_g|^2 + tr S_r + tr S_g - 2 tr (S_r^1/2 S_g S_r^1/2)^1/2`, unbiased covariances. Biased up by
    about c/N: compare at equal counts only, and see `enough_samples`. Singular covariances are fine.

    real (N,d), fake (M,d). UsageError: N or M below 2, or different d; NumericError, here and below: NaN.
    Heusel et al. 2017 (arXiv 1706.08500), eq. 6; the symmetric form keeps everything real.
    """
    x, y = _pair("frechet", 2, real=real, fake=fake)
    shift = x.mean(axis=0) - y.mean(axis=0)
    s_r, s_g = (np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y))  # (d,d), for d = 1 too
    # S_r^1/2 S_g S_r^1/2 = B B^T, B = S_r^1/2 S_g^1/2: its root's trace is the sum of B's singular values.
    # Forming B B^T and taking roots of its eigenvalues instead would lose half the digits.
    cross = np.linalg.svd(_root(s_r).T @ _root(s_g), compute_uv=False).sum()
    return max(0.0, float(shift @ shift + np.trace(s_r) + np.trace(s_g) - 2 * cross))


def kid(
    real: np.ndarray, fake: np.ndarray, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Kernel distance: unbiased squared MMD under `k(x,y) = (x.y/d + 1)^3`, as (mean, std) over subsets.

    Each subset draws m = `size` rows (or all of the smaller set) from either, without replacement, and gives
    `[sum_{i!=j} k(x_i,x_j) + sum_{i!=j} k(y_i,y_j)] / (m(m-1)) - 2/m^2 sum_{i,j} k(x_i,y_j)`.
    Unbiased, hence slightly negative at times, and the one to use on small sets.

    real (N,d), fake (M,d). UsageError: fewer than 2 rows, different d, size < 2 or subsets < 1.
    Binkowski et al. 2018 (arXiv 1801.01401), section 4; subset counts as in StyleGAN.
    """
    x, y = _pair("kid", 2, real=real, fake=fake)
    if subsets < 1 or size < 2:
        raise UsageError(f"kid: needs subsets >= 1 and size >= 2, got subsets={subsets}, size={size}")
    m, rng = min(size, len(x), len(y)), _rng(seed)
    drawn = ((rng.choice(x, m, replace=False), rng.choice(y, m, replace=False)) for _ in range(subsets))
    scores = [_unbiased_mmd(a, b) for a, b in drawn]
    return float(np.mean(scores)), float(np.std(scores))


def _unbiased_mmd(x: np.ndarray, y: np.ndarray) -> float:
    m, d = x.shape
    k_xx, k_yy, k_xy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = k_xx.sum() - np.trace(k_xx) + k_yy.sum() - np.trace(k_yy)
    return within / (m * (m - 1)) - 2 * k_xy.mean()


def _root(covariance: np.ndarray) -> np.ndarray:
    """R with R R^T = covariance, (d,d) -> (d,rank): no null directions, whose 1e-16 has a root of 1e-8."""
    w, u = np.linalg.eigh(covariance)
    kept = w > len(w) * np.finfo(np.float64).eps * w[-1]
    return u[:, kept] * np.sqrt(w[kept])


# --- fidelity and diversity, by balls around points


def precision_recall(real: np.ndarray, fake: np.ndarray, *, k: int = 3) -> dict[str, float]:
    """Share of fakes inside a real ball (precision) and of reals inside a fake ball (recall), each in [0, 1].

    A point's ball is closed and reaches its k-th nearest other point of its own set.

    real (N,d), fake (M,d). UsageError: different d, or k outside 1 .. min(N,M)-1.
    Kynkaanniemi et al. 2019 (arXiv 1904.06991), eqs. 1-2.
    """
    x, y = _pair("precision_recall", 2, real=real, fake=fake)
    scores = _ball_scores(x, y, k, np.less_equal)
    return {name: scores[name] for name in ("precision", "recall")}


def prdc(real: np.ndarray, fake: np.ndarray, *, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage over open balls; all in [0, 1] but density, which may exceed 1.

    `density = 1/(kM) sum_j #{i: fake_j in ball(real_i)}`, `coverage = share of real balls that hold a fake`.
    Identical distributions expect density 1 and coverage about `1 - 2^-k` (0.969 for k = 5).

    real (N,d), fake (M,d). UsageError: different d, or k outside 1 .. min(N,M)-1.
    Naeem et al. 2020 (arXiv 2002.09797), section 3.
    """
    x, y = _pair("prdc", 2, real=real, fake=fake)
    return _ball_scores(x, y, k, np.less)


def _ball_scores(x: np.ndarray, y: np.ndarray, k: int, inside: np.ufunc) -> dict[str, float]:
    """All four scores of real x and fake y in one pass; `inside`: `<=` for closed balls, `<` for open."""
    if not 1 <= k < min(len(x), len(y)):
        raise UsageError(f"k={k}: must be 1 or more, and less than the {len(x)} and {len(y)} points")
    real_radii, fake_radii = _squared_radii(x, k), _squared_radii(y, k)  # (N,), (M,)
    hits = precise = 0
    recalled, covered = np.zeros((2, len(x)), dtype=bool)
    for rows, squared in squared_distance_blocks(y, x):  # (B,N): some fakes against all reals
        in_real_ball = inside(squared, real_radii)
        hits += int(np.count_nonzero(in_real_ball))
        precise += int(np.count_nonzero(in_real_ball.any(axis=1)))
        covered |= in_real_ball.any(axis=0)
        recalled |= inside(squared, fake_radii[rows, None]).any(axis=0)
    return {
        "precision": precise / len(y),
        "recall": float(recalled.mean()),
        "density": hits / (k * len(y)),
        "coverage": float(covered.mean()),
    }


def _squared_radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance from each point to its k-th nearest other: (N,d) -> (N,)."""
    radii = np.empty(len(x))
    for rows, squared in squared_distance_blocks(x, x):
        own = np.arange(rows.start, rows.stop)
        squared[own - rows.start, own] = np.inf  # by index: its rounded value need not be the smallest, nor 0
        squared.partition(k - 1, axis=1)
        radii[rows] = squared[:, k - 1]
    return radii


def squared_distance_blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows of x, their |x_i - y_j|^2 as (B,M)), a GEMM a block; exact when the coordinates are integers."""
    height = max(1, BLOCK_BYTES // (8 * len(y)))
    x_norms, y_norms = np.square(x).sum(axis=1), np.square(y).sum(axis=1)
    for start in range(0, len(x), height):
        rows = slice(start, min(start + height, len(x)))
        squared = x[rows] @ y.T
        squared *= -2
        squared += x_norms[rows, None]
        squared += y_norms
        yield rows, np.maximum(squared, 0, out=squared)


# --- what a classifier sees


def class_statistics(probabilities: np.ndarray, reference: np.ndarray | None = None) -> dict[str, object]:
    """What a classifier's probabilities (N,K) on N samples say about the generator.

    histogram         samples a class, by most probable class: K integers
    total_variation   `1/2 sum |share - reference|`, in [0, 1]
    classes_present   classes with more than a tenth (PRESENT) of the even share N/K
    mean_confidence   `E max_y p(y|x)`, in [1/K, 1]
    classifier_score  `exp E_x KL(p(y|x) || p(y))`, in [1, K]; Salimans et al. 2016 (1606.03498), section 4

    reference (K,) holds the real class shares or counts; uniform by default. UsageError: no rows, rows that
    are not probabilities (logits, say), or a reference that does not fit.
    """
    p = _matrix("class_statistics", "probabilities", probabilities)
    n, classes = p.shape
    totals = p.sum(axis=1, keepdims=True)
    if p.min() < 0 or np.abs(totals - 1).max() > 1e-3:
        raise UsageError("class_statistics: rows must be >= 0 and sum to 1; apply softmax to logits first")
    p = p / totals  # float32 softmax is off by 1e-7
    expected = np.ones(classes) if reference is None else np.asarray(reference, dtype=np.float64)
    if expected.shape != (classes,) or not (expected.min() >= 0 and 0 < expected.sum() < np.inf):
        raise UsageError(f"class_statistics: reference must be {classes} shares >= 0, got {expected}")
    histogram = np.bincount(p.argmax(axis=1), minlength=classes)
    mutual_information = _entropy(p.mean(axis=0)) - np.mean(_entropy(p))  # = E_x KL(p(y|x) || p(y))
    return {
        "histogram": histogram.tolist(),
        "total_variation": float(np.abs(histogram / n - expected / expected.sum()).sum() / 2),
        "classes_present": int(np.count_nonzero(histogram > PRESENT * n / classes)),
        "mean_confidence": float(p.max(axis=1).mean()),
        "classifier_score": float(np.exp(max(0.0, mutual_information))),
    }


def _entropy(p: np.ndarray) -> np.ndarray:
    """`-sum p log p` over the last axis, with 0 log 0 = 0: (...,K) -> (...)."""
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


# --- 2-D mixtures


def mixture_coverage(points: np.ndarray, centres: np.ndarray, sigma) -> dict[str, float]:
    """Mode coverage of 2-D samples of a mixture of K equally frequent Gaussians with standard deviations `sigma`.

    high_quality  share of points under 3 sigma from the nearest centre, nearest in units of its own sigma; 98.9 %,
                  1 - e^-4.5, when perfect
    modes         centres with at least one high-quality point: 0 .. K
    reverse_kl    `KL(p_hat || uniform)` over the high-quality points, natural log, in [0, log K]; about
                  (K-1)/(2N) when perfect; nan when no point is of high quality
    spread        within-mode standard deviation over sigma, about each mode's own mean and corrected for the
                  cut at 3 sigma: 1 when perfect, less when shrunken; nan without two points in a mode

    points (N,2), centres (K,2), sigma (K,) or one number. UsageError: other shapes, or sigma <= 0.
    Lin et al. 2018 (PacGAN, arXiv 1712.04086), section 4; spread is ours: 100 % quality means shrinkage.
    """
    x, c = _pair("mixture_coverage", 1, points=points, centres=centres)
    wide = np.asarray(sigma, np.float64)
    if x.shape[1] != 2 or wide.shape not in ((), (len(c),)) or not ((wide > 0) & (wide < math.inf)).all():
        raise UsageError(f"mixture_coverage: needs 2-D points and sigma > 0, got {x.shape[1]}-D and {sigma}")
    wide = np.broadcast_to(wide, len(c))
    blocks = (squared / np.square(wide) for _, squared in squared_distance_blocks(x, c))
    nearest = np.concatenate([block.argmin(axis=1) for block in blocks])
    offsets = (x - c[nearest]) / wide[nearest, None]
    good = np.square(offsets).sum(axis=1) < HIGH_QUALITY**2
    offsets, labels = offsets[good], nearest[good]
    counts = np.bincount(labels, minlength=len(c))  # (K,)
    modes, total = int(np.count_nonzero(counts)), int(counts.sum())
    sums = np.stack([np.bincount(labels, axis, len(c)) for axis in offsets.T], axis=1)  # (K,2)
    means = sums / np.maximum(counts, 1)[:, None]
    freedom = 2 * (total - modes)
    within = np.square(offsets - means[labels]).sum()
    return {
        "modes": modes,
        "high_quality": float(good.mean()),
        "reverse_kl": max(0.0, math.log(len(c)) - float(_entropy(counts / total))) if total else math.nan,
        "spread": math.sqrt(within / freedom) / _TRUNCATED_STD if freedom else math.nan,
    }


# --- no features at all, and the floor


def sliced_wasserstein(x: np.ndarray, y: np.ndarray, directions: int = 512, seed: int = 0) -> float:
    """Mean over random unit vectors of the 1-D Wasserstein-1 distance of the projections; 0 for equal sets.

    In 1-D, `W1 = integral over q in (0,1) of |F^-1(q) - G^-1(q)|`: sort both and walk the steps of the two
    quantile functions, exact for any counts; for equal ones, the mean absolute difference of sorted values.

    x (N,d), y (M,d). UsageError: no rows, different d, or directions < 1.
    Rabin et al. 2011, Bonneel et al. 2015 (there with W2).
    """
    x, y = _pair("sliced_wasserstein", 1, x=x, y=y)
    if directions < 1:
        raise UsageError(f"sliced_wasserstein: needs at least 1 direction, got {directions}")
    n, m = len(x), len(y)
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)  # both quantile grids in units of 1/(nm)
    widths, i, j = np.diff(edges) / (n * m), edges[:-1] // m, edges[:-1] // n
    units = _rng(seed).standard_normal((directions, x.shape[1]))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return float(np.mean([widths @ np.abs(np.sort(x @ u)[i] - np.sort(y @ u)[j]) for u in units]))


def floor(features: np.ndarray, distance: Callable[[np.ndarray, np.ndarray], _T], seed: int = 0) -> _T:
    """`distance(a, b)` of two disjoint random halves of one set: what a perfect generator would score.

    Each half has N//2 rows; compare with real against fake at that count. features (N,d); UsageError: N < 2.
    """
    x = _matrix("floor", "features", features, least=2)
    order, half = _rng(seed).permutation(len(x)), len(x) // 2
    return distance(x[order[:half]], x[order[half : 2 * half]])


# --- what comes in


def _pair(caller: str, least: int, **sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = (_matrix(caller, name, points, least) for name, points in sets.items())
    if x.shape[1] != y.shape[1]:
        first, second = sets
        raise UsageError(f"{caller}: {first} {x.shape} and {second} {y.shape} must have equally long rows")
    return x, y


def _matrix(caller: str, name: str, value: np.ndarray, least: int = 1) -> np.ndarray:
    x = np.asarray(value, dtype=np.float64)
    if x.ndim != 2 or len(x) < least or x.shape[1] < 1:
        raise UsageError(f"{caller}: {name} must be (N,d) with N >= {least} and d >= 1, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise NumericError(f"{caller}: {name} {x.shape} holds NaN or infinity; the model has diverged")
    return x


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))
