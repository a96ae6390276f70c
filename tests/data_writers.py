"""Writers of small good data files, and `refused`, which watches bad ones fail. It holds no test."""

import gzip
import io
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from inachus.engine.data import bounded, load
from inachus.engine.errors import DataError


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_mnist_folder(folder, rng, train=12, test=5):
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", test)):
        pictures = rng.integers(0, 256, (count, 9, 7), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(pictures)))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))


def encoded(image: Image.Image, format="PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def picture(seed=0, mode="RGB", size=(8, 8)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def write_tree(folder, names, **options):
    """One small, different picture for each name."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(seed, **options)))
    return folder


def write_zip(path, entries: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def cifar_bytes(items: np.ndarray, labels) -> bytes:
    planes = items.transpose(0, 3, 1, 2).reshape(len(items), -1)  # (N,H,W,C) -> (N,C*H*W)
    return np.concatenate([np.array(labels, np.uint8)[:, None], planes], axis=1).tobytes()


def refused(path, match=None, **options):
    """Loading fails with one DataError, in one line, that names the file, within 16 MB and 5 seconds."""
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(DataError, match=match) as caught:
        load(path, **options)
    seconds, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24 and seconds < 5, f"{peak:,} bytes, {seconds:.1f} s"
    message = str(caught.value)
    assert bounded.shown(path) in message
    assert "\n" not in message
    return message
