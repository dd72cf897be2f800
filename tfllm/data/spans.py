"""Questions about contexts from tables of the user's own, to `Examples` with `answers`."""

from __future__ import annotations

import os
from typing import Any

from tfllm.data.examples import Examples
from tfllm.data.records import column, format_of, has_column, read_records, text_value
from tfllm.data.row_reader import RowReader
from tfllm.errors import DataError

Answers = tuple[tuple[str, int], ...]


def read_spans(
    path: str | os.PathLike,
    question: str | int,
    context: str | int,
    answer: str | int | None,
    *,
    start: str | int = "answer_start",
    id: str | int | None = None,
    format: str | None = None,
    header: bool = True,
    answer_optional: bool = False,
    skip_bad_rows: bool = False,
) -> Examples:
    """Reads questions whose answers are spans of a context.

    Args:
        path: the file; all but CSV may be compressed (`.gz`).
        question, context: the columns of texts.
        answer: the column of answers. Text: where it begins is in the column `start`, or, without that, the first place in the
            context where it stands; an empty text: there is no answer. In JSON also a list of texts, or SQuAD's
            `{"text": [...], "answer_start": [...]}`. `None`: answers are not known.
        start: the column with the character where the answer begins, from 0.
        id: the column of ids; default: row numbers.
        format, header, skip_bad_rows: as in `read_tagged`.
        answer_optional: the file may be without the column of answers.

    Raises:
        DataError: a missing file or column, an answer that is not in the context where it should be.
    """
    reader = RowReader(path, skip_bad_rows)

    def parse(line: int, record: dict) -> tuple[str, str, Answers | None, str | None]:
        texts = [text_value(path, line, name, column(path, line, record, name)) for name in (question, context)]
        answers = None
        if answer is not None and not (answer_optional and not has_column(record, answer)):
            begin = column(path, line, record, start) if has_column(record, start) else None
            answers = _answers(path, line, texts[1], column(path, line, record, answer), begin)
        return texts[0], texts[1], answers, None if id is None else str(column(path, line, record, id))

    rows = read_records(reader, format_of(path, format), parse, header)
    unknown = sum(row[2] is None for row in rows)
    if unknown and unknown != len(rows):
        raise DataError(
            path, None, f"{unknown} of {len(rows)} rows have no column {answer!r}. Expected it in all, or in none."
        )
    columns = {} if unknown else {"answers": [row[2] for row in rows]}
    ids = None if id is None else [row[3] for row in rows]
    texts = [row[0] for row in rows], [row[1] for row in rows]
    return Examples(texts, None, ids, os.fspath(path), reader.report(), None, columns)


def _answers(path, line: int, context: str, value: Any, begin: Any) -> Answers:
    if isinstance(value, dict):
        value, begin = value.get("text"), value.get("answer_start")
    values = [] if value in (None, "") else value if isinstance(value, list) else [value]
    starts = begin if isinstance(begin, list) else [begin] * len(values)
    if not all(isinstance(text, str) and text for text in values) or len(starts) != len(values):
        raise DataError(
            path, line, f"expected answers as texts, each with its place. Received: {values!r:.80}, {starts!r:.40}."
        )
    found = []
    for text, place in zip(values, starts):
        if place is None or place == "":
            place = context.find(text)
        try:
            place = int(place)
        except (TypeError, ValueError):
            raise DataError(path, line, f"expected a number of a character. Received: {place!r}.") from None
        if place < 0 or context[place : place + len(text)] != text:
            raise DataError(path, line, f"the context must hold the answer {text[:60]!r} at character {place}. "
                                        f"Received: {context[max(place, 0) : max(place, 0) + len(text)][:60]!r}.")  # fmt: skip
        found.append((text, place))
    return tuple(found)
