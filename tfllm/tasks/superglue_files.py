"""The submission files of MultiRC and ReCoRD, whose lines are not one prediction each."""

from __future__ import annotations

from dataclasses import dataclass

from tfllm.metrics.grouped import chosen
from tfllm.tasks.predictions_file import written_labels
from tfllm.tasks.submission_file import SubmissionFile, json_lines


@dataclass(frozen=True)
class ChoiceFile(SubmissionFile):
    """A line a group of choices: `{"idx": 0, "label": ...}` with a column's value for the chosen one.

    Attributes:
        files: split to file name.
        column: COPA's number of the choice, ReCoRD's text of the entity.
    """

    column: str = "choice"

    def content(self, task, outputs, examples):
        written_labels(task, outputs, task.labels)  # what is wrong with the outputs is said here
        groups = examples.columns["group"]
        known: dict[str, int] = {}
        rows = chosen(outputs, _numbered(groups, known))
        values = [examples.columns[self.column][row] for row in rows]
        return json_lines({"idx": int(group.split("-")[-1]), "label": value} for group, value in zip(known, values))


@dataclass(frozen=True)
class MultiRCFile(SubmissionFile):
    """A line a passage, with its questions, with their answers."""

    def content(self, task, outputs, examples):
        labels = written_labels(task, outputs, (0, 1))
        passages: dict[int, dict[int, list[dict]]] = {}
        for id_, label in zip(examples.ids, labels, strict=True):
            passage, question, answer = map(int, id_.split("-"))
            passages.setdefault(passage, {}).setdefault(question, []).append({"idx": answer, "label": label})
        return json_lines(
            {
                "idx": passage,
                "passage": {
                    "questions": [{"idx": number, "answers": answers} for number, answers in questions.items()]
                },
            }
            for passage, questions in passages.items()
        )


def _numbered(names, known: dict[str, int]):
    import numpy as np

    return np.array([known.setdefault(name, len(known)) for name in names])
