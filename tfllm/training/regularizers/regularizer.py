"""The contract of regularizers: an extra loss each, on top of one forward pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfllm.errors import UserError

# `forward(model, x, y, weight)` gives `(loss, prediction)`, the loss the mean over the real items of these rows.
Forward = Callable[[keras.Model, Any, Any, Any], tuple[tf.Tensor, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class Pass:
    """A forward pass over some rows, and what is needed to make another.

    Attributes:
        forward: makes a pass.
        model: the model in training.
        x, y, weight: the rows' batch dictionary, labels, and sample weights (or `None`).
        loss: the mean of the loss over the real items, without any regularizer.
        prediction: the model's output.
    """

    forward: Forward
    model: keras.Model
    x: Any
    y: Any
    weight: Any
    loss: tf.Tensor
    prediction: tf.Tensor

    def again(self, **changes: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """`(loss, prediction)` of another pass over these rows, with other entries in the batch dictionary."""
        return self.forward(self.model, {**self.x, **changes} if changes else self.x, self.y, self.weight)

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """The mean of one value an item over the real items, as the loss is averaged."""
        if self.weight is None:
            return tf.reduce_mean(values)
        weight = tf.cast(self.weight, values.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(values * weight), tf.reduce_sum(weight))


class Regularizer:
    """An extra term of the training loss.

    Several add up: each sees the plain pass and its plain loss. Like that loss, the term is a mean over the real items of the rows at
    hand, so that the train step, which weighs both by their number and divides by the global one, is right on several replicas, on
    packed rows and in micro-batches. What a term draws at random follows from the optimizer's step: a resumed run draws the same.
    """

    def extra_loss(self, p: Pass) -> tf.Tensor:
        """What is added to `p.loss`, a scalar."""
        raise NotImplementedError


class _Attached:
    """Holds a model's regularizers where Keras does not look: a teacher is no part of its student."""

    def __init__(self, regularizers: Sequence[Regularizer]):
        self.regularizers = tuple(regularizers)


def regularize(model: keras.Model, *regularizers: Regularizer) -> keras.Model:
    """Has a model trained with extra losses, in plain `fit()` too, in place of those it had; none takes them away.

    The optimizer must be one of `tfllm.training.optimizer`, which bring the train step that asks for them. Before the first training
    step (or compile again).

    Returns:
        The model.

    Raises:
        UserError: one is no regularizer.

    Example:
        >>> config = tfllm.TransformerConfig(vocab_size=9, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=8)
        >>> model = regularize(tfllm.models.SequenceClassifier(config), LabelSmoothing(0.1), RDrop(1.0))
    """
    for regularizer in regularizers:
        if not isinstance(regularizer, Regularizer):
            raise UserError(f"Expected regularizers of tfllm.training.regularizers. Received: {regularizer!r}.")
    model.attached_regularizers = _Attached(regularizers)
    return model


def regularized(forward: Forward, model: keras.Model) -> Forward:
    """`forward` with the model's regularizers around it: the loss has their terms, the prediction is that of the plain pass."""
    attached = getattr(model, "attached_regularizers", None)
    if attached is None or not attached.regularizers:
        return forward

    def with_extra_losses(model, x, y, weight):
        loss, prediction = forward(model, x, y, weight)
        p = Pass(forward, model, x, y, weight, loss, prediction)
        return loss + tf.add_n([regularizer.extra_loss(p) for regularizer in attached.regularizers]), prediction

    return with_extra_losses
