"""Every model by its name: `step(batch) -> {name: float}` and `sample(n) -> items`. Read `generation/gan.py`."""

if not __name__.startswith("inachus."):
    raise ImportError("import inachus.models, not models: two names would make two different Tensor classes")

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inachus.models.table import MODELS

__all__ = ["MODELS"]


def __getattr__(name: str) -> Any:
    """MODELS, made when it is first asked for: the command line explains itself before that."""
    if name != "MODELS":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from inachus.models import table

    globals()["MODELS"] = table.MODELS
    return table.MODELS
