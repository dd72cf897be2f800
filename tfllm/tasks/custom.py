"""Tasks from the user's own data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from tfllm.data.columns import Columns, Row, collect
from tfllm.data.examples import Examples
from tfllm.data.records import column, format_of, has_column, read_records, text_value
from tfllm.data.row_reader import RowReader
from tfllm.data.sources import from_memory as examples_from_memory
from tfllm.data.sources import read_csv, read_jsonl, read_tsv
from tfllm.errors import UserError
from tfllm.tasks import custom_kinds
from tfllm.tasks.task import Task

_READERS = {"tsv": read_tsv, "csv": read_csv, "jsonl": read_jsonl}
_FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_METRICS = {"classification": ("accuracy", "macro_f1"), "regression": ("pearson", "spearman")}


def from_files(
    train: str | os.PathLike | None = None,
    validation: str | os.PathLike | None = None,
    test: str | os.PathLike | None = None,
    *,
    text: str | int | tuple[str | int, ...],
    label: str | int | None = None,
    kind: str = "classification",
    labels: Sequence[str] | None = None,
    label_range: tuple[float, float] | None = None,
    id: str | int | None = None,
    format: str | None = None,
    header: bool = True,
    name: str = "custom",
    metrics: Sequence[str] | None = None,
    main_metric: str | None = None,
    skip_bad_rows: bool = False,
    text_options: Mapping | None = None,
    **details,
) -> Task:
    """A task from TSV, CSV or JSON-lines files; of tagging from CoNLL files too, of translation from TMX.

    Args:
        train, validation, test: the files. The test file may be without the label column, or hold -1 there in every
            row.
        text: the text column, or a pair of them (names, or 0-based numbers). For tagging the words; for spans question and
            context; for translation and generation the sources (of TMX their language). With a dot into JSON objects.
        label: the label column. For tagging the tags (default `"tags"`), for spans the answers (`"answers"`), for translation
            and generation the targets (`"target"`; several references with commas between them).
        kind: `"classification"`, `"regression"`, `"tagging"`, `"span"`, `"translation"` or `"generation"`.
        labels: the label values, in the order of their class numbers. Default: those that occur in the train file
            (without one, in the validation file), sorted; that file is then read at once. A value that is not among
            them is an error in every file.
        label_range: lowest and highest label allowed for a regression.
        id: the column with ids for prediction files; default: row numbers.
        format: `"tsv"` (quotes are text), `"csv"` (with CSV quoting) or `"jsonl"`; default: by the file's ending.
        header: whether TSV and CSV files name their columns on the first line.
        name: of the task.
        metrics: default: accuracy and macro-F1, or Pearson and Spearman.
        main_metric: default: the first of the metrics.
        skip_bad_rows: leave rows out that are damaged (broken JSON, another number of fields, no text, a label that is no number or
            not one of the classes), and count them.
        text_options: for translation and generation, those of `tfllm.tasks.text_kind.GeneratedTextKind`, and `num_beams`.
        **details: further fields of `Task`: `licence`, `source_url`, `description`, `citation`, `version`.

    Raises:
        UserError: no file, or a format that is not known.
        DataError: what the readers in `tfllm.data` raise.

    Example:
        >>> task = from_files("train.csv", "dev.csv", text=("question", "answer"), label="good")  # doctest: +SKIP
    """
    paths = {"train": train, "validation": validation, "test": test}
    paths = {split: os.path.expanduser(os.fspath(path)) for split, path in paths.items() if path is not None}
    if kind in custom_kinds.KINDS:
        if not paths:
            raise UserError(f"{name}: give at least one of train, validation and test.")
        options = {"id": id, "format": format, "header": header, "skip_bad_rows": skip_bad_rows, **(text_options or {})}
        details |= {"metrics": metrics, "main_metric": main_metric, "labels": labels}
        texts = (text,) if isinstance(text, (str, int)) else tuple(text)
        return custom_kinds.make(kind, paths, texts, label, name, options, details)
    if text_options:
        raise UserError(f"{name}: kind={kind!r} takes no text_options. Received: {dict(text_options)}.")
    readers = {split: _reader(path, format) for split, path in paths.items()}

    def read(split: str, class_names: tuple[str, ...] | None) -> Examples:
        options = {} if readers[split] is read_jsonl and not skip_bad_rows else {"header": header}
        reader = partial(_read_sound_rows, format=format) if skip_bad_rows else readers[split]
        return reader(
            paths[split],
            text=text,
            label=label,
            id=id,
            kind=kind,
            labels=class_names,
            label_range=label_range,
            label_optional=split == "test",
            **options,
        )

    return _make(name, read, paths, text, label, kind, labels, label_range, metrics, main_metric, details)


def from_memory(
    train: Examples | Mapping[str, Sequence] | None = None,
    validation: Examples | Mapping[str, Sequence] | None = None,
    test: Examples | Mapping[str, Sequence] | None = None,
    *,
    text: str | tuple[str, ...] = "text",
    label: str | None = "label",
    kind: str = "classification",
    labels: Sequence[str] | None = None,
    label_range: tuple[float, float] | None = None,
    name: str = "custom",
    metrics: Sequence[str] | None = None,
    main_metric: str | None = None,
    **details,
) -> Task:
    """A task from columns in memory.

    Args:
        train, validation, test: column name to a list of its values, or `Examples` (with `labels` given, or their
            `label_names`). The test split may be without the label column.
        text, label: the columns, as in `from_files`, whose other arguments have the same meaning here.

    Example:
        >>> task = from_memory({"text": ["fine", "awful"], "label": ["pos", "neg"]})
        >>> task.labels, task.examples("train").labels
        (('neg', 'pos'), array([1, 0], dtype=int32))
    """
    given = {"train": train, "validation": validation, "test": test}
    given = {split: value for split, value in given.items() if value is not None}
    columns = (text,) if isinstance(text, str) else tuple(text)

    def read(split: str, class_names: tuple[str, ...] | None) -> Examples:
        data = given[split]
        if isinstance(data, Examples):
            if class_names and data.label_names and data.label_names != class_names:
                raise UserError(
                    f"{name}: in the {split} examples, class numbers stand for {', '.join(data.label_names)}. "
                    f"Expected: {', '.join(class_names)}. Make all of them with the same label_names."
                )
            return data
        wanted = [*columns] if label is None or (split == "test" and label not in data) else [*columns, label]
        for one in wanted:
            if one not in data:
                raise UserError(f"{name}: the {split} split has no column {one!r}. Its columns are: {', '.join(data)}.")
        return examples_from_memory(
            data[columns[0]],
            data[label] if label in wanted else None,
            pairs=data[columns[1]] if len(columns) == 2 else None,
            kind=kind,
            label_names=class_names,
            label_range=label_range,
            source=f"{name}/{split}",
        )

    return _make(name, read, given, text, label, kind, labels, label_range, metrics, main_metric, details)


def _read_sound_rows(path: str, *, format: str | None, header: bool, **columns) -> Examples:
    """What the readers of `tfllm.data.sources` read, without damaged rows and those whose label is."""
    wanted = Columns(**columns)
    reader = RowReader(path, skip_bad_rows=True)

    def parse(line: int, record: dict) -> Row:
        fields = []
        for place, name in enumerate(wanted.wanted):
            if (
                name == wanted.label
                and place == len(wanted.text)
                and wanted.label_optional
                and not has_column(record, name)
            ):
                fields.append(None)
                continue
            value = column(path, line, record, name)
            fields.append(text_value(path, line, name, value) if place < len(wanted.text) else value)
        return Row(line, fields)

    rows = read_records(reader, format_of(path, format), parse, header)
    examples = collect(path, wanted, rows, path, skip_bad_rows=True)
    report = reader.report(examples.report.notes)
    skipped = tuple(sorted({*report.skipped_lines, *examples.report.skipped_lines}))
    return replace(examples, report=replace(report, skipped_lines=skipped))


def _reader(path: str, format: str | None):
    format = _FORMATS.get(os.path.splitext(path)[1].lower()) if format is None else format
    if format not in _READERS:
        raise UserError(
            f"{path}: give format=, one of {', '.join(_READERS)}; it does not follow from the file's ending."
        )
    return _READERS[format]


def _make(
    name, read, sources: Mapping, text, label, kind, labels, label_range, metrics, main_metric, details: dict
) -> Task:
    if not sources:
        raise UserError(f"{name}: give at least one of train, validation and test.")
    fields = Columns(text, label, kind=kind, labels=None if labels is None else tuple(labels), label_range=label_range)
    first, labels = None, fields.labels
    if kind == "classification" and labels is None:
        first = next(iter(sources))  # train, where there is one
        examples = read(first, None)
        labels = examples.label_names
        if labels is None:
            raise UserError(
                f"{name}: labels= must list the classes: the {first} split has no labels to take them from."
            )
    task = Task(
        name=name,
        kind=kind,
        text_fields=tuple(str(column) for column in fields.text),
        read=lambda split: read(split, labels),
        metrics=(metrics := tuple(metrics or _METRICS[kind])),
        main_metric=main_metric or metrics[0],
        labels=labels,
        label_range=label_range,
        splits={split: source if isinstance(source, str) else "in memory" for split, source in sources.items()},
        **details,
    )
    if first is None:
        return task
    # What was read to learn the classes is not read again.
    return replace(task, read=lambda split: examples if split == first else read(split, labels))
