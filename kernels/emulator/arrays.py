"""Arrays of the emulated device: the part of CuPy that the engine uses, over host memory, and as strict as CuPy.

An `Array` never mixes with a NumPy array, never becomes one unasked (`get()` is the way out), and fresh memory holds
NaN. Every operation is one launch: counted, and while a step is captured recorded instead of executed, as on a stream;
whoever reads a number then is told that a capture cannot wait. So code that runs here runs on CuPy.
Not here: how kernels run (`emulator.h`), or when a step is captured (`kernels/cuda/graph.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from inachus.kernels.emulator.device import Buffer, capturing, counts, execute, keep, refuse_while_capturing

_scalars = (bool, int, float, np.generic)


class Pointer(NamedTuple):
    """An address in the memory of the device."""

    ptr: int


class Array:
    """An array in the memory of the emulated device, with the methods of cupy.ndarray that the engine uses."""

    __slots__ = ("__weakref__", "_buffer", "_host", "base")
    __array_ufunc__ = None  # NumPy gives up on us, and our operators refuse its arrays
    __hash__ = None

    def __init__(self, host: np.ndarray, base: "Array | None" = None):
        self._host, self.base = host, base  # the array that this one is a view of
        self._buffer = base._buffer if base is not None else Buffer(host.nbytes)
        keep(self._buffer, host)

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: self.transpose())

    @property
    def data(self) -> Pointer:
        """Where the first element lies: `data.ptr`."""
        return Pointer(self._host.__array_interface__["data"][0])

    def __array__(self, *args, **kwargs):
        raise TypeError("an array of the emulated device does not become a NumPy array by itself: call .get()")

    def get(self) -> np.ndarray:
        """A NumPy copy; waits for the device, which a captured step cannot."""
        refuse_while_capturing("read numbers back from the device")
        return self._host.copy()

    def item(self):
        """The one number of a one-element array."""
        return self.get().item()

    def set(self, host: np.ndarray) -> None:
        """Copies a NumPy array of the same shape and dtype in."""
        refuse_while_capturing("copy from the host")
        if host.shape != self.shape or host.dtype != self.dtype:
            raise ValueError(f"set: {host.shape} {host.dtype} into {self.shape} {self.dtype}")
        counts["upload"] += 1
        self._host[...] = host

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __len__(self):
        return len(self._host)

    def __repr__(self):
        return f"emulated {self._host!r}"

    def _view(self, host):
        return Array(host, self if self.base is None else self.base)

    def _moved(self, host):
        """A view where NumPy made one, otherwise a copy, which is a launch."""
        return self._view(host) if np.shares_memory(host, self._host) or not host.size else _fresh("copy", host)

    def __getitem__(self, index):
        if _advanced(index):
            return _compute("take", lambda: self._host[_index(index)], lambda: self._host[_index(index, np.zeros_like)])
        picked = self._host[_index(index)]
        if not isinstance(picked, np.ndarray):  # one element: a 0-d view, as CuPy gives
            picked = self._host[(*index, ...) if isinstance(index, tuple) else (index, ...)]
        return self._view(picked)

    def __setitem__(self, index, value):
        place, value = _index(index), _value("setitem", value)
        execute("copy", lambda: self._host.__setitem__(place, value))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape):
        """The same numbers in another shape."""
        return self._moved(self._host.reshape(*shape))

    def ravel(self):
        """The same numbers in one row."""
        return self.reshape(-1)

    def transpose(self, *axes):
        """Axes in another order."""
        return self._view(self._host.transpose(*axes))

    def astype(self, dtype):
        """A copy of another dtype."""
        return _compute("astype", lambda: self._host.astype(dtype))

    def copy(self):
        """A contiguous copy."""
        return _compute("copy", lambda: self._host.copy())

    def fill(self, number):
        """The same number everywhere."""
        execute("fill", lambda: self._host.fill(number))


ndarray = Array  # the name that CuPy gives it


def _index(index, seen=np.asarray):
    """What NumPy indexes with: integer arrays of the device as their host memory, `seen`; host arrays are refused."""
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(seen(_value("index", p)) if isinstance(p, np.ndarray | Array) else p for p in parts)
    return parts if isinstance(index, tuple) else parts[0]


def _advanced(index):
    return any(isinstance(p, Array | list) for p in (index if isinstance(index, tuple) else (index,)))


def _value(name, x):
    """The memory behind x, or x itself if it is a number. Raises TypeError for an array of the host."""
    if isinstance(x, Array):
        return x._host
    if isinstance(x, _scalars):
        return x
    raise TypeError(f"{name}: {type(x).__name__} is not on the emulated device: move it with asarray(...)")


def _fresh(name, host):
    """A new array with the numbers that `host` has when the launch runs."""
    return _compute(name, lambda: np.array(host, order="C"))


def _compute(name: str, function: Callable, shaped: Callable | None = None) -> Array:
    """A new array with what `function` gives; in a capture it, or `shaped`, runs for the shape, numbers are poison."""
    if not capturing():
        counts[name] += 1
        return Array(np.array(function(), order="C", copy=None))
    with np.errstate(all="ignore"):
        like = (shaped or function)()
    out = empty(like.shape, like.dtype)
    execute(name, lambda: np.copyto(out._host, function()))
    return out


def empty(shape: Any, dtype: Any = np.float64) -> Array:
    """Memory that nobody has written: NaN, or a number no index should have."""
    host = np.empty(shape, dtype)
    host.fill(np.nan if host.dtype.kind == "f" else True if host.dtype.kind == "b" else np.iinfo(host.dtype).max // 3)
    return Array(host)


def full(shape: Any, number: Any, dtype: Any = np.float64) -> Array:
    """The same number everywhere: one launch."""
    y = empty(shape, dtype)
    y.fill(_value("full", number))
    return y


def zeros(shape: Any, dtype: Any = np.float64) -> Array:
    """Zeros."""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = np.float64) -> Array:
    """Ones."""
    return full(shape, 1, dtype)


def full_like(x: Array, number: Any) -> Array:
    """One number everywhere, in the shape and dtype of x."""
    return full(x.shape, number, x.dtype)


def zeros_like(x: Array) -> Array:
    """Zeros in the shape and dtype of x."""
    return full_like(x, 0)


def ones_like(x: Array) -> Array:
    """Ones in the shape and dtype of x."""
    return full_like(x, 1)


def asarray(x: Any, dtype: Any = None) -> Array:
    """x on the device: a copy from the host, unless it is there already."""
    if isinstance(x, Array):
        return x if dtype is None or x.dtype == dtype else x.astype(dtype)
    host = np.array(x, dtype, order="C")
    y = Array(np.empty_like(host))
    y.set(host)
    return y


array = asarray


def ascontiguousarray(x: Array) -> Array:
    """x itself if it is contiguous, otherwise a copy."""
    return x if x.flags.c_contiguous else x.copy()


def arange(*bounds: int, dtype: Any = None) -> Array:
    """Numbers in order, made on the device."""
    return _compute("arange", lambda: np.arange(*bounds, dtype=dtype))


def concatenate(xs: Any, axis: int = 0) -> Array:
    """Arrays joined along `axis`."""
    hosts = [_value("concatenate", x) for x in xs]
    return _compute("concatenate", lambda: np.concatenate(hosts, axis))


def broadcast_to(x: Array, shape: Any) -> Array:
    """A view of x repeated to `shape`."""
    return x._view(np.broadcast_to(x._host, shape))


def moveaxis(x: Array, source: int, destination: int) -> Array:
    """A view with one axis moved."""
    return x._view(np.moveaxis(x._host, source, destination))


def pad(x: Array, widths: Any, mode: str = "constant") -> Array:
    """x with more on each side."""
    return _compute("pad", lambda: np.pad(x._host, widths, mode=mode))


def _elementwise(name: str) -> Callable[..., Array]:
    function = getattr(np, name)

    def apply(*xs):
        hosts = [_value(name, x) for x in xs]
        return _compute(name, lambda: np.asarray(function(*hosts)))

    apply.__name__, apply.__doc__ = name, f"numpy.{name} on arrays of the device."
    return apply


for _name in (
    *("sqrt", "square", "exp", "log", "log1p", "tanh", "abs", "sign", "isfinite", "negative"),
    *("add", "subtract", "multiply", "true_divide", "power", "maximum", "minimum", "heaviside", "where"),
    *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and"),
):
    globals()[_name] = _elementwise(_name)


def _at(x: Array, index: Any, value: Array) -> None:
    place, value = _index(index), _value("add.at", value)
    execute("add.at", lambda: np.add.at(x._host, place, value))


add = globals()["add"]
add.at = _at

def _reduction(name: str) -> Callable[..., Array]:
    def reduce(self, **how):
        return _compute(name, lambda: np.asarray(getattr(self._host, name)(**how)))

    reduce.__doc__ = f"numpy.ndarray.{name}, a 0-d array for one number."
    return reduce


def _binary(name: str, *, mirrored: bool = False) -> Callable:
    function = globals()[name]
    return (lambda self, other: function(other, self)) if mirrored else lambda self, other: function(self, other)


def _inplace(name: str) -> Callable:
    ufunc = getattr(np, name)

    def apply(self, other):
        value = _value(name, other)
        execute(name, lambda: ufunc(self._host, value, out=self._host))
        return self

    return apply


for _name in ("sum", "mean", "max", "min", "argmax", "all"):
    setattr(Array, _name, _reduction(_name))
for _sign, _name in {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "pow": "power"},
    **{"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"},
    **{"eq": "equal", "ne": "not_equal", "and": "logical_and"},
}.items():
    setattr(Array, f"__{_sign}__", _binary(_name))
    if _sign in ("add", "sub", "mul", "truediv", "pow"):
        setattr(Array, f"__r{_sign}__", _binary(_name, mirrored=True))
        setattr(Array, f"__i{_sign}__", _inplace(_name))
Array.__neg__, Array.__abs__ = (lambda self: globals()["negative"](self)), (lambda self: globals()["abs"](self))
