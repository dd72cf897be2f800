"""Distillation from a teacher (Hinton et al., 2015)."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.regularizers.outputs import divergence
from tfllm.training.regularizers.regularizer import Pass, Regularizer


class Distillation(Regularizer):
    """The loss becomes `(1 - weight) * CE + weight * T^2 * KL(teacher_T || student_T)`, both softened by the temperature T.

    Keras' `keras.distillation.Distiller` brings a train step of its own, whose mean is over all places of a batch, empty ones too, and
    over each replica's; this one counts real items. For a regression the squared difference stands in place of the divergence.

    Args:
        teacher: a model with the student's inputs (vocabulary) and outputs (labels); made under the same strategy. It is not trained.
        temperature: T.
        weight: of the teacher, in (0, 1].
    """

    def __init__(self, teacher: keras.Model, temperature: float = 2.0, weight: float = 0.5):
        if temperature <= 0 or not 0 < weight <= 1:
            raise UserError(
                f"distillation takes a temperature above 0 and a weight in (0, 1]. Received: {temperature=}, {weight=}."
            )
        self.teacher, self.temperature, self.weight = teacher, temperature, weight

    def soft_loss(self, p: Pass) -> tf.Tensor:
        """`T^2 * KL(teacher_T || student_T)`, the mean over real items."""
        taught = tf.stop_gradient(self.teacher(p.x, training=False))
        if taught.shape[1:] != p.prediction.shape[1:]:
            raise UserError(
                "A teacher must have its student's outputs. "
                f"Received: {taught.shape} of the teacher, {p.prediction.shape} of the student."
            )
        return self.temperature**2 * p.mean(divergence(p.model, taught, p.prediction, self.temperature))

    def extra_loss(self, p: Pass) -> tf.Tensor:
        return self.weight * (self.soft_loss(p) - p.loss)
