"""Module: a tree of layers whose parameters have names; flat buffers; the summary table. The layers are in `layers.py`.

A Tensor attribute of a module is a parameter, a module attribute is a child, and arrays named in `buffers` are saved
with the parameters but not trained.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from inachus.engine.nn.init import Init
from inachus.engine.random import Generator
from inachus.engine.tensor import Tensor, no_grad
from inachus.engine.versions import wrote
from inachus.kernels import address, xp


class Module:
    """Base of layers and networks: write `forward`, keep Tensors and Modules as attributes."""

    buffers: tuple[str, ...] = ()
    training = True

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    def forward(self, *args, **kwargs):
        """Computes the output; what a subclass writes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def children(self) -> Iterator[tuple[str, "Module"]]:
        """(name, module) for the modules one level below."""
        return ((name, m) for name, m in vars(self).items() if isinstance(m, Module))

    def modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """(dotted name, module) for this module and all below it, in the order they were made."""
        yield prefix, self
        for name, child in self.children():
            yield from child.modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, parameter) of the whole tree."""
        for prefix, m in self.modules():
            for name, t in vars(m).items():
                if isinstance(t, Tensor):
                    yield f"{prefix}.{name}" if prefix else name, t

    def parameters(self) -> list[Tensor]:
        """All parameters, in a fixed order."""
        return [t for _, t in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """(dotted name, array) of what is saved but not trained."""
        for prefix, m in self.modules():
            for name in m.buffers:
                yield f"{prefix}.{name}" if prefix else name, getattr(m, name)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Every parameter and buffer by name, as the arrays themselves: copy what you keep."""
        return {**{name: t.data for name, t in self.named_parameters()}, **dict(self.named_buffers())}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Copies `state` into this module. Raises ValueError naming what is missing, left over or of another shape."""
        own = self.state_dict()
        both = [(n, own[n].shape, state[n].shape) for n in own if n in state]
        wrong = [f"{name}: {here} here, {there} there" for name, here, there in both if here != there]
        missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or extra or wrong:
            raise ValueError(f"state does not fit: missing {missing}, unknown {extra}, shapes {wrong}")
        for name, array in own.items():
            array[...] = xp(array).asarray(state[name])
        wrote(*own.values())

    def train(self, mode: bool = True) -> "Module":
        """Training mode (batch statistics, dropout on) for the whole tree, or with False evaluation mode."""
        for _, m in self.modules():
            m.training = mode
        return self

    def eval(self) -> "Module":
        """Evaluation mode."""
        return self.train(False)

    def freeze(self, frozen: bool = True) -> "Module":
        """Parameters that ask for no gradient, which then costs nothing; `freeze(False)` undoes it."""
        for t in self.parameters():
            t.requires_grad = not frozen
        return self

    def initialize(self, rng: Generator, weight: Init, gamma: Init | None = None) -> "Module":
        """Draws every weight again, layer by layer from its own stream; `gamma` also draws the norms' scales."""
        for name, m in self.modules():
            m.draw(rng.spawn(name), weight, gamma)
        wrote(*self.state_dict().values())
        return self

    def draw(self, rng: Generator, weight: Init, gamma: Init | None) -> None:
        """Draws this layer's own parameters; layers that have some override it."""


def flatten(parameters: Sequence[Tensor]) -> np.ndarray:
    """Moves the parameters into one buffer (n,), of which their arrays become views; again: the same buffer.

    So an optimizer, an average or a save is one pass over one array. Raises ValueError for a part of another buffer.
    """
    base = parameters[0].data.base if parameters else None
    n = sum(t.size for t in parameters)
    ends = np.cumsum([0] + [t.size for t in parameters])
    if base is not None and base.ndim == 1 and base.size == n:
        spans = zip((t.data for t in parameters), address(base) + ends[:-1] * base.itemsize, strict=True)
        if all(a.base is base and a.flags.c_contiguous and address(a) == start for a, start in spans):
            return base
    if any(t.data.base is not None for t in parameters):
        raise ValueError(
            "flatten: some of these parameters belong to another flat buffer; make one optimizer for the whole network"
        )
    flat = xp(parameters[0].data).empty(n, parameters[0].dtype) if parameters else np.empty(0, np.float32)
    for t, i, j in zip(parameters, ends[:-1], ends[1:], strict=True):
        flat[i:j] = t.data.reshape(-1)
        t.data = flat[i:j].reshape(t.shape)
    return flat


def counts(module: Module) -> tuple[int, int, int]:
    """(total, trainable, non-trainable) numbers of a network; running statistics are non-trainable, as in Keras."""
    trainable = sum(t.size for t in module.parameters() if t.requires_grad)
    fixed = sum(t.size for t in module.parameters() if not t.requires_grad)
    fixed += sum(b.size for _, b in module.named_buffers())
    return trainable + fixed, trainable, fixed


def summary(network: "Module", shape: tuple[int, ...], title: str = "") -> str:
    """Keras-like table of a Sequential for inputs of `shape` (without N): layer, output shape, parameters, totals."""
    was_training = network.training
    network.eval()
    rows, x = [], Tensor(np.zeros((1, *shape), np.float32))
    with no_grad():
        for name, layer in network.children():
            x = layer(x)
            rows.append((f"{name} {type(layer).__name__}", str((None, *x.shape[1:])), f"{counts(layer)[0]:,}"))
    network.train(was_training)
    head = (title or type(network).__name__, "output shape", "parameters")
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(3)]
    line = "  ".join("-" * w for w in widths)
    table = ["  ".join((a.ljust(widths[0]), b.ljust(widths[1]), c.rjust(widths[2]))) for a, b, c in [head, *rows]]
    total, trainable, fixed = counts(network)
    totals = f"total {total:,}, trainable {trainable:,}, non-trainable {fixed:,}"
    return "\n".join([table[0], line, *table[1:], line, totals])
