"""How the predictions of a benchmark's test splits are written down."""

from __future__ import annotations

import abc
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfllm.data.json_records import json_object, member
from tfllm.data.row_reader import as_text, raw_lines
from tfllm.errors import DataError, UserError
from tfllm.tasks.given_predictions import ById, GivenPredictions, class_forms, class_number, number_of, one_hot
from tfllm.tasks.predictions_file import predictions_table, written_labels

if TYPE_CHECKING:
    from tfllm.data.examples import Examples
    from tfllm.tasks.task import Task


@dataclass(frozen=True)
class SubmissionFile(abc.ABC):
    """The form of a prediction file.

    Attributes:
        files: split to file name.
    """

    files: Mapping[str, str]

    @abc.abstractmethod
    def content(self, task: Task, outputs: Any, examples: Examples) -> str:
        """The file's text.

        Args:
            task: says what is written for a class, or how a number is clipped and rounded.
            outputs: logits `(N, C)`, class numbers, class names or values `(N,)`.
            examples: those that the outputs are for.
        """

    def read(self, task: Task, path: str | os.PathLike, examples: Examples) -> GivenPredictions:
        """What a file of this form predicts for the examples.

        Raises:
            DataError: a damaged file, or predictions that are not those of the examples.
            UserError: files of this form are written alone.
        """
        raise UserError(f"{task.name}: prediction files of this form ({type(self).__name__}) are not read.")


@dataclass(frozen=True)
class TsvFile(SubmissionFile):
    """`index<TAB>prediction` lines, as GLUE takes them.

    Attributes:
        files: split to file name.
        values: what is written for class 0, 1, ...; default: the names of the classes. A number is clipped to the task's
            range and written with `decimals`.
        decimals: digits after the point of a number; default: eight significant ones.
    """

    values: tuple[str, ...] | None = None
    decimals: int | None = None

    def content(self, task, outputs, examples):
        return predictions_table(task, outputs, examples.ids, self.values, self.decimals)

    def read(self, task, path, examples):
        """Columns `index` (or `id`) and `prediction`, others are passed over; two columns without a header are these."""
        import numpy as np

        found, forms = ById(path), {} if task.labels is None else class_forms(task, self.values)
        places, width = (0, 1), 2
        for number, (line, raw) in enumerate(raw_lines(path)):
            text = as_text(path, line, raw)
            fields = [field.strip() for field in text.split("\t")]
            if number == 0 and fields[0].lower() in ("index", "id"):
                names = [name.lower() for name in fields]
                if "prediction" not in names:
                    raise DataError(
                        path, line, f"expected the columns index and prediction. Received: {', '.join(fields)}."
                    )
                places, width = (0, names.index("prediction")), len(fields)
                continue
            if not text.strip():
                continue
            if len(fields) != width:
                raise DataError(
                    path, line, f"expected {width} fields, with tabs between them. Received: {len(fields)}."
                )
            id_, value = (fields[place] for place in places)
            read = number_of(path, line, value) if task.labels is None else class_number(path, line, value, forms)
            found.add(line, id_, read)
        values, notes = found.of(examples.ids)
        return GivenPredictions(np.array(values)[:, None] if task.labels is None else one_hot(task, values), notes)


@dataclass(frozen=True)
class JsonlFile(SubmissionFile):
    """`{"idx": 0, "label": "true"}` lines, as SuperGLUE takes them.

    Attributes:
        files: split to file name.
        values: what is written for class 0, 1, ...
    """

    values: tuple[str | int, ...] = ()

    def content(self, task, outputs, examples):
        labels = written_labels(task, outputs, self.values)
        return json_lines({"idx": int(id_), "label": label} for id_, label in zip(examples.ids, labels, strict=True))

    def read(self, task, path, examples):
        found, forms = ById(path), class_forms(task, self.values)
        for line, record in prediction_records(path):
            found.add(line, record["idx"], class_number(path, line, record["label"], forms))
        values, notes = found.of(examples.ids)
        return GivenPredictions(one_hot(task, values), notes)


def prediction_records(path: str | os.PathLike, key: str = "idx", value: str = "label"):
    """Yields `(line, object)` of JSON lines with an id, as text, and a prediction.

    Raises:
        DataError: broken JSON, or a member that is missing.
    """
    for line, raw in raw_lines(path):
        text = as_text(path, line, raw)
        if not text.strip():
            continue
        record = json_object(path, line, text)
        for name in (key, value):
            if name not in record:
                member(path, line, record, name, str)  # says what is missing and what there is
        yield line, {**record, key: str(record[key])}


def json_lines(records) -> str:
    """A JSON object a line."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
