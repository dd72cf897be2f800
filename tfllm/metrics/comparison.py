"""Is one system better than another on the same examples? Paired bootstrap and McNemar's test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics import registry
from tfllm.metrics.bootstrap import SCORES_OF_COUNTS, scores_of_resamples

_MAX_CLASSES = 64


@dataclass(frozen=True)
class Difference:
    """A metric of two systems on the same examples.

    Attributes:
        first, second: the scores.
        low, high: 95 % interval of `second - first`, from a paired bootstrap.
        p_value: two-sided, of "there is no difference", from the same resamples.
    """

    first: float
    second: float
    low: float
    high: float
    p_value: float

    @property
    def difference(self) -> float:
        """`second - first`."""
        return self.second - self.first

    @property
    def significant(self) -> bool:
        """Whether chance alone would give so large a difference in fewer than 5 of 100 cases."""
        return self.p_value < 0.05


def compare_sums(
    first: np.ndarray,
    second: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Paired bootstrap of a metric that is a formula of sums over items.

    Args:
        first, second: `(G, S)`, what each item adds to the sums, of either system and in the same order.
        score: sums `(..., S)` to scores.
        resamples, seed: of the bootstrap; both systems are scored on the same resamples.

    Example:
        >>> right = np.array([[1, 1], [0, 1]])
        >>> compare_sums(right, right, lambda sums: sums[..., 0] / sums[..., 1]).p_value
        1.0
    """
    if first.shape != second.shape or not len(first):
        raise UserError(f"Expected the same examples of both systems. Received: {first.shape} and {second.shape}.")
    width = first.shape[1]
    both = np.concatenate([first, second], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = scores_of_resamples(both, lambda s: score(s[..., width:]) - score(s[..., :width]), resamples, seed)
        totals = both.sum(axis=0)
        scores = float(score(totals[None, :width])[0]), float(score(totals[None, width:])[0])
    return _difference(*scores, drawn)


def compare_metric(name: str, first, second, labels, resamples: int = 2000, seed: int = 0) -> Difference:
    """Paired bootstrap of a metric of `tfllm.metrics.names()`.

    Args:
        name: of the metric.
        first, second: class numbers or values `(N,)` of either system.
        labels: `(N,)`.
        resamples, seed: of the bootstrap.
    """
    first, second, labels = np.asarray(first), np.asarray(second), np.asarray(labels)
    if name in SCORES_OF_COUNTS:
        classes = int(max(first.max(), second.max(), labels.max())) + 1
        if classes <= _MAX_CLASSES:
            cells = [np.eye(classes * classes)[labels * classes + predicted] for predicted in (first, second)]
            return compare_sums(
                *cells, lambda s: SCORES_OF_COUNTS[name](s.reshape(-1, classes, classes)), resamples, seed
            )
    function, rng, size = registry.get(name), np.random.default_rng(seed), len(labels)
    draws = (rng.integers(0, size, size) for _ in range(resamples))
    drawn = np.array([function(second[d], labels[d]) - function(first[d], labels[d]) for d in draws])
    return _difference(function(first, labels), function(second, labels), drawn)


def _difference(first: float, second: float, drawn: np.ndarray) -> Difference:
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Difference(first, second, float("nan"), float("nan"), 1.0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p_value = min(1.0, 2 * (int(tail) + 1) / (len(drawn) + 1))
    return Difference(float(first), float(second), float(low), float(high), p_value)


def mcnemar(first_right, second_right) -> float:
    """McNemar's exact test: the two-sided p-value of "both are right equally often", from the examples on which they differ.

    Args:
        first_right, second_right: whether either system is right, `(N,)`.

    Example:
        >>> mcnemar([1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0])
        0.03125
    """
    from scipy.stats import binomtest

    first_right, second_right = np.asarray(first_right, bool), np.asarray(second_right, bool)
    only_first, only_second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)
