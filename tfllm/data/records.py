"""Rows of the user's tables as dictionaries: TSV (quotes are text), CSV and JSON lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from tfllm.data.row_reader import RowReader, as_object, as_text, raw_lines
from tfllm.errors import DataError, UserError

_Row = TypeVar("_Row")
_ENDINGS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


def format_of(path: str | os.PathLike, format: str | None, more: Mapping[str, str] | None = None) -> str:
    """The format that was given, or that follows from the file's ending (a `.gz` behind it does not count).

    Args:
        path: the file.
        format: `"tsv"`, `"csv"`, `"jsonl"`, or one of `more`.
        more: further endings and their formats.

    Raises:
        UserError: neither says it.
    """
    endings = {**_ENDINGS, **(more or {})}
    found = format or endings.get(os.path.splitext(os.fspath(path).removesuffix(".gz"))[1].lower())
    if found not in endings.values():
        known = ", ".join(dict.fromkeys(endings.values()))
        raise UserError(f"{os.fspath(path)}: give format=, one of {known}; it does not follow from the file's ending.")
    return found


def read_records(
    reader: RowReader, format: str, parse: Callable[[int, dict[str, Any]], _Row], header: bool = True
) -> list[_Row]:
    """`parse(line, record)` of every row; damaged rows are the reader's matter.

    Args:
        reader: of the file.
        format: `"tsv"`, `"csv"` or `"jsonl"`.
        parse: takes a row as column to value. Without a header, columns are called "0", "1", ...
        header: whether the first line of TSV and CSV names the columns.

    Raises:
        DataError: what `parse` raises; broken JSON or CSV, a row of another width, two columns of one name.
    """
    path = reader.path
    if format == "jsonl":
        lines = ((line, raw) for line, raw in raw_lines(path) if raw.strip())
        return reader.read(lines, lambda line, raw: parse(line, as_object(path, line, raw)))
    rows = _fields(path, format == "csv")
    first_line, first = next(rows)
    first = first if isinstance(first, list) else _split(path, first_line, first)
    names = [name.strip() for name in first] if header else [str(place) for place in range(len(first))]
    if len(set(names)) < len(names):
        raise DataError(path, first_line, f"two columns of the same name. The columns are: {', '.join(names)}.")

    def parse_row(line: int, row) -> _Row:
        fields = row if isinstance(row, list) else _split(path, line, row)
        if len(fields) != len(names):
            raise DataError(path, line, f"expected {len(names)} fields ({', '.join(names)}). Received: {len(fields)}.")
        return parse(line, dict(zip(names, fields)))

    def data() -> Iterator[tuple[int, Any]]:
        if not header:
            yield first_line, first
        for line, row in rows:
            if row not in ([""], b""):  # a blank line is no row
                yield line, row

    return reader.read(data(), parse_row)


def column(path: str | os.PathLike, line: int, record: Mapping[str, Any], name: str | int) -> Any:
    """The value of a column; a dot goes into the objects of JSON (`"translation.en"`).

    Raises:
        DataError: there is no such column.
    """
    if str(name) in record:
        return record[str(name)]
    value: Any = record
    for key in str(name).split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise DataError(path, line, f"no column {name!r}. The columns are: {', '.join(map(str, record))}.")
        value = value[key]
    return value


def has_column(record: Mapping[str, Any], name: str | int) -> bool:
    """Whether `column` would find it."""
    try:
        column("", 0, record, name)
    except DataError:
        return False
    return True


def text_value(path: str | os.PathLike, line: int, name: str | int, value: Any) -> str:
    """A value that must be text.

    Raises:
        DataError: it is none.
    """
    if not isinstance(value, str):
        raise DataError(path, line, f"column {name!r} must hold text. Received: {value!r} ({type(value).__name__}).")
    return value


def _fields(path: str | os.PathLike, quoted: bool) -> Iterator[tuple[int, Any]]:
    if not quoted:
        return raw_lines(path)
    from tfllm.data.sources import csv_records

    return csv_records(path, ",")


def _split(path: str | os.PathLike, line: int, raw: bytes) -> list[str]:
    return as_text(path, line, raw).split("\t")
