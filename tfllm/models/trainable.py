"""`fit()` and the train step that every model of tfllm has, whatever its backbone is made of."""

from __future__ import annotations

import contextlib

import keras
from keras import ops, tree

from tfllm.errors import UserError

_OF_REPLICAS = "_value_specs"  # the specs of each replica, in that of a distributed dataset


class TrainableModel(keras.Model):
    """A `keras.Model` whose `fit()` is right on one device and on several replicas.

    The train step is Keras' own, unless the optimizer brings one: those of `tfllm.training.optimizer` bring a step that is also
    right on several replicas, where Keras' divides a weighted loss by each replica's own count and clips before it reduces.
    """

    def make_train_function(self, force=False):
        own = getattr(self._own_optimizer, "model_train_function", None)
        if own is None:
            super().make_train_function(force)
        elif self.train_function is None or force:
            self.train_function = own(self)

    def make_test_function(self, force=False):
        strategy = getattr(self, "distribute_strategy", None)
        if strategy is None or strategy.num_replicas_in_sync == 1 or (self.steps_per_execution == 1 and not self.jit_compile):
            return super().make_test_function(force)
        raise UserError(
            "On several replicas model.evaluate() and validation_data need steps_per_execution=1 and jit_compile=False: Keras' functions fail "
            "with others. Received: "
            f"steps_per_execution={self.steps_per_execution}, jit_compile={self.jit_compile}. Use task.evaluate(model, split)."
        )

    @property
    def _own_optimizer(self):
        return getattr(self.optimizer, "inner_optimizer", self.optimizer)

    def train_step(self, *args, **kwargs):
        own_step = getattr(self._own_optimizer, "model_train_step", None)
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
            distributed = any(hasattr(leaf, _OF_REPLICAS) for leaf in tree.flatten(spec))  # it divides its rows itself
            # What a replica gets has the same shapes on all of them.
            spec = tree.map_structure(lambda leaf: getattr(leaf, _OF_REPLICAS, (leaf,))[0], spec)
            rows = tree.flatten(spec)[0].shape[0]
            if not distributed and rows is not None and rows % replicas:
                raise UserError(
                    f"A batch must divide among the replicas. Received: {rows} rows for {replicas} replicas. "
                    f"Give replicas={replicas} to task.batches(...)."
                )
            self.build_to_train(spec)
        self._is_built_to_train = spec is not None
        self.make_train_function()
        begin = getattr(self.train_function, "begin", None)
        if begin is not None:
            x = begin(x, kwargs.get("steps_per_epoch"))
        try:
            return super().fit(x, *args, **kwargs)
        finally:
            self._is_built_to_train = False

    _is_built_to_train = False

    def _get_metrics_result_or_logs(self, logs):
        # Keras gives the last step's logs as the epoch's wherever a step tells more than the metrics.
        return {**logs, **self.get_metrics_result()} if isinstance(logs, dict) else logs

    def _maybe_symbolic_build(self, *args, **kwargs):
        # Keras reads a batch here, and reduces it over the workers, which fails (keras #20585).
        if not self._is_built_to_train:
            super()._maybe_symbolic_build(*args, **kwargs)

    def build_to_train(self, spec) -> None:
        """Makes the variables of optimizer and metrics, which Keras makes with the first batch.

        Args:
            spec: the `element_spec` of the data.
        """
        strategy = getattr(self, "distribute_strategy", None)
        with strategy.scope() if strategy is not None else contextlib.nullcontext():
            zeros = tree.map_structure(
                lambda s: ops.zeros([d or 8 for d in s.shape], keras.backend.standardize_dtype(s.dtype)), spec
            )
            self._symbolic_build(data_batch=zeros)
