"""Rows of files that may be damaged: an error with file and line, or, where the user said so, left out and counted."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tfllm.data.examples import ReadReport
from tfllm.errors import DataError

_Row = TypeVar("_Row")
_LISTED = 10  # lines spelled out in a note


def raw_lines(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
    """Yields `(line number from 1, bytes without the line end)` of a file, which may be compressed (`.gz`).

    Only `\\n` and `\\r\\n` end a line: parallel files and code hold other separators as text.

    Raises:
        DataError: no such file, an empty one, or damaged compression.
    """
    if not os.path.isfile(path):
        what = "is a directory, not a file" if os.path.isdir(path) else "there is no such file"
        raise DataError(path, None, f"{what}. Check the path.")
    number = 0
    with (gzip.open if os.fspath(path).endswith(".gz") else open)(path, "rb") as file:
        try:
            for number, raw in enumerate(file, 1):
                if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                    raw = raw[3:]
                yield number, raw.removesuffix(b"\n").removesuffix(b"\r")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(path, number + 1, f"damaged gzip: {error}. Is the file cut short?") from None
    if not number:
        raise DataError(path, None, "the file is empty. Expected rows of data.")


def as_text(path: str | os.PathLike, line: int, raw: bytes) -> str:
    """A line as text.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            path,
            line,
            f"expected UTF-8 text. Received: byte 0x{raw[error.start]:02x} at place {error.start} of the line.",
        ) from None


def as_object(path: str | os.PathLike, line: int, raw: bytes) -> dict:
    """A line as a JSON object.

    Raises:
        DataError: it is none.
    """
    try:
        record = json.loads(as_text(path, line, raw))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(path, line, f"broken JSON: {error}. Expected one object a line.") from None
    if not isinstance(record, dict):
        raise DataError(path, line, f"expected a JSON object. Received: {type(record).__name__}.")
    return record


@dataclass
class RowReader:
    """Reads rows one by one, and keeps count.

    Attributes:
        path: for messages.
        skip_bad_rows: leave damaged rows out, and count them, in place of an error.
    """

    path: str | os.PathLike
    skip_bad_rows: bool = False
    rows: int = 0
    skipped: list[int] = field(default_factory=list)
    first_error: str = ""
    blank: int = 0

    def read(self, items: Iterable[tuple[int, Any]], parse: Callable[[int, Any], _Row]) -> list[_Row]:
        """`parse(line, item)` of every item, without those that are damaged.

        Raises:
            DataError: what `parse` raised, unless bad rows are skipped; no rows are left.
        """
        found = []
        for line, item in items:
            self.rows += 1
            try:
                found.append(parse(line, item))
            except DataError as error:
                if not self.skip_bad_rows:
                    raise
                self.skipped.append(line)
                self.first_error = self.first_error or str(error)
        if not found:
            why = f" All {self.rows} were damaged; the first: {self.first_error}" if self.skipped else ""
            raise DataError(self.path, None, f"expected rows of data. Received: none.{why}")
        return found

    def json_lines(self, parse: Callable[[int, dict], _Row]) -> list[_Row]:
        """`parse(line, object)` of every line of a JSON-lines file that is not blank."""
        lines = ((line, raw) for line, raw in raw_lines(self.path) if raw.strip())
        return self.read(lines, lambda line, raw: parse(line, as_object(self.path, line, raw)))

    def text_lines(self, parse: Callable[[int, str], _Row]) -> list[_Row]:
        """`parse(line, text)` of every line."""
        return self.read(raw_lines(self.path), lambda line, raw: parse(line, as_text(self.path, line, raw)))

    def report(self, notes: Iterable[str] = ()) -> ReadReport:
        """What was read and left out."""
        notes = list(notes)
        if self.skipped:
            lines = ", ".join(map(str, self.skipped[:_LISTED])) + (", ..." if len(self.skipped) > _LISTED else "")
            notes.append(f"{len(self.skipped)} damaged rows left out (lines {lines}); the first: {self.first_error}")
        return ReadReport(self.rows, tuple(self.skipped), tuple(notes))


def json_value(path: str | os.PathLike) -> Any:
    """What a whole file of JSON holds.

    Raises:
        DataError: broken JSON.
    """
    text = "\n".join(as_text(path, line, raw) for line, raw in raw_lines(path))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(path, getattr(error, "lineno", None), f"broken JSON: {error}. Is the file cut short?") from None
