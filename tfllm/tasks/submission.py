"""GLUE's submission: eleven prediction files, and the zip of them."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfllm.errors import UserError
from tfllm.tasks import glue
from tfllm.tasks.predictions_file import predictions_table, write_new
from tfllm.tasks.task import Task

ZIP_NAME = "submission.zip"


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
    fill_missing: bool = False,
    overwrite: bool = False,
) -> SubmissionReport:
    """Writes the files that gluebenchmark.com takes. The same predictions always give the same bytes.

    Args:
        predictions: for each test split its logits `(N, C)`, class numbers `(N,)`, class names `(N,)` or values `(N,)`,
            in the order of the official test file. The key is the task (`"glue/cola"`; for MNLI, which has two test
            splits, `"glue/mnli:test_matched"` and `"glue/mnli:test_mismatched"`) or the name of the prediction file
            without `.tsv` (`"MNLI-m"`).
        path: a `.zip` file to write, or else a directory, which gets the eleven files and `submission.zip`.
        fill_missing: write class 0 (0.000 for STS-B) for every example of a task without predictions; the site takes no
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
    targets = _targets()
    by_file = _by_file(predictions, targets)
    missing = [name for name in targets if name not in by_file]
    if missing and not fill_missing:
        raise UserError(
            f"A GLUE submission has {len(targets)} files. Received no predictions for: {', '.join(missing)}. "
            "Give them, or set fill_missing=True to write class 0 for them."
        )
    contents = {}
    for name, (task, split) in targets.items():
        size = task.sizes[split]
        values = by_file.get(name)
        values = (
            np.zeros(size, np.float64 if task.labels is None else np.int64) if values is None else np.asarray(values)
        )
        if len(values) != size:
            raise UserError(f"{name}: the official test set has {size} examples. Received: {len(values)} predictions.")
        contents[name] = predictions_table(task, values, [str(i) for i in range(size)]).encode()
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


def _targets() -> dict[str, tuple[Task, str]]:
    """File name to the task and split that it is for."""
    tasks = [glue.make(key) for key in glue.TASKS]
    return {name: (task, split) for task in tasks for split, name in task.submission.files.items()}


def _by_file(predictions: Mapping[str, np.ndarray], targets: Mapping[str, tuple[Task, str]]) -> dict[str, np.ndarray]:
    keys = {}
    for name, (task, split) in targets.items():
        keys[os.path.splitext(name)[0]] = keys[f"{task.name}:{split}"] = name
        if len(task.submission.files) == 1:
            keys[task.name] = name
    by_file = {}
    for key, values in predictions.items():
        if key not in keys:
            allowed = [k for k in keys if "/" in k and (":" not in k or k.startswith("glue/mnli"))]
            raise UserError(f"A GLUE submission has no {key!r}. Expected keys among: {', '.join(allowed)}.")
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
