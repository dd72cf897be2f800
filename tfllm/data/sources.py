"""Readers of files: TSV, CSV and JSON lines, to `Examples`. (`tfllm.data.sources_tfds` reads TFDS.)

Nothing is left out in silence. A row that cannot be read is one `DataError` with file and line; where rows may be left
out, because the caller said so, `Examples.report` counts them and gives their lines.
"""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tfllm.data.columns import Columns, Row, collect
from tfllm.data.examples import Examples
from tfllm.data.json_records import json_records
from tfllm.data.lines import decoded_lines
from tfllm.errors import DataError, UserError


def read_tsv(
    path: str | os.PathLike,
    *,
    header: bool = True,
    skip_ragged: bool = False,
    skip_bad_rows: bool = False,
    **columns,
) -> Examples:
    r"""Reads tab-separated values without any quoting: `"` is text, as in GLUE's files.

    Args:
        path: a UTF-8 file; it may be compressed (`.gz`).
        header: the first line names the columns; else columns are given by 0-based number.
        skip_ragged: leave out lines that are cut short, and count them in the report, as the readers of QQP and MNLI
            do. A line with too many fields is then read by its first ones; if they do not hold a valid label it is left
            out too.
        skip_bad_rows: leave out every line that would else be an error (another number of fields, bytes that are not UTF-8, a
            label that is not known), and count it in the report.
        **columns: `text`, `label`, `id`, `kind`, `labels`, `label_range`, `label_optional`, `drop_labels`: see
            `Columns`.

    Returns:
        `Examples` in the order of the file.

    Raises:
        DataError: no such file, an empty file, bytes that are not UTF-8, a missing column, a line with too few or too
            many fields, an unknown label, a label out of range.

    Example:
        >>> read_tsv("SST-2/train.tsv", text="sentence", label="label", labels=("0", "1"))  # doctest: +SKIP
    """
    return _read_delimited(path, _tsv_records(path), Columns(**columns), header, skip_ragged, skip_bad_rows)


def _tsv_records(path: str | os.PathLike) -> Iterator[tuple[int, list[str] | DataError]]:
    """`(line, fields)`, or what is wrong with the line."""
    for line, text in decoded_lines(path, give_errors=True):
        yield line, text if isinstance(text, DataError) else text.split("\t")


def read_csv(
    path: str | os.PathLike, *, header: bool = True, delimiter: str = ",", skip_ragged: bool = False, **columns
) -> Examples:
    """Reads comma-separated values with CSV quoting (RFC 4180): a quoted field may hold delimiters, `""` and line ends.

    Args:
        path: a UTF-8 file.
        header: the first line names the columns; else columns are given by 0-based number.
        delimiter: the character between fields.
        skip_ragged: as in `read_tsv`.
        **columns: see `Columns`.

    Returns:
        `Examples` in the order of the file.

    Raises:
        DataError: as `read_tsv`, and quotes that do not match. The line is the one where the record starts.
    """
    return _read_delimited(path, csv_records(path, delimiter), Columns(**columns), header, skip_ragged)


def read_jsonl(path: str | os.PathLike, **columns) -> Examples:
    """Reads JSON lines: an object a line, whose keys are the columns. Blank lines are passed over.

    Args:
        path: a UTF-8 file.
        **columns: see `Columns`. Labels may be strings, whole numbers or true and false.

    Returns:
        `Examples` in the order of the file.

    Raises:
        DataError: as `read_tsv`, and broken JSON, a line that is not an object, a key that is missing on one line.
    """
    columns = Columns(**columns)
    return collect(path, columns, _json_rows(path, columns), os.fspath(path))


def from_memory(
    texts: Sequence[str],
    labels: Sequence | None = None,
    *,
    pairs: Sequence[str] | None = None,
    kind: str = "classification",
    label_names: Sequence[str] | None = None,
    label_range: tuple[float, float] | None = None,
    ids: Sequence[str] | None = None,
    source: str = "memory",
) -> Examples:
    """Makes `Examples` of lists.

    Args:
        texts: N strings.
        labels: N label values; see `Columns.labels` for how they become class numbers.
        pairs: the second texts, N strings.
        kind: `"classification"` or `"regression"`.
        label_names: the label values allowed, in the order of their class numbers; default: those that occur, sorted.
        label_range: lowest and highest value allowed for a regression.
        ids: N names of the examples; default: "0" to "N-1".
        source: where they come from, for people.

    Raises:
        DataError: as `read_tsv`; the "line" is the 1-based number of the row.

    Example:
        >>> from_memory(["fine", "awful"], ["pos", "neg"]).labels
        array([1, 0], dtype=int32)
    """
    given = {"text": texts, "pair": pairs, "label": labels, "id": ids}
    lists = {name: list(values) for name, values in given.items() if values is not None}
    if len({len(values) for values in lists.values()}) > 1:
        raise UserError(
            f"Columns must have the same length. Received: { {name: len(v) for name, v in lists.items()} }."
        )
    columns = Columns(
        text=("text",) if pairs is None else ("text", "pair"),
        label=None if labels is None else "label",
        id=None if ids is None else "id",
        kind=kind,
        labels=None if label_names is None else tuple(label_names),
        label_range=label_range,
    )
    values = zip(*(lists[name] for name in columns.wanted))
    # numpy scalars become Python's, so that a label 1 is "1" whatever array it came from.
    plain = ([v.item() if hasattr(v, "item") else v for v in fields] for fields in values)
    return collect(source, columns, (Row(number, fields) for number, fields in enumerate(plain, 1)), source)


def _read_delimited(
    path: str | os.PathLike,
    records: Iterator[tuple[int, list[str] | DataError]],
    columns: Columns,
    header: bool,
    skip_ragged: bool,
    skip_bad_rows: bool = False,
) -> Examples:
    extra = []
    number, first = next(records)
    if isinstance(first, DataError):  # without it the columns are not known
        raise first
    if header:
        names = [name.strip() for name in first]
    else:
        names = [str(i) for i in range(len(first))]
        records = itertools.chain([(number, first)], records)
    columns, positions = _locate(path, number, columns, names, header)
    rows = _delimited_rows(path, records, columns, positions, names, skip_ragged, extra)
    examples = collect(path, columns, rows, os.fspath(path), skip_bad_rows)
    if extra:
        note = (
            f"{len(extra)} rows with more than {len(names)} fields, read by their first ones: first on line {extra[0]}"
        )
        report = replace(examples.report, notes=(*examples.report.notes, note))
        examples = replace(examples, report=report)
    return examples


def _locate(path, line: int, columns: Columns, names: list[str], header: bool) -> tuple[Columns, list[int]]:
    """The position of every wanted column; without the label column where that may be missing."""
    if columns.label_optional and isinstance(columns.label, str) and columns.label not in names:
        columns = replace(columns, label=None)
    positions = []
    for column in columns.wanted:
        if isinstance(column, int):
            if not 0 <= column < len(names):
                raise DataError(path, line, f"no column number {column}. Expected 0 to {len(names) - 1}.")
            positions.append(column)
        elif not header:
            raise DataError(path, line, f"without a header, columns are given by 0-based number. Received: {column!r}.")
        elif names.count(column) != 1:
            problem = "no column" if column not in names else "more than one column"
            raise DataError(path, line, f"{problem} {column!r}. The columns are: {', '.join(names)}.")
        else:
            positions.append(names.index(column))
    return columns, positions


def _delimited_rows(
    path,
    records: Iterable,
    columns: Columns,
    positions: list[int],
    names: list[str],
    skip_ragged: bool,
    extra: list[int],
) -> Iterator[Row]:
    width = len(names)
    label_at = positions[len(columns.text)] if columns.label is not None else None
    for line, fields in records:
        if isinstance(fields, DataError):
            yield Row(line, [], damage=fields)
            continue
        if fields == [""] and width > 1:
            continue  # a blank line, most often at the end of a file, is not a row
        count = len(fields)
        if count == width and not (skip_ragged and label_at is not None and fields[label_at] == ""):
            yield Row(line, [fields[i] for i in positions])
        elif not skip_ragged:
            shape = "cut short" if count < width else "too long"
            error = DataError(
                path, line, f"the line is {shape}: expected {width} fields ({', '.join(names)}). Received: {count}."
            )
            yield Row(line, [], damage=error)
        elif count > width and (label_at is None or columns.labels is None or fields[label_at] in columns.labels):
            extra.append(line)
            yield Row(line, [fields[i] for i in positions])
        else:
            yield Row(line, [], ragged=f"not {width} fields or no label")


def csv_records(path: str | os.PathLike, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields `(line where the record starts, fields)` of a file with CSV quoting; `DataError` where the quoting is broken."""
    # The module's limit of 131,072 characters a field is process-wide and would refuse a long document.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    reader = csv.reader((line for _, line in decoded_lines(path, keep_ends=True)), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                path, start, f"broken CSV in the record that starts here: {error}. Quotes inside a field are doubled."
            ) from None
        yield start, fields or [""]


def _json_rows(path: str | os.PathLike, columns: Columns) -> Iterator[Row]:
    for line, record in json_records(path):
        fields = []
        for column in columns.wanted:
            if column not in record and not (column == columns.label and columns.label_optional):
                raise DataError(path, line, f"no column {column!r}. The columns are: {', '.join(map(str, record))}.")
            value = record.get(column)
            if isinstance(value, str):
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise DataError(
                        path, line, f"column {column!r} holds half of a surrogate pair (\\ud800 to \\udfff)."
                    ) from None
            fields.append(value)
        yield Row(line, fields)
