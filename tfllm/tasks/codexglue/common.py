"""What CodeXGLUE's tasks have in common: where their files are, and the fields of a `Task`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tfllm.data.examples import Examples
from tfllm.data.row_reader import RowReader, as_text, json_value, raw_lines
from tfllm.errors import DataError, UserError
from tfllm.tasks.benchmark_files import find_file
from tfllm.tasks.given_predictions import ById, GivenPredictions, class_forms, class_number, one_hot
from tfllm.tasks.predictions_file import written_labels
from tfllm.tasks.registry import register
from tfllm.tasks.submission_file import SubmissionFile
from tfllm.tasks.task import Task

LICENCE = "C-UDA"
CITATION = (
    "Lu et al. 2021, CodeXGLUE: A Machine Learning Benchmark Dataset for Code Understanding and Generation, NeurIPS "
    "Datasets and Benchmarks, arXiv:2102.04664"
)
SPLIT_FILES = {"train": "train", "validation": "valid", "test": "test"}
LANGUAGES = ("go", "java", "javascript", "php", "python", "ruby")


@dataclass(frozen=True)
class Source:
    """Where a task reads a split from.

    Attributes:
        name: of the task.
        data_dir: as the user gave it.
        skip_bad_rows: as the user gave it.
        folders: directories below `data_dir` that the files may be in, the repository's first; `data_dir` itself is last.
    """

    name: str
    data_dir: str
    skip_bad_rows: bool
    folders: tuple[str, ...]

    def path(self, split: str, *names: str) -> str:
        """The first of the files that is there.

        Raises:
            DataError: none is; where it was looked for is said.
        """
        return find_file("CodeXGLUE", self.name, self.data_dir, self.folders, names, None, split, {})

    def reader(self, path: str) -> RowReader:
        """A reader of the file's rows."""
        return RowReader(path, self.skip_bad_rows)

    def has(self, *names: str) -> str | None:
        """The first of the files that is there, or `None`."""
        try:
            return self.path("", *names)
        except DataError:
            return None


Read = Callable[[Source, str], Examples]


def codexglue_task(
    name: str, read: Read, folders: Sequence[str], details: Mapping[str, Any], **options
) -> Callable[..., Task]:
    """Registers a task of CodeXGLUE.

    Args:
        name: of the task.
        read: `(source, split) -> Examples`.
        folders: of the repository, such as `"Code-Code/Defect-detection/dataset"`.
        details: fields of `Task`.
        **options: `strategy`: makes the kind of the options that the user gave.
    """
    return register(name, partial(_make, name, read, tuple(folders), details, options.get("strategy")))


def _make(
    name: str,
    read: Read,
    folders: tuple[str, ...],
    details: Mapping[str, Any],
    strategy: Callable | None,
    data_dir: str | os.PathLike | None = None,
    source: str = "auto",
    skip_bad_rows: bool = False,
    **options,
) -> Task:
    if source not in ("auto", "files", "tfds"):
        raise UserError(f"{name}: source must be auto, files or tfds. Received: {source!r}.")
    given = None if data_dir is None else os.path.expanduser(os.fspath(data_dir))

    def read_split(split: str) -> Examples:
        if given is None:
            raise UserError(
                f"{name} is read from files: give data_dir= (--data_dir=), a directory of CodeXGLUE's files."
            )
        from tfllm.tasks.codexglue.tfds_builder import is_prepared, read_prepared

        if source == "tfds" or (source == "auto" and is_prepared(name, given)):
            return read_prepared(name, split, given)
        return read(Source(name, given, skip_bad_rows, _with_ends(folders)), split)

    if strategy is not None:
        details = {**details, "strategy": strategy(**options)}
    elif options:
        raise UserError(
            f"{name} has no option {next(iter(options))!r}. Its options are: data_dir, source, skip_bad_rows."
        )
    folder = folders[0].removesuffix("/dataset").removesuffix("/data")
    return Task(
        name=name,
        read=read_split,
        licence=LICENCE,
        source_url=f"https://github.com/microsoft/CodeXGLUE/tree/main/{folder}",
        citation=CITATION,
        **details,
    )


def _with_ends(folders: Sequence[str]) -> tuple[str, ...]:
    """`Code-Code/Task/dataset` is also `Task/dataset`, `Task` and `dataset`, and `data_dir` itself."""
    found: list[str] = []
    for folder in folders:
        parts = folder.split("/")
        found += ["/".join(parts[start:end]) for end in range(len(parts), 1, -1) for start in range(end)]
    return tuple(dict.fromkeys([*found, ""]))


def json_items(path: str) -> Iterator[tuple[int, dict]]:
    """`(number from 1, object)` of a file that holds a list of objects; a file of JSON lines is read too.

    Raises:
        DataError: broken JSON, or something else than objects.
    """
    try:
        value = json_value(path)
    except DataError as whole:
        items = []
        try:
            RowReader(path).json_lines(lambda line, record: items.append((line, record)))
        except DataError:
            raise whole from None
        yield from items
        return
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        if not isinstance(item, dict):
            raise DataError(path, number, f"expected objects. Received: {type(item).__name__} as item {number}.")
        yield number, item


def text_of(path: str, line: int, record: dict, *keys: str) -> str:
    """The text under the first of the keys that is there.

    Raises:
        DataError: none is there, or it is no text.
    """
    for key in keys:
        if key in record:
            value = record[key]
            if not isinstance(value, str):
                raise DataError(path, line, f"{key!r} must be text. Received: {value!r} ({type(value).__name__}).")
            return value
    raise DataError(
        path, line, f"no {' or '.join(map(repr, keys))}. Received: {', '.join(map(str, record)) or 'nothing'}."
    )


def label_of(path: str, line: int, value) -> int:
    """A label that is 0 or 1, as a number or as text.

    Raises:
        DataError: it is neither.
    """
    if isinstance(value, bool) or str(value) not in ("0", "1"):
        raise DataError(path, line, f"the label must be 0 or 1. Received: {value!r}.")
    return int(value)


@dataclass(frozen=True)
class PlainLines(SubmissionFile):
    """`id<TAB>prediction` lines without a header, as the repository's evaluators take them.

    Attributes:
        files: split to file name.
        columns: columns of the examples that stand in place of the id.
    """

    columns: tuple[str, ...] = ()

    def content(self, task, outputs, examples):
        ids = (
            zip(*(examples.columns[name] for name in self.columns))
            if self.columns
            else ((id_,) for id_ in examples.ids)
        )
        labels = written_labels(task, outputs, task.labels)
        return "".join("\t".join((*id_, label)) + "\n" for id_, label in zip(ids, labels, strict=True))

    def read(self, task, path, examples):
        found, forms = ById(path), class_forms(task, None)
        width = (len(self.columns) or 1) + 1
        for line, raw in raw_lines(path):
            fields = as_text(path, line, raw).split()
            if fields and len(fields) != width:
                raise DataError(path, line, f"expected {width} fields (ids and a label). Received: {len(fields)}.")
            if fields:
                value = class_number(path, line, fields[-1], forms)
                found.add(line, "\t".join(fields[:-1]), value, repeatable=bool(self.columns))  # a pair may occur twice
        columns = [examples.columns[name] for name in self.columns] or [examples.ids]
        values, notes = found.of(["\t".join(id_) for id_ in zip(*columns)])
        return GivenPredictions(one_hot(task, values), notes)
