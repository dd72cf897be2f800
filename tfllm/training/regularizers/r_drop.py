"""R-Drop (Liang et al., 2021): two passes with different dropout are to agree."""

from __future__ import annotations

import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.regularizers.outputs import symmetric_divergence
from tfllm.training.regularizers.regularizer import Pass, Regularizer


class RDrop(Regularizer):
    """The loss becomes half of the paper's: `(CE1 + CE2) / 2 + alpha / 4 * (KL(P1 || P2) + KL(P2 || P1))`.

    Half, so that the loss is a mean of the items' as without it; `alpha` has the meaning and the values of the paper. For a regression
    the squared difference stands in place of the divergences. Without dropout it adds 0. A second forward and backward pass.

    Args:
        alpha: weight of the divergence; the paper has 0.5 to 5.
    """

    def __init__(self, alpha: float = 1.0):
        if alpha <= 0:
            raise UserError(f"rdrop must be above 0. Received: {alpha!r}.")
        self.alpha = alpha

    def extra_loss(self, p: Pass) -> tf.Tensor:
        loss, prediction = p.again()
        apart = p.mean(symmetric_divergence(p.model, p.prediction, prediction))
        return 0.5 * (loss - p.loss) + 0.25 * self.alpha * apart
