"""Anomaly: names the op that made the first NaN or infinity, and arrays that were changed by hand before backward.

    with Anomaly(G=model.G, D=model.D):
        model.step(batch)

Slow, for looking at what is broken: every number of every op, gradient and update is looked at, and copies are compared
by checksum. Only while an Anomaly is open are ops wrapped at all. What it is not: a cure, and what every training does
(`training/loop.py` looks at readings and a few weights of each step). Read `versions.py` next.
"""

import zlib
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from inachus.engine import tensor, versions
from inachus.engine.errors import NumericError
from inachus.engine.nn.module import Module
from inachus.engine.optim import Optimizer
from inachus.engine.tensor import Op, Tensor
from inachus.kernels import fetch

FIRST = "the first number that is not finite"


class Anomaly:
    """Context in which NumericError is raised where a number first stops being one. `networks` by name, for messages.

    Raises RuntimeError, naming the op, in a backward pass whose arrays were changed since the forward pass.
    """

    def __init__(self, **networks: Module):
        self.names = {id(m): n for top, net in networks.items() for n, m in net.modules(top)}
        self.weights = {id(t): f"{top}.{n}" for top, net in networks.items() for n, t in net.named_parameters()}

    def __enter__(self) -> "Anomaly":
        self._layers: list[str] = []  # whose forward runs, innermost last
        self._rules: list[str] = []  # whose backward runs
        self._seen: WeakKeyDictionary = WeakKeyDictionary()  # result of an op -> its layer, sums of what backward uses
        self._errors = np.errstate(all="ignore")
        self._errors.__enter__()
        watched = (Op, "__call__"), (tensor, "_pull"), (versions, "intact"), (Module, "__call__"), (Optimizer, "step")
        self._before = [(owner, name, getattr(owner, name)) for owner, name in watched]
        op, pull, intact, module, step = (function for _, _, function in self._before)
        Op.__call__ = lambda op_, *inputs, **params: self._op(op, op_, inputs, params)
        tensor._pull = lambda *args: self._pull(pull, *args)
        versions.intact = lambda node, y: self._intact(intact, node, y)
        Module.__call__ = lambda layer, *args, **kwargs: self._module(module, layer, args, kwargs)
        Optimizer.step = lambda optimizer, gradients=None: self._step(step, optimizer, gradients)
        return self

    def __exit__(self, *exception) -> None:
        for owner, name, function in self._before:
            setattr(owner, name, function)
        self._errors.__exit__(*exception)

    def _module(self, call, layer, args, kwargs):
        self._layers.append(self.names.get(id(layer), "") or (self._layers or [""])[-1])
        try:
            return call(layer, *args, **kwargs)
        finally:
            self._layers.pop()

    def _op(self, call, op, inputs, params) -> Tensor:
        """The op, whose inputs and result must be finite."""
        tensors = [t for t in inputs if isinstance(t, Tensor)]
        own = [self.weights[id(t)].rpartition(".")[0] for t in tensors if id(t) in self.weights]
        layer = own[0] if own else (self._layers or [""])[-1]
        what = f"{op.__name__.strip('_')}{_within(layer)}"
        if self._rules:
            what = f"{self._rules[-1]}, in its {op.__name__.strip('_')}"
        for t in tensors:  # results of ops were looked at: what is wrong now came with the data or lies in the weights
            if bad := _bad(t.data):
                raise NumericError(f"{what} was given {bad} in {self.weights.get(id(t), 'an input')} {t.shape}")
        y = call(op, *inputs, **params)
        if bad := _bad(y.data):
            raise NumericError(f"{FIRST} is {bad}, made by {what}{_shapes(tensors, y)}")
        if y.node:
            self._seen[y] = layer, _sums(y)
        return y

    def _pull(self, pull, y: Tensor, gy: Tensor, leads: set, create_graph: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """The rule of y's op, which must give finite gradients."""
        node, layer = y.node, self._seen.get(y, ("",))[0]
        self._rules.append(f"backward of {node.op.__name__.strip('_')}{_within(layer)}")
        versions.clock += 1  # so that it asks `intact`
        try:
            for x, g in pull(y, gy, leads, create_graph):
                if bad := _bad(g.data):
                    shapes = _shapes([t for t in node.inputs if t is not None], y)
                    raise NumericError(f"{FIRST} is {bad}, made by {self._rules[-1]}{shapes}")
                yield x, g
        finally:
            self._rules.pop()

    def _intact(self, intact, node, y: Tensor) -> tuple:
        """(y, inputs) without what was changed by hand since the forward pass."""
        if y not in self._seen or (sums := self._seen[y][1]) == (now := _sums(y)):
            return intact(node, y)
        if sums[1] != now[1]:
            versions.refuse(node.op.__name__, y)
        gone = [t for t, before, after in zip((y, *node.inputs), sums[0], now[0], strict=True) if before != after]
        return versions.refusing(node, y, gone)

    def _step(self, step, optimizer, gradients) -> None:
        """An update, after which the weights must be finite."""
        step(optimizer, gradients)
        kind = type(optimizer).__name__
        for name, array in optimizer.arrays.items():
            if bad := _bad(array):
                raise NumericError(f"{FIRST} is {bad}, made by {kind}'s update of its own {name} {array.shape}")
        for p in optimizer.parameters:
            if bad := _bad(p.data):
                name = self.weights.get(id(p), "a weight")
                raise NumericError(f"{FIRST} is {bad}, made by {kind}'s update of {name} {p.shape}")


def _within(layer: str) -> str:
    return f" in {layer}" if layer else ""


def _shapes(inputs: list, y: Tensor) -> str:
    return f" (inputs {', '.join(str(t.shape) for t in inputs)}, output {y.shape})"


def _bad(array: Any) -> str:
    """ "NaN" or "infinity" if the array holds one, else ""."""
    array = fetch(array)
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return ""
    return "NaN" if np.isnan(array).any() else "infinity"


def _sums(y: Tensor) -> tuple[list, list]:
    """Checksums of what backward of y may use: y and the inputs (None has none), and the saved arrays."""
    node = y.node
    saved = node.saved if isinstance(node.saved, tuple) else (node.saved,)
    return [None if t is None else _sum(t.data) for t in (y, *node.inputs)], [_sum(a) for a in saved if a is not None]


def _sum(array: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(fetch(array)))
