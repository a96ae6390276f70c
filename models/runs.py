"""From options to a model and back: what `train` writes into a run directory and every other command reads.

options.json: model, data, steps, batch, seed, device, settings, shape, classes, dataset, versions
"""

import dataclasses
import json
import os
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from inachus.engine import data
from inachus.engine.data.bounded import open_regular, read_all, shown
from inachus.engine.errors import CheckpointError, DataError, NumericError, UsageError
from inachus.engine.nn import BatchNorm, Dropout, Module
from inachus.engine.optim import EMA
from inachus.engine.training import checkpoint, state
from inachus.models import MODELS
from inachus.models.settings import parse

NUMBERS = ("steps", "batch", "seed", "sample_every", "save_every", "evaluate_every")
KEYS = {"model", "data", "device", "settings", "shape", "classes", "dataset", *NUMBERS}
OPTIONS_LIMIT = 2**24  # bytes; a larger options.json is refused
MAX_ITEM = 2**26  # numbers in one item
MAPS = {"auto": None, "none": ""}  # what `load_pairs` calls them


def load_data(cls: type, name: str, settings: Any, split: str = "train", **more: Any) -> Any:
    """The data as the model class learns from it and as its settings ask for: a `Dataset`, or `Pairs` for two sides.

    Translators say in `paired` whether a picture needs its partner; what `adapts` to a target gets `Domains`; `more`
    goes to `data.load`, `data.load_domains` or `data.load_pairs`.
    """
    wanted = {k: getattr(settings, k) or None for k in ("size", "channels")} | {"on_bad": settings.on_bad}
    if hasattr(settings, "hold_out"):
        wanted["hold_out"] = settings.hold_out
    if hasattr(cls, "mixed"):
        wanted["mixed"] = cls.mixed
    if hasattr(cls, "adapts"):
        return data.load_domains(name, split=split, **wanted, **more)
    if not hasattr(cls, "paired"):
        return data.load(name, split=split, **wanted, **more)
    wanted |= {"direction": settings.direction, "paired": cls.paired}
    wanted["maps"] = MAPS.get(settings.maps, settings.maps)
    return data.load_pairs(name, split=split, **wanted | more)


def build(options: dict) -> Any:
    """The untrained model that options.json describes; a `named` model is given the names of the classes."""
    cls = MODELS[options["model"]]
    settings = cls.Settings(**options["settings"])
    classes = options["classes"] if getattr(cls, "named", False) else len(options["classes"])
    return cls(_tuple(options["shape"]), classes, options["seed"], settings)


def _tuple(shape: list) -> tuple:
    """(H, W, C) of one item, or ((H, W, C), (H, W, C)) of two sides, from JSON."""
    return tuple(_tuple(n) if isinstance(n, list) else n for n in shape)


def read_options(run: Path) -> dict:
    """options.json of a run directory. Raises CheckpointError if there is none or it is not one of ours."""
    path = Path(run) / "options.json"
    if not os.path.lexists(path):
        raise CheckpointError(
            f"{shown(run)} is no run directory (it has no options.json): name one that `inachus train` made"
        )
    try:
        with open_regular(path) as file:
            options = json.loads(read_all(file, OPTIONS_LIMIT, path))
        if lacking := KEYS - options.keys():
            raise KeyError(", ".join(sorted(lacking)))
        cls = MODELS[options["model"]]
        if unknown := options["settings"].keys() - {f.name for f in dataclasses.fields(cls.Settings)}:
            raise KeyError(", ".join(sorted(unknown)))
        _check_values(options, cls)
        return options
    except (DataError, UsageError) as error:
        reason = str(error).removeprefix(f"{shown(path)}: ")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = repr(error)
    raise CheckpointError(f"{shown(path)}: not the options of a run ({shown(reason)}); restore it from a copy")


def _check_values(options: dict, cls: type) -> None:
    """Raises ValueError, UsageError or TypeError for what `train` would not have written: the file may be anybody's."""
    parse(cls.Settings, [f"{name}={value}" for name, value in options["settings"].items()])
    shape = _tuple(options["shape"])
    for side in shape if isinstance(shape[0], tuple) else [shape]:
        if not all(type(extent) is int and extent > 0 for extent in side) or prod(side) > MAX_ITEM:
            raise ValueError(f"shape {options['shape']}")
    rules = {
        "classes": isinstance(options["classes"], list) and all(isinstance(name, str) for name in options["classes"]),
        **{name: type(options[name]) is int and 0 <= options[name] < 2**63 for name in NUMBERS},
        **{name: isinstance(options[name], str) for name in ("data", "device")},
        "dataset": isinstance(options["dataset"], dict) and {"fingerprint", "count"} <= options["dataset"].keys(),
    }
    if wrong := [name for name, right in rules.items() if not right]:
        raise ValueError(f"{wrong[0]} {options[wrong[0]]!r}")


def fitting(batch: int, model: Any, dataset: Any) -> int:
    """The preset `batch`, or the largest one that a small data set can fill."""
    parts = [part for name in ("a", "b", "known", "target") if (part := getattr(dataset, name, None)) is not None]
    return min(batch, max(1, min(map(len, parts or [dataset])) // model.batches))


def open_run(run: Path, say: Callable[[str], None], *, best: bool = False) -> tuple[Any, dict, int]:
    """(model, options, step) of the newest checkpoint that verifies, or of the best one.

    Raises CheckpointError for a run that cannot be read, NumericError for weights that are not finite.
    """
    options = read_options(run)
    path, notes = (Path(run) / "checkpoints" / "best", []) if best else checkpoint.latest(Path(run))
    for note in notes:
        say(f"passed over: {note}")
    arrays, meta = checkpoint.load(path)
    if name := state.broken(arrays):
        raise NumericError(f"{path}: {name} is not finite; choose an older checkpoint or train again")
    model = build(options)
    try:
        state.restore(model, arrays, meta["state"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return model, options, meta["step"]


def at_sampling(model: Any, weights: str = "average", norm: str = "running", dropout: bool | None = False) -> None:
    """How samples are made: averaged or last weights, running or batch statistics, dropout off, on, as built (None)."""
    averages = [v for v in vars(model).values() if isinstance(v, EMA)]
    for average in averages:
        if weights == "last":
            average.network.load_state_dict(average.source.state_dict())
    for network in [v for v in vars(model).values() if isinstance(v, Module)] + [a.network for a in averages]:
        for _, layer in network.modules():
            if isinstance(layer, BatchNorm):
                layer.statistics = norm
            elif isinstance(layer, Dropout) and dropout is not None:
                layer.always = dropout


def at_translating(
    model: Any, options: dict, weights: str = "average", norm: str | None = None, dropout: bool | None = None
) -> None:
    """How translations are made: as samples are, but dropout as built, for it may be the model's only noise.

    `norm` None is the picture's own statistics for runs trained with batches of one, which knew no others (pix2pix as
    in the paper), and running statistics for all others.
    """
    at_sampling(model, weights, norm or ("batch" if options["batch"] == 1 else "running"), dropout)


def check_same_data(options: dict, dataset: data.Dataset) -> None:
    """Raises DataError if the data is not what the run was trained on."""
    if dataset.fingerprint != options["dataset"]["fingerprint"]:
        raise DataError(
            f"{options['data']}: {len(dataset):,} items that are not the {options['dataset']['count']:,} this run was "
            "trained on; restore the data, or start a new run"
        )
