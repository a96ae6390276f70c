"""The loss zoo as an experiment (Lucic et al. 2018, table 4): what each loss may be tuned in, and how widely.

The first trial of a loss is as its authors suggest; the others are drawn, each from a stream of its own, so that more
trials only add to fewer. `models/cli/study.py` runs them.
"""

import numpy as np

# model and settings as suggested, by the name under which the losses are compared
LOSSES: dict[str, tuple[str, dict]] = {
    "minimax": ("nsgan", {"loss": "minimax"}),
    "non-saturating": ("nsgan", {}),
    "lsgan": ("lsgan", {}),
    "hinge": ("hinge", {}),
    "wgan": ("wgan", {}),
    "wgangp": ("wgangp", {}),
    "dragan": ("dragan", {}),
    "began": ("began", {}),
    "vae": ("vae", {}),
}


def log10(low: float, high: float):
    """10 to the power of U(low, high)."""
    return lambda u: float(f"{10 ** (low + (high - low) * u):.6g}")


def even(low: float, high: float):
    """U(low, high)."""
    return lambda u: round(low + (high - low) * u, 6)


def one_of(*values):
    """Each with the same probability."""
    return lambda u: values[int(u * len(values))]


# setting -> its value from a number in [0, 1); a setting that a model lacks is not drawn for it
RANGES = {
    "wide": {
        "lr": log10(-5, -2), "beta1": even(0, 0.999), "k": one_of(1, 5), "norm": one_of(True, False),
        "clip": log10(-3, 0), "penalty": log10(-1, 2), "rate": log10(-4, -2), "gamma": even(0, 1),
    },
    "narrow": {
        "lr": log10(-4, -3), "k": one_of(1), "norm": one_of(True, False),
        "clip": log10(-2, 0), "penalty": log10(-1, 1), "gamma": even(0.6, 0.9),
    },
}  # fmt: skip
FIXED = {"narrow": {"wgangp": {"norm": False}, "dragan": {"norm": False}}}


def trial(loss: str, number: int, ranges: str, seed: int, known: set[str]) -> dict:
    """The settings of a trial, of those in `known`: number 0 as suggested, the others drawn.

    Every setting has a stream of its own, so that its values are the same for all losses that have it.
    """
    _, suggested = LOSSES[loss]
    if not number:
        return dict(suggested)
    drawn = {}
    for place, (name, value) in enumerate(RANGES[ranges].items()):
        if name in known:
            drawn[name] = value(float(np.random.default_rng([seed, number, place]).random()))
    return drawn | FIXED.get(ranges, {}).get(loss, {}) | suggested
