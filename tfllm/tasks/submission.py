"""A benchmark's submission: its prediction files, and the zip of them."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfllm.data.examples import Examples
from tfllm.errors import UserError
from tfllm.tasks import glue, superglue
from tfllm.tasks.predictions_file import write_new
from tfllm.tasks.task import Task

ZIP_NAME = "submission.zip"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark whose test predictions are handed in together.

    Attributes:
        name: for people.
        prefix: of its tasks' names.
        tasks: data_dir to its tasks.
        numbered: test examples are numbered from 0, so predictions can be written without the test files.
    """

    name: str
    prefix: str
    tasks: Callable[[str | os.PathLike | None], list[Task]]
    numbered: bool


BENCHMARKS = {
    "glue": Benchmark("GLUE", "glue/", lambda data_dir: [glue.make(key) for key in glue.TASKS], True),
    "superglue": Benchmark(
        "SuperGLUE", "superglue/", lambda data_dir: [superglue.make(key, data_dir) for key in superglue.TASKS], False
    ),
}


@dataclass(frozen=True)
class SubmissionReport:
    """What was written.

    Attributes:
        path: the zip file.
        files: the names of the prediction files.
        filled: those of them that were filled with class 0 (or 0.000) because there were no predictions for them.
    """

    path: str
    files: tuple[str, ...]
    filled: tuple[str, ...] = ()


def write_submission(
    predictions: Mapping[str, np.ndarray],
    path: str | os.PathLike,
    *,
    benchmark: str = "glue",
    data_dir: str | os.PathLike | None = None,
    fill_missing: bool = False,
    overwrite: bool = False,
) -> SubmissionReport:
    """Writes the files that gluebenchmark.com or super.gluebenchmark.com takes. The same predictions always give the same bytes.

    Args:
        predictions: for each test split its logits `(N, C)`, class numbers `(N,)`, class names `(N,)` or values `(N,)`,
            in the order of the official test file. The key is the task (`"glue/cola"`; for MNLI, which has two test
            splits, `"glue/mnli:test_matched"` and `"glue/mnli:test_mismatched"`) or the name of the prediction file
            without its ending (`"MNLI-m"`).
        path: a `.zip` file to write, or else a directory, which gets the prediction files and `submission.zip`.
        benchmark: `"glue"` or `"superglue"`.
        data_dir: the benchmark's files. SuperGLUE's prediction files repeat the numbers and entities of its test files, which
            are read from there; GLUE's need none.
        fill_missing: write class 0 (0.000 for STS-B; the first choice) for every example of a task without predictions; the site takes no
            incomplete submission. The report says for which. Without it a missing task is an error.
        overwrite: replace files that are there.

    Returns:
        `SubmissionReport`.

    Raises:
        UserError: an unknown or missing task, a number of predictions that is not the official one, files that are
            there already.

    Example:
        >>> logits = task.predict(model, "test")  # doctest: +SKIP
        >>> write_submission({"glue/cola": logits}, "submission/", fill_missing=True).filled  # doctest: +SKIP
        ('SST-2.tsv', ...)
    """
    path = os.fspath(path)
    if benchmark not in BENCHMARKS:
        raise UserError(f"benchmark must be one of {', '.join(BENCHMARKS)}. Received: {benchmark!r}.")
    chosen = BENCHMARKS[benchmark]
    targets = _targets(chosen, data_dir)
    by_file = _by_file(predictions, chosen, targets)
    missing = [name for name in targets if name not in by_file]
    if missing and not fill_missing:
        raise UserError(
            f"A {chosen.name} submission has {len(targets)} files. Received no predictions for: {', '.join(missing)}. "
            "Give them, or set fill_missing=True to write class 0 for them."
        )
    contents = {}
    for name, (task, split) in targets.items():
        examples = _numbered_examples(task.sizes[split]) if chosen.numbered else task.examples(split)
        size, values = len(examples), by_file.get(name)
        values = (
            np.zeros(size, np.float64 if task.labels is None else np.int64) if values is None else np.asarray(values)
        )
        if len(values) != size:
            raise UserError(f"{name}: the official test set has {size} examples. Received: {len(values)} predictions.")
        contents[name] = task.submission.content(task, values, examples).encode()
    zipped = _zip(contents)
    if path.endswith(".zip"):
        write_new(path, zipped, overwrite)
        return SubmissionReport(path, tuple(targets), tuple(missing))
    os.makedirs(path, exist_ok=True)
    contents[ZIP_NAME] = zipped
    there = [name for name in contents if os.path.exists(os.path.join(path, name))]
    if there and not overwrite:
        raise UserError(f"{path} holds {there[0]} already. Give another directory, or overwrite=True.")
    for name, content in contents.items():
        write_new(os.path.join(path, name), content, overwrite)
    return SubmissionReport(os.path.join(path, ZIP_NAME), tuple(targets), tuple(missing))


def _numbered_examples(size: int) -> Examples:
    """Examples of which only the ids are known, 0, 1, ..."""
    return Examples(([""] * size,))


def _targets(benchmark: Benchmark, data_dir: str | os.PathLike | None) -> dict[str, tuple[Task, str]]:
    """File name to the task and split that it is for."""
    return {name: (task, split) for task in benchmark.tasks(data_dir) for split, name in task.submission.files.items()}


def _by_file(
    predictions: Mapping[str, Any], benchmark: Benchmark, targets: Mapping[str, tuple[Task, str]]
) -> dict[str, Any]:
    keys, shown = {}, []
    for name, (task, split) in targets.items():
        keys[os.path.splitext(name)[0]] = keys[f"{task.name}:{split}"] = name
        several = len(task.submission.files) > 1
        if not several:
            keys[task.name] = name
        shown.append(f"{task.name}:{split}" if several else task.name)
    by_file = {}
    for key, values in predictions.items():
        if key not in keys:
            raise UserError(f"A {benchmark.name} submission has no {key!r}. Expected keys among: {', '.join(shown)}.")
        if keys[key] in by_file:
            raise UserError(f"Received predictions for {keys[key]} twice, once as {key!r}.")
        by_file[keys[key]] = values
    return by_file


def _zip(contents: Mapping[str, bytes]) -> bytes:
    """No folders, time stamps or compression (zlib's versions differ): the same bytes everywhere."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            info = zipfile.ZipInfo(name)  # dated 1980-01-01
            info.create_system, info.external_attr = 3, 0o644 << 16  # the same on Windows as elsewhere
            archive.writestr(info, content)
    return buffer.getvalue()
