"""The data room: named, drawn and user-made data sets as plain arrays, and the batches drawn from them.

What it is not: it knows no Tensor and no GAN; a model receives `Batch.items` and wraps them itself.
Read next: `dataset.py` (what a data set and a batch are), then `sources.py` (how a name or path becomes one).
"""

from inachus.engine.data.bounded import NoSplit
from inachus.engine.data.cache import fetch
from inachus.engine.data.dataset import Batch, Batches, Dataset
from inachus.engine.data.drawn import MIXTURES
from inachus.engine.data.sources import Findings, check, lasting, list_sources, load

__all__ = [
    "MIXTURES",
    "Batch",
    "Batches",
    "Dataset",
    "Findings",
    "NoSplit",
    "check",
    "fetch",
    "lasting",
    "list_sources",
    "load",
]
