"""Every error a user can meet, with the exit code the command line gives it.

A message is one line that names the thing (path, option, layer) and the remedy. Nothing here knows how it is
printed; `models/cli` does that.
"""

import errno

DISK_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO}  # of an OSError: no room for what is written


class InachusError(Exception):
    """Root of the project's own errors; `exit_code` is what the process returns."""

    exit_code = 1


class UsageError(InachusError):
    """A wrong option, name or setting: exit code 2."""

    exit_code = 2


class DataError(InachusError):
    """A missing, truncated, lying or unusable data file: exit code 3."""

    exit_code = 3


class CheckpointError(InachusError):
    """A run or checkpoint that cannot be read, trusted or matched: exit code 4."""

    exit_code = 4


class NumericError(InachusError):
    """NaN or infinity in a loss, gradient or weight: exit code 5."""

    exit_code = 5


class ResourceError(InachusError):
    """Disk or memory exhausted, or a run directory that is in use: exit code 6."""

    exit_code = 6
