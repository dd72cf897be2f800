"""The submission files of MultiRC and ReCoRD, whose lines are not one prediction each."""

from __future__ import annotations

from dataclasses import dataclass

from tfllm.data.json_records import member
from tfllm.errors import DataError
from tfllm.metrics.answers import normalize_answer
from tfllm.metrics.grouped import chosen
from tfllm.tasks.given_predictions import ById, GivenPredictions, class_forms, class_number, one_hot
from tfllm.tasks.predictions_file import written_labels
from tfllm.tasks.submission_file import SubmissionFile, json_lines, prediction_records


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

    def read(self, task, path, examples):
        """An entity may be written as it stands in the text or in another way with the same scores."""
        found = ById(path)
        for line, record in prediction_records(path):
            found.add(line, record["idx"], (line, record["label"]))
        rows: dict[str, dict[str, int]] = {}
        for row, (group, value) in enumerate(zip(examples.columns["group"], examples.columns[self.column])):
            rows.setdefault(group, {})[str(value)] = row
        labels, notes = found.of([group.split("-")[-1] for group in rows])
        classes = [0] * len(examples)
        for choices, (line, label) in zip(rows.values(), labels):
            name = str(label)
            if name not in choices:  # scores know texts by their normal form alone
                name = next((other for other in choices if normalize_answer(other) == normalize_answer(name)), name)
            if name not in choices or isinstance(label, bool):
                raise DataError(
                    path, line, f"expected one of {', '.join(choices)}. Received: {label!r} as a prediction."
                )
            classes[choices[name]] = 1
        return GivenPredictions(one_hot(task, classes), notes)


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

    def read(self, task, path, examples):
        found, forms = ById(path), class_forms(task, None)
        for line, record in prediction_records(path, "idx", "passage"):
            for question in _numbered_parts(path, line, member(path, line, record, "passage", dict), "questions"):
                for answer in _numbered_parts(path, line, question, "answers"):
                    id_ = f"{record['idx']}-{question['idx']}-{answer['idx']}"
                    found.add(line, id_, class_number(path, line, answer.get("label"), forms))
        values, notes = found.of(examples.ids)
        return GivenPredictions(one_hot(task, values), notes)


def _numbered_parts(path, line: int, record: dict, key: str):
    for part in member(path, line, record, key, list):
        if not isinstance(part, dict) or "idx" not in part:
            raise DataError(path, line, f"{key!r} must hold objects with an 'idx'. Received: {str(part)[:60]!r}.")
        yield part


def _numbered(names, known: dict[str, int]):
    import numpy as np

    return np.array([known.setdefault(name, len(known)) for name in names])
