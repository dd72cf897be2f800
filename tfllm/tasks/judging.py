"""Judging a language model as it is, without training: by how likely it finds texts.

A task says how with its `prompt` (a `Prompt`): what the model is asked, and what its answers are worth. Tasks that are judged so
and in no other way (LAMBADA, BLiMP, perplexities, the bias sets) are of a `LikelihoodKind`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfllm.data.examples import Examples
from tfllm.errors import UserError
from tfllm.tasks.kinds import Kind

if TYPE_CHECKING:
    from tfllm.tasks.task import Task


@dataclass(frozen=True)
class Asking:
    """Options of a judgement; `Task.judge` takes them by name.

    Attributes:
        shots: solved examples before each question.
        seed: of their draw. 1234 draws what lm-evaluation-harness draws.
        limit: only the first so many examples (questions, texts); default: all.
        window: tokens that the model reads at a time, for perplexities; default: the most that it can.
        stride: tokens by which windows move; default: the window.
        batch_tokens: tokens a step.
        confidence_interval: also give 95 % intervals.
        progress: called with (tokens read, tokens in all).
    """

    shots: int = 0
    seed: int = 1234
    limit: int | None = None
    window: int | None = None
    stride: int | None = None
    batch_tokens: int = 4096
    confidence_interval: bool = True
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self):
        if self.shots < 0:
            raise UserError(f"shots must be at least 0. Received: {self.shots}.")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit must be at least 1. Received: {self.limit}.")
        if self.batch_tokens < 1:
            raise UserError(f"batch_tokens must be at least 1. Received: {self.batch_tokens}.")

    def reading(self) -> dict[str, Any]:
        """The options of the functions in `tfllm.tasks.likelihood`."""
        return {"batch_tokens": self.batch_tokens, "progress": self.progress}


def asking(options: Mapping[str, Any]) -> Asking:
    """`Asking(**options)`.

    Raises:
        UserError: an option that does not exist.
    """
    names = [known.name for known in fields(Asking)]
    for name in options:
        if name not in names:
            raise UserError(f"A judgement has no option {name!r}. Its options are: {', '.join(names)}.")
    return Asking(**options)


@dataclass(frozen=True)
class Judgement:
    """What a judgement found.

    Attributes:
        scores: as `Task.evaluate` gives them; for some tasks with `"groups"`: a name to scores of a part of the examples.
        rows: a record an example: what was asked, and how likely each answer was found. JSON-ready.
    """

    scores: dict
    rows: list[dict]


class Prompt(abc.ABC):
    """How a task asks a language model, and what the answers are worth."""

    few_shot = False  # whether solved examples can stand before a question

    @abc.abstractmethod
    def judge(self, task: Task, model, split: str, asking: Asking) -> Judgement:
        """Judges the model on a split that the task has."""


def judge(task: Task, model, split: str, asking: Asking) -> Judgement:
    """See `Task.judge`."""
    if task.prompt is None:
        raise UserError(f"{task.name} has no prompt that a language model could be asked with: fine-tune for it.")
    split = task.split(split)
    if asking.shots and not task.prompt.few_shot:
        raise UserError(f"{task.name} is asked without solved examples: shots=0. Received: shots={asking.shots}.")
    found = task.prompt.judge(task, model, split, asking)
    report = task.examples(split).report
    settings = {"shots": asking.shots, "limit": asking.limit}
    if asking.shots:
        settings["shots_seed"] = asking.seed
    scores = {"truncated": 0, **found.scores, "split": split, "skipped": report.skipped, "rows_read": report.rows_read}
    return Judgement({**scores, **settings}, found.rows)


def first(examples: Examples, limit: int | None) -> Examples:
    """The first `limit` examples."""
    return examples if limit is None or limit >= len(examples) else chosen_rows(examples, range(limit))


def chosen_rows(examples: Examples, rows: Sequence[int]) -> Examples:
    """Some of the examples, in the order of `rows`."""
    return replace(
        examples,
        texts=tuple([column[row] for row in rows] for column in examples.texts),
        labels=None if examples.labels is None else examples.labels[list(rows)],
        ids=[examples.ids[row] for row in rows],
        columns={name: [values[row] for row in rows] for name, values in examples.columns.items()},
    )


@dataclass(frozen=True)
class Measure:
    """A metric that is a formula of sums over items (sentences, pairs, questions, terms).

    Attributes:
        sums: `(G, S)`, what each item adds.
        formula: sums `(..., S)` to the metric `(...)`, NaN where it is not defined.
        items: what the items are, for people.
    """

    sums: np.ndarray
    formula: Callable[[np.ndarray], np.ndarray]
    items: str = "examples drawn"


def mean_of(values, items: str = "examples drawn") -> Measure:
    """The mean of `values` `(G,)`."""
    values = np.asarray(values, np.float64)
    return Measure(np.stack([values, np.ones(len(values))], axis=1), lambda sums: sums[..., 0] / sums[..., 1], items)


def measured(measures: Mapping[str, Measure], n: int, confidence_interval: bool = True) -> dict:
    """`{metric: value, ..., "n": n, "ci95": {metric: [low, high]}, "ci_method": {metric: text}}`.

    A metric that is not defined for these items (a mean of none) is left out.

    Example:
        >>> measured({"accuracy": mean_of([1, 1, 0, 0])}, 4, False)
        {'accuracy': 0.5, 'n': 4}
    """
    from tfllm.metrics.bootstrap import bootstrap_of_sums

    with np.errstate(invalid="ignore", divide="ignore"):
        values = {name: float(one.formula(one.sums.sum(axis=0))) for name, one in measures.items() if len(one.sums)}
        values = {name: value for name, value in values.items() if not np.isnan(value)}
        scores: dict = {**values, "n": n}
        if confidence_interval:
            intervals = {
                name: bootstrap_of_sums(measures[name].sums, _known(measures[name].formula), measures[name].items)
                for name in values
            }
            scores["ci95"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
            scores["ci_method"] = {name: interval.method for name, interval in intervals.items()}
    return scores


def _known(formula):
    """Without the resamples that the metric is not defined in (a group that was not drawn)."""

    def score(sums):
        values = np.asarray(formula(sums))
        return values[~np.isnan(values)]

    return score


class LikelihoodKind(Kind):
    """Tasks that are judged by likelihoods alone: there is nothing to fine-tune a head on."""

    trained = False
    layouts = ("packed",)

    @property
    def head(self) -> str:
        _no_head("This task")

    def check(self, task: Task) -> None:
        if task.prompt is None:
            raise UserError(f"{task.name}: a task of kind {task.kind!r} needs a prompt. Received: none.")

    def num_outputs(self, task: Task) -> int:
        _no_head(task.name)

    def head_options(self, task: Task) -> dict[str, Any]:
        _no_head(task.name)

    def labelled(self, examples: Examples) -> bool:
        return True

    def checked(self, task: Task, examples: Examples) -> Examples:
        return examples

    def tokenize(self, examples, tokenizer, max_length, cache_dir):
        _no_head(examples.source)

    def predict(self, task, model, split, batches, progress):
        _no_head(task.name)

    def score(self, task, outputs, examples, confidence_interval):
        _no_head(task.name)

    def rows(self, task, outputs, examples):
        _no_head(task.name)


def _no_head(name: str):
    raise UserError(
        f"{name} is judged by likelihoods alone, without training: use task.judge(model), or tfllm evaluate. "
        "There is no head to fine-tune for it, and no submission file."
    )
