"""FreeLB (Zhu et al., 2020): the mean loss along an ascent in embedding space."""

from __future__ import annotations

import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.regularizers import noise
from tfllm.training.regularizers.regularizer import Pass, Regularizer


class FreeLB(Regularizer):
    """The loss becomes the mean of `L(x + d_t)` over `steps` perturbations, each an ascent step from the one before.

    `d_{t+1} = project(d_t + step_size * g / |g|)` onto the ball of radius `max_norm` of each example; `d_0` is drawn with norm
    `initial_norm`. Unlike the paper's code, dropout draws new masks for each step.

    Args:
        steps: K.
        step_size: of the ascent.
        max_norm: radius of the ball; 0 for none, as most of the published settings have it.
        initial_norm: norm of the first perturbation.
    """

    def __init__(self, steps: int = 2, step_size: float = 0.1, max_norm: float = 0.0, initial_norm: float = 0.1):
        if steps < 1 or step_size <= 0 or max_norm < 0 or initial_norm < 0:
            raise UserError(
                "freelb takes steps of at least 1, step_size above 0, norms of at least 0. "
                f"Received: {steps=}, {step_size=}, {max_norm=}, {initial_norm=}."
            )
        self.steps, self.step_size, self.max_norm, self.initial_norm = steps, step_size, max_norm, initial_norm

    def extra_loss(self, p: Pass) -> tf.Tensor:
        ids = noise.example_ids(p)
        moved = self.initial_norm * noise.unit(noise.random_normal(p, ids, 1), ids)
        losses = []
        for step in range(self.steps):
            losses.append(p.again(embedding_noise=moved)[0])
            if step + 1 < self.steps:
                gradient = noise.gradient_at(moved, lambda m: p.again(embedding_noise=m)[0])
                moved = self._project(moved + self.step_size * noise.unit(gradient, ids), ids)
        return tf.add_n(losses) / self.steps - p.loss

    def _project(self, moved: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        if not self.max_norm:
            return moved
        norms = noise.example_norms(moved, ids)
        return moved * tf.minimum(1.0, tf.math.divide_no_nan(self.max_norm, norms))
