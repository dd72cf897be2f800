"""What the benchmarks' official scorers compute, from logits or predictions, with bootstrap intervals.

tfllm.metrics.compute("f1", logits, labels)
tfllm.metrics.bootstrap_ci("f1", logits, labels)
"""

from __future__ import annotations

from tfllm.metrics.bootstrap import Interval, bootstrap_ci
from tfllm.metrics.classification import accuracy, f1, macro_f1, matthews_corrcoef
from tfllm.metrics.correlation import pearson, spearman
from tfllm.metrics.predictions import predicted_classes, predicted_values
from tfllm.metrics.registry import compute, names, register

__all__ = [
    "Interval",
    "accuracy",
    "bootstrap_ci",
    "compute",
    "f1",
    "macro_f1",
    "matthews_corrcoef",
    "names",
    "pearson",
    "predicted_classes",
    "predicted_values",
    "register",
    "spearman",
]
