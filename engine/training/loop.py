"""The training loop. It knows a model's `loader`, `step`, `batches` and `preview`, and no GAN.

A step is a function of (state, step number): the batch comes from the counter-based loader, the noise from the
model's counter-based generators. So a run that was stopped anywhere and resumed repeats the uninterrupted one bit for
bit, on the same kind of machine with the same NumPy. Read next: `state.py`, `checkpoint.py`.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from inachus.engine.anomaly import Anomaly
from inachus.engine.data import Ahead, Dataset, Pairs
from inachus.engine.errors import CheckpointError, NumericError, ResourceError
from inachus.engine.training import checkpoint, pictures, postmortem, report, state
from inachus.engine.training.durable import disk_errors, lock, sweep, write_file
from inachus.engine.training.health import Health
from inachus.engine.training.interrupt import Interrupt
from inachus.engine.training.log import Log
from inachus.kernels import home
from inachus.kernels.steps import Stepper


@dataclass
class Plan:
    """How long, how often, how much. `score` rates the model now and then (lower is better): the best is kept."""

    steps: int
    batch: int
    seed: int = 0
    sample_every: int = 500
    save_every: int = 500
    log_every: int = 10
    keep: int = 3
    score_every: int = 0
    score: Callable | None = None
    score_name: str = ""
    capture: bool = True  # the step as one graph, where the device can
    anomaly: bool = False  # watch every operation of every step: slow


def train(
    model, dataset: Dataset | Pairs, run: Path, plan: Plan, options: dict, say: Callable[[str], None]
) -> int | None:
    """Trains up to plan.steps in the directory `run`, from its newest checkpoint if it has one.

    Returns None at the end, or the number of the signal that ended it after a finished and saved step. `options`
    becomes options.json, `say` gets one-line messages. Raises NumericError for NaN, before a checkpoint is written and
    with a postmortem.json, ResourceError for a full disk or a directory in use, CheckpointError for a checkpoint of
    another model.
    """
    batches = model.loader(dataset, plan.batch * model.batches, plan.seed)  # refused before the directory is made
    with lock(run), Interrupt() as interrupt, np.errstate(all="ignore"):
        sweep(run)
        start, seconds = _resume(model, run, say)
        write_file(run / "options.json", json.dumps(options, indent=1).encode())
        health = Health(model, dataset, say)
        keeper = Keeper(model, dataset, batches, run, plan, start, seconds, health)
        if start == 0:
            keeper.sample(0)
            keeper.save(0)
        counts = partial(state.counters, model), partial(state.set_counters, model)
        step_of = watched(model) if plan.anomaly else model.step
        stepper = Stepper(step_of, *counts, say, plan.capture and not plan.anomaly, getattr(model, "phase", None))
        loader = closing(Ahead(batches)) if stepper.ahead else nullcontext(batches)
        with Log(run, resume_from=start) as log, _bar(plan, start) as bar, loader as loader:
            for step in range(start + 1, plan.steps + 1):
                with keeper.explaining(step):
                    stepper(step, loader.batch_at(step - 1))
                last = step == plan.steps or interrupt.signum is not None
                logged = last or _due(step, plan.log_every)
                for number, values in stepper.read(now=logged or keeper.due(step)):
                    keeper.check(number, values)
                keeper.look(step)
                if logged:
                    log.write(step, keeper.seconds(), values)
                    health.read(step, values)
                    bar.set_postfix({k: f"{v:.3f}" for k, v in values.items()}, refresh=False)
                bar.update()
                keeper.step(step, last)
                if bar.disable and (last or _due(step, plan.sample_every)):
                    say(f"step {step:,} of {plan.steps:,}: " + ", ".join(f"{k} {v:.3f}" for k, v in values.items()))
                if last:  # a signal that came after `last` was set waits for the next step, which is saved
                    break
        keeper.finish()
        return interrupt.signum


def _bar(plan, start):
    """Live on a terminal, silent elsewhere."""
    return tqdm(total=plan.steps, initial=start, unit="step", disable=None, dynamic_ncols=True, smoothing=0.05)


def _resume(model, run, say) -> tuple[int, float]:
    """(step, seconds trained) of the newest checkpoint that verifies, after loading it; (0, 0) for a new run."""
    if not any((run / "checkpoints").glob("step-*")):
        return 0, 0.0
    path, notes = checkpoint.latest(run)
    for note in notes:
        say(f"passed over: {note}")
    tensors, meta = checkpoint.load(path)
    try:
        state.restore(model, tensors, meta["state"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if np.__version__ != meta["numpy"]:
        say(f"saved with numpy {meta['numpy']}, resumed with {np.__version__}: equal, but perhaps not bit for bit")
    say(f"resuming from step {meta['step']:,}")
    return meta["step"], meta["seconds"]


class Keeper:
    """What happens around the steps of one process: samples, saves, scores, the clock."""

    def __init__(self, model, dataset, batches, run: Path, plan: Plan, start: int, seconds: float, health):
        self.health = health
        self.model, self.dataset, self.batches, self.run, self.plan = model, dataset, batches, run, plan
        self.sampled = postmortem.sampled(model) if home() is np else []
        self.saved, self.before, self.began = start, seconds, time.monotonic()
        self.best = math.inf
        if (run / "checkpoints" / "best").is_dir():
            self.best = checkpoint.load(run / "checkpoints" / "best")[1]["best"]["score"]

    def seconds(self) -> float:
        """Training time over all processes of this run."""
        return self.before + time.monotonic() - self.began

    def check(self, step: int, values: dict[str, float]) -> None:
        """Raises NumericError in the step in which a reading stops being a number."""
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            raise self.failure(f"{', '.join(wrong)} not finite at step {step}", step, values)

    def look(self, step: int) -> None:
        """Raises NumericError in the step after which a sample of the weights is not finite; on the host alone."""
        for weights in self.sampled:
            if not math.isfinite(weights.sum()) and not np.isfinite(weights).all():
                raise self.failure(f"the weights are not finite after step {step}", step)

    @contextmanager
    def explaining(self, step: int) -> Iterator[None]:
        """What is found out during step number `step` is told with all that is known."""
        try:
            yield
        except NumericError as error:
            raise self.failure(f"at step {step} {error}", step) from error

    def failure(self, cause: str, step: int, values: dict[str, float] | None = None) -> NumericError:
        """The error for what happened at a step, after the post-mortem is written. Before the first step, 0."""
        names = getattr(self.batches, "names_at", lambda position: [])(step - 1) if step else []
        return postmortem.failure(self.model, self.run, step, cause, values or {}, names, self.saved, self.plan.anomaly)

    def due(self, step: int) -> bool:
        """True if something happens after step number `step` unless it is the last."""
        plan = self.plan
        return any(_due(step, every) for every in (plan.sample_every, plan.save_every, plan.score_every))

    def step(self, step: int, last: bool) -> None:
        """After step number `step`: whatever is due."""
        scored = self.plan.score is not None and _due(step, self.plan.score_every)
        if last or _due(step, self.plan.sample_every):
            self.sample(step)
        if last or scored or _due(step, self.plan.save_every):
            self.save(step)
        if scored:
            self.rate(step)

    def sample(self, step: int) -> None:
        """Draws the model's preview, on the same noise or pictures every time."""
        view = self.model.preview(self.dataset)
        pictures.save_png(draw(**view), self.run / "samples" / f"{step:06d}.png")
        self.health.sampled(step)

    def save(self, step: int) -> None:
        """Writes a checkpoint, unless the state is already broken. Raises NumericError then."""
        arrays, values = state.collect(self.model)
        if name := state.broken(arrays):
            raise self.failure(f"{name} is not finite after step {step}", step)
        if not (self.run / "options.json").exists():  # what is saved there now could not be continued
            raise ResourceError(
                f"{self.run} was moved or removed during the training: if moved, go on with --resume, where it is now, "
                f"from step {self.saved:,}; else begin again"
            )
        meta = {"state": values, "seconds": self.seconds()}
        checkpoint.save(self.run, step, arrays, meta, self.plan.keep)
        self.saved = step
        report.write(self.run)

    def rate(self, step: int) -> None:
        """Keeps a copy of the checkpoint of this step if its score is the best so far."""
        score = self.plan.score(self.model)
        path = self.run / "scores.jsonl"
        with disk_errors(path), open(path, "a") as file:
            file.write(json.dumps({"step": step, self.plan.score_name: round(score, 4)}) + "\n")
        if score < self.best:
            self.best = score
            checkpoint.save_best(self.run, self.run / "checkpoints" / f"step-{step:08d}", score, self.plan.score_name)

    def finish(self) -> None:
        """The film and the report."""
        frames = sorted((self.run / "samples").glob("*.png"))
        if frames:
            pictures.animate(frames, self.run / "samples.gif")
        report.write(self.run)


def watched(model: Any) -> Callable:
    """The model's step, every operation of which is watched."""

    def step(batch):
        with Anomaly(**state.networks(model)):
            return model.step(batch)

    return step


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def draw(items: np.ndarray, columns: int | None = None, titles: list[str] | None = None):
    """A Pillow picture of items: pictures (N,H,W,C) as a grid, points (N,2) as a cloud."""
    if items.ndim == 2:
        return pictures.scatter(items, span=2.0)
    return pictures.grid(items, columns=columns, titles=titles)
