"""Every model of the table in small: settings that make it tiny, and tiny data of the kind it learns from."""

from functools import cache

import numpy as np
from PIL import Image

from inachus.engine import data
from inachus.models import MODELS
from inachus.models.settings import parse

COUNT = 40  # items, or pairs
# Of the settings that a model has.
TINY = {
    "width": 2,
    "climb": 2,
    "kept": 50,
    "blocks": 1,
    "layers": 1,
    "pool": 3,
    "until": 2,
    "through": 4,
    "judge": 2,
    "code": 4,
    "hidden": 8,
    "labels": 20,
}
# Pixels, of those that need some.
SIZES = {"dcgan": 28, "pix2pix": 32, "cyclegan": 12, "discogan": 64, "dualgan": 32, "completion": 32, "stargan": 12}
GENERATORS = [name for name, cls in MODELS.items() if hasattr(cls, "sample")]
TRANSLATORS = [name for name, cls in MODELS.items() if hasattr(cls, "translate")]


def settings(name, *pairs):
    """["key=value", ...] as on the command line: those that make the model tiny, then `pairs`."""
    tiny = TINY | ({"size": SIZES[name]} if name in SIZES else {})
    return [*(f"{k}={v}" for k, v in tiny.items() if k in MODELS[name].Settings.__dataclass_fields__), *pairs]


def words(name):
    """The same as words of a command."""
    return [word for pair in settings(name) for word in ("--set", pair)]


@cache
def dataset(name, count=COUNT):
    """Digits; for a model that needs two sides smooth pictures, of which b is a recoloured. For all tests the same."""
    cls = MODELS[name]
    if hasattr(cls, "adapts"):
        return data.load_domains("digits,textured-digits", limit=count)
    if not hasattr(cls, "paired"):
        return data.load("digits", limit=count, size=SIZES.get(name))
    a = pictures(count, SIZES[name])
    return data.Pairs("small", a, 255 - a[..., ::-1], cls.paired, ("dark", "bright"))


def model(name, *pairs, seed=0, shape=None, classes=10):
    """The model with tiny networks."""
    cls = MODELS[name]
    return cls(shape or dataset(name, 1).shape, classes, seed, parse(cls.Settings, settings(name, *pairs)))


def batch(made, items, size, position=0):
    """A batch for one step of the model."""
    return made.loader(items, size * made.batches, 0).batch_at(position)


def pictures(count, size, seed=0):
    """uint8 (count, size, size, 3): four blocks of colour each."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 3), np.uint8)
    return coarse.repeat(size // 2, 1).repeat(size // 2, 2)


def write_sides(folder, count=COUNT, size=16):
    """The pairs as files: `dark/00.png`, `bright/00.png`, ...; a test split is held out of them."""
    a = pictures(count, size)
    for side, items in (("dark", a), ("bright", 255 - a[..., ::-1])):
        (folder / side).mkdir(parents=True)
        for i, item in enumerate(items):
            Image.fromarray(item).save(folder / side / f"{i:02}.png")
    return folder
