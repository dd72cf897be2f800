"""The feed-forward sublayer, plain or gated."""

from __future__ import annotations

import keras

from tfllm.layers.activations import ACTIVATIONS
from tfllm.layers.dense import Dense
from tfllm.layers.dropout import Dropout


@keras.saving.register_keras_serializable("tfllm")
class FeedForward(keras.layers.Layer):
    """`down(act(up(x)))`, or gated (Shazeer, 2020) `down(act(gate(x)) * up(x))`.

    Args:
        intermediate_size: width of the hidden layer.
        activation: a name in `tfllm.layers.activations.ACTIVATIONS`.
        gated: with a gate.
        use_bias: the projections have biases.
        dropout: rate on the hidden layer.
        kernel_initializer: a name or a serialised initializer; each kernel gets its own.

    Example:
        >>> FeedForward(64, activation="silu", gated=True)(keras.ops.ones((2, 5, 32))).shape
        TensorShape([2, 5, 32])
    """

    def __init__(
        self,
        intermediate_size: int,
        *,
        activation: str = "gelu",
        gated: bool = False,
        use_bias: bool = True,
        dropout: float = 0.0,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.intermediate_size, self.activation, self.gated, self.use_bias = (
            intermediate_size,
            activation,
            gated,
            use_bias,
        )
        self.dropout_rate = dropout
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.up = self._projection(intermediate_size, "up")
        self.gate = self._projection(intermediate_size, "gate") if gated else None

    def _projection(self, units: int, name: str) -> Dense:
        initializer = self.kernel_initializer.__class__.from_config(self.kernel_initializer.get_config())
        return Dense(units, use_bias=self.use_bias, kernel_initializer=initializer, name=name, dtype=self.dtype_policy)

    def build(self, input_shape):
        width = input_shape[-1]
        self.up.build((None, None, width))
        if self.gate is not None:
            self.gate.build((None, None, width))
        self.down = self._projection(width, "down")
        self.down.build((None, None, self.intermediate_size))

    def call(self, x, training=None):
        """`(B, T, D)` to `(B, T, D)`."""
        activation = ACTIVATIONS[self.activation]
        hidden = activation(self.up(x)) if self.gate is None else activation(self.gate(x)) * self.up(x)
        return self.down(self.dropout(hidden, training=training))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "intermediate_size": self.intermediate_size,
            "activation": self.activation,
            "gated": self.gated,
            "use_bias": self.use_bias,
            "dropout": self.dropout_rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
