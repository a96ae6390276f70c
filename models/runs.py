"""From options to a model and back: what `train` writes into a run directory and every other command reads.

options.json: model, data, steps, batch, seed, device, settings, shape, classes, dataset, versions
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inachus.engine import data
from inachus.engine.errors import CheckpointError, DataError, NumericError
from inachus.engine.nn import BatchNorm, Dropout, Module
from inachus.engine.optim import EMA
from inachus.engine.training import checkpoint, state
from inachus.models import MODELS

KEYS = {"model", "data", "steps", "batch", "seed", "device", "settings", "shape", "classes", "dataset"}
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
    try:
        options = json.loads(path.read_text())
        if lacking := KEYS - options.keys():
            raise KeyError(", ".join(sorted(lacking)))
        known = {f.name for f in dataclasses.fields(MODELS[options["model"]].Settings)}
        if not options["settings"].keys() <= known:
            raise KeyError(", ".join(sorted(options["settings"].keys() - known)))
        return options
    except FileNotFoundError:
        raise CheckpointError(
            f"{run} is no run directory (it has no options.json): name one that `inachus train` made"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not the options of a run ({error!r}); restore it from a copy") from None


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
