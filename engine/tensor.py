"""Tensor, the `op` decorator and `grad`: the whole of automatic differentiation.

An op is two adjacent functions: arrays in, array out; then its rule (vector-Jacobian product), Tensors in, Tensors
out. Because rules are written in ops, a gradient is a graph like any other and can be differentiated again.
Not here: mathematics (`ops/`), loops over numbers (`kernels/`). Read `ops/arithmetic.py` next, then `ops/conv.py`.
"""

import operator
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from inachus.engine import versions
from inachus.kernels import device, fetch, known, native, number, place, xp

Node = namedtuple("Node", "op inputs params saved made")  # made: the clock of `versions`
FREED = Node(None, (), {}, None, 0)
FLOAT32 = np.dtype(np.float32)
OPS: dict[str, "Op"] = {}  # every op by name: what the table of derivative tests must cover
_recording = True


def _comparing(compare: Callable) -> Callable:  # not differentiable: plain boolean arrays
    return lambda self, other: compare(self.data, other.data if isinstance(other, Tensor) else other)


class Tensor:
    """An array that remembers how it was computed. `Tensor([[1, 2]])` is float32; arrays keep their dtype but float16.

    `requires_grad` makes it a leaf that `backward` and `grad` can reach. Arithmetic with raw arrays raises
    TypeError: `constant(a)` and `t.detach()` are the only places where a gradient can stop.
    """

    __slots__ = ("__weakref__", "data", "grad", "node", "requires_grad")
    __array_ufunc__ = None  # ndarray * Tensor comes to Tensor.__rmul__, which refuses it

    def __init__(self, array: Any, requires_grad: bool = False):
        if type(array) is not np.ndarray:
            if isinstance(array, Tensor):
                raise TypeError("Tensor(Tensor): use t.detach() for the same numbers without their history")
            if isinstance(array, np.generic) or not known(array):  # a reduction gives a scalar, a Tensor holds arrays
                array = np.asarray(array, getattr(array, "dtype", np.float32))
        self.data = place(array if array.dtype is FLOAT32 else native(array))
        if requires_grad and self.data.dtype.kind != "f":
            raise TypeError(f"only floating-point tensors have gradients, this one is {self.data.dtype}")
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.node: Node | None = None

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)

    def numpy(self) -> np.ndarray:
        """The numbers as a NumPy array, without their history."""
        return fetch(self.data)

    def item(self) -> float:
        """The one number of a one-element tensor."""
        return self.data.item()

    def detach(self) -> "Tensor":
        """The same numbers as a constant: no gradient flows through."""
        return Tensor(self.data)

    def backward(self, gy: "Tensor | None" = None) -> None:
        """Adds the gradient of this tensor to `.grad` of every leaf it was computed from; frees the graph."""
        leaves = [t for t in _topological(self) if t.node is None]
        if not leaves:
            raise RuntimeError("backward: nothing this tensor was computed from requires a gradient")
        for leaf, g in zip(leaves, grad(self, leaves, gy), strict=True):
            leaf.grad = g if leaf.grad is None else Tensor(leaf.grad.data + g.data)

    def sum(self, axis=None, keepdims=False) -> "Tensor":
        """Sum over `axis` (None: all)."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis=None, keepdims=False) -> "Tensor":
        """Mean over `axis` (None: all)."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape) -> "Tensor":
        """The same numbers in another shape; one size may be -1."""
        return ops.reshape(self, shape=shape[0] if isinstance(shape[0], tuple | list) else shape)

    def transpose(self, *axes) -> "Tensor":
        """Axes in another order; without arguments, reversed."""
        axes = axes or tuple(reversed(range(self.ndim)))
        return ops.transpose(self, axes=axes[0] if axes and isinstance(axes[0], tuple | list) else axes)

    def __add__(self, other):
        return ops.add(self, other)

    def __radd__(self, other):
        return ops.add(other, self)

    def __sub__(self, other):
        return ops.sub(self, other)

    def __rsub__(self, other):
        return ops.sub(other, self)

    def __mul__(self, other):
        return ops.mul(self, other)

    def __rmul__(self, other):
        return ops.mul(other, self)

    def __truediv__(self, other):
        return ops.div(self, other)

    def __rtruediv__(self, other):
        return ops.div(other, self)

    def __pow__(self, other):
        return ops.pow(self, other)

    def __rpow__(self, other):
        return ops.pow(other, self)

    def __matmul__(self, other):
        return ops.matmul(self, other)

    def __rmatmul__(self, other):
        return ops.matmul(other, self)

    def __neg__(self):
        return ops.neg(self)

    def __abs__(self):
        return ops.abs(self)

    def __getitem__(self, index):
        return ops.getitem(self, index=index)

    __lt__, __le__, __gt__, __ge__ = map(_comparing, (operator.lt, operator.le, operator.gt, operator.ge))

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __float__(self):
        return float(self.data)

    def __array__(self, dtype=None, copy=None):
        return np.array(fetch(self.data), dtype, copy=copy)

    def __repr__(self):
        return f"Tensor(shape={self.shape}, dtype={self.dtype}, requires_grad={self.requires_grad})\n{self.numpy()}"


def constant(array: Any, dtype: Any = None) -> Tensor:
    """A Tensor without a gradient, the explicit way in for data, masks and weights. Lists become float32."""
    t = Tensor(array)
    return t if dtype is None or t.dtype == dtype else Tensor(t.data.astype(dtype))


class Op:
    """A differentiable function: a forward on arrays, a rule on Tensors, and for fused ops a composite twin."""

    def __init__(self, forward: Callable, saves: bool = False):
        self.forward, self.saves, self.rule, self.twin = forward, saves, None, None
        self.__name__, self.__doc__ = forward.__name__, forward.__doc__
        OPS[self.__name__] = self

    def vjp(self, rule: Callable) -> Callable:
        """Sets the rule (gy, y, *inputs, **params) -> one entry an input: a Tensor, None for no gradient, or a
        function without arguments that computes it, called only if somebody wants that gradient."""
        self.rule = rule
        return rule

    def composite(self, twin: Callable) -> Callable:
        """Sets the definition in other ops: what `create_graph` differentiates instead of the fused rule."""
        self.twin = twin
        return twin

    def __call__(self, *inputs: Any, **params: Any) -> Tensor:
        tensors = _admit(self.__name__, inputs)
        arrays = [None if t is None else t.data for t in tensors]
        out = self.forward(*arrays, **params)
        data, saved = out if self.saves else (out, None)
        y = Tensor(data)
        if _recording and any(t is not None and t.requires_grad for t in tensors):
            y.requires_grad, y.node = True, Node(self, tensors, params, saved, versions.clock)
        return y


def op(forward: Callable | None = None, *, saves: bool = False) -> Any:
    """Decorator: makes a function of arrays (positional) and static parameters (keyword-only) differentiable.

    With `saves` the function returns (y, saved) and its rule also gets `saved=`: arrays for a fused backward kernel.
    """
    return Op(forward, saves) if forward else lambda f: Op(f, saves)


def _admit(name: str, inputs: Sequence[Any]) -> tuple[Tensor | None, ...]:
    """Checks the inputs of an op: no raw arrays, one float dtype, one device; numbers become constants."""
    first, plain = None, True  # plain: nothing to convert
    for x in inputs:
        if not isinstance(x, Tensor):
            plain = plain and x is None
        elif first is None:
            first = x
        elif x.data.dtype != first.data.dtype:
            raise TypeError(f"{name}: mixed dtypes {first.dtype} and {x.dtype}; convert with constant(a, dtype)")
        elif device(x.data) != device(first.data):
            raise TypeError(f"{name}: tensors on {device(first.data)} and {device(x.data)}; move one of them")
    return inputs if plain else tuple(_admitted(name, x, first) for x in inputs)


def _admitted(name: str, x: Any, first: Tensor | None) -> Tensor | None:
    """A Tensor as it is, a number as a constant of the dtype of `first`."""
    if x is None or isinstance(x, Tensor):
        return x
    if type(x) in (bool, int, float):  # not their NumPy subclass, which comes from an array
        return Tensor(number(x, first.dtype if first is not None and first.dtype.kind == "f" else np.float32))
    raise TypeError(f"{name}: got a raw {type(x).__name__}; wrap it in constant(...) to say that no gradient flows")


def grad(y: Tensor, xs: Sequence[Tensor], gy: Tensor | None = None, create_graph: bool = False) -> list[Tensor]:
    """Gradients of sum(y * gy) with respect to each tensor of `xs`, zeros where y does not depend on it.

    gy defaults to ones. With `create_graph` the gradients are themselves differentiable, to any order, and the
    graph stays; without it every node is freed as soon as it was used. Only what leads to `xs` is computed.
    """
    xs = list(xs)
    for i, x in enumerate(xs):
        if not x.requires_grad:
            raise ValueError(f"grad: xs[{i}] was recorded nowhere; make it with Tensor(array, requires_grad=True)")
    return _sweep(y, xs, gy, create_graph)


def _sweep(y: Tensor, xs: list[Tensor], gy: Tensor | None, create_graph: bool, stop: bool = False) -> list[Tensor]:
    """`grad`; with `stop`, partial derivatives: paths from one of the xs through another one do not count."""
    if gy is not None and gy.shape != y.shape:
        raise ValueError(f"grad: gy has shape {gy.shape} but y has {y.shape}")
    targets = {id(x) for x in xs}
    order = _topological(y, targets if stop else frozenset())
    leads = set(targets)  # ids of tensors through which some x is reached; each lives until the loop below drops it
    for t in order:
        if t.node and not leads.isdisjoint(map(id, t.node.inputs)):
            leads.add(id(t))
    pending = {id(y): gy if gy is not None else Tensor(xp(y.data).ones_like(y.data))}
    with _record(create_graph):
        while order:
            t = order.pop()
            if t.node is None or id(t) not in leads or id(t) not in pending or (stop and id(t) in targets):
                continue
            gt = pending[id(t)] if id(t) in targets else pending.pop(id(t))
            for x, g in _pull(t, gt, leads, create_graph):
                pending[id(x)] = pending[id(x)] + g if id(x) in pending else g
            if not create_graph:
                t.node = FREED
    return [pending[id(x)] if id(x) in pending else Tensor(xp(x.data).zeros_like(x.data)) for x in xs]


def _pull(t: Tensor, gt: Tensor, leads: set[int], create_graph: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """(input, its gradient) for the inputs of t's op that lead to a wanted tensor."""
    op, inputs, params, saved, made = t.node
    y, given = (t, inputs) if made == versions.clock else versions.intact(t.node, t)
    if create_graph and op.twin:
        unique = list({id(x): x for x in inputs if x is not None and id(x) in leads}.values())
        yield from zip(unique, _sweep(op.twin(*given, **params), unique, gt, True, stop=True), strict=True)
        return
    extra = {"saved": saved} if op.saves else {}
    for x, g in zip(inputs, op.rule(gt, y, *given, **params, **extra), strict=True):
        g = None if x is None or id(x) not in leads else g() if callable(g) else g
        if g is None:
            continue
        if g.data.shape != x.data.shape:
            raise ValueError(f"rule of {op.__name__}: gradient of shape {g.shape} for an input of shape {x.shape}")
        yield x, g


def _topological(y: Tensor, stop: set[int] | frozenset[int] = frozenset()) -> list[Tensor]:
    """Tensors that y depends on and that have a gradient, inputs before outputs; iterative, so depth is no limit."""
    order, seen, stack = [], set(), [(y, False)]
    while stack:
        t, ready = stack.pop()
        if ready:
            order.append(t)
        elif id(t) not in seen and t.requires_grad:
            seen.add(id(t))
            if t.node is FREED:
                freed = "this graph was freed by an earlier grad() or backward()"
                raise RuntimeError(f"{freed}: compute it again, or keep it with create_graph=True")
            stack.append((t, True))
            if t.node and id(t) not in stop:
                stack.extend((x, False) for x in t.node.inputs if x is not None)
    return order


@contextmanager
def _record(on: bool) -> Iterator[None]:
    global _recording
    before, _recording = _recording, on
    try:
        yield
    finally:
        _recording = before


def recording() -> bool:
    """True where ops are recorded: a rule must then write its gradient in ops, for it may be differentiated."""
    return _recording


def no_grad(on: bool = True):
    """Context in which nothing is recorded: for sampling and evaluation. no_grad(False) changes nothing."""
    return _record(_recording and not on)


from inachus.engine import ops  # last, because ops are made of Tensors, and Tensor's operators are ops
