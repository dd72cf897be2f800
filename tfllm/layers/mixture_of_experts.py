"""A sparse feed-forward layer: a router and gated experts."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.layers.activations import ACTIVATIONS


@keras.saving.register_keras_serializable("tfllm")
class MixtureOfExperts(keras.layers.Layer):
    """Each token goes to the `experts_per_token` experts that a linear router prefers (Mixtral, Jiang et al., 2024).

    No expert has a capacity and no token is dropped: shapes are static, and the result of a token does not depend on the others of its
    batch. Every expert computes every token, and the router's weights (0 for the experts not chosen) are applied before the last
    projection: `num_experts / experts_per_token` times the products that sparse kernels would need.

    Args:
        num_experts: experts E.
        experts_per_token: those that a token is routed to.
        intermediate_size: width F of an expert.
        activation: of the gate.
        normalize: the weights of a token's experts sum to 1.
        kernel_initializer: for router and experts.

    Example:
        >>> MixtureOfExperts(4, 2, 64)(keras.ops.ones((2, 5, 32))).shape
        TensorShape([2, 5, 32])
    """

    def __init__(
        self,
        num_experts: int,
        experts_per_token: int,
        intermediate_size: int,
        *,
        activation: str = "silu",
        normalize: bool = True,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_experts, self.experts_per_token = num_experts, experts_per_token
        self.intermediate_size, self.activation, self.normalize = intermediate_size, activation, normalize
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.router = keras.layers.Dense(
            num_experts, use_bias=False, kernel_initializer=self._initializer(), name="router", dtype=self.dtype_policy
        )

    def _initializer(self):
        return self.kernel_initializer.__class__.from_config(self.kernel_initializer.get_config())

    def build(self, input_shape):
        width = input_shape[-1]
        self.router.build((None, None, width))
        inner = (self.num_experts, width, self.intermediate_size)
        outer = (self.num_experts, self.intermediate_size, width)
        self.gate = self.add_weight(name="gate", shape=inner, initializer=self._initializer())
        self.up = self.add_weight(name="up", shape=inner, initializer=self._initializer())
        self.down = self.add_weight(name="down", shape=outer, initializer=self._initializer())

    def routing_weights(self, x):
        """`(B, T, D)` to `(B, T, E)` float32, 0 for the experts that a token does not go to."""
        probabilities = ops.softmax(ops.cast(self.router(x), "float32"), axis=-1)
        chosen, index = ops.top_k(probabilities, self.experts_per_token)
        if self.normalize:
            chosen = chosen / ops.sum(chosen, axis=-1, keepdims=True)
        return ops.sum(ops.one_hot(index, self.num_experts) * ops.expand_dims(chosen, -1), axis=-2)

    def call(self, x):
        """`(B, T, D)` to `(B, T, D)`."""
        weights = ops.cast(self.routing_weights(x), x.dtype)
        gate, up, down = (ops.cast(kernel, x.dtype) for kernel in (self.gate, self.up, self.down))
        hidden = ACTIVATIONS[self.activation](ops.einsum("btd,edf->btef", x, gate)) * ops.einsum("btd,edf->btef", x, up)
        return ops.einsum("btef,efd->btd", hidden * ops.expand_dims(weights, -1), down)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "experts_per_token": self.experts_per_token,
            "intermediate_size": self.intermediate_size,
            "activation": self.activation,
            "normalize": self.normalize,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
