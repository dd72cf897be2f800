"""The optimizers of JAX runs: Keras' own, with the rules of `tfllm.training.optimizers`, whose numbers they give.

Nothing is fused by hand here: JAX compiles the whole step.
"""

from __future__ import annotations

import keras

from tfllm.training.model_parallel.step import train_step
from tfllm.training.model_parallel.step_record import StepRecord
from tfllm.training.optimizers.layer_rules import LayerRules


class WholeBatchOptimizer(LayerRules):
    """Stands before one of Keras' optimizers: rates and decay by layer, the train step of JAX, and the count of its steps.

    Args: those of `LayerRules` and of Keras' optimizer.
    """

    # A tfllm model asks its optimizer for the step (see `TrainableModel.train_step`).
    model_train_step = staticmethod(train_step)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.step_record = StepRecord(self, variables)


class AdamW(WholeBatchOptimizer, keras.optimizers.AdamW):
    """Adam with decoupled weight decay: see `tfllm.training.optimizers.AdamW`."""


class Adafactor(WholeBatchOptimizer, keras.optimizers.Adafactor):
    """Adafactor: see `tfllm.training.optimizers.Adafactor`."""


class Lion(WholeBatchOptimizer, keras.optimizers.Lion):
    """Lion: see `tfllm.training.optimizers.Lion`."""


class SGD(WholeBatchOptimizer, keras.optimizers.SGD):
    """Gradient descent with momentum: see `tfllm.training.optimizers.SGD`."""


OPTIMIZERS = {"adamw": AdamW, "adafactor": Adafactor, "lion": Lion, "sgd": SGD}

if keras.backend.backend() == "jax":
    # Under the names that TensorFlow's have in files, so that a `.keras` file can be opened on either.
    for _class in OPTIMIZERS.values():
        keras.saving.register_keras_serializable("tfllm")(_class)
