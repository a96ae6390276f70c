"""One kernel at one size as a set of sides that can be timed: our versions, cuDNN, cuBLAS, PyTorch's own kernels.

A subject is a pass of a layer (`passes.py`) or a case (`loops.py`). Its sides are checked against `kernels/reference`
in float64 before a clock sees them. Used by `kernels.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
from cases.loops import Case
from cases.passes import PRODUCTS, arrays, as_ours, ours, torchs
from cases.shapes import Layer
from measure.ceilings import multiply, product

from inachus.kernels import fetch, home, place, reference, selected

NAIVE = 2e10  # operations beyond which a naive kernel is not run


@dataclass
class Subject:
    """A kernel at a size: what it costs, what it should give, and who computes it."""

    op: str
    network: str
    layer: str
    shape: str
    precision: str  # "" for kernels that multiply no matrices
    flops: int
    bytes: int
    expected: tuple  # results in float64, rounded to float32, on the device
    sides: dict[str, Callable]  # name: a function that prepares a call and returns it
    rival: str
    as_ours: Callable = lambda tensor: tensor  # a result of PyTorch's in our order of axes
    unchecked: tuple[str, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)  # bytes, of sides that move others


def on_gpu() -> bool:
    """True if the selected device is a GPU."""
    return home().__name__ == "cupy"


def torch_device() -> str:
    """Where PyTorch's side computes."""
    return "cuda" if on_gpu() else "cpu"


def use_precision(name: str, with_torch: bool) -> None:
    """Of all sides."""
    selected().use_precision(name)
    if with_torch:
        import torch

        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "tf32"


def error(results, subject: Subject) -> float:
    """The largest difference from the expected results, relative to the largest number of each; NaN stays NaN."""
    worst, results = 0.0, results if isinstance(results, tuple | list) else (results,)
    for found, expected in zip(results, subject.expected, strict=True):
        if type(found).__module__.startswith("torch"):
            found = subject.as_ours(found).float()
            expected = _tensor(expected, found.device)
        if tuple(found.shape) != tuple(expected.shape):
            return float("inf")
        off, scale = float(abs(found - expected).max()), float(abs(expected).max())
        worst = max(worst, off / max(scale, 1e-30)) if off == off else off
    return worst


def _tensor(array, device):
    import torch

    return torch.from_dlpack(array) if on_gpu() else torch.from_numpy(fetch(array)).to(device)


def _on_device(results) -> tuple:
    results = results if isinstance(results, tuple | list) else (results,)
    return tuple(place(np.asarray(r, np.float32)) for r in results)


# --- passes of a layer -----------------------------------------------------------------------------------------


class Passes:
    """The passes of one layer at one batch: `subject(op, precision)` for each op of `names`."""

    def __init__(self, network: str, layer: Layer, batch: int, with_torch: bool):
        self.network, self.layer, self.batch, self.with_torch = network, layer, batch, with_torch
        self.host = arrays(layer, batch)
        exact, there = (SimpleNamespace(**vars(self.host)) for _ in "ab")
        for name, array in vars(self.host).items():
            if isinstance(array, np.ndarray):
                setattr(exact, name, array.astype(np.float64))
                setattr(there, name, place(array))
        self.there, self.exact, self.expected, self.others = there, ours(reference, layer, exact), {}, {}
        self.ours = ours(selected(), layer, there)
        self.names = list(self.ours)

    def subject(self, op: str, precision: str, versions: bool, tiles: bool) -> Subject:
        """One of them; with `versions` beside the naive kernels, with `tiles` beside all tiles that fit."""
        if op not in self.expected:
            self.expected[op] = _on_device(self.exact[op]()())
        multiplies = op in PRODUCTS
        cost = self.layer.flops(self.batch) if multiplies else 0
        rival = "cudnn" if multiplies else "torch"
        sides = {"ours": self.ours[op]}
        if self.with_torch:
            sides[rival] = self._torchs("bfloat16" if precision == "bf16" else "float32")[op]
        if multiplies and on_gpu() and (size := self.layer.product(op, self.batch)) and precision != "bf16":
            run = product(*size, precision)
            sides["cublas, same product"] = lambda: run
        if versions and precision in ("", "fp32") and cost < NAIVE:
            sides |= self._naive(op)
        if tiles and multiplies:
            sides |= self._tiles(op, precision)
        shape = f"batch {self.batch}"
        found = Subject(op, self.network, self.layer.describe(op), shape, precision, cost, self._bytes(op, 4),
                        self.expected[op], sides, rival, lambda t: as_ours(op, t), ("cublas, same product",))
        if precision == "bf16":
            found.sizes[rival] = self._bytes(op, 2)
        return found

    def _bytes(self, op, itemsize):
        if op in PRODUCTS:
            return self.layer.bytes(self.batch, itemsize)
        passes = {"norm": 2, "norm_bwd": 4, "leaky_relu": 2, "leaky_relu_bwd": 3}[op]  # arrays of the output's size
        return passes * itemsize * self.batch * self.layer.out**2 * self.layer.O

    def _torchs(self, dtype):
        if dtype not in self.others:
            self.others[dtype] = torchs(self.layer, self.host, True, torch_device(), dtype)
        return self.others[dtype]

    def _naive(self, op):
        sides = {}
        if op in PRODUCTS:
            sides["cuda naive"] = self._forced(op, "naive")
        elif op == "norm":
            from inachus.kernels.cuda.loops import norm

            a, layer = self.there, self.layer
            sides["cuda naive"] = lambda: lambda: norm.naive(a.v, a.gamma, a.beta, a.groups, 1e-5, layer.slope)[0]
        if on_gpu() and find_spec("numba"):
            sides["numba naive"] = lambda: self._numba[op]()
        return sides

    @cached_property
    def _numba(self):
        from inachus.kernels.cuda import naive

        return ours(naive, self.layer, self.there)

    def _forced(self, op, tile, splits=1):
        from inachus.kernels.cuda.convolution.tiles import forced

        def prepare():
            run = self.ours[op]()

            def call():
                with forced(tile, splits):
                    return run()

            return call

        return prepare

    def _tiles(self, op, precision):
        """Every tile that fits, with as many parts as the chosen one has, if so many make sense."""
        from inachus.kernels.cuda.convolution import conv, tiles

        found = conv.example(*self.convolution(op), self.there.x)[1]
        chosen = tiles.choose(found, precision, self.there.x)
        names = {c.tile for c in tiles.candidates(found, precision)}
        parts = {n: chosen.splits if tiles.Choice(n, chosen.splits) in tiles.candidates(found, precision) else 1
                 for n in sorted(names)}
        return {f"tile {name} / {n}": self._forced(op, name, n) for name, n in parts.items()}

    def convolution(self, op: str) -> tuple:
        """(kernel, x's shape, w's shape, stride, pad) of a pass, as the tuner wants it."""
        layer, shapes = self.layer, self.layer.shapes(self.batch)
        image = shapes["gy" if layer.up else "x"]  # the larger picture
        kernel = {"dw": "conv2d_dw"}.get(op, "conv2d" if (op == "forward") != layer.up else "conv2d_dx")
        return kernel, image, shapes["w"], layer.S, layer.P


# --- cases -----------------------------------------------------------------------------------------------------


def case_subject(case: Case, with_torch: bool) -> Subject:
    """A case as a subject; every side has arrays of its own, because some change them."""
    host = case.arrays()
    exact = _each(lambda x: x.astype(np.float64), host)
    results = case.ours(reference, exact)
    results = [exact[name] for name in case.changes] if case.changes else results
    sides = {"ours": _ours(case, _each(place, host))}
    if with_torch:
        import torch

        device = torch_device()
        tensors = _each(lambda x: torch.from_numpy(x.copy()).to(device), host) | {"device": device}
        sides["torch"] = _torchs(case, case.torch(torch, tensors), tensors)
    size = case.bytes(host, _float32(results))
    expected = tuple(r for result in results for r in _on_device(result)) if case.changes else _on_device(results)
    return Subject(case.op, case.network, case.layer, case.layer, "", 0, size, expected, sides, "torch",
                   unchecked=() if case.checked else ("torch",))


def _each(function, arrays: dict) -> dict:
    return {name: [function(x) for x in a] if isinstance(a, list) else function(a) for name, a in arrays.items()}


def _float32(results):
    return [_float32(r) for r in results] if isinstance(results, tuple | list) else np.asarray(results, np.float32)


def _changed(case, a, results):
    """What is to be checked: the results, or the arrays that were changed."""
    if not case.changes:
        return results
    return [x for name in case.changes for x in (a[name] if isinstance(a[name], list) else [a[name]])]


def _ours(case, a):
    return lambda: lambda: _changed(case, a, case.ours(selected(), a))


def _torchs(case, run, a):
    return lambda: lambda: _changed(case, a, run())


# --- plain products --------------------------------------------------------------------------------------------


def product_subject(network: str, M: int, N: int, K: int, precision: str, with_torch: bool, versions: bool) -> Subject:
    """A dense layer: (M, K) . (K, N), beside cuBLAS and, with `versions`, beside Numba's two."""
    rng = np.random.default_rng(0)
    host = [rng.standard_normal(shape, dtype=np.float32) for shape in ((M, K), (K, N))]
    a, b = map(place, host)
    sides, rival = {"ours": lambda: lambda: selected().matmul(a, b)}, "cublas"
    if with_torch and (precision == "bf16" or not on_gpu()):
        import torch

        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        ta, tb = (torch.from_numpy(x).to(torch_device(), kind) for x in host)
        sides[rival] = lambda: lambda: torch.matmul(ta, tb)
    elif on_gpu():
        sides[rival] = lambda: lambda: multiply(a, b, precision)
    if versions and precision == "fp32" and on_gpu() and find_spec("numba") and 2 * M * N * K < NAIVE:
        from inachus.kernels.cuda import naive

        sides |= {"numba naive": lambda: lambda: naive.matmul(a, b)}
        sides |= {"numba tiled": lambda: lambda: naive.matmul_tiled(a, b)}
    expected = _on_device(host[0].astype(np.float64) @ host[1])
    return Subject("matmul", network, f"{M} x {K} . {K} x {N}", f"{M}x{K}x{N}", precision, 2 * M * N * K,
                   4 * (M * N + M * K + K * N), expected, sides, rival)
