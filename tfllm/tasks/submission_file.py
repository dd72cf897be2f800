"""How the predictions of a benchmark's test splits are written down."""

from __future__ import annotations

import abc
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


def json_lines(records) -> str:
    """A JSON object a line."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
