"""What many trials of several methods say: ranges, the best that k trials can be expected to find, and a conclusion.

Scores are distances, lower is better; a trial that failed is infinite and counts. Lucic et al. (2018), section 5.2:
comparing single scores compares luck and budgets, comparing the distribution of the best of k compares methods.
"""

import numpy as np

DRAWS = 5_000
BAND = 2.5, 97.5  # per cent


def summary(scores: list[float]) -> dict[str, float]:
    """Lowest, quartiles and highest of the trials that did not fail, and how many did."""
    found = np.array([s for s in scores if np.isfinite(s)], np.float64)
    if not len(found):
        return {"trials": len(scores), "failed": len(scores)}
    low, first, middle, third, high = np.percentile(found, [0, 25, 50, 75, 100])
    numbers = {"best": low, "first": first, "median": middle, "third": third, "worst": high}
    return {"trials": len(scores), "failed": len(scores) - len(found)} | {
        k: round(float(v), 3) for k, v in numbers.items()
    }


def best_of(scores: list[float], k: int, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low and high of a 95 % band) of the best of k trials, by 5,000 draws with replacement.

    Draws in which all trials failed count as the worst score that was seen; one at least must not have failed.
    """
    minima = _minima(scores, k, seed)
    return float(minima.mean()), *(float(v) for v in np.percentile(minima, BAND))


def _minima(scores, k, seed):
    found = [s for s in scores if np.isfinite(s)]
    worst = max(found, default=np.inf)
    drawn = np.random.default_rng([seed, k]).integers(0, len(scores), (DRAWS, k))
    return np.minimum(np.array(scores, np.float64)[drawn].min(axis=1), worst)


def conclusion(scores: dict[str, list[float]]) -> list[str]:
    """Sentences: which method found the best, which cannot be told from it, and what tuning is worth against choosing.

    Two methods cannot be told apart if, each given as many trials as the one with fewest has, the second finds the
    better score in more than 5 % of the draws.
    """
    useful = {name: values for name, values in scores.items() if np.isfinite(values).any()}
    hopeless = [name for name in scores if name not in useful]
    if len(useful) < 2:
        return ["too little was trained for a conclusion"]
    k = min(map(len, useful.values()))
    minima = {name: _minima(values, k, i) for i, (name, values) in enumerate(useful.items())}
    order = sorted(minima, key=lambda name: minima[name].mean())
    first, others = order[0], order[1:]
    close = [name for name in others if (minima[name] <= minima[first]).mean() > 0.05]
    mean, low, high = best_of(useful[first], k)
    lines = [f"best of {k}: {first}, {mean:.2f} [{low:.2f}, {high:.2f}]"]
    lines += [f"cannot be told from it: {', '.join(close)}"] if close else ["every other one is worse"]
    if worse := [name for name in others if name not in close]:
        lines += [f"worse: {', '.join(f'{name} {minima[name].mean():.2f}' for name in worse)}"]
    finite = {name: np.array(values)[np.isfinite(values)] for name, values in useful.items()}
    within = np.median([np.ptp(values) for values in finite.values()])
    between = np.ptp([values.min() for values in finite.values()])
    verdict = "tuning matters more than the choice" if within > between else "the choice matters more than tuning"
    lines += [f"range within one method {within:.2f} (median), between the best of each {between:.2f}: {verdict}"]
    return lines + [f"failed in every trial: {', '.join(hopeless)}"] * bool(hopeless)
