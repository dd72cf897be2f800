"""`fit()` and the train step that every model of tfllm has, whatever its backbone is made of."""

from __future__ import annotations

import contextlib

import keras
from keras import ops, tree

from tfllm.errors import UserError


class TrainableModel(keras.Model):
    """A `keras.Model` whose `fit()` is right on one device and on several replicas.

    The train step is Keras' own, unless the optimizer brings one: those of `tfllm.training.optimizer` bring a step that is also
    right on several replicas, where Keras' divides a weighted loss by each replica's own count and clips before it reduces.
    """

    def train_step(self, *args, **kwargs):
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        own_step = getattr(optimizer, "model_train_step", None)
        if own_step is not None:
            return own_step(self, *args, **kwargs)
        strategy = getattr(self, "distribute_strategy", None)
        if strategy is not None and strategy.num_replicas_in_sync > 1:
            raise UserError(
                "On several replicas a tfllm model needs an optimizer from tfllm.training.optimizer(...): Keras' own train step divides "
                f"the loss by each replica's own number of examples. Received: optimizer={type(self.optimizer).__name__}."
            )
        return super().train_step(*args, **kwargs)

    def fit(self, x=None, *args, **kwargs):
        """Keras' `fit()`. A dataset is not read to build the model: its `element_spec` is enough."""
        spec = getattr(x, "element_spec", None)
        if spec is not None:
            kwargs.setdefault("shuffle", False)  # a dataset is in its own order; Keras would warn about its default
            strategy = getattr(self, "distribute_strategy", None)
            replicas = strategy.num_replicas_in_sync if strategy is not None else 1
            rows = tree.flatten(spec)[0].shape[0]
            if rows is not None and rows % replicas:
                raise UserError(
                    f"A batch must divide among the replicas. Received: {rows} rows for {replicas} replicas. "
                    f"Give replicas={replicas} to task.batches(...)."
                )
            with strategy.scope() if strategy is not None else contextlib.nullcontext():
                zeros = tree.map_structure(
                    lambda s: ops.zeros([d or 8 for d in s.shape], keras.backend.standardize_dtype(s.dtype)), spec
                )
                self._symbolic_build(data_batch=zeros)
        return super().fit(x, *args, **kwargs)
