"""Losses over the batch contract's labels `(B, K, …)` and weights `(B, K)`: the mean over real items."""

from __future__ import annotations

import keras
from keras import ops

# Sum over items / sum of weights: an empty slot (weight 0) does not count, however rows were packed.
REDUCTION = "mean_with_sample_weight"


def cross_entropy() -> keras.losses.Loss:
    """Cross-entropy of logits `(B, K, C)` or `(B, T, C)` against class ids `(B, K)` or `(B, T)`."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=REDUCTION)


@keras.saving.register_keras_serializable("tfllm")
class SquaredError(keras.losses.Loss):
    """Squared error of predictions `(B, K, 1)` against scores `(B, K)`, the mean over real examples."""

    def __init__(self, reduction=REDUCTION, name="squared_error", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return ops.square(ops.squeeze(y_pred, -1) - ops.cast(y_true, y_pred.dtype))


@keras.saving.register_keras_serializable("tfllm")
class SpanCrossEntropy(keras.losses.Loss):
    """Mean of the start's and the end's cross-entropy: logits `(B, T, 2)` against `(start, end)` places `(B, 2)`."""

    def __init__(self, reduction=REDUCTION, name="span_cross_entropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        logits = ops.transpose(y_pred, (0, 2, 1))  # (B, 2, T)
        return ops.mean(keras.losses.sparse_categorical_crossentropy(y_true, logits, from_logits=True), axis=-1)


@keras.saving.register_keras_serializable("tfllm")
class BinaryCrossEntropy(keras.losses.Loss):
    """Cross-entropy of logits `(B, T)` against 0 or 1 `(B, T)`, the mean over real tokens."""

    def __init__(self, reduction=REDUCTION, name="binary_cross_entropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return ops.binary_crossentropy(ops.cast(y_true, y_pred.dtype), y_pred, from_logits=True)
