"""Exceptions for what a user can get wrong.

Every message says what was expected, what was received and what to do. The command line prints the message alone, without a
traceback, and exits with status 2.
"""

from __future__ import annotations

import os


class UserError(ValueError):
    """Something the user gave is wrong (a flag, a path, a column, a label, a shape)."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, hostile, or not what the model needs."""


class DataError(UserError):
    """A data file is damaged or does not hold what was asked for.

    Args:
        path: the file at fault.
        line: 1-based line number, or `None` when the fault is not on one line.
        message: what was expected, what was received and what to do.

    Example:
        >>> str(DataError("train.tsv", 3, "expected 2 columns. Received: 1."))
        'train.tsv:3: expected 2 columns. Received: 1.'
    """

    def __init__(self, path: str | os.PathLike, line: int | None, message: str):
        self.path, self.line = os.fspath(path), line
        super().__init__(f"{self.path}:{line}: {message}" if line is not None else f"{self.path}: {message}")
