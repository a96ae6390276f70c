"""Pairs: two sides of pictures, `a` and `b`, for what translates one into the other.

True pairs (a[i] belongs to b[i]) or two heaps without partners. Loading them is `sources.load_pairs`, which the data
room exports. Read next: `dataset.py`, then `layouts.py` (what lies where), `maps.py` (class maps), `sources.py`.
"""

from inachus.engine.data.pairs.dataset import Jitter, PairBatch, PairBatches, Pairs

__all__ = ["Jitter", "PairBatch", "PairBatches", "Pairs"]
