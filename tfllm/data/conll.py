"""Tagged sentences: CoNLL files, and tables with a sentence a row, to `Examples` with `words` and `tags`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from tfllm.data.examples import Examples
from tfllm.data.records import column, format_of, has_column, read_records
from tfllm.data.row_reader import RowReader, as_text, raw_lines
from tfllm.errors import DataError

_CONLL = {".conll": "conll", ".iob": "conll", ".bio": "conll", ".txt": "conll"}


def read_tagged(
    path: str | os.PathLike,
    words: str | int = 0,
    tags: str | int | None = -1,
    *,
    id: str | int | None = None,
    format: str | None = None,
    header: bool = True,
    tags_optional: bool = False,
    skip_bad_rows: bool = False,
) -> Examples:
    """Reads tagged sentences.

    Args:
        path: the file; all but CSV may be compressed (`.gz`).
        words: the column of words. In a table: a list in JSON, or text that is split at spaces.
        tags: the column of tags, in the same form; `None`: there are none.
        id: the column of ids; default: row numbers.
        format: `"conll"` (a word a line, a blank line between sentences, columns by number, -1 the last one), `"jsonl"`,
            `"tsv"` or `"csv"`; default: by the file's ending.
        header: whether TSV and CSV files name their columns on the first line.
        tags_optional: the file may be without the column of tags.
        skip_bad_rows: leave damaged sentences out, and count them.

    Raises:
        DataError: a missing file or column, not a tag for each word, an empty word.

    Example:
        >>> read_tagged("train.conll", words=0, tags=3).columns["tags"][0]  # doctest: +SKIP
        ('B-ORG', 'O', 'B-MISC')
    """
    kind = format_of(path, format, _CONLL)
    reader = RowReader(path, skip_bad_rows)
    if kind == "conll":
        numbers = (_number(path, words), None if tags is None else _number(path, tags))
        rows = reader.read(_sentences(path), lambda line, lines: _sentence(path, lines, *numbers, tags_optional))
    else:

        def parse(line: int, record: dict) -> tuple:
            found = _list(path, line, words, column(path, line, record, words))
            known = tags is not None and not (tags_optional and not has_column(record, tags))
            labels = _list(path, line, tags, column(path, line, record, tags)) if known else None
            _check(path, line, found, labels)
            return found, labels, None if id is None else str(column(path, line, record, id))

        rows = read_records(reader, kind, parse, header)
    columns: dict[str, list] = {"words": [row[0] for row in rows]}
    untagged = sum(row[1] is None for row in rows)
    if untagged and untagged != len(rows):
        raise DataError(
            path, None, f"{untagged} of {len(rows)} sentences have no tags. Expected tags in all, or in none."
        )
    if not untagged:
        columns["tags"] = [row[1] for row in rows]
    ids = None if id is None or kind == "conll" else [row[2] for row in rows]
    texts = [" ".join(sentence) for sentence in columns["words"]]
    return Examples((texts,), None, ids, os.fspath(path), reader.report(), None, columns)


def _sentences(path: str | os.PathLike) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
    lines: list[tuple[int, bytes]] = []
    for number, raw in raw_lines(path):
        if raw.strip() and not raw.startswith(b"-DOCSTART-"):
            lines.append((number, raw))
        elif lines:
            yield lines[0][0], lines
            lines = []
    if lines:
        yield lines[0][0], lines


def _sentence(path, lines: list[tuple[int, bytes]], words: int, tags: int | None, optional: bool) -> tuple:
    found: list[str] = []
    labels: list[str] = []
    for number, raw in lines:
        text = as_text(path, number, raw)
        fields = text.split("\t") if "\t" in text else text.split()
        needed = max(place if place >= 0 else -place - 1 for place in (words, *(() if tags is None else (tags,)))) + 1
        alone = len(fields) == 1 and optional
        if not alone and len(fields) < max(needed, 1 if tags is None else 2):
            raise DataError(path, number, f"expected a word and its tag in columns. Received: {text[:60]!r}.")
        found.append(fields[words if not alone else 0])
        if tags is not None and not alone:
            labels.append(fields[tags])
    known = tuple(labels) if tags is not None and labels else None
    _check(path, lines[0][0], tuple(found), known)
    return tuple(found), known


def _list(path, line: int, name, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split(" "))
    if not isinstance(value, list) or any(isinstance(item, (dict, list, float)) or item is None for item in value):
        raise DataError(
            path, line, f"column {name!r} must hold a list, or text with spaces. Received: {str(value)[:60]!r}."
        )
    return tuple(str(item) for item in value)


def _check(path, line: int, words: tuple[str, ...], tags: tuple[str, ...] | None) -> None:
    if not all(words) or not words or any(word.strip() != word for word in words):
        raise DataError(path, line, f"expected words without spaces around them. Received: {' '.join(words)[:60]!r}.")
    if tags is not None and len(tags) != len(words):
        raise DataError(path, line, f"expected a tag for each of {len(words)} words. Received: {len(tags)}.")


def _number(path, name: str | int) -> int:
    try:
        return int(name)
    except ValueError:
        raise DataError(
            path, None, f"columns of a CoNLL file are given by 0-based number. Received: {name!r}."
        ) from None
