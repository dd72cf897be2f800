"""Metrics by name."""

from __future__ import annotations

from collections.abc import Callable

from tfllm.errors import UserError
from tfllm.metrics import classification, correlation

Metric = Callable[..., float]

_METRICS: dict[str, Metric] = {
    "accuracy": classification.accuracy,
    "f1": classification.f1,
    "macro_f1": classification.macro_f1,
    "matthews_corrcoef": classification.matthews_corrcoef,
    "pearson": correlation.pearson,
    "spearman": correlation.spearman,
}


def names() -> list[str]:
    """The names that `get` and `compute` take."""
    return sorted(_METRICS)


def get(name: str) -> Metric:
    """The function `(predictions, labels) -> float` of that name.

    Raises:
        UserError: no such metric.
    """
    if name not in _METRICS:
        raise UserError(f"No metric is called {name!r}. The metrics are: {', '.join(names())}.")
    return _METRICS[name]


def compute(name: str, predictions, labels) -> float:
    """The metric `name` of `predictions` (logits or predictions, `(N, C)` or `(N,)`) against `labels` `(N,)`.

    Example:
        >>> compute("accuracy", [0, 1, 1], [0, 1, 0])
        0.6666666666666666
    """
    return get(name)(predictions, labels)


def register(name: str, function: Metric) -> None:
    """Adds a metric `(predictions, labels) -> float`, which tasks can then name.

    Raises:
        UserError: the name is taken by another function.
    """
    if _METRICS.get(name, function) is not function:
        raise UserError(f"A metric is already called {name!r}. Give yours another name.")
    _METRICS[name] = function
