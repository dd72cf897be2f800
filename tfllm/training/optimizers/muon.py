"""Muon for the matrices of a transformer's blocks, Adam for all else."""

from __future__ import annotations

import inspect

import keras

from tfllm.errors import UserError
from tfllm.training.optimizers.global_batch import GlobalBatchOptimizer

# Keras applies Adam to what one of its expressions is found in: to all that is no kernel or low-rank factor in a block.
_NOT_OF_A_BLOCK = r"^(?!.*(^|/)block_\d+/.*(kernel|lora_[ab])$)"


@keras.saving.register_keras_serializable("tfllm")
class Muon(GlobalBatchOptimizer, keras.optimizers.Muon):
    """Muon (Jordan et al., 2024; scaled as in Liu et al., 2025) with the numbers of `keras.optimizers.Muon`.

    The kernels of the blocks' attention and feed-forward layers (`block_<n>/…/kernel`, and factors of low-rank updates) get an
    orthogonalized momentum, as large as Adam's steps are; embeddings, heads, norms, biases and experts (which are stacked in three
    axes) get Adam's, at the same learning rate.

    Args: as for `AdamW`, and those of `keras.optimizers.Muon`.
        exclude_layers: expressions; what one is found in the path of gets Adam's step. Default: all but the above.
        weight_decay: for both kinds, unless `adam_weight_decay` is given too.

    Raises:
        UserError: Keras is older than 3.13, whose Muon fails on TensorFlow and takes steps of another size; or the model has no
            kernels in blocks to train.
    """

    def __init__(self, learning_rate=1e-3, *, weight_decay: float | None = 0.004, exclude_layers=None, **kwargs):
        if "rms_rate" not in inspect.signature(keras.optimizers.Muon.__init__).parameters:
            raise UserError(
                f"The optimizer muon needs Keras 3.13 or newer. Received: Keras {keras.__version__}. "
                "Update it (pip install -U keras), or take adamw."
            )
        kwargs.setdefault("adam_weight_decay", weight_decay)
        exclude = [_NOT_OF_A_BLOCK] if exclude_layers is None else exclude_layers
        super().__init__(learning_rate, weight_decay=weight_decay, exclude_layers=exclude, **kwargs)

    _compiled = False  # nearly all of its work is products of matrices, in which XLA gains nothing

    def build(self, variables):
        if self.built:
            return
        if all(self._should_use_adamw(variable) for variable in variables):
            raise UserError(
                "The optimizer muon needs kernels of blocks (block_0/.../kernel) to train. Received: variables such as "
                f"{', '.join(variable.path for variable in variables[:3])}. Take adamw."
            )
        super().build(variables)

    def _decay_of(self, variable) -> float | None:
        return self.adam_weight_decay if self._should_use_adamw(variable) else self.weight_decay
