"""Whole training steps on a device: our step and PyTorch's, each eager and as one graph. The sides of `train.py`.

A side is built with a case and a precision, and has step(), which queues one step with a batch from the host, and
read(), which waits for the newest four numbers. The precision is that of both sides: `tf32` rounds the operands of
products, `fp32` does not, `bf16` is PyTorch's autocast and our bf16 products.
"""

from contextlib import contextmanager
from functools import partial

import numpy as np
from cases.pytorch import Training
from cases.translators import STEPS

from inachus.engine.data import Batch, PairBatch
from inachus.engine.training.state import counters, set_counters
from inachus.kernels import home, selected
from inachus.kernels.steps import Stepper
from inachus.models import MODELS


def model_and_batch(name, settings, shape, batch):
    """A model without the average of weights, which PyTorch's side lacks, and a batch of noise on the host."""
    cls, rng = MODELS[name], np.random.default_rng(0)
    model = cls(shape, 0, 0, cls.Settings(**settings))
    if name in STEPS:
        return model, PairBatch(*(rng.standard_normal((batch, *side), dtype=np.float32) for side in shape))
    model.average.update = lambda: None
    return model, Batch(rng.standard_normal((batch, *shape), dtype=np.float32))


class Ours:
    """Our step, taken as the training loop takes it; `notes` says why it could not be captured, if it could not."""

    def __init__(self, case: tuple, precision: str, capture: bool):
        selected().use_precision(precision)
        self.model, self.batch = model_and_batch(*case)
        self.number, self.notes, model = 0, [], self.model
        say = self.notes.append
        self.stepper = Stepper(model.step, partial(counters, model), partial(set_counters, model), say, capture)

    def step(self) -> None:
        """Queues a step."""
        self.number += 1
        self.stepper(self.number, self.batch)

    def read(self) -> list[float]:
        """The newest numbers."""
        return list(self.stepper.read()[-1][1].values())


class Theirs:
    """PyTorch's step."""

    def __init__(self, case: tuple, precision: str, capture: bool = False, compiled: bool = False, **how):
        device = torch_device()
        use_torch_precision(precision)
        if device == "cuda" and (how.get("channels_last") or compiled):
            how["adam"] = {"fused": True, "capturable": capture}
        self.training = Training(*case, device=device, autocast=precision == "bf16", compiled=compiled, **how)
        self.run, self.notes, self.values = self.training.captured() if capture else self.training.step, [], ()

    def step(self) -> None:
        """Queues a step."""
        self.training.upload()
        self.values = self.run()

    def read(self) -> list[float]:
        """The newest numbers."""
        return self.training.torch.stack(self.values).tolist()


def torch_device() -> str:
    """Where PyTorch's side computes."""
    return "cuda" if home().__name__ == "cupy" else "cpu"


def use_torch_precision(name: str) -> str:
    """Of PyTorch's convolutions and products; returns what PyTorch calls it."""
    import torch

    torch.backends.cudnn.benchmark = True
    conv, products = torch.backends.cudnn, torch.backends.cuda.matmul
    conv.allow_tf32 = products.allow_tf32 = name != "fp32"
    flags = f"cudnn.allow_tf32={conv.allow_tf32}, matmul.allow_tf32={products.allow_tf32}"
    return f"{flags}{', autocast bfloat16' * (name == 'bf16')}"


SIDES = {  # name: what builds it from a case and a precision
    "inachus captured": partial(Ours, capture=True),
    "inachus eager": partial(Ours, capture=False),
    "torch eager": Theirs,
    "torch channels_last": partial(Theirs, channels_last=True),
    "torch graph": partial(Theirs, channels_last=True, capture=True),
    "torch compile": partial(Theirs, channels_last=True, compiled=True),
}
LATE = ("torch compile",)  # takes minutes to build, so it is measured after everything else


@contextmanager
def peak_memory(side: str):
    """Inside a side is built and takes its first steps; then [MB that its arrays held at most] in what is given."""
    found = []
    if home().__name__ != "cupy":
        from inachus.kernels.emulator.device import memory

        memory.peak = before = memory.used
        yield found
        found.append((memory.peak - before) / 1e6 if side.startswith("inachus") else None)
    elif side.startswith("inachus"):
        with _Held() as held:
            yield found
        found.append(held.most / 1e6)
    else:
        import torch

        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield found
        found.append((torch.cuda.max_memory_allocated() - before) / 1e6)


def _Held():
    """A CuPy hook that counts the bytes of arrays made inside, in any pool."""
    from cupy.cuda import MemoryHook

    class Held(MemoryHook):
        name = "inachus.bench.held"

        def __init__(self):
            self.sizes, self.now, self.most = {}, 0, 0

        def malloc_postprocess(self, **what):
            self.sizes[what["pmem_id"]] = what["mem_size"]
            self.now += what["mem_size"]
            self.most = max(self.most, self.now)

        def free_postprocess(self, **what):
            self.now -= self.sizes.pop(what["pmem_id"], 0)

    return Held()


def finish() -> None:
    """Returns when the device has done everything that either side queued."""
    if home().__name__ == "cupy":
        home().cuda.Device().synchronize()
