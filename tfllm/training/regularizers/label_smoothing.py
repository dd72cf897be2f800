"""Label smoothing (Szegedy et al., 2016)."""

from __future__ import annotations

import tensorflow as tf

from tfllm.errors import UserError
from tfllm.models.losses import SpanCrossEntropy
from tfllm.training.regularizers.outputs import log_probabilities
from tfllm.training.regularizers.regularizer import Pass, Regularizer


class LabelSmoothing(Regularizer):
    """The label's probability is `1 - amount`, and `amount` is spread over all classes: `amount * (CE(uniform) - CE(label))` more.

    Args:
        amount: in (0, 1).
    """

    def __init__(self, amount: float = 0.1):
        if not 0 < amount < 1:
            raise UserError(f"label_smoothing must be in (0, 1). Received: {amount!r}.")
        self.amount = amount

    def extra_loss(self, p: Pass) -> tf.Tensor:
        if isinstance(p.model.loss, SpanCrossEntropy):
            raise UserError("label_smoothing is over classes: a span's places have none. Received: a span predictor.")
        uniform = -tf.reduce_mean(log_probabilities(p.model, p.prediction), axis=-1)
        return self.amount * (p.mean(uniform) - p.loss)
