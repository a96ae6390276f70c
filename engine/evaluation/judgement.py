"""How good are these samples? Every distance of a model on its data, with the real-against-real floor beside it.

    judgement = judge_samples(samples, train, test)      # {"frechet": 8.4, "frechet_floor": 0.3, ...}

Not called FID: the features are those of our own judge (`classifier.py`), so the scale is its own.
"""

from collections.abc import Callable

import numpy as np

from inachus.engine.data import Dataset
from inachus.engine.errors import DataError
from inachus.engine.evaluation import classifier
from inachus.engine.evaluation.distances import (
    class_statistics,
    enough_samples,
    floor,
    frechet,
    kid,
    mixture_coverage,
    prdc,
    sliced_wasserstein,
)


def judge_samples(
    samples: np.ndarray,
    train: Dataset,
    test: Dataset,
    labels: np.ndarray | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict:
    """All measures of samples (N,...) against the test split, as many real as generated items at most.

    `labels` are the classes that were asked for. Points get the coverage of their mixture instead.
    """
    if train.kind == "points":
        return judge_points(samples, train, test)
    judge, kind = chosen_judge(train, test, say)
    real = test.normalised(slice(len(samples)))
    result = {"features": kind, "samples": len(samples), "real": len(real), "judge_accuracy": round(judge.accuracy, 4)}
    fr, ff = judge.features(real), judge.features(samples)
    if not enough_samples(min(len(fr), len(ff)), fr.shape[1]):
        say(f"only {min(len(fr), len(ff))} items for {fr.shape[1]} features: the distances are biased upwards")
    result |= {"frechet": frechet(fr, ff), "frechet_floor": floor(fr, frechet)}
    result["kid"], result["kid_std"] = kid(fr, ff)
    result |= prdc(fr, ff)
    if kind == "classifier":
        p = judge.probabilities(samples)
        result |= class_statistics(p, reference=np.bincount(test.labels, minlength=judge.classes))
        if labels is not None:
            result["label_agreement"] = float((p.argmax(1) == labels).mean())
    return _rounded(result)


def distance(
    train: Dataset, test: Dataset, n: int, say: Callable[[str], None] = lambda text: None
) -> Callable[[np.ndarray], float]:
    """What turns n samples into the one number by which trainings are compared: Frechet, for points sliced Wasserstein.

    The real side, at most n items, is prepared once.
    """
    if train.kind == "points":
        return lambda samples: sliced_wasserstein(test.items[:n], samples)
    judge, _ = chosen_judge(train, test, say)
    real = judge.features(test.normalised(slice(n)))
    return lambda samples: frechet(real, judge.features(samples))


def chosen_judge(
    train: Dataset, test: Dataset, say: Callable[[str], None] = lambda text: None
) -> tuple[classifier.Judge, str]:
    """(judge, kind of its features): the classifier, or random features where there are no labels or it is too weak."""
    if train.labels is not None and len(train.classes) > 1:
        try:
            return classifier.judge(train, test, say), "classifier"
        except DataError as error:
            say(f"{error}; random features take its place")
    return classifier.random_features(train.shape), "random"


def judge_points(samples: np.ndarray, train: Dataset, test: Dataset) -> dict:
    """Modes covered, high-quality share and reverse KL of a mixture, and the sliced Wasserstein distance."""
    n = min(len(samples), len(test), 10_000)
    real = test.items[:n]
    result = {
        "samples": len(samples),
        "sliced_wasserstein": sliced_wasserstein(real, samples[:n]),
        "sliced_wasserstein_floor": floor(test.items, sliced_wasserstein),
    }
    if train.mixture:
        result |= mixture_coverage(samples, *train.mixture)
    return _rounded(result)


def _rounded(result: dict) -> dict:
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in result.items()}


def line(result: dict) -> str:
    """The one line people compare: distances with their floors and counts."""
    if "modes" in result:
        return (
            f"modes {result['modes']} | high quality {result['high_quality']:.1%} | reverse KL "
            f"{result['reverse_kl']:.4f} | SW {result['sliced_wasserstein']:.4f} | N={result['samples']:,}"
        )
    if "frechet" not in result:
        distance, least = result["sliced_wasserstein"], result["sliced_wasserstein_floor"]
        return f"SW {distance:.4f} (floor {least:.4f}) | N={result['samples']:,}"
    parts = [
        f"{result['features']}-Frechet {result['frechet']:.2f} (floor {result['frechet_floor']:.2f})",
        f"KID {result['kid']:.4f}+-{result['kid_std']:.4f}",
        f"P/R {result['precision']:.2f}/{result['recall']:.2f}",
        f"coverage {result['coverage']:.2f}",
    ]
    if "total_variation" in result:
        parts += [f"classes {result['classes_present']} TV {result['total_variation']:.3f}"]
    if "label_agreement" in result:
        parts += [f"label agreement {result['label_agreement']:.1%}"]
    return " | ".join([*parts, f"N={result['samples']:,}/{result['real']:,}"])
