"""What is said and kept when numbers of a training stop being numbers: one line, and `RUN/postmortem.json`.

The file holds step, cause, readings, the arrays that hold NaN or infinity (in the order of the networks), the contents
of the step's batch, and the step of the last good checkpoint. Nothing here decides when to look; `loop.py` does.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from inachus.engine.errors import NumericError, ResourceError
from inachus.engine.training import state
from inachus.engine.training.durable import write_file

LISTED = 3  # of the batch, in the line


def sampled(model: Any) -> list[np.ndarray]:
    """Views of a few hundred weights of each network, spread evenly, with the first one, which every gradient passes.

    Looking at them costs nothing beside a step, and what breaks a gradient soon spreads to them.
    """
    return [flat[:: flat.size // 256 + 1] for flat in state.buffers(model)]


def failure(
    model: Any, run: Path, step: int, cause: str, values: dict[str, float], batch: list[str], good: int, watched: bool
) -> NumericError:
    """The NumericError to raise for what went wrong at `step`, after writing the file if the disk lets it.

    `good` is the step of the last checkpoint; `watched` says that the operation is named already.
    """
    arrays, _ = state.collect(model)
    broken = [name for name, a in arrays.items() if not state.finite(a)]
    record = {
        "step": step,
        "cause": cause,
        "readings": {name: value if np.isfinite(value) else str(value) for name, value in values.items()},
        "broken": [_entry(model, name, arrays[name]) for name in broken],
        "batch": batch,
        "good_checkpoint": good,
    }
    path = Path(run) / "postmortem.json"
    with suppress(ResourceError):  # of a full disk the line below still tells
        write_file(path, json.dumps(record, indent=1).encode())
    return NumericError(_line(record, run, path, watched))


def _line(record: dict, run: Path, path: Path, watched: bool) -> str:
    broken, batch = record["broken"], record["batch"]
    weights = "no weight is broken yet"
    if broken:
        weights = f"broken are {broken[0]['name']} ({broken[0]['place']}){_others(len(broken) - 1)}"
    drawn = f"the batch held {', '.join(batch[:LISTED])}{_others(len(batch) - LISTED)}; " if batch else ""
    good = f"the checkpoint of step {record['good_checkpoint']} is good"
    remedy = "train again with a smaller learning rate (--set lr=...)"
    if not watched:
        remedy += f"; `inachus train --resume {run} --detect-anomaly` names the operation"
    return f"{run}: {record['cause']}; {weights}; {drawn}{good}: {remedy}; more in {path}"


def _others(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _entry(model: Any, name: str, array: np.ndarray) -> dict:
    """What the file says of one array."""
    return {
        "name": name,
        "place": state.place_of(model, name),
        "bad": int((~np.isfinite(array)).sum()),
        "of": array.size,
    }
