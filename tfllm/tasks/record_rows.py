"""Rows of files whose layout is a task's own: parsed one by one, counted, and left out only where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfllm.data.examples import ReadReport
from tfllm.data.json_records import json_object
from tfllm.data.lines import decoded_lines
from tfllm.errors import DataError, UserError


@dataclass
class Rows:
    """What was read so far.

    Attributes:
        skip_bad_rows: leave a damaged row out, and count it, instead of raising its error.
        read: rows seen.
        skipped: line numbers of those left out.
        problems: what was wrong with the first of them.
    """

    skip_bad_rows: bool = False
    read: int = 0
    skipped: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def parsed(self, rows: Iterable[tuple[int, Any]], parse: Callable[[int, Any], Any]) -> Iterator[Any]:
        """`parse(line, row)` of each row; a `DataError` of its skips the row or goes on to the caller."""
        for line, row in rows:
            self.read += 1
            try:
                value = parse(line, row)
            except DataError as error:
                if not self.skip_bad_rows:
                    raise
                self.skipped.append(line)
                self.problems.append(str(error))
                continue
            yield value

    def report(self, *notes: str) -> ReadReport:
        """What was read and skipped, and why."""
        said = (f"{len(self.skipped)} damaged rows skipped, the first: {self.problems[0]}",) if self.skipped else ()
        return ReadReport(self.read, tuple(self.skipped), (*said, *notes))


def text_lines(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    return ((line, text) for line, text in decoded_lines(path) if text.strip())


def json_lines(rows: Rows, path: str | os.PathLike, parse: Callable[[int, dict], Any]) -> Iterator[Any]:
    """`parse(line, object)` of each line of a JSON-lines file."""
    return rows.parsed(text_lines(path), lambda line, text: parse(line, json_object(path, line, text)))


def some(values: Sequence, where: str) -> Sequence:
    """`values`, of which there is one at least.

    Raises:
        DataError: none.
    """
    if not values:
        raise DataError(where, None, "expected rows of data. Received: none that could be read.")
    return values


def data_path(name: str, data_dir: str | os.PathLike | None, wanted: str) -> str:
    """The directory or file with a task's data.

    Args:
        name: of the task.
        data_dir: what the user gave.
        wanted: what it must hold, for people.

    Raises:
        UserError: nothing was given.
        DataError: there is no such directory or file.
    """
    if data_dir is None:
        raise UserError(f"{name} needs data_dir=, {wanted}.")
    path = os.path.expanduser(os.fspath(data_dir))
    if not os.path.exists(path):
        raise DataError(path, None, f"there is no such directory or file. Expected {wanted}.")
    return path


def data_files(
    name: str, data_dir: str | os.PathLike | None, names: Sequence[str], folders: Sequence[str], wanted: str
) -> str:
    """The first file of `names` in `data_dir` or in one of `folders` below it, or `data_dir` itself where it is a file.

    Raises:
        UserError, DataError: as `data_path`, and no such file.
    """
    path = data_path(name, data_dir, wanted)
    if os.path.isfile(path):
        return path
    candidates = [os.path.join(path, folder, file) for folder in ("", *folders) for file in names]
    for candidate in candidates:
        for found in (candidate, f"{candidate}.gz"):
            if os.path.isfile(found):
                return found
    looked = ", ".join(os.path.relpath(candidate, path) for candidate in candidates)
    raise DataError(path, None, f"no data of {name}. Expected {wanted}. Looked for: {looked}.")


def files_ending(
    name: str, data_dir: str | os.PathLike | None, ending: str, folders: Sequence[str], wanted: str
) -> list[str]:
    """All files of that ending in `data_dir` or, where it has none, in one of `folders` below it, sorted; or the file itself.

    Raises:
        UserError, DataError: as `data_path`, and no such file.
    """
    path = data_path(name, data_dir, wanted)
    if os.path.isfile(path):
        return [path]
    for directory in (path, *(os.path.join(path, folder) for folder in folders)):
        if os.path.isdir(directory):
            endings = (ending, f"{ending}.gz")
            found = sorted(os.path.join(directory, file) for file in os.listdir(directory) if file.endswith(endings))
            if found:
                return found
    raise DataError(path, None, f"no data of {name}. Expected {wanted}.")
