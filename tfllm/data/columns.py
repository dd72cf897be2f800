"""From rows of raw fields to `Examples`: which columns are texts, label and id, and how a label is read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tfllm.data.examples import Examples, ReadReport
from tfllm.errors import DataError, UserError

KINDS = ("classification", "regression")
_NO_LABEL = ("-1", "-1.0", None)  # how exports of unlabelled splits fill the label column
_LISTED = 10  # line numbers spelled out in a note


@dataclass(frozen=True)
class Columns:
    """Which columns of a file hold the texts, the label and the id, and how the label is read.

    Args:
        text: the text column, or a pair of them: names from the header, or 0-based numbers.
        label: the label column; `None` for data without labels.
        id: the column with the ids of the examples; default: the 0-based number of the row.
        kind: `"classification"` or `"regression"`.
        labels: the label values allowed in the file, in the order of their class numbers. Default: those that occur,
            sorted (as numbers where all of them are whole numbers), so the same file always gives the same class
            numbers.
        label_range: lowest and highest value allowed for a regression.
        label_optional: labels may be missing: no such column, or -1 in every row (as in exported test splits).
        drop_labels: label values whose rows are left out, and counted, for example `("-",)` where annotators did not
            agree.
    """

    text: str | int | tuple[str | int, ...]
    label: str | int | None = None
    id: str | int | None = None
    kind: str = "classification"
    labels: tuple[str, ...] | None = None
    label_range: tuple[float, float] | None = None
    label_optional: bool = False
    drop_labels: tuple[str, ...] = ()

    def __post_init__(self):
        texts = (self.text,) if isinstance(self.text, (str, int)) else tuple(self.text)
        if not 1 <= len(texts) <= 2:
            raise UserError(f"text= must name one or two columns. Received: {self.text!r}.")
        object.__setattr__(self, "text", texts)
        if self.kind not in KINDS:
            raise UserError(f"kind must be one of {', '.join(KINDS)}. Received: {self.kind!r}.")
        if self.labels is not None:
            labels = tuple(label_text(label) for label in self.labels)
            if len(set(labels)) != len(labels):
                raise UserError(f"labels must differ from each other. Received: {list(labels)}.")
            object.__setattr__(self, "labels", labels)

    @property
    def wanted(self) -> tuple[str | int, ...]:
        """Every column to be read: the texts, then the label and the id where there is one."""
        return (*self.text, *(column for column in (self.label, self.id) if column is not None))


def label_text(value) -> str | None:
    """A label as text: JSON writers give `1`, `"1"`, `true` and `"true"` for the same thing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)


@dataclass(slots=True)
class Row:
    """One row of a file: `fields` in the order of `Columns.wanted`; `ragged` says why a row is to be skipped, `damage` what is
    wrong with it."""

    line: int
    fields: list
    ragged: str | None = None
    damage: DataError | None = None


def collect(
    path: str | os.PathLike, columns: Columns, rows: Iterable[Row], source: str, skip_bad_rows: bool = False
) -> Examples:
    """Makes `Examples` of rows.

    Args:
        path: for messages.
        columns: what the rows' fields are.
        rows: the rows.
        source: where they come from, for people.
        skip_bad_rows: leave rows out that are damaged, or whose label or text is, and count them.

    Raises:
        DataError: no rows, a text that is not a string, an unknown label, a label that is no number or out of range.
    """
    width = len(columns.text)
    texts, ids, labels = [[] for _ in range(width)], [], []
    unlabelled, skipped = [], {}
    numbers = None if columns.labels is None else {name: number for number, name in enumerate(columns.labels)}
    count, blank = 0, 0
    damage: list[DataError] = []

    def texts_of(row: Row) -> list[str]:
        for name, text in zip(columns.text, row.fields):
            if not isinstance(text, str):
                raise DataError(
                    path, row.line, f"column {name!r} must hold text. Received: {text!r} ({type(text).__name__})."
                )
        return row.fields[:width]

    for row in rows:
        row_id = count if columns.id is None else row.fields[-1] if row.fields else None
        count += 1
        reason = row.ragged
        if skip_bad_rows:
            try:
                if row.damage is not None:
                    raise row.damage
                if reason is None:
                    texts_of(row)
                    _read_label(row, columns, numbers, path)
            except DataError as error:
                damage.append(error)
                continue
        elif row.damage is not None:
            raise row.damage
        if reason is None and columns.label is not None:
            value = row.fields[width]
            as_text = label_text(value)
            if columns.label_optional and as_text in _NO_LABEL:
                unlabelled.append(row.line)
            elif as_text in columns.drop_labels:
                reason = f"label {as_text!r}"
            else:
                labels.append(_read_label(row, columns, numbers, path))
        if reason is not None:
            skipped.setdefault(reason, []).append(row.line)
            continue
        for column, text in zip(texts, texts_of(row)):
            blank += not text
            column.append(text)
        ids.append(row_id)
    if not ids:
        why = "; ".join([*skipped, *map(str, damage[:1])])
        found = f"Received: {count} rows, all of them skipped ({why})." if count else "Received: none."
        raise DataError(path, None, f"expected rows of data. {found}")
    if unlabelled and labels:
        raise DataError(
            path, unlabelled[0], "this row has no label, but others have. Expected a label in every row, or in none."
        )
    notes = [f"{len(at)} rows skipped, {reason}: {_list_lines(at)}" for reason, at in skipped.items()]
    if damage:
        lines = [error.line for error in damage]
        notes.append(f"{len(damage)} damaged rows left out, {_list_lines(lines)}; the first: {damage[0]}")
        skipped["damaged"] = lines
    if blank:
        notes.append(f"{blank} empty texts, kept")
    names = columns.labels
    if not labels:
        labels = None
    elif columns.kind == "regression":
        labels = np.array(labels, np.float32)
    elif names is None:
        names = sorted_labels(labels)
        numbers = {name: number for number, name in enumerate(names)}
        labels = np.array([numbers[label] for label in labels], np.int32)
    else:
        labels = np.array(labels, np.int32)
    skipped_lines = tuple(sorted(line for at in skipped.values() for line in at))
    return Examples(tuple(texts), labels, ids, source, ReadReport(count, skipped_lines, tuple(notes)), names)


def sorted_labels(values: Iterable[str]) -> tuple[str, ...]:
    """The different values, sorted: by number where all are whole numbers, else as text."""
    different = set(values)
    whole = all(re.fullmatch(r"-?[0-9]{1,18}", value) for value in different)
    return tuple(sorted(different, key=(lambda v: (int(v), v)) if whole else None))


def _read_label(row: Row, columns: Columns, numbers: dict[str, int] | None, path) -> int | float | str | None:
    """The label of a row; `None` where it has none and need not, or its row is dropped for it."""
    if columns.label is None:
        return None
    value = row.fields[len(columns.text)]
    as_text = label_text(value)
    if (columns.label_optional and as_text in _NO_LABEL) or as_text in columns.drop_labels:
        return None
    if columns.kind == "regression":
        return _read_number(value, columns, path, row.line)
    return _read_class(as_text, columns, numbers, path, row.line)


def _read_class(value: str | None, columns: Columns, numbers: dict[str, int] | None, path, line: int) -> int | str:
    """The class number, or the value itself where the values are not known yet."""
    if value is None:
        raise DataError(path, line, f"column {columns.label!r} holds no label. Expected {_allowed(columns.labels)}.")
    if numbers is None:
        if value == "":
            raise DataError(
                path, line, f"column {columns.label!r} holds an empty label. Expected a label in every row."
            )
        return value
    if value not in numbers:
        raise DataError(
            path,
            line,
            f"unknown label in column {columns.label!r}. Expected {_allowed(columns.labels)}. Received: {value!r}.",
        )
    return numbers[value]


def _read_number(value, columns: Columns, path, line: int) -> float:
    try:
        # float() itself reads True as 1 and "1_0" as 10.
        number = math.nan if isinstance(value, bool) or value is None or "_" in str(value) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(path, line, f"column {columns.label!r} must hold a number. Received: {value!r}.")
    if columns.label_range is not None:
        low, high = columns.label_range
        if not low <= number <= high:
            raise DataError(
                path,
                line,
                f"label out of range in column {columns.label!r}. Expected {low:g} to {high:g}. Received: {value!r}.",
            )
    return number


def _allowed(labels: tuple[str, ...] | None) -> str:
    return "a label" if labels is None else "one of: " + ", ".join(labels)


def _list_lines(lines: list[int]) -> str:
    more = f" and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
    return f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines[:_LISTED]))}{more}"
