"""Optimizers over one flat parameter buffer, learning-rate schedules and the average of weights.

    optimizer = Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer.minimize(loss)        # or: loss.backward(); optimizer.step(); optimizer.zero_grad()

`minimize` differentiates the loss in this optimizer's parameters alone: a network that another optimizer trains is
passed through, and the gradients of its weights are never computed. The arithmetic is in `kernels/reference/optim.py`.
"""

import copy
from collections.abc import Callable, Sequence

import numpy as np

from inachus.engine.nn.module import Module, flatten
from inachus.engine.tensor import Tensor, grad
from inachus.engine.versions import wrote
from inachus.kernels import backend, xp
from inachus.kernels.steps import live

Schedule = Callable[[int], float]


def linear_decay(lr: float, start: int, end: int) -> Schedule:
    """lr until step `start`, then straight down to 0 at step `end`."""
    return lambda step: lr * min(1.0, max(0.0, (end - step) / max(end - start, 1)))


def falling(lr: float, steps: int) -> Schedule:
    """lr for the first half of `steps`, then straight down to lr / 100 at their end, and no further."""
    half = steps / 2
    return lambda step: lr * min(1.0, max(0.01, (steps - step) / half))


class Optimizer:
    """Base: parameters in one buffer `flat`, and `state` arrays of the same length.

    lr is a number or a schedule of the step, which counts from 0. Parameters that are frozen now are left out.
    """

    slots: tuple[str, ...] = ()  # names of the state arrays

    def __init__(self, parameters: Sequence[Tensor], lr: float | Schedule):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.flat = flatten(self.parameters)
        self.arrays = {name: xp(self.flat).zeros_like(self.flat) for name in self.slots}
        self.lr, self.steps = lr, 0

    def rate(self) -> float:
        """The learning rate of the coming step."""
        return self.lr(self.steps) if callable(self.lr) else self.lr

    def minimize(self, loss: Tensor) -> None:
        """One step down the gradient of `loss`, whose graph is freed."""
        self.step(grad(loss, self.parameters))

    def step(self, gradients: Sequence[Tensor] | None = None) -> None:
        """One step along `gradients`, by default the parameters' `.grad` (none counts as zero)."""
        gradients = [p.grad for p in self.parameters] if gradients is None else gradients
        pairs = zip(self.parameters, gradients, strict=True)
        gs = [xp(p.data).zeros_like(p.data) if g is None else g.data for p, g in pairs]
        lr, t = live(self.rate), live(self._count)
        self.update(backend(self.flat), lr, t, [g.reshape(-1) for g in gs], *self.arrays.values())
        wrote(self.flat)

    def _count(self) -> int:
        self.steps += 1
        return self.steps

    def update(self, kernels, lr: float, t: int, gs: list, *state) -> None:
        """Changes `flat` and the state in place by one kernel, given the gradient in parts; what a subclass writes."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def zero_grad(self) -> None:
        """Forgets the parameters' `.grad`."""
        for p in self.parameters:
            p.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """The state arrays by name and the step count: with the parameters, all there is to save."""
        return {**self.arrays, "steps": np.array(self.steps)}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Continues exactly where `state_dict()` was taken."""
        for name, array in self.arrays.items():
            if state[name].shape != array.shape:
                raise ValueError(f"optimizer state '{name}' has shape {state[name].shape}, expected {array.shape}")
            array[...] = xp(array).asarray(state[name])
        self.steps = int(state["steps"])


class SGD(Optimizer):
    """v <- momentum v + g; p <- p - lr v."""

    slots = ("velocity",)

    def __init__(self, parameters, lr, momentum: float = 0.0):
        super().__init__(parameters, lr)
        self.momentum = momentum

    def update(self, kernels, lr, t, gs, velocity):
        """One pass."""
        kernels.sgd(self.flat, gs, velocity, lr, self.momentum)


class Adam(Optimizer):
    """Adam with bias correction, eps outside the root. Kingma and Ba (2015), algorithm 1."""

    slots = ("m", "v")

    def __init__(self, parameters, lr=1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        super().__init__(parameters, lr)
        self.betas, self.eps = betas, eps

    def update(self, kernels, lr, t, gs, m, v):
        """One pass."""
        kernels.adam(self.flat, gs, m, v, lr, *self.betas, self.eps, t)


class RMSProp(Optimizer):
    """v <- alpha v + (1-alpha) g^2; p <- p - lr g / (sqrt(v) + eps). Tieleman and Hinton (2012)."""

    slots = ("v",)

    def __init__(self, parameters, lr=1e-2, alpha: float = 0.99, eps: float = 1e-8):
        super().__init__(parameters, lr)
        self.alpha, self.eps = alpha, eps

    def update(self, kernels, lr, t, gs, v):
        """One pass."""
        kernels.rmsprop(self.flat, gs, v, lr, self.alpha, self.eps)


class EMA:
    """Exponential moving average of a network's weights and running statistics, as a network of its own: `.network`.

    a <- d a + (1-d) p with d = min(decay, (1+t) / (10+t)), so that the first steps are soon forgotten.
    """

    def __init__(self, network: Module, decay: float = 0.999):
        self.source, self.network, self.decay, self.steps = network, copy.deepcopy(network).eval().freeze(), decay, 0
        for t in self.network.parameters():
            t.data = t.data.copy()  # its own array, not a view of the copied flat buffer

    def update(self) -> None:
        """Call once after each step of the network's optimizer."""
        averages, values = ([a.reshape(-1) for a in n.state_dict().values()] for n in (self.network, self.source))
        backend(averages[0]).ema(averages, values, live(self._decay))
        wrote(*averages)

    def _decay(self) -> float:
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        return decay

    def state_dict(self) -> dict[str, np.ndarray]:
        """The average by name, and the step count."""
        return {**self.network.state_dict(), "steps": np.array(self.steps)}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Continues exactly where `state_dict()` was taken."""
        self.network.load_state_dict({k: v for k, v in state.items() if k != "steps"})
        self.steps = int(state["steps"])
