"""Which arrays were changed in place, and when: so that backward never computes with numbers that are gone.

What in the engine writes into arrays of Tensors says so with `wrote`: optimizers, averages, `load_state_dict`, weights
drawn again. A Node remembers the `clock` of its making; backward of an op looks only if something was written since,
and raises only if the rule really reads what was overwritten. Writing into `t.data` by hand is not seen here, but under
`anomaly.py`, which compares the numbers themselves. Used by `tensor.py`.
"""

from collections.abc import Sequence
from typing import Any

clock = 0  # counts the writes
# buffer -> the clock of its last write. An id used again is older than any node of its own.
_written: dict[int, int] = {}


def _buffer(array: Any) -> int:
    return id(array if array.base is None else array.base)


def wrote(*arrays: Any) -> None:
    """Says that these arrays, of any backend, were changed in place: all views of their buffers with them."""
    global clock
    clock += 1
    _written.update(dict.fromkeys(map(_buffer, arrays), clock))


def intact(node: Any, y: Any) -> tuple[Any, Sequence[Any]]:
    """(y, inputs) of a node, as its rule may have them: a Tensor whose numbers are gone raises when they are read.

    Raises RuntimeError at once if what the forward pass saved is gone.
    """
    gone = [t for t in (y, *node.inputs) if t is not None and _written.get(_buffer(t.data), 0) > node.made]
    return refusing(node, y, gone) if gone else (y, node.inputs)


def refusing(node: Any, y: Any, gone: list) -> tuple[Any, Sequence[Any]]:
    """(y, inputs), with those of `gone` replaced. Raises RuntimeError if a saved array is one of theirs."""
    lost = {id(t): overwritten(node.op.__name__, t) for t in gone}
    buffers = {_buffer(t.data): t for t in gone}
    for array in node.saved if isinstance(node.saved, tuple) else [node.saved] if node.op.saves else []:
        if (t := buffers.get(_buffer(array))) is not None:
            refuse(node.op.__name__, t)
    return lost.get(id(y), y), [lost.get(id(x), x) for x in node.inputs]


def overwritten(op: str, t: Any) -> Any:
    """A Tensor like `t`, with its shape and dtype, whose numbers cannot be read: RuntimeError, which names `op`."""
    facts = {name: getattr(t, name) for name in ("shape", "dtype", "ndim", "size")}
    members = {name: property(lambda self, fact=fact: fact) for name, fact in facts.items()}
    members |= {"__slots__": (), "data": property(lambda self: refuse(op, t))}
    twin = object.__new__(type("Overwritten", (type(t),), members))
    twin.requires_grad, twin.node, twin.grad = t.requires_grad, None, None
    return twin


def refuse(op: str, t: Any) -> None:
    """Raises the RuntimeError that names the op and what is gone."""
    raise RuntimeError(
        f"backward of {op.strip('_')} needs an array of shape {t.shape} that was changed in place after the forward "
        "pass: differentiate before optimizer.step() or load_state_dict(), or compute the forward pass again"
    )
