"""What every tfllm model shares: its config, its train step, its serialization."""

from __future__ import annotations

import json

import keras
import numpy as np

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.layers.transformer_stack import TransformerStack
from tfllm.models import adaptation
from tfllm.models.trainable import TrainableModel

_CARRIED = "carried:"  # what the names of carried tensors begin with in a weights file


class TransformerModel(TrainableModel):
    """A `keras.Model` described by a `TransformerConfig`. Its weights exist as soon as it is made.

    Attributes:
        config: the architecture.
        tokenizer: the checkpoint's tokenizer, or `None`.
        checkpoint: a JSON-ready record of the checkpoint that it was loaded from, or `None`; it travels in a `.keras` file.
        carried_tensors: tensors of that checkpoint which are no weights of this model and are written back with it, by name.
    """

    def __init__(self, config: TransformerConfig, *, checkpoint: dict | None = None, **kwargs):
        super().__init__(**kwargs)
        _check_distribution()
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
    def remat(self) -> bool:
        """Whether blocks compute their activations again in the backward pass in place of keeping them: less memory, the same losses
        and gradients, one forward pass more of time. Of the running model, and in no file."""
        return any(stack.remat for stack in self._stacks())

    @remat.setter
    def remat(self, value: bool):
        for stack in self._stacks():
            stack.remat = bool(value)
        self.train_function = None  # it was traced with the other

    def _stacks(self) -> list[TransformerStack]:
        return [layer for layer in self._flatten_layers() if isinstance(layer, TransformerStack)]

    @property
    def pooled(self) -> str:
        """Which token of an example names it to a classifier: `"first"` or `"last"`."""
        return "last" if self.config.pooled == "last" else "first"

    def named_weights(self) -> dict[str, keras.Variable]:
        """Weights by their path below the model, e.g. `block_0/attention/query/kernel`."""
        return {weight.path.split("/", 1)[1]: weight for weight in self.weights}

    def compile_defaults(self) -> dict:
        """Arguments for `compile()`: the loss and metrics that fit this head, averaged over real examples or tokens."""
        raise UserError(
            f"{type(self).__name__} has no loss of its own: load it with a head, or give `loss=` to compile()."
        )

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
        made = adaptation.record(self)
        return {
            **({"adaptation": made} if made else {}),
            "config": self.config.to_dict(),
            "checkpoint": self.checkpoint,
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        made = config.pop("adaptation", None)
        model = cls(**config)
        if made is not None:
            adaptation.restore(model, made)
        return model


def _check_distribution() -> None:
    if keras.distribution.distribution() is not None and keras.backend.backend() != "jax":
        raise UserError(
            "A keras.distribution does nothing on this backend: set KERAS_BACKEND=jax before Keras is imported, or train under a "
            f"tf.distribute strategy. Received: {keras.distribution.distribution()!r} with Keras on {keras.backend.backend()}."
        )
