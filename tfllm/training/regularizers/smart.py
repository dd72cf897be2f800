"""SMART's smoothness-inducing regularizer (Jiang et al., 2020)."""

from __future__ import annotations

import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.regularizers import noise
from tfllm.training.regularizers.outputs import symmetric_divergence
from tfllm.training.regularizers.regularizer import Pass, Regularizer


class SMART(Regularizer):
    """`weight * max over |d| <= epsilon of the symmetric KL between f(x + d) and f(x)` more; for a regression, of the squared difference.

    d starts normal with deviation `deviation` and makes one step `step_size * g / max |g|` up, within `epsilon` in every coordinate, as in
    the paper's algorithm. Its other half, proximal point updates, is not here. Two more forward passes.

    Args:
        weight: of the term; the paper has 1 to 10.
        epsilon, step_size, deviation: the paper's values.
    """

    def __init__(self, weight: float = 1.0, *, epsilon: float = 1e-5, step_size: float = 1e-3, deviation: float = 1e-5):
        if min(weight, epsilon, step_size, deviation) <= 0:
            raise UserError(f"smart takes values above 0. Received: {weight=}, {epsilon=}, {step_size=}, {deviation=}.")
        self.weight, self.epsilon, self.step_size, self.deviation = weight, epsilon, step_size, deviation

    def extra_loss(self, p: Pass) -> tf.Tensor:
        ids = noise.example_ids(p)

        def apart(moved, reference):
            return p.mean(symmetric_divergence(p.model, p.again(embedding_noise=moved)[1], reference))

        start = self.deviation * noise.random_normal(p, ids, 2)
        gradient = noise.gradient_at(start, lambda moved: apart(moved, tf.stop_gradient(p.prediction)))
        # The largest coordinate of each example's gradient.
        together = ids[:, :, None] == ids[:, None, :]
        largest = tf.reduce_max(tf.abs(gradient), axis=-1)[:, None, :]
        largest = tf.reduce_max(tf.where(together, largest, 0.0), axis=-1)[..., None]
        moved = start + self.step_size * tf.math.divide_no_nan(gradient, largest)
        moved = tf.clip_by_value(moved, -self.epsilon, self.epsilon) * noise.real(ids)
        return self.weight * apart(moved, p.prediction)
