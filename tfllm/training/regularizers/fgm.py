"""FGM, the fast gradient method on token embeddings (Miyato et al., 2017)."""

from __future__ import annotations

import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.regularizers import noise
from tfllm.training.regularizers.regularizer import Pass, Regularizer


class FGM(Regularizer):
    """The loss at embeddings moved by `epsilon * g / |g|`, g being the loss' gradient at them: `weight * L(x + r)` more.

    |g| is the norm over an example's tokens. The embeddings are taken as they are, not normalised as in the paper. An encoder-decoder's
    source is moved. Two more forward passes.

    Args:
        epsilon: norm of the perturbation of each example.
        weight: of the adversarial loss; 1 in the paper.
    """

    def __init__(self, epsilon: float = 1.0, weight: float = 1.0):
        if epsilon <= 0 or weight <= 0:
            raise UserError(f"fgm takes epsilon and weight above 0. Received: {epsilon=}, {weight=}.")
        self.epsilon, self.weight = epsilon, weight

    def extra_loss(self, p: Pass) -> tf.Tensor:
        ids = noise.example_ids(p)
        gradient = noise.gradient_at(tf.zeros(noise.shape(p, ids)), lambda moved: p.again(embedding_noise=moved)[0])
        return self.weight * p.again(embedding_noise=self.epsilon * noise.unit(gradient, ids))[0]
