"""Texts from a flag or from a file, for the commands of language models."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from tfllm.data.lines import decoded_lines
from tfllm.errors import DataError, UserError


def read_texts(path: str, column: str) -> list[str]:
    """The texts of a `.txt` file (one a line) or of a `.jsonl` file (one an object).

    Args:
        path: the file.
        column: the text's name in a `.jsonl` file.

    Raises:
        UserError: the file is missing, damaged, of another kind, or empty.
    """
    if not path.endswith((".txt", ".jsonl")):
        raise UserError(f"input must be a .txt file (a text a line) or a .jsonl file. Received: {path}.")
    texts = []
    for number, line in decoded_lines(path):
        texts.append(line if path.endswith(".txt") else _column(path, number, line, column))
    if not texts:
        raise UserError(f"input must have at least one text. Received: {path}, which is empty.")
    return texts


def _column(path: str, number: int, line: str, column: str) -> str:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(path, number, f"expected a JSON object. Received: {line[:60]!r} ({error}).") from None
    if not isinstance(value, dict) or not isinstance(value.get(column), str):
        raise DataError(path, number, f"expected an object with the string {column!r}. Received: {line[:60]!r}.")
    return value[column]


def typed_lines() -> Iterator[str]:
    """The lines of standard input, as they come.

    Raises:
        UserError: one is not UTF-8.
    """
    try:
        yield from sys.stdin
    except UnicodeDecodeError as error:
        raise UserError(
            f"standard input must be UTF-8 text. Received: byte 0x{error.object[error.start]:02x}. "
            "Convert it, for example: iconv -f latin1 -t utf-8."
        ) from None


def load_model(path: str):
    """The language model of a directory, with its own head."""
    import tfllm

    if not path:
        raise UserError("model is missing: give --model=DIR.")
    return tfllm.load(path)
