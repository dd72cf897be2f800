"""Prediction files: `index<TAB>prediction` lines, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics.predictions import predicted_classes, predicted_values

if TYPE_CHECKING:
    from tfllm.tasks.task import Task

HEADER = "index\tprediction\n"


def predictions_table(
    task: Task, predictions, ids: Sequence[str], values: Sequence[str] | None = None, decimals: int | None = None
) -> str:
    """The text of a prediction file.

    Args:
        task: names its classes, or clips a number to its range.
        predictions: logits `(N, C)`; class numbers, class names, or the values themselves, `(N,)`.
        ids: N ids for the first column.
        values: what is written for class 0, 1, ...; default: the names of the classes.
        decimals: digits after the point of a number; default: eight significant ones.

    Raises:
        UserError: as `written_labels`; values that are not finite; an id or a label with a tab or a line end in it.
    """
    if task.labels is None:
        written = _written_numbers(task, predictions, decimals)
    else:
        written = written_labels(task, predictions, values or task.labels)
    for text in (*ids, *(task.labels or ())):
        if "\t" in text or "\n" in text or "\r" in text:
            raise UserError(f"{task.name}: ids and labels must be without tabs and line ends. Received: {text!r}.")
    return HEADER + "".join(f"{id_}\t{value}\n" for id_, value in zip(ids, written, strict=True))


def written_labels(task: Task, predictions, values: Sequence) -> list:
    """What a file says for each prediction of a class.

    Args:
        task: names its classes.
        predictions: logits `(N, C)`, class numbers `(N,)` or class names `(N,)`.
        values: what is written for class 0, 1, ...

    Raises:
        UserError: logits of another width or not finite, classes that the task does not have.
    """
    predictions = np.asarray(predictions)
    _check_width(task, predictions)
    if predictions.dtype.kind in "UO":  # class names
        numbers = {label: number for number, label in enumerate(task.labels)}
        unknown = [str(label) for label in predictions if label not in numbers]
        if unknown:
            raise UserError(f"{task.name}: expected labels among {', '.join(task.labels)}. Received: {unknown[0]!r}.")
        return [values[numbers[label]] for label in predictions]
    classes = predicted_classes(predictions)
    if len(classes) and not 0 <= classes.min() <= classes.max() < len(values):
        raise UserError(
            f"{task.name} has classes 0 to {len(values) - 1}. Received: {classes.min()} to {classes.max()}."
        )
    return [values[number] for number in classes]


def _written_numbers(task: Task, predictions, decimals: int | None) -> list[str]:
    predictions = np.asarray(predictions)
    _check_width(task, predictions)
    numbers = predicted_values(predictions)
    if task.label_range is not None:
        numbers = np.clip(numbers, *task.label_range)
    form = ".8g" if decimals is None else f".{decimals}f"
    return [format(number + 0.0, form) for number in numbers]  # + 0.0: no "-0.000"


def _check_width(task: Task, predictions: np.ndarray) -> None:
    if predictions.ndim == 2 and predictions.shape[1] != task.num_outputs:
        raise UserError(f"{task.name} has {task.num_outputs} outputs. Received: logits of shape {predictions.shape}.")


def check_new(path: str | os.PathLike, overwrite: bool = False) -> None:
    """Checks that a file can be written; to be called before the work whose result it is.

    Raises:
        UserError: it is there already and `overwrite` is `False`, or its directory is not there.
    """
    path = os.fspath(path)
    if os.path.exists(path) and not overwrite:
        raise UserError(f"{path} is there already. Give another path, or overwrite=True.")
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise UserError(f"There is no directory {directory} to write {os.path.basename(path)} to. Make it first.")


def write_new(path: str | os.PathLike, content: bytes, overwrite: bool = False) -> None:
    """Writes a file so that it is there whole or not at all.

    Raises:
        UserError: see `check_new`.
    """
    check_new(path, overwrite)
    path = os.fspath(path)
    directory = os.path.dirname(path) or "."
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes files for the owner alone; give it what a plain open() would.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
