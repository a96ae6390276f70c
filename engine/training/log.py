"""`log.jsonl`: a JSON object a line, appended as the training goes; a line that a crash tore is recognised and dropped.

This is not Python's `logging`, and prints nothing. Read next: `report.py`, which draws what `Log` wrote.
"""

import json
import math
import os
from pathlib import Path

from inachus.engine.errors import UsageError
from inachus.engine.training.durable import disk_errors, write_file


class Log:
    """Appends to `RUN/log.jsonl`, a line a `write`: {"step": 20, "seconds": 1.25, "loss_d": 0.693147}.

    With `resume_from`, lines beyond that step are removed first; a line that a crash tore is removed always.
    Raises ResourceError when the disk refuses.
    """

    def __init__(self, run: Path, resume_from: int | None = None):
        self.path = Path(run) / "log.jsonl"
        limit = math.inf if resume_from is None else resume_from
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            before = self.path.read_bytes() if self.path.exists() else b""
        kept = b"".join(line for line, entry in _lines(before) if entry["step"] <= limit)
        if kept != before:
            write_file(self.path, kept)
        with disk_errors(self.path):
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, step: int, seconds: float, values: dict[str, float]) -> None:
        """Append one line; values are kept to 6 significant digits, NaN and infinity become null."""
        if taken := {"step", "seconds"} & values.keys():
            raise UsageError(f"log: a value cannot be called {taken.pop()}; rename it")
        entry = {"step": step, "seconds": _rounded(seconds)} | {k: _rounded(v) for k, v in values.items()}
        line = json.dumps(entry).encode() + b"\n"
        with disk_errors(self.path):
            while line:  # a nearly full disk takes a part, and refuses the rest at the next call
                line = line[os.write(self._file, line) :]

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *exception) -> None:
        self.close()


def read(run: Path) -> list[dict]:
    """The entries of `RUN/log.jsonl`, in order; [] without a log. Lines that are not whole are left out."""
    path = Path(run) / "log.jsonl"
    return [entry for _, entry in _lines(path.read_bytes())] if path.is_file() else []


def _rounded(value):
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _lines(data):
    """(line with its newline, entry) of each whole line: an object with a step."""
    for line in data.splitlines(keepends=True):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        step = entry.get("step") if isinstance(entry, dict) else None
        if line.endswith(b"\n") and isinstance(step, int) and 0 <= step < 1 << 63:
            yield line, entry
