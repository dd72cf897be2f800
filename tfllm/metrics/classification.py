"""Metrics of class predictions, as scikit-learn computes them."""

from __future__ import annotations

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics.predictions import class_pairs


def accuracy(predictions, labels) -> float:
    """Fraction of examples whose class is right.

    Args:
        predictions: logits `(N, C)` or class numbers `(N,)`.
        labels: class numbers `(N,)`.

    Example:
        >>> accuracy([[0.1, 2.0], [3.0, 0.0]], [1, 1])
        0.5
    """
    predictions, labels = class_pairs(predictions, labels)
    return float(np.mean(predictions == labels))


def f1(predictions, labels) -> float:
    """F1 of class 1 of two, as GLUE's MRPC and QQP are scored; 0 where class 1 is neither predicted nor true.

    Args:
        predictions: logits `(N, 2)` or class numbers `(N,)`.
        labels: class numbers `(N,)`, 0 or 1.

    Raises:
        UserError: a class other than 0 and 1.

    Example:
        >>> f1([1, 1, 0, 0], [1, 0, 1, 0])
        0.5
    """
    from sklearn.metrics import f1_score

    predictions, labels = class_pairs(predictions, labels)
    if max(predictions.max(), labels.max()) > 1 or min(predictions.min(), labels.min()) < 0:
        raise UserError("f1 is for two classes, 0 and 1; macro_f1 is for more. Received: other class numbers.")
    return float(f1_score(labels, predictions, average="binary", pos_label=1, zero_division=0))


def macro_f1(predictions, labels) -> float:
    """Mean over classes of each class' F1. A class that is neither predicted nor true does not count.

    Args:
        predictions: logits `(N, C)` or class numbers `(N,)`.
        labels: class numbers `(N,)`.
    """
    from sklearn.metrics import f1_score

    predictions, labels = class_pairs(predictions, labels)
    return float(f1_score(labels, predictions, average="macro", zero_division=0))


def matthews_corrcoef(predictions, labels) -> float:
    """Matthews correlation coefficient, -1 to 1, of two or more classes; 0 where all predictions or labels are equal.

    Args:
        predictions: logits `(N, C)` or class numbers `(N,)`.
        labels: class numbers `(N,)`.
    """
    from sklearn.metrics import matthews_corrcoef as coefficient

    predictions, labels = class_pairs(predictions, labels)
    if np.ptp(np.concatenate([predictions, labels])) == 0:
        return 0.0  # as scikit-learn has it, without its warning about the shape of a confusion matrix
    return float(coefficient(labels, predictions))


def confusion_counts(predictions, labels) -> np.ndarray:
    """Counts `(C, C)` of examples by true class (row) and predicted class; C covers the classes that occur."""
    predictions, labels = class_pairs(predictions, labels)
    if min(predictions.min(), labels.min()) < 0:
        raise UserError("Expected class numbers from 0. Received: a negative one (-1 stands for a missing label).")
    classes = int(max(predictions.max(), labels.max())) + 1
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes)
