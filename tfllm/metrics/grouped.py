"""Metrics over groups of examples: the answers to a question, the choices of a premise, the two of a pair.

A metric is a few sums over groups and a formula of the sums. So its bootstrap interval draws whole groups, which belong
together, and costs a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics.bootstrap import Interval, bootstrap_of_sums
from tfllm.metrics.predictions import class_pairs, predicted_classes

Columns = Mapping[str, Sequence]


@dataclass(frozen=True)
class GroupedMetric:
    """A metric over groups.

    Attributes:
        sums: `(predictions, labels, group numbers (N,), columns) -> (G, S)`: what each group adds to the sums.
        score: sums `(..., S)` to scores `(...)`.

    Example:
        >>> CHOICE_ACCURACY.compute([[0, 1], [1, 0]], [1, 0], {"group": ["a", "a"]})
        1.0
    """

    sums: Callable[[np.ndarray, np.ndarray, np.ndarray, Columns], np.ndarray]
    score: Callable[[np.ndarray], np.ndarray]

    def compute(self, predictions, labels, columns: Columns) -> float:
        """The metric of N predictions.

        Args:
            predictions: logits `(N, C)` or class numbers `(N,)`.
            labels: `(N,)`.
            columns: further columns of the examples, N values each; `group` names the group of each example.
        """
        return float(self.score(self.sums_of(predictions, labels, columns).sum(axis=0)))

    def bootstrap_ci(
        self, predictions, labels, columns: Columns, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Percentile bootstrap interval over groups; arguments as `compute` and `tfllm.metrics.bootstrap_ci`."""
        sums = self.sums_of(predictions, labels, columns)
        return bootstrap_of_sums(sums, self.score, "whole groups drawn", confidence, resamples, seed)

    def sums_of(self, predictions, labels, columns: Columns) -> np.ndarray:
        """What each group adds to the sums, `(G, S)`; arguments as `compute`."""
        predictions, labels = np.asarray(predictions), np.asarray(labels)
        if not len(labels):
            raise UserError("Expected at least one prediction to score. Received: none.")
        for name, values in columns.items():
            if len(values) != len(labels) or len(predictions) != len(labels):
                raise UserError(
                    f"Expected {len(labels)} predictions and values of column {name!r}, as there are labels. "
                    f"Received: {len(predictions)} and {len(values)}."
                )
        return np.asarray(self.sums(predictions, labels, _numbers(columns["group"]), columns), np.float64)


def chosen(predictions, groups: np.ndarray) -> np.ndarray:
    """The row of the choice that each group prefers `(G,)`: the highest logit of class 1 over class 0, the first of equals.

    Args:
        predictions: logits `(N, 2)`, or classes 0 and 1 `(N,)`.
        groups: group numbers `(N,)` from 0.
    """
    predictions = np.asarray(predictions)
    preference = predictions[:, 1] - predictions[:, 0] if predictions.ndim == 2 else predictions
    order = np.lexsort((np.arange(len(groups)), -preference, groups))
    return order[np.unique(groups[order], return_index=True)[1]]


def _numbers(names: Sequence) -> np.ndarray:
    """Groups numbered by first occurrence, `(N,)`."""
    known: dict = {}
    return np.array([known.setdefault(name, len(known)) for name in names])


def _per_group(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(groups, values, minlength=groups.max() + 1)


def _mean_of(values: np.ndarray) -> np.ndarray:
    """Sums for a mean over groups of `values` (G,)."""
    return np.stack([values, np.ones(len(values))], axis=1)


def _mean(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def _choice_accuracy(predictions, labels, groups, columns):
    right = _per_group(groups, labels == 1)
    if not (right == 1).all():
        raise UserError(
            f"Every group of choices has one right one. Received: {int(right[right != 1][0])} in one of them."
        )
    return _mean_of(labels[chosen(predictions, groups)] == 1)


def _question_exact_match(predictions, labels, groups, columns):
    predictions, labels = class_pairs(predictions, labels)
    return _mean_of(_per_group(groups, predictions != labels) == 0)


def _f1a_sums(predictions, labels, groups, columns):
    predictions, labels = class_pairs(predictions, labels)
    both, either = (predictions == 1) & (labels == 1), (predictions == 1).astype(int) + (labels == 1)
    return np.stack([_per_group(groups, 2 * both), _per_group(groups, either)], axis=1)


def _f1a(sums: np.ndarray) -> np.ndarray:
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros_like(sums[..., 0]), where=sums[..., 1] > 0)


def _parity(predictions, labels, groups, columns):
    classes, sizes = predicted_classes(predictions), np.bincount(groups)
    if not (sizes == 2).all():
        raise UserError(f"Parity is for pairs. Received: a group of {int(sizes[sizes != 2][0])}.")
    total, squares = _per_group(groups, classes), _per_group(groups, classes**2)
    return _mean_of(2 * squares == total**2)  # a + b squared is twice the squares where a = b only


def _of_chosen(column: str) -> Callable:
    def sums(predictions, labels, groups, columns):
        return _mean_of(np.asarray(columns[column], np.float64)[chosen(predictions, groups)])

    return sums


CHOICE_ACCURACY = GroupedMetric(_choice_accuracy, _mean)
QUESTION_EXACT_MATCH = GroupedMetric(_question_exact_match, _mean)
F1A = GroupedMetric(_f1a_sums, _f1a)
GENDER_PARITY = GroupedMetric(_parity, _mean)


def mean_of_chosen(column: str) -> GroupedMetric:
    """The mean over groups of what a column says of the chosen row: ReCoRD's F1 and exact match of its entities."""
    return GroupedMetric(_of_chosen(column), _mean)
