"""Prediction files: `index<TAB>prediction` lines, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics.predictions import predicted_classes, predicted_values

if TYPE_CHECKING:
    from tfllm.tasks.task import Task

HEADER = "index\tprediction\n"


def predictions_table(task: Task, predictions, ids: list[str]) -> str:
    """The text of a prediction file.

    Args:
        task: says what is written for a class, or how a number is clipped and rounded.
        predictions: logits `(N, C)`; class numbers, or the values themselves, `(N,)`.
        ids: N ids for the first column.

    Raises:
        UserError: as `prediction_values`; an id or a label with a tab or a line end in it.
    """
    values = prediction_values(task, predictions)
    for text in (*ids, *(task.labels or ())):
        if "\t" in text or "\n" in text or "\r" in text:
            raise UserError(f"{task.name}: ids and labels must be without tabs and line ends. Received: {text!r}.")
    return HEADER + "".join(f"{id_}\t{value}\n" for id_, value in zip(ids, values, strict=True))


def prediction_values(task: Task, predictions) -> list[str]:
    """What the file says for each prediction.

    Raises:
        UserError: logits of another width, classes that the task does not have, values that are not finite.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim == 2 and predictions.shape[1] != task.num_outputs:
        raise UserError(f"{task.name} has {task.num_outputs} outputs. Received: logits of shape {predictions.shape}.")
    if task.labels is None:
        numbers = predicted_values(predictions)
        if task.label_range is not None:
            numbers = np.clip(numbers, *task.label_range)
        form = ".8g" if task.submission is None else f".{task.submission.decimals}f"
        return [format(number + 0.0, form) for number in numbers]  # + 0.0: no "-0.000"
    written = task.labels if task.submission is None else task.submission.values
    if predictions.dtype.kind in "UO":  # class names
        numbers = {label: number for number, label in enumerate(task.labels)}
        unknown = [str(label) for label in predictions if label not in numbers]
        if unknown:
            raise UserError(f"{task.name}: expected labels among {', '.join(task.labels)}. Received: {unknown[0]!r}.")
        return [written[numbers[label]] for label in predictions]
    classes = predicted_classes(predictions)
    if len(classes) and not 0 <= classes.min() <= classes.max() < len(written):
        raise UserError(
            f"{task.name} has classes 0 to {len(written) - 1}. Received: {classes.min()} to {classes.max()}."
        )
    return [written[number] for number in classes]


def write_new(path: str | os.PathLike, content: bytes, overwrite: bool = False) -> None:
    """Writes a file so that it is there whole or not at all.

    Raises:
        UserError: it is there already and `overwrite` is `False`, or its directory is not there.
    """
    path = os.fspath(path)
    if os.path.exists(path) and not overwrite:
        raise UserError(f"{path} is there already. Give another path, or overwrite=True.")
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise UserError(f"There is no directory {directory} to write {os.path.basename(path)} to. Make it first.")
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
