"""Correlations of real-valued predictions with their labels, as SciPy computes them."""

from __future__ import annotations

import warnings

import numpy as np

from tfllm.metrics.predictions import value_pairs


def pearson(predictions, labels) -> float:
    """Pearson correlation; NaN, with a warning, where all predictions or all labels are equal.

    Args:
        predictions: values `(N,)` or `(N, 1)`.
        labels: values `(N,)`.

    Example:
        >>> round(pearson([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), 6)
        1.0
    """
    from scipy.stats import pearsonr

    return _correlation("pearson", pearsonr, predictions, labels)


def spearman(predictions, labels) -> float:
    """Spearman rank correlation, with mean ranks for ties; NaN, with a warning, where all of one side are equal.

    Args:
        predictions: values `(N,)` or `(N, 1)`.
        labels: values `(N,)`.
    """
    from scipy.stats import spearmanr

    return _correlation("spearman", spearmanr, predictions, labels)


def _correlation(name: str, function, predictions, labels) -> float:
    predictions, labels = value_pairs(predictions, labels)
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        which = "predictions" if np.ptp(predictions) == 0 else "labels"
        warnings.warn(f"{name} is not defined where all {which} are equal: it is NaN.", RuntimeWarning, stacklevel=3)
        return float("nan")
    return float(function(predictions, labels).statistic)
