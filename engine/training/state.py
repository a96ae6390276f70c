"""The whole state of a model as named arrays and plain numbers, found by looking at its attributes.

Every Generator that a model holds and everything with a `state_dict` (Module, Optimizer, EMA, Pool) is saved under the
attribute's name, so that a model cannot forget one; further numbers go through an attribute listed in `model.extra`.
Knows no GAN and no file. Read next: `loop.py`, which decides when, and `checkpoint.py`, which makes it durable.
"""

from typing import Any

import numpy as np

from inachus.engine.errors import CheckpointError
from inachus.engine.nn import Module
from inachus.engine.optim import EMA, Optimizer
from inachus.engine.random import Generator
from inachus.engine.training.checkpoint import tensor_diff
from inachus.kernels import fetch


def collect(model: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, values): "G.0.weight" and the like, to be copied if kept; generators and `extra` as plain JSON data."""
    items = ((f"{part}.{name}", a) for part, thing in _parts(model) for name, a in thing.state_dict().items())
    arrays = {name: fetch(array) for name, array in items}
    values = {name: generator.state() for name, generator in _generators(model)}
    return arrays, {"generators": values, "extra": {name: getattr(model, name) for name in getattr(model, "extra", ())}}


def restore(model: Any, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
    """Puts the model exactly where `collect` found it. Raises CheckpointError that lists what does not fit."""
    own, plain = collect(model)
    difference = tensor_diff({k: v.shape for k, v in own.items()}, {k: v.shape for k, v in arrays.items()})
    if difference is None and set(plain["generators"]) != set(values["generators"]):
        difference = "its random generators have other names"
    if difference:
        raise CheckpointError(f"does not fit this model: {difference}; build the model with the run's options")
    for part, thing in _parts(model):
        thing.load_state_dict({k.removeprefix(f"{part}."): v for k, v in arrays.items() if k.startswith(f"{part}.")})
    for name, generator in _generators(model):
        generator.load_state(values["generators"][name])
    for name, value in values["extra"].items():
        setattr(model, name, value)


def counters(model: Any) -> dict[str, int]:
    """What the host counts in a step: the places of the generators, the steps of optimizers and averages."""
    steps = {name: thing.steps for name, thing in _parts(model) if hasattr(thing, "steps")}
    return steps | {name: generator.position for name, generator in _generators(model)}


def set_counters(model: Any, counts: dict[str, int]) -> None:
    """Puts the counters back to what `counters` gave."""
    for name, thing in _parts(model):
        if hasattr(thing, "steps"):
            thing.steps = counts[name]
    for name, generator in _generators(model):
        generator.position = counts[name]


def finite(array: np.ndarray) -> bool:
    """False if it holds NaN or infinity."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def broken(arrays: dict[str, np.ndarray]) -> str | None:
    """The name of the first array that holds NaN or infinity, None if all are finite."""
    return next((name for name, a in arrays.items() if not finite(a)), None)


def networks(model: Any) -> dict[str, Module]:
    """The networks that a model holds, by name."""
    return {name: thing for name, thing in vars(model).items() if isinstance(thing, Module)}


def buffers(model: Any) -> list[Any]:
    """The flat buffers of weights that the model's optimizers move."""
    return [thing.flat for thing in vars(model).values() if isinstance(thing, Optimizer)]


def place_of(model: Any, name: str) -> str:
    """Where an array of `collect` belongs, in words: "network G, layer 3, BatchNorm"."""
    part, _, rest = name.partition(".")
    thing = getattr(model, part)
    if isinstance(thing, EMA):
        return f"average {part}, {_layer(thing.network, rest)}"
    return f"network {part}, {_layer(thing, rest)}" if isinstance(thing, Module) else f"{type(thing).__name__} {part}"


def _layer(network: Module, name: str) -> str:
    layer = name.rpartition(".")[0]
    return f"layer {layer or 'itself'}, {type(dict(network.modules()).get(layer, network)).__name__}"


def _parts(model):
    return ((name, thing) for name, thing in vars(model).items() if hasattr(thing, "state_dict"))


def _generators(model):
    """The model's own generators, and those inside its networks (dropout)."""
    for name, thing in vars(model).items():
        if isinstance(thing, Generator):
            yield name, thing
        elif isinstance(thing, Module):
            for path, layer in thing.modules():
                for key, value in vars(layer).items():
                    if isinstance(value, Generator):
                        yield f"{name}.{path}.{key}", value
