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


@keras.saving.register_keras_serializable("tfllm")
class InBatchContrast(keras.losses.Loss):
    """Tells each row's second text from the second texts of the other rows: the mean over real rows.

    The cross-entropy of each first text's choice among the second texts of the batch, by `scale` times the cosine (van den Oord
    et al. 2018's InfoNCE at a temperature of `1 / scale`). Rows of the same group are no answers, and no negatives, to each
    other. As it compares rows, a batch must not be divided among replicas or micro-batches.

    Args:
        scale: of the cosines.

    Example:
        >>> vectors = keras.ops.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])     # (B, 2, D)
        >>> float(InBatchContrast(scale=0.0)(keras.ops.array([0, 1]), vectors))                 # groups (B,); -1: no row
        0.6931471824645996
    """

    def __init__(self, scale: float = 20.0, reduction=REDUCTION, name="in_batch_contrast", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.scale = scale

    def call(self, y_true, y_pred):
        length = ops.sum(ops.square(y_pred), axis=-1, keepdims=True)
        unit = y_pred * ops.rsqrt(ops.maximum(length, 1e-12))
        likeness = self.scale * ops.matmul(unit[:, 0], ops.transpose(unit[:, 1]))  # (B, B)
        groups = ops.cast(y_true, "int32")
        row = ops.arange(ops.shape(y_pred)[0], dtype="int32")
        same_group = ops.equal(ops.expand_dims(groups, 1), ops.expand_dims(groups, 0))
        own = ops.equal(ops.expand_dims(row, 1), ops.expand_dims(row, 0))
        no_row = ops.expand_dims(ops.less(groups, 0), 0)
        left_out = ops.logical_and(ops.logical_or(same_group, no_row), ops.logical_not(own))
        logits = ops.where(left_out, ops.full((), -1e9, likeness.dtype), likeness)
        return keras.losses.sparse_categorical_crossentropy(row, logits, from_logits=True)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}
