"""Which device a command computes on: what can be asked for, what is there, and what to do about one that is not."""

from inachus.engine.errors import UsageError

DEVICE_HELP = "auto (the best here), cuda, cpu, reference, or emulated (CUDA kernels without a GPU, slow)"
PRECISIONS = ("tf32", "fp32", "bf16")


def choose(name: str, precision: str = "tf32") -> str:
    """Computes on this device from now on, "auto" being the best one here, and returns its name.

    Raises UsageError that says what a device lacks.
    """
    from inachus.kernels import use

    name = _present(name)
    backend = use(name)
    if hasattr(backend, "use_precision"):
        backend.use_precision(precision)
    return name


def _present(name: str) -> str:
    from inachus.kernels import NAMES, best, problem
    from inachus.models.settings import nearest

    if name == "auto":
        return best()
    if name not in NAMES:
        raise UsageError(f"unknown device '{name}'{nearest(name, ('auto', *NAMES))}")
    if lack := problem(name):
        raise UsageError(f"device {name}: {lack}; or pass --device {best()}")
    return name
