"""Keras' Adafactor, Lion and SGD, made right on several replicas."""

from __future__ import annotations

import keras

from tfllm.training.optimizers.global_batch import GlobalBatchOptimizer


@keras.saving.register_keras_serializable("tfllm")
class Adafactor(GlobalBatchOptimizer, keras.optimizers.Adafactor):
    """Adafactor (Shazeer and Stern, 2018) with the numbers of `keras.optimizers.Adafactor`.

    A step is relative to the root mean square of the variable. The learning rate is at most `1 / sqrt(step)`, whatever is given.

    Args: as for `AdamW`, and those of `keras.optimizers.Adafactor`.
    """

    _compiled = False  # most of its work is sums over rows and columns, in which XLA gains nothing


@keras.saving.register_keras_serializable("tfllm")
class Lion(GlobalBatchOptimizer, keras.optimizers.Lion):
    """Lion (Chen et al., 2023, Symbolic Discovery of Optimization Algorithms) with the numbers of `keras.optimizers.Lion`.

    Args: as for `AdamW`, and those of `keras.optimizers.Lion`.
    """


@keras.saving.register_keras_serializable("tfllm")
class SGD(GlobalBatchOptimizer, keras.optimizers.SGD):
    """Gradient descent with momentum, with the numbers of `keras.optimizers.SGD`.

    Args: as for `AdamW`, and those of `keras.optimizers.SGD`.
    """
