"""Readers of the three classic record formats: idx (the MNIST family), CIFAR binary, LIBSVM text (USPS).

Every reader takes a path and a Request and gives a Dataset of uint8 pictures at their stored size. Headers
are checked against the bytes that are there before anything is allocated. `.npz` files are in `npz.py`;
resizing is `decode.fit`. Read next: `npz.py`, or `sources.py` for who calls this.
"""

import bz2
import tarfile
from math import prod
from pathlib import Path

import numpy as np

from inachus.engine.data import bounded
from inachus.engine.data.bounded import NoSplit, fault, shown
from inachus.engine.data.dataset import Dataset, Request, numbered_classes

IDX_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
IDX_PREFIX = {"train": "train", "test": "t10k"}
IDX_NAMES = ("{split}-{kind}-idx{rank}-ubyte", "{split}-{kind}.idx{rank}-ubyte")

CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CIFAR_RECORD = 1 + 3 * 32 * 32  # one label byte, then the red, green and blue planes
CIFAR_FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}

USPS_FILES = {"train": "usps.bz2", "test": "usps.t.bz2"}
USPS_INDICES = range(1, 16 * 16 + 1)
USPS_TEXT = 2**26  # most bytes of text; the real training file has under half of this


# --- idx ---------------------------------------------------------------------------------------------------


def read_idx(path: Path, rank: int) -> np.ndarray:
    """The uint8 array of an idx file, plain or gzip, with `rank` dimensions (3 for pictures, 1 for labels).

    Raises DataError for a wrong magic number, dimensions of 0, a header that promises more or fewer bytes
    than the file holds, and damaged compression.
    """
    with bounded.open_unpacked(path) as (file, most):
        head = file.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES:
            what = bounded.looks_like(head + file.read(60)) or f"first bytes {head.hex()}"
            raise fault(path, f"not an idx file: {what}")
        if head[2] != 0x08 or head[3] != rank:
            found = f"{IDX_TYPES[head[2]]} of rank {head[3]}"
            raise fault(path, f"expected uint8 of rank {rank} (magic {2048 + rank}), not {found}")
        sizes = bounded.read_exactly(file, 4 * rank, path).view(">u4")
        shape = tuple(int(size) for size in sizes)  # Python integers: the product cannot overflow
        count = prod(shape)
        if not 0 < count <= most:
            raise fault(path, f"declares {shape} = {count:,} bytes, but can hold at most {most:,}")
        bounded.check_memory(count, path)
        content = bounded.read_exactly(file, count, path)
        bounded.expect_end(file, path)
    return content.reshape(shape)


def idx_dataset(path: Path, request: Request) -> Dataset:
    """The pictures of one idx file, with the labels beside it if there is a file by the usual name."""
    if request.split == "test":
        raise fault(path, "one idx file has no test split: pass its folder, or the test file", NoSplit)
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return _idx_pair(path, beside if beside != path and beside.exists() else None)


def idx_folder(folder: Path, request: Request) -> Dataset:
    """The split of a folder that holds the MNIST family's four files, compressed or not."""
    pictures, labels = find_idx(folder, request.split, "images"), find_idx(folder, request.split, "labels")
    if pictures is None:
        wanted = f"{IDX_PREFIX[request.split]}-images-idx3-ubyte(.gz)"
        raise fault(folder, f"no {request.split} split: {wanted} is missing", NoSplit)
    return _idx_pair(pictures, labels)


def find_idx(folder: Path, split: str, kind: str) -> Path | None:
    """The file of `kind` ("images" or "labels") under any of its usual names, or None."""
    rank = {"images": 3, "labels": 1}[kind]
    stems = [name.format(split=IDX_PREFIX[split], kind=kind, rank=rank) for name in IDX_NAMES]
    paths = [folder / (stem + ending) for ending in (".gz", "") for stem in stems]
    return next((path for path in paths if path.is_file()), None)


def _idx_pair(pictures: Path, labels: Path | None) -> Dataset:
    items = read_idx(pictures, 3)[..., None]  # (N,H,W) -> (N,H,W,1)
    if labels is None:
        return Dataset(pictures.name, items, source=shown(pictures), notes=["no labels file beside it"])
    numbers = read_idx(labels, 1).astype(np.int64)
    if len(numbers) != len(items):
        raise fault(labels, f"{len(numbers)} labels for {len(items)} pictures in {pictures.name}")
    return Dataset(pictures.name, items, numbers, numbered_classes(shown(labels), numbers), shown(pictures))


# --- CIFAR-10 ----------------------------------------------------------------------------------------------


def cifar_file(path: Path, request: Request) -> Dataset:
    """The pictures (N,32,32,3) of one CIFAR-10 `.bin` file."""
    if request.split == "test" and path.name not in CIFAR_FILES["test"]:
        raise fault(path, "not the test file: pass its folder, or test_batch.bin", NoSplit)
    return _cifar_dataset(path, [_cifar_bytes(path)])


def cifar_folder(folder: Path, request: Request) -> Dataset:
    """The split of a folder with data_batch_1..5.bin and test_batch.bin; DataError for a missing file."""
    paths = [folder / name for name in CIFAR_FILES[request.split]]
    return _cifar_dataset(folder, [_cifar_bytes(path) for path in paths])


def cifar_archive(path: Path, request: Request) -> Dataset:
    """The split of cifar-10-binary.tar.gz, read as a stream; nothing is unpacked to disk."""
    wanted = CIFAR_FILES[request.split]
    found = {}
    with bounded.open_unpacked(path) as (file, _):
        stream = bounded.Capped(file, 2**30, path)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in ("data_batch_1", "test_batch"):
                    refuse_pickle(path)
                if name in wanted and member.isreg():
                    found[name] = bounded.read_exactly(archive.extractfile(member), member.size, path)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise fault(path, f"{', '.join(missing)} missing: is this cifar-10-binary.tar.gz?")
    return _cifar_dataset(path, [found[name] for name in wanted])


def refuse_pickle(path: Path) -> None:
    """Always raises DataError: pickles are never opened, because opening one can run code."""
    remedy = "save the arrays with numpy.savez(path, x=..., y=...), or take CIFAR-10's binary edition"
    raise fault(path, f"a pickle, which can run code when opened: refused; {remedy}")


def _cifar_bytes(path: Path) -> np.ndarray:
    with bounded.open_regular(path) as file, bounded.data_errors(path):
        return np.frombuffer(bounded.read_all(file, 2**30, path), np.uint8)


def _cifar_dataset(path: Path, files: list[np.ndarray]) -> Dataset:
    for content in files:
        if not content.size or content.size % CIFAR_RECORD:
            rule = f"a multiple of {CIFAR_RECORD} (label + 32x32x3)"
            raise fault(path, f"{content.size:,} bytes is not {rule}: truncated, or not CIFAR-10")
    records = np.concatenate(files).reshape(-1, CIFAR_RECORD)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)  # (N,C,H,W)
    items = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))  # (N,H,W,C)
    return Dataset(path.name, items, records[:, 0].astype(np.int64), list(CIFAR_CLASSES), shown(path))


# --- USPS --------------------------------------------------------------------------------------------------


def usps_folder(folder: Path, request: Request) -> Dataset:
    """LIBSVM's USPS text: `label index:value ...`, labels 1..10 for digits 0..9, 16x16 values in [-1,1]."""
    path = folder / USPS_FILES[request.split]
    with bounded.open_regular(path) as raw, bounded.data_errors(path), bz2.BZ2File(raw) as file:
        lines = bounded.read_all(file, USPS_TEXT, path).decode("ascii").splitlines()
    items = np.full((len(lines), 16 * 16), -1.0, np.float32)  # an index the text leaves out is background
    labels = np.empty(len(lines), np.int64)
    for row, line in enumerate(lines):
        with bounded.data_errors(f"{path}, line {row + 1}", kinds=(ValueError, IndexError)):
            label, *pairs = line.split()
            labels[row] = int(label) - 1
            for pair in pairs:
                index, _, value = pair.partition(":")
                items[row, USPS_INDICES.index(int(index))] = float(value)
    if not np.all(np.abs(items) <= 1):
        raise fault(path, "values outside [-1,1]: not LIBSVM's USPS")
    pictures = np.rint((items + 1) * 127.5).astype(np.uint8).reshape(-1, 16, 16, 1)
    return Dataset(path.name, pictures, labels, [str(digit) for digit in range(10)], shown(path))
