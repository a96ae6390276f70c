"""From a name or a path to a Dataset: `load`, `list_sources` and the tables they look things up in.

No format is parsed here: `arrays.py`, `npz.py`, `pictures.py` do that, `drawn.py` and `textures.py` draw, `cache.py`
downloads. A named data set is looked for in `$INACHUS_DATA/NAME`, in `$INACHUS_DATA` itself, then in the cache; a
relative path that does not exist is tried below `$INACHUS_DATA`. Read next: `pictures.py`.
"""

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from inachus.engine.data import arrays, decode, drawn, faces, mixtures, pictures, textures
from inachus.engine.data.bounded import NoSplit, fault, shown
from inachus.engine.data.cache import REMOTES, cache_folder, checksum, fetch
from inachus.engine.data.dataset import Dataset, Request, check_labels
from inachus.engine.data.npz import npz_dataset
from inachus.engine.data.pairs import domains, shapes
from inachus.engine.errors import UsageError

DIGIT_NAMES = [str(digit) for digit in range(10)]
FASHION_NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat"]
FASHION_NAMES += ["sandal", "shirt", "sneaker", "bag", "ankle boot"]
Reader = Callable[[Path, Request], Dataset]


# --- paths: what a file or folder is, by its name -----------------------------------------------------------


def _refused(path: Path, request: Request) -> Dataset:
    arrays.refuse_pickle(path)


def _archive(path: Path, request: Request) -> Dataset:
    return (_refused if "python" in path.name else arrays.cifar_archive)(path, request)


ENDINGS: dict[str, Reader] = {  # the first that fits; "" fits every name
    **dict.fromkeys((".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"), _refused),
    **dict.fromkeys((".tar.gz", ".tgz"), _archive),
    ".npz": npz_dataset,
    ".csv": mixtures.from_file,
    ".zip": pictures.picture_dataset,
    ".bin": arrays.cifar_file,
    "": arrays.idx_dataset,
}


def folder_reader(folder: Path) -> Reader:
    """The reader of a folder, by the files in it."""
    kinds: list[tuple[Reader, bool]] = [
        (arrays.idx_folder, any(arrays.find_idx(folder, split, "images") for split in arrays.IDX_PREFIX)),
        (arrays.cifar_folder, any(folder.glob("*_batch*.bin"))),
        (_refused, any(folder.glob("data_batch_[0-9]"))),
    ]
    return next((reader for reader, fits in kinds if fits), pictures.picture_dataset)


def _load_path(path: Path, request: Request) -> Dataset:
    if path.is_dir():
        reader = folder_reader(path)
    else:
        name = path.name.lower()
        reader = next(reader for ending, reader in ENDINGS.items() if name.endswith(ending))
    if request.hold_out and reader is pictures.picture_dataset:
        reader = domains.divided_folders
    return _finished(reader(path, request), path.name, request)


# --- names --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """A published data set: `read` gets the folder its files were found in."""

    name: str
    what: str
    classes: list[str]
    read: Reader
    files: Callable[[Path, str], list[Path]]  # (folder, split) -> the files of the split that are there

    def find(self, split: str) -> Path | None:
        """The first folder that holds the split, or None."""
        return next((folder for folder, sure in self._folders() if self._holds(folder, split, sure)), None)

    def where(self) -> str:
        """The folders of both splits for `data list`."""
        found = {split: self.find(split) for split in ("train", "test")}
        folders = {shown(folder) for folder in found.values() if folder}
        lacking = [split for split, folder in found.items() if folder is None]
        if not folders:
            return f"not found: set INACHUS_DATA or run `inachus data fetch {self.name}`"
        return ", ".join(sorted(folders)) + (f" (no {lacking[0]} split)" if lacking else "")

    def load(self, request: Request, download: bool) -> Dataset:
        """The split as a Dataset; DataError if it is nowhere and may not be downloaded, or is damaged."""
        folder = self.find(request.split)
        if folder is None and download:
            folder = fetch(self.name, progress=request.progress)
        if folder is None:
            looked = ", ".join(shown(folder) for folder, _ in self._folders())
            remedy = f"set INACHUS_DATA to the folder that holds it or run `inachus data fetch {self.name}`"
            raise fault(self.name, f"no {request.split} split found in {looked}: {remedy}", NoSplit)
        dataset = self.read(folder, request)
        if dataset.labels is not None:
            check_labels(dataset.source, dataset.labels, len(dataset), len(self.classes))
            dataset = replace(dataset, classes=list(self.classes))
        return _finished(dataset, self.name, request)

    def _folders(self) -> list[tuple[Path, bool]]:
        """(folder, does its name say which data set it holds?), in the order they are tried."""
        root = os.environ.get("INACHUS_DATA")
        mine = [(Path(root) / self.name, True), (Path(root), False)] if root else []
        return [*mine, (cache_folder(self.name), True)]

    def _holds(self, folder: Path, split: str, sure: bool) -> bool:
        found = self.files(folder, split)
        # MNIST and Fashion-MNIST use the same file names: where the folder does not tell, the checksums do.
        sums = {remote.name: remote.md5 for remote in REMOTES[self.name]}
        return bool(found) and (sure or all(checksum(path) == sums.get(path.name) for path in found))


@dataclass(frozen=True)
class Drawn:
    """A data set that is drawn when asked for."""

    name: str
    what: str
    draw: Callable[[str, Request], Dataset]

    def where(self) -> str:
        """Always available."""
        return "drawn on demand"

    def load(self, request: Request, download: bool) -> Dataset:
        """The split, drawn from (seed, split)."""
        dataset = self.draw(self.name, request)
        return replace(dataset, source=_described(dataset))


def _idx_files(folder: Path, split: str) -> list[Path]:
    found = [arrays.find_idx(folder, split, kind) for kind in ("images", "labels")]
    return found if all(found) else []


def _cifar_files(folder: Path, split: str) -> list[Path]:
    archive = folder / "cifar-10-binary.tar.gz"
    loose = [_cifar_folder(folder) / name for name in arrays.CIFAR_FILES[split]]
    return [archive] if archive.is_file() else loose if all(path.is_file() for path in loose) else []


def _cifar_folder(folder: Path) -> Path:
    unpacked = folder / "cifar-10-batches-bin"
    return unpacked if unpacked.is_dir() else folder


def _read_cifar(folder: Path, request: Request) -> Dataset:
    archive = folder / "cifar-10-binary.tar.gz"
    if archive.is_file():
        return arrays.cifar_archive(archive, request)
    return arrays.cifar_folder(_cifar_folder(folder), request)


def _usps_files(folder: Path, split: str) -> list[Path]:
    path = folder / arrays.USPS_FILES[split]
    return [path] if path.is_file() else []


# How a layout is read, and which of its files a folder holds.
IDX = (arrays.idx_folder, _idx_files)
CIFAR = (_read_cifar, _cifar_files)
USPS = (arrays.usps_folder, _usps_files)

SOURCES: dict[str, Stored | Drawn] = {
    source.name: source
    for source in (
        Drawn("digits", "20,000 + 4,000 digits drawn with Pillow's font, grey 28x28", drawn.digits),
        Drawn("textured-digits", "as many other digits on colourful textures, RGB 28x28", textures.textured_digits),
        Drawn("faces", "13,200 + 2,640 drawn faces in 12 colours of hair x 11 of eyes, RGB 32x32", faces.faces),
        Drawn("mixture-ring8", "points from 8 Gaussians on a ring", mixtures.mixture),
        Drawn("mixture-grid25", "points from 25 Gaussians on a grid", mixtures.mixture),
        Drawn("outlines", "2,000 + 400 line drawings and their paintings, RGB 64x64: true pairs", shapes.domains),
        Drawn("stripes", "2,000 + 400 animals in chestnut, as many in stripes, RGB 64x64: unpaired", shapes.domains),
        Stored("mnist", "60,000 + 10,000 handwritten digits, grey 28x28", DIGIT_NAMES, *IDX),
        Stored("fashion-mnist", "60,000 + 10,000 articles of clothing, grey 28x28", FASHION_NAMES, *IDX),
        Stored("cifar10", "50,000 + 10,000 small photographs, RGB 32x32", arrays.CIFAR_CLASSES, *CIFAR),
        Stored("usps", "7,291 + 2,007 handwritten digits, grey 16x16", DIGIT_NAMES, *USPS),
    )
}


# --- the front door -----------------------------------------------------------------------------------------


def load(
    name_or_path,
    *,
    split="train",
    size=None,
    channels=None,
    limit=None,
    seed=0,
    on_bad="stop",
    download=False,
    progress=None,
    hold_out=0.0,
    mixed=0,
) -> Dataset:
    """The data set of a name in `list_sources()`, or at a path; a name goes first, `./mnist` is a folder.

    "ONE,TWO,..." are several folders or zips of pictures, each of them a class.

    `split` "train" or "test"; `size` in pixels (centre square, LANCZOS) or None to keep the stored size;
    `channels` 1 or 3, or None to keep them (pictures: 1 if all are grey); `limit` items, spread evenly over
    a stored source, the first ones of a drawn one; `seed` of the drawn sets; `on_bad` "stop" or "skip"
    unreadable pictures, up to 5%; `download` a named set that is not found; `progress(done, total)` is
    called while pictures are read (and, in bytes, while files are downloaded); `hold_out` the share of the
    pictures of a folder, zip or several that is the test split, chosen by content, where there is none; with
    `mixed`, pictures of several sizes are no error without a `size`: all get the smallest usual one, at most this.

    Raises UsageError for an unknown name or an impossible option, DataError for anything wrong with the data.
    """
    request = Request(split, size, channels, limit, seed, on_bad, progress, hold_out, mixed)
    if str(name_or_path) in SOURCES:
        return SOURCES[str(name_or_path)].load(request, download)
    parts = parts_of(name_or_path)
    if len(parts) > 1:
        if named := [part for part in parts if part in SOURCES]:
            raise UsageError(f"'{named[0]}' is no folder or zip of pictures, and several sources must be")
        dataset = domains.several([resolved(part) for part in parts], request)
        return replace(dataset, source=_described(dataset))
    return _load_path(resolved(name_or_path), request)


def lasting(name_or_path) -> str:
    """What finds the same data from another working directory: the name itself, or the absolute path."""
    names = parts_of(name_or_path)
    return ",".join(name if name in SOURCES else str(resolved(name).absolute()) for name in names)


def parts_of(name_or_path) -> list[str]:
    """["ONE", "TWO"] of "ONE,TWO", sources that belong together; [itself] of any other name or path."""
    name = str(name_or_path)
    return [name] if _found(name) else name.split(",")


def list_sources() -> list[tuple[str, str, str]]:
    """Rows (name, what it is, where it was found or "not found: ..." with the remedy)."""
    return [(name, source.what, source.where()) for name, source in SOURCES.items()]


def resolved(name_or_path) -> Path:
    """The existing path that is meant; UsageError, suggesting the nearest name, if there is none."""
    found = _found(name_or_path)
    if found is None or not str(name_or_path):
        near = difflib.get_close_matches(str(name_or_path), SOURCES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "`inachus data list` shows the names"
        raise UsageError(f"'{shown(name_or_path)}' is neither a data set nor an existing path: {hint}")
    return found


def _found(name_or_path) -> Path | None:
    path, root = Path(name_or_path).expanduser(), os.environ.get("INACHUS_DATA")
    candidates = [path] if path.is_absolute() or not root else [path, Path(root) / path]
    return next((candidate for candidate in candidates if os.path.lexists(candidate)), None)


def _finished(dataset: Dataset, name: str, request: Request) -> Dataset:
    """Limited, fitted and described: what every stored array goes through (pictures come finished)."""
    chosen = request.chosen(len(dataset))
    if len(chosen) < len(dataset):
        labels = None if dataset.labels is None else dataset.labels[chosen]
        dataset = replace(dataset, items=dataset.items[chosen], labels=labels)
    if dataset.kind == "pictures":
        dataset = decode.fit(dataset, request)
    return replace(dataset, name=shown(name), source=_described(dataset))


def _described(dataset: Dataset) -> str:
    shape = "x".join(str(extent) for extent in dataset.shape)
    classes = f" in {len(dataset.classes)} classes" if dataset.classes else ""
    return f"{dataset.source} ({len(dataset):,} {dataset.kind} {shape}{classes})"
