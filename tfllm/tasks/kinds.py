"""What differs between kinds of tasks: the model's head, the tokens it reads, its outputs, their scores.

A `Task` asks its kind and knows none by name. `TextKind` is here: a class or a number for each example. Questions whose
answer is a span of text are in `tfllm.tasks.span`.
"""

from __future__ import annotations

import abc
import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from tfllm.data.examples import Examples
from tfllm.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tfllm.data.batches import Batches
    from tfllm.data.tokenized import TokenizedExamples
    from tfllm.tasks.submission_file import SubmissionFile
    from tfllm.tasks.task import Task
    from tfllm.text import Tokenizer


class Kind(abc.ABC):
    """A kind of tasks.

    Attributes:
        trained: whether a head is trained for it; if not, a language model is judged as it is, by `Task.judge`.
        head: the model's head, as `tfllm.load` knows it.
        layouts: how its examples may become rows, the best first.
    """

    trained = True
    head: str
    layouts: tuple[str, ...]

    @abc.abstractmethod
    def check(self, task: Task) -> None:
        """Raises `UserError` where the task's fields contradict each other."""

    @abc.abstractmethod
    def num_outputs(self, task: Task) -> int:
        """Outputs that the head needs."""

    @abc.abstractmethod
    def head_options(self, task: Task) -> dict[str, Any]:
        """Further arguments of `tfllm.load`."""

    @abc.abstractmethod
    def labelled(self, examples: Examples) -> bool:
        """Whether the examples can be trained on and scored."""

    @abc.abstractmethod
    def checked(self, task: Task, examples: Examples) -> Examples:
        """The examples as the task needs them; `UserError` where they are not."""

    @abc.abstractmethod
    def tokenize(
        self, examples: Examples, tokenizer: Tokenizer, max_length: int, cache_dir: str | os.PathLike | None
    ) -> TokenizedExamples:
        """What batches are made of."""

    def default_layout(self, tokenizer: Tokenizer) -> str:
        """How examples become rows unless told otherwise."""
        return self.layouts[0]

    def batches(self, tokenized: TokenizedExamples, **options) -> Batches:
        """Batches of what `tokenize` made; the options are those of `tfllm.data.Batches`."""
        from tfllm.data.batches import Batches

        return Batches(tokenized, **options)

    @abc.abstractmethod
    def predict(
        self, task: Task, model, split: str, batches: Batches, progress: Callable[[int, int], None] | None
    ) -> Any:
        """The model's outputs for the examples of a split, in a form that `score` and `rows` take."""

    @abc.abstractmethod
    def score(self, task: Task, outputs: Any, examples: Examples, confidence_interval: bool) -> dict:
        """Metrics by name, `n`, and with `confidence_interval` `ci95` and `ci_method`."""

    @abc.abstractmethod
    def rows(self, task: Task, outputs: Any, examples: Examples) -> list[dict[str, str | float]]:
        """A record an example for the predictions file: `id`, `label` where it is known, `prediction`, and more."""

    def files(self, task: Task, outputs: Any, examples: Examples) -> dict[str, str]:
        """Further files about a split's predictions, name to content."""
        return {}

    def plain_file(self) -> SubmissionFile:
        """How predictions are written where the benchmark has no form of its own."""
        from tfllm.tasks.submission_file import TsvFile

        return TsvFile({})

    def sums_of_rows(
        self, task: Task | None, metric: str, columns: Mapping[str, Sequence[str]]
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]] | None:
        """For comparing two runs by their prediction files: what each row adds to a metric, and the metric of the sums.

        Args:
            task: `None` for one of the user's own files, which is not at hand.
            metric: its name.
            columns: of the file that `rows` made.

        Returns:
            `(N, S)` and a function of sums; `None` where `columns` have a class, a number or the metric itself in each row.
        """
        return None


class TextKind(Kind):
    """A class, or a number, for each text or pair of texts."""

    head = "classifier"
    layouts = ("packed", "bucketed", "padded")

    def __init__(self, regression: bool):
        self.regression = regression

    def check(self, task: Task) -> None:
        if (task.labels is None) != self.regression:
            raise UserError(
                f"{task.name}: a classification has labels, a regression has none. "
                f"Received: {task.kind}, {task.labels}."
            )
        if task.labels is not None and len(task.labels) < 2:
            raise UserError(f"{task.name}: a classification needs at least two labels. Received: {list(task.labels)}.")

    def num_outputs(self, task: Task) -> int:
        return 1 if task.labels is None else len(task.labels)

    def head_options(self, task: Task) -> dict[str, Any]:
        return {"num_labels": self.num_outputs(task), "regression": self.regression, "label_names": task.labels}

    def labelled(self, examples: Examples) -> bool:
        return examples.labels is not None

    def checked(self, task: Task, examples: Examples) -> Examples:
        from dataclasses import replace

        if task.labels is not None and examples.labels is not None:
            if examples.labels.dtype.kind != "i" or not 0 <= examples.labels.min() <= examples.labels.max() < len(
                task.labels
            ):
                found = f"{examples.labels.min()} to {examples.labels.max()}"
                raise UserError(
                    f"{task.name}: labels must be class numbers from 0 to {len(task.labels) - 1}. Received: {found}."
                )
        elif examples.labels is not None:  # whole numbers are fine for a regression
            examples = replace(examples, labels=examples.labels.astype(np.float32))
        return examples

    def tokenize(self, examples, tokenizer, max_length, cache_dir):
        from tfllm.data.tokenized import tokenize

        return tokenize(examples, tokenizer, max_length=max_length, cache_dir=cache_dir)

    def predict(self, task, model, split, batches, progress):
        from tfllm.tasks.prediction import predict_logits

        return predict_logits(model, batches, len(task.examples(split)), self.num_outputs(task), task.name, progress)

    def score(self, task, outputs, examples, confidence_interval):
        return task.score(outputs, examples.labels, confidence_interval, columns=examples.columns)

    def rows(self, task, outputs, examples):
        from tfllm.tasks.prediction_rows import prediction_rows

        return prediction_rows(
            examples.ids, outputs, label_names=task.labels, labels=examples.labels, columns=examples.columns
        )


# Where each kind is: modules are imported when a task of theirs is made.
_KINDS = {
    "classification": ("tfllm.tasks.kinds", lambda module: module.TextKind(regression=False)),
    "regression": ("tfllm.tasks.kinds", lambda module: module.TextKind(regression=True)),
    "span": ("tfllm.tasks.span", lambda module: module.SpanKind()),
    "retrieval": ("tfllm.tasks.retrieval", lambda module: module.RetrievalKind()),
    "cloze": ("tfllm.tasks.cloze", lambda module: module.ClozeKind()),
    "completion": ("tfllm.tasks.completion", lambda module: module.CompletionKind()),
    "tagging": ("tfllm.tasks.tagging", lambda module: module.TaggingKind()),
    "text": ("tfllm.tasks.text_kind", lambda module: module.GeneratedTextKind()),
    **{
        name: ("tfllm.tasks.judging", lambda module: module.LikelihoodKind())
        for name in ("choice", "continuation", "perplexity", "preference")
    },
}


def get(name: str) -> Kind:
    """The kind of that name, with its defaults.

    Raises:
        UserError: no such kind.
    """
    if name not in _KINDS:
        raise UserError(f"kind must be one of {', '.join(_KINDS)}. Received: {name!r}.")
    module, make = _KINDS[name]
    return make(importlib.import_module(module))
