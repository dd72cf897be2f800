"""Percentile bootstrap intervals (Efron 1979), fast where the metric depends on a few sums only.

Examples are drawn with replacement, N of N. For metrics of a confusion matrix the resampled matrix is multinomial, so
it is drawn as such: the same distribution without touching the examples. Correlations count how often each example
was drawn; Spearman's ranks are computed anew in every resample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics import registry
from tfllm.metrics.classification import confusion_counts
from tfllm.metrics.predictions import value_pairs

_MAX_CLASSES = 64  # above, R matrices of C x C would fill the memory, and examples are drawn instead


class Interval(NamedTuple):
    """A confidence interval, and how it was made."""

    low: float
    high: float
    method: str


def bootstrap_ci(
    metric_name: str, predictions, labels, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of a metric over the examples.

    Args:
        metric_name: a name of `tfllm.metrics.names()`.
        predictions: logits `(N, C)`, classes `(N,)` or values `(N,)`.
        labels: `(N,)`.
        confidence: coverage of the interval.
        resamples: number of bootstrap samples.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        `Interval(low, high, method)`. Resamples in which the metric is not defined (a correlation of constants) are
        left out, and `method` says how many; with none left both ends are NaN.

    Raises:
        UserError: an unknown metric, a confidence outside of (0, 1), fewer than 2 resamples, predictions that do not
            fit.

    Example:
        >>> bootstrap_ci("accuracy", [1, 1, 0, 0], [1, 1, 0, 0])[:2]
        (1.0, 1.0)
    """
    function = registry.get(metric_name)
    if not 0 < confidence < 1:
        raise UserError(f"confidence must lie between 0 and 1. Received: {confidence}.")
    if resamples < 2:
        raise UserError(f"resamples must be at least 2. Received: {resamples}.")
    rng = np.random.default_rng(seed)
    counts = confusion_counts(predictions, labels) if metric_name in SCORES_OF_COUNTS else None
    if counts is not None and len(counts) <= _MAX_CLASSES:
        size = int(counts.sum())
        drawn = rng.multinomial(size, counts.ravel() / size, size=resamples).reshape(resamples, *counts.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = SCORES_OF_COUNTS[metric_name](drawn.astype(np.float64))
        how = "confusion counts drawn from their multinomial"
    elif metric_name in _OF_WEIGHTS:
        score = _OF_WEIGHTS[metric_name](*value_pairs(predictions, labels))
        scores = _over_draws(lambda draw, size: score(np.bincount(draw, minlength=size)), len(labels), resamples, rng)
        how = "ranks computed anew in each" if metric_name == "spearman" else "moments of each"
    else:
        predictions, labels = np.asarray(predictions), np.asarray(labels)
        function(predictions, labels)  # wrong shapes are said once, and before any draw
        scores = _over_draws(lambda draw, size: function(predictions[draw], labels[draw]), len(labels), resamples, rng)
        how = "the metric computed anew on each"
    method = f"percentile bootstrap, {resamples} resamples, {how}, seed {seed}"
    undefined = int(np.isnan(scores).sum())
    if undefined:
        method += f"; not defined in {undefined} resamples, left out"
    if undefined == resamples:
        return Interval(float("nan"), float("nan"), method)
    tail = 50 * (1 - confidence)
    low, high = np.nanpercentile(scores, [tail, 100 - tail])
    return Interval(float(low), float(high), method)


def bootstrap_of_sums(
    sums: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    how: str,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a metric that is a formula of sums over G items (examples, questions, groups).

    Args:
        sums: `(G, S)`, what each item adds.
        score: sums `(R, S)` to scores `(R,)`.
        how: said in the interval's method.
        confidence, resamples, seed: as in `bootstrap_ci`.
    """
    scores = scores_of_resamples(sums, score, resamples, seed)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(scores, [tail, 100 - tail])
    return Interval(float(low), float(high), f"percentile bootstrap, {resamples} resamples, {how}, seed {seed}")


def scores_of_resamples(
    sums: np.ndarray, score: Callable[[np.ndarray], np.ndarray], resamples: int, seed: int
) -> np.ndarray:
    """`score` of the sums over each of R resamples of the items, `(R,)`."""
    rng, size = np.random.default_rng(seed), len(sums)
    drawn = np.stack([np.bincount(rng.integers(0, size, size), minlength=size) for _ in range(resamples)])
    return score(drawn @ sums)


def _over_draws(
    score: Callable[[np.ndarray, int], float], size: int, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    return np.array([score(rng.integers(0, size, size), size) for _ in range(resamples)])


# counts: (R, C, C) resampled confusion matrices, true class in rows -> (R,) scores.


def _accuracy(counts: np.ndarray) -> np.ndarray:
    return np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))


def _class_f1(counts: np.ndarray) -> np.ndarray:
    """(R, C), NaN for a class that is neither predicted nor true."""
    return 2 * np.diagonal(counts, axis1=1, axis2=2) / (counts.sum(axis=1) + counts.sum(axis=2))


def _f1(counts: np.ndarray) -> np.ndarray:
    if counts.shape[1] > 2:
        raise UserError("f1 is for two classes, 0 and 1; macro_f1 is for more. Received: other class numbers.")
    if counts.shape[1] == 1:  # class 1 occurs nowhere
        return np.zeros(len(counts))
    return np.nan_to_num(_class_f1(counts)[:, 1])


def _macro_f1(counts: np.ndarray) -> np.ndarray:
    return np.nanmean(_class_f1(counts), axis=1)


def _matthews(counts: np.ndarray) -> np.ndarray:
    """Gorodkin 2004, the form for C classes."""
    total = counts.sum(axis=(1, 2))
    true, predicted = counts.sum(axis=2), counts.sum(axis=1)
    covariance = np.trace(counts, axis1=1, axis2=2) * total - (true * predicted).sum(axis=1)
    spread = (total**2 - (true**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1))
    return np.where(spread > 0, covariance / np.sqrt(spread), 0.0)


SCORES_OF_COUNTS = {"accuracy": _accuracy, "f1": _f1, "macro_f1": _macro_f1, "matthews_corrcoef": _matthews}


def _pearson(predictions: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda weights: _weighted_pearson(predictions, labels, weights)


def _spearman(predictions: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], float]:
    # Sorted once; a resample's mean ranks then follow from how often each different value was drawn.
    places = [np.unique(values, return_inverse=True)[1].reshape(-1) for values in (predictions, labels)]

    def score(weights: np.ndarray) -> float:
        ranks = []
        for place in places:
            drawn = np.bincount(place, weights)
            ranks.append((np.cumsum(drawn) - (drawn - 1) / 2)[place])
        return _weighted_pearson(*ranks, weights)

    return score


def _weighted_pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    present = weights > 0
    if np.ptp(x[present]) == 0 or np.ptp(y[present]) == 0:
        return float("nan")
    total = weights.sum()
    x, y = x - weights @ x / total, y - weights @ y / total
    return float(weights @ (x * y) / np.sqrt((weights @ (x * x)) * (weights @ (y * y))))


_OF_WEIGHTS = {"pearson": _pearson, "spearman": _spearman}
