"""From a model's logits to what a metric compares: class numbers or real values."""

from __future__ import annotations

import numpy as np

from tfllm.errors import UserError


def predicted_classes(predictions) -> np.ndarray:
    """Class numbers `(N,)` of logits `(N, C)`, the first of equal ones, or of class numbers `(N,)` themselves.

    Raises:
        UserError: another shape, fewer than two logits, real numbers where class numbers are expected, or logits that
            are not finite.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim == 1 and predictions.dtype.kind in "iub":
        return predictions.astype(np.int64)
    if predictions.ndim != 2 or predictions.shape[1] < 2:
        raise UserError(
            "Expected logits of shape (N, C) with at least 2 classes, or whole class numbers of shape (N,). "
            f"Received: {predictions.dtype} of shape {predictions.shape}."
        )
    _check_finite(predictions)
    return predictions.argmax(axis=1)


def predicted_values(predictions) -> np.ndarray:
    """Real values `(N,)` float64 of outputs `(N, 1)` or `(N,)`.

    Raises:
        UserError: another shape, or values that are not finite.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        predictions = predictions[:, 0]
    if predictions.ndim != 1 or predictions.dtype.kind not in "iuf":
        raise UserError(
            f"Expected real values of shape (N,) or (N, 1). Received: {predictions.dtype} of shape {predictions.shape}."
        )
    _check_finite(predictions)
    return predictions.astype(np.float64)


def paired(predictions: np.ndarray, labels) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and labels `(N,)`, checked to be of one length that is not 0."""
    labels = np.asarray(labels)
    if labels.shape != predictions.shape:
        raise UserError(
            f"Expected a label for each of the {len(predictions)} predictions. "
            f"Received: labels of shape {labels.shape}."
        )
    if not len(labels):
        raise UserError("Expected at least one prediction to score. Received: none.")
    return predictions, labels


def class_pairs(predictions, labels) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true class numbers `(N,)`."""
    predictions, labels = paired(predicted_classes(predictions), labels)
    if labels.dtype.kind not in "iub":
        raise UserError(f"Expected whole class numbers as labels. Received: {labels.dtype}.")
    return predictions, labels.astype(np.int64)


def value_pairs(predictions, labels) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true values `(N,)` float64."""
    predictions, labels = paired(predicted_values(predictions), labels)
    return predictions, predicted_values(labels)


def _check_finite(predictions: np.ndarray) -> None:
    bad = ~np.isfinite(predictions.astype(np.float64)).reshape(len(predictions), -1).all(axis=1)
    if bad.any():
        raise UserError(
            f"Expected finite predictions. Received: NaN or infinity for {int(bad.sum())} of {len(bad)} examples, "
            f"first for number {int(bad.argmax())}. The model has diverged, or its dtype overflows."
        )
