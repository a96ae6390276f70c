"""The data room: named, drawn and user-made data sets as plain arrays, and the batches drawn from them.

What it is not: it knows no Tensor and no GAN; a model receives `Batch.items`, or `PairBatch.a` and `b`, and wraps them.
Read next: `dataset.py` (what a data set and a batch are), `sources.py` (how a name or path becomes one), `pairs/`.
"""

from inachus.engine.data.adaptation import DomainBatches, Domains, load_domains
from inachus.engine.data.bounded import NoSplit
from inachus.engine.data.cache import fetch
from inachus.engine.data.dataset import Ahead, Batch, Batches, Dataset
from inachus.engine.data.fewlabels import FewLabels, few
from inachus.engine.data.findings import Findings, check
from inachus.engine.data.mixtures import MIXTURES
from inachus.engine.data.pairs import Jitter, PairBatch, PairBatches, Pairs
from inachus.engine.data.pairs.sources import load_pairs
from inachus.engine.data.sources import lasting, list_sources, load

__all__ = [
    "MIXTURES",
    "Ahead",
    "Batch",
    "Batches",
    "Dataset",
    "DomainBatches",
    "Domains",
    "FewLabels",
    "Findings",
    "Jitter",
    "NoSplit",
    "PairBatch",
    "PairBatches",
    "Pairs",
    "check",
    "fetch",
    "few",
    "lasting",
    "list_sources",
    "load",
    "load_domains",
    "load_pairs",
]
