"""What every tfllm model shares: its config, its train step, its serialization."""

from __future__ import annotations

import contextlib
import json

import keras
import numpy as np
from keras import ops, tree

from tfllm.config import TransformerConfig
from tfllm.errors import UserError


_CARRIED = "carried:"  # what the names of carried tensors begin with in a weights file


class TransformerModel(keras.Model):
    """A `keras.Model` described by a `TransformerConfig`. Its weights exist as soon as it is made.

    Attributes:
        config: the architecture.
        tokenizer: the checkpoint's tokenizer, or `None`.
        checkpoint: a JSON-ready record of the checkpoint that it was loaded from, or `None`; it travels in a `.keras` file.
        carried_tensors: tensors of that checkpoint which are no weights of this model and are written back with it, by name.

    The train step is Keras' own, unless the optimizer brings one: those of `tfllm.training.optimizer` bring a step that is also
    right on several replicas, where Keras' divides a weighted loss by each replica's own count and clips before it reduces.
    """

    def __init__(self, config: TransformerConfig, *, checkpoint: dict | None = None, **kwargs):
        super().__init__(**kwargs)
        self.config = config if isinstance(config, TransformerConfig) else TransformerConfig(**config)
        self.tokenizer = None
        # Plain values: Keras would track a dictionary as state of the model.
        self._checkpoint = json.dumps(checkpoint)
        self.carried_tensors = None

    @property
    def checkpoint(self) -> dict | None:
        return json.loads(self._checkpoint)

    @checkpoint.setter
    def checkpoint(self, record: dict | None):
        self._checkpoint = json.dumps(record)

    @property
    def pooled(self) -> str:
        """Which token of an example a classifier reads: `"first"` or `"last"`."""
        return self.config.pooled

    def named_weights(self) -> dict[str, keras.Variable]:
        """Weights by their path below the model, e.g. `block_0/attention/query/kernel`."""
        return {weight.path.split("/", 1)[1]: weight for weight in self.weights}

    def compile_defaults(self) -> dict:
        """Arguments for `compile()`: the loss and metrics that fit this head, averaged over real examples or tokens."""
        raise UserError(
            f"{type(self).__name__} has no loss of its own: load it with a head, or give `loss=` to compile()."
        )

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

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for name, tensor in (self.carried_tensors or {}).items():
            store[_CARRIED + name] = tensor

    def load_own_variables(self, store):
        carried = {
            name.removeprefix(_CARRIED): np.array(store[name]) for name in store.keys() if name.startswith(_CARRIED)
        }
        self.carried_tensors = carried or None
        super().load_own_variables({name: store[name] for name in store.keys() if not name.startswith(_CARRIED)})

    def get_config(self):
        return {
            "config": self.config.to_dict(),
            "checkpoint": self.checkpoint,
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        return cls(**config)
