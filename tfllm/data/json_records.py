"""JSON lines as objects, and errors that name file, line and key."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from tfllm.data.lines import decoded_lines
from tfllm.errors import DataError

_KINDS = {dict: "an object", list: "a list", str: "text", int: "a whole number"}


def json_records(path: str | os.PathLike) -> Iterator[tuple[int, dict]]:
    """Yields `(line number from 1, object)`. Blank lines are passed over.

    Raises:
        DataError: as `decoded_lines`, and broken JSON or a line that is not an object.
    """
    for line, text in decoded_lines(path):
        if text.strip():
            yield line, json_object(path, line, text)


def json_object(path: str | os.PathLike, line: int, text: str) -> dict:
    """The object that a line holds.

    Raises:
        DataError: broken JSON, or no object.
    """
    try:
        record = json.loads(text)
    except ValueError as error:  # a JSONDecodeError, or a whole number with more digits than Python reads
        raise DataError(path, line, f"broken JSON: {error}. Expected one object a line.") from None
    except RecursionError:
        raise DataError(path, line, "JSON is nested too deeply. Expected one flat object a line.") from None
    if not isinstance(record, dict):
        raise DataError(path, line, f"expected a JSON object with columns as keys. Received: {type(record).__name__}.")
    return record


def member(path: str | os.PathLike, line: int | None, record: dict, key: str, kind: type):
    """`record[key]`, which must be of that kind.

    Raises:
        DataError: the key is missing, or its value is of another kind.

    Example:
        >>> member("a.jsonl", 1, {"idx": 7}, "idx", int)
        7
    """
    if key not in record:
        raise DataError(path, line, f"no {key!r}. Expected {_KINDS[kind]} of that name. Received: {_keys(record)}.")
    value = record[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(path, line, f"{key!r} must be {_KINDS[kind]}. Received: {str(value)[:80]!r}.")
    return value


def _keys(record: dict) -> str:
    return ", ".join(map(str, record)) or "nothing"
