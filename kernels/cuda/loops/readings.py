"""What a step tells about itself, kept on the device until it is read: the launcher of `readings.cu`."""

import numpy as np

from inachus.kernels import address, xp
from inachus.kernels.cuda.graph import dial
from inachus.kernels.cuda.launch import launch

MOST = 16  # arrays of one step
ARRAYS = np.dtype([("data", np.uint64, MOST), ("size", np.int64, MOST), ("wide", np.int32, MOST)], align=True)


def keep_means(ring, row, arrays) -> None:
    """ring[row, i] = mean of arrays[i]; ring (rows, 16) float32, row a number or a dial. Raises ValueError above 16."""
    if len(arrays) > MOST:
        raise ValueError(f"a step can tell {MOST} numbers, not {len(arrays)}")
    arrays, table = [xp(ring).ascontiguousarray(a) for a in arrays], np.zeros(1, ARRAYS)
    for i, a in enumerate(arrays):
        table["data"][0, i], table["size"][0, i], table["wide"][0, i] = address(a), a.size, a.itemsize == 8
    value, where = dial(row)
    args = (ring, np.uint64(value), where, table)
    launch("loops/readings.cu", "keep_means", len(arrays), 256, args, like=ring, shared=256 * 8)
