"""How good is a translator? On true pairs by `fidelity.py`, on label maps by `segmenter.py`, without truth by a judge.

A translator is a function translate(pictures, to): (N,H,W,C), uint8 or float32 in [-1,1] -> float32 (N,H',W',C') of
domain number `to`. Results are plain JSON numbers, every measure beside what it is worth nothing without: baselines for
an L1, the truth's sharpness, the score of real photos, the floor of a distance, the accuracy of a judge.

Test pictures that are true pairs are scored as such even if the training saw two heaps: a hidden truth. How all this
is printed is `verdict.py`. Read next: `fidelity.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from inachus.engine.data import Dataset, Pairs
from inachus.engine.data.dataset import normalised
from inachus.engine.data.pairs.maps import classes_of
from inachus.engine.evaluation import fidelity
from inachus.engine.evaluation.classifier import Judge
from inachus.engine.evaluation.distances import enough_samples, floor, frechet
from inachus.engine.evaluation.judgement import chosen_judge
from inachus.engine.evaluation.segmenter import agreement, segmenter

Translate = Callable[[np.ndarray, int], np.ndarray]
Say = Callable[[str], None]


def judge_of(
    train: Pairs | Dataset, test: Pairs | Dataset, paired: bool, n: int, say: Say
) -> Callable[[Translate], dict[str, dict]]:
    """What scores translators on this data: translate -> {"A to B": scores}, of at most n test pictures of a side.

    Pairs: from a into b and, unless the translators learned from `paired` pictures, from b into a; `train` has its
    pairs even then, if there are any, for the judges alone. A Dataset: from all other classes into each.
    """
    if isinstance(test, Dataset):
        heaps = [spread(test.items[test.labels == k], n) for k in range(len(test.classes))]
        ways = [k for k, heap in enumerate(heaps) if len(heap)]
        return Domains(heaps, test.classes, ways, chosen_judge(train, test, say)[0], True, say)
    ways = (1,) if paired else (1, 0)
    few = replace(test, a=spread(test.a, n), b=spread(test.b, n), names=([], []))
    if test.paired:
        exams = {to: Exam(to, *((train, few) if to else (train.swapped(), few.swapped())), paired, say) for to in ways}
        return lambda translate: {f"{e.test.sides[0]} to {e.test.sides[1]}": e(translate) for e in exams.values()}
    alike = len({*train.shape, *test.shape}) == 1
    judge = chosen_judge(train.domains(), test.domains(), say)[0] if alike else None
    return Domains([few.a, few.b], test.sides, ways, judge, not paired, say)


class Exam:
    """Scores translations of test.a into domain `to` against test.b; what they share is computed once."""

    def __init__(self, to: int, train: Pairs, test: Pairs, paired: bool, say: Say):
        self.to, self.train, self.test, self.paired = to, train, test, paired
        made = fidelity.baselines(test.a, train if paired else train.drop_pairing(), test.b.shape[1:3])
        self.measures = fidelity.enlarged_measures if "bicubic" in made else fidelity.measures
        self.baselines = {name: self.measures(pictures, test.b) for name, pictures in made.items()}
        self.labels = label_judge(train, test, say)

    def __call__(self, translate: Translate) -> dict:
        """l1, psnr, ssim, sharpness, sharpness_truth, ratio, and where it applies psnr_y, cycle_l1 and labels.

        `baselines` has the same of each, `best_baseline` is the one with the least L1, `ratio` the translator's L1 over
        it; cycle_l1 is mean |x - there and back|; `labels` is what `label_judge` says.
        """
        fakes = translate(self.test.a, self.to)
        result = {"pictures": len(self.test)} | self.measures(fakes, self.test.b)
        least, best = min(((each["l1"], name) for name, each in self.baselines.items()), default=(0, None))
        result |= {"best_baseline": best, "ratio": result["l1"] / least if least else None, "baselines": self.baselines}
        if not self.paired:
            result["cycle_l1"] = fidelity.l1(translate(fakes, 1 - self.to), self.test.a)
        return result | ({"labels": self.labels(fakes)} if self.labels else {})


def label_judge(train: Pairs, test: Pairs, say: Say) -> Callable[[np.ndarray], dict] | None:
    """translations of test.a -> how they meet the class maps of true pairs; None if neither side is class maps.

    Maps into photos: what a segmenter, trained on the pairs of `train`, finds in the translations, and under `real` in
    real photos. Photos into maps: the classes of the nearest colours.
    """
    side = next((side for side in (1, 0) if test.palettes[side] is not None), None)
    if side is None:
        return None
    known = [pairs.palettes[side] for pairs in (train, test) if pairs.palettes[side] is not None]
    palette = np.unique(np.concatenate(known), axis=0)
    facts = {"kind": ("photos", "maps")[side], "classes": len(palette)}
    truth = _classes((test.a, test.b)[side], palette)
    if side == 1:
        return lambda fakes: facts | agreement(_classes(fakes, palette), truth, len(palette))
    if not train.paired:
        say("the labels are not scored: the segmenter needs true pairs to learn from")
        return None
    network = segmenter(train.swapped(), palette, say)
    facts["real"] = agreement(network.predict(test.b), truth, len(palette))
    return lambda fakes: facts | agreement(network.predict(fakes), truth, len(palette))


class Domains:
    """Scores translations without a truth: from every other heap, uint8 (N,H,W,C), into each of `ways`."""

    def __init__(
        self, heaps: list, names: Sequence[str], ways: Sequence[int], judge: Judge | None, back: bool, say: Say
    ):
        self.heaps, self.names, self.ways, self.judge, self.back, self.say = heaps, names, ways, judge, back, say

    def __call__(self, translate: Translate) -> dict[str, dict]:
        """{"A to B": scores}."""
        results = {}
        for to in self.ways:
            start = self.names[1 - to] if len(self.heaps) == 2 else "others"
            others = {k: heap for k, heap in enumerate(self.heaps) if k != to and len(heap)}
            results[f"{start} to {self.names[to]}"] = self.into(translate, to, others, self.heaps[to])
        if any(scores.get("biased") for scores in results.values()):
            self.say("few test pictures for so many features: Frechet distances and their floors are biased upwards")
        return results

    def into(self, translate: Translate, to: int, others: dict[int, np.ndarray], real: np.ndarray) -> dict:
        """Scores of pictures of `others`, by domain, as pictures of domain `to`, of which `real` ones are.

        cycle_l1       mean |x - there and back|, if there is a way back
        target_rate    how often the judge sees domain `to`; judge_accuracy is its own on real pictures
        frechet        distance of its features, and frechet_floor; `biased` by too few pictures (`compared`) or not
        sharpness      and sharpness_truth, that of the real pictures

        Without a judge the first and the last; from random features no rate.
        """
        fakes = {number: translate(pictures, to) for number, pictures in others.items()}
        everything, judge = np.concatenate(list(fakes.values())), self.judge
        result = {"pictures": len(everything), "sharpness": fidelity.sharpness(everything)}
        result["sharpness_truth"] = fidelity.sharpness(real)
        if self.back:
            home = np.concatenate([translate(fakes[number], number) for number in others])
            result["cycle_l1"] = fidelity.l1(home, np.concatenate(list(others.values())))
        if judge is None:
            return result
        result["features"] = "classifier" if judge.classes else "random"
        if judge.classes:
            seen = judge.probabilities(everything).argmax(axis=1)
            result |= {"target_rate": float((seen == to).mean()), "judge_accuracy": judge.accuracy}
        count = min(len(everything), len(real))
        if count > 3:
            f_real, f_fake = (judge.features(spread(x, count)) for x in (normalised(real), everything))
            result |= {"frechet": frechet(f_real, f_fake), "frechet_floor": floor(f_real, frechet), "compared": count}
            result["biased"] = not enough_samples(count // 2, f_real.shape[1])  # the floor has half of them
        return result


def spread(pictures: np.ndarray, count: int) -> np.ndarray:
    """`count` of the pictures, or all there are, evenly spread."""
    count = min(count, len(pictures))
    return pictures[np.arange(count) * len(pictures) // count]


def _classes(pictures: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Class numbers (N,H,W) of coloured maps, uint8 or float, a picture after the other."""
    return np.concatenate([classes_of(255 * fidelity.unit(picture[None]), palette) for picture in pictures])
