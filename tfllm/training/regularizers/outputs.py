"""How far two outputs of a model are from each other, item by item, by the model's loss."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.models.losses import BinaryCrossEntropy, SpanCrossEntropy, SquaredError


def log_probabilities(model: keras.Model, prediction: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """A model's output as log-probabilities over the last axis, the classes (or the places of a span's ends).

    Raises:
        UserError: the model has another loss than a cross-entropy of logits.
    """
    prediction = tf.cast(prediction, tf.float32) / temperature
    loss = model.loss
    if isinstance(loss, BinaryCrossEntropy):
        return tf.stack([tf.math.log_sigmoid(-prediction), tf.math.log_sigmoid(prediction)], axis=-1)
    if isinstance(loss, SpanCrossEntropy):
        return tf.nn.log_softmax(tf.transpose(prediction, (0, 2, 1)), axis=-1)  # (B, 2, T)
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy) and loss.get_config()["from_logits"]:
        return tf.nn.log_softmax(prediction, axis=-1)
    raise UserError(
        "This regularizer is for a model that is compiled with the loss of its compile_defaults(), a cross-entropy of logits. "
        f"Received: loss={loss!r}."
    )


def per_item(model: keras.Model, values: tf.Tensor) -> tf.Tensor:
    """The mean of start and end, where the items of a loss are spans."""
    return tf.reduce_mean(values, axis=-1) if isinstance(model.loss, SpanCrossEntropy) else values


def divergence(model: keras.Model, p: tf.Tensor, q: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """`KL(p || q)` of two outputs of the model, or their squared difference for a regression: one value an item."""
    if isinstance(model.loss, SquaredError):
        return tf.square(tf.squeeze(tf.cast(p - q, tf.float32), -1))
    log_p, log_q = (log_probabilities(model, output, temperature) for output in (p, q))
    return per_item(model, tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1))


def symmetric_divergence(model: keras.Model, p: tf.Tensor, q: tf.Tensor) -> tf.Tensor:
    """`KL(p || q) + KL(q || p)`, or the squared difference for a regression."""
    if isinstance(model.loss, SquaredError):
        return divergence(model, p, q)
    return divergence(model, p, q) + divergence(model, q, p)
