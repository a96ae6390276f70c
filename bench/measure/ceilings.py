"""What this GPU can do at most, measured in the same run as what is compared with it: the roof of the roofline.

    copy_gbps             a copy of 1 GB within the device, bytes read and written
    fp32_tflops           multiply-adds of the processors (ceilings.cu)
    tf32_tflops, bf16_tflops            products of tensor cores through mma.sync, from registers (ceilings.cu)
    cublas_fp32_tflops, ..tf32.., ..bf16..   cuBLAS on 8192 x 8192 x 8192, random numbers

On Hopper mma.sync reaches about two thirds of what wgmma does, which cuBLAS uses: a roof is the higher of the two.
"""

from functools import partial

import numpy as np
from measure.clock import CEILINGS, measure

from inachus.kernels import home, selected
from inachus.kernels.cuda.launch import launch

TURNS = 4096
SIDE = 8192  # of the matrices


def ceilings(on, with_torch: bool) -> dict[str, float]:
    """All of them."""
    found, blocks = {}, 4 * home().cuda.Device().attributes["MultiProcessorCount"]
    for name, kernel, operations in (
        ("fp32_tflops", "fp32_loop", 256 * 32),  # of a block in a turn
        ("tf32_tflops", "tf32_loop", 8 * 8 * 2048),
        ("bf16_tflops", "bf16_loop", 8 * 8 * 4096),
    ):
        us = _best(on, partial(loop, kernel, home().empty(blocks * 256, np.float32), TURNS))
        found[name] = blocks * TURNS * operations / us / 1e6
    a, b = (home().empty(1 << 30, np.uint8) for _ in "ab")
    us = _best(on, lambda: b.data.copy_from_device_async(a.data, a.nbytes, on.stream))
    found["copy_gbps"] = 2 * a.nbytes / us / 1e3
    return {name: float(f"{value:.4g}") for name, value in (found | _cublas(on, with_torch)).items()}


def loop(kernel: str, out, turns: int) -> None:
    """One launch of a loop of ceilings.cu in blocks of 256 threads, one for each number of `out`."""
    launch(CEILINGS, kernel, out.size // 256, 256, (out, turns), like=out)


def roofs(found: dict[str, float]) -> dict[str, float]:
    """TFLOP/s by precision; fp32 counts three products of tf32, which are as exact, as one."""
    roof = {p: max(found.get(f"{p}_tflops", 0), found.get(f"cublas_{p}_tflops", 0)) for p in ("tf32", "fp32", "bf16")}
    return roof | {"fp32": max(roof["fp32"], roof["tf32"] / 3)}


def floor_us(flops: float, size: float, precision: str, found: dict[str, float]) -> float | None:
    """The least time for so many operations and bytes; None where no ceilings were measured."""
    if "copy_gbps" not in found:
        return None
    return max(flops / roofs(found).get(precision, np.inf) / 1e6, size / found["copy_gbps"] / 1e3)


def _best(on, run) -> float:
    """Microseconds, of the faster half: a ceiling is not the time of a busy moment."""
    return float(np.percentile(measure(on, {"": lambda: run}, 0.05)[""], 25))


def _cublas(on, with_torch) -> dict[str, float]:
    sides = {p: product(SIDE, SIDE, SIDE, p) for p in ("fp32", "tf32", *(["bf16"] if with_torch else []))}
    return {f"cublas_{p}_tflops": 2 * SIDE**3 / _best(on, run) / 1e6 for p, run in sides.items()}


def product(M: int, N: int, K: int, precision: str):
    """A function that multiplies random matrices with cuBLAS, through CuPy, in bf16 through PyTorch."""
    if precision == "bf16":
        import torch

        a, b = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for shape in ((M, K), (K, N)))
        return lambda: torch.matmul(a, b)
    a, b = (selected().normal(0, i, 0, shape, np.float32) for i, shape in enumerate(((M, K), (K, N))))
    return lambda: multiply(a, b, precision)


def multiply(a, b, precision: str):
    """a b of CuPy's matrices, by cuBLAS in fp32 or tf32."""
    from cupy import _core as core
    from cupy._core import _routines_linalg as modes

    before = core.get_compute_type(np.float32)
    core.set_compute_type(np.float32, modes.COMPUTE_TYPE_TF32 if precision == "tf32" else modes.COMPUTE_TYPE_DEFAULT)
    try:
        return a @ b
    finally:
        core.set_compute_type(np.float32, before)
