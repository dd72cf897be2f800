"""Normalisation layers."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfllm")
class RMSNorm(keras.layers.Layer):
    """Root-mean-square normalisation (Zhang and Sennrich, 2019): `x / sqrt(mean(x²) + epsilon) * scale`.

    Computed in float32, as Llama's reference does, and cast back before the scale.

    Args:
        epsilon: added to the mean square.

    Example:
        >>> RMSNorm()(keras.ops.ones((1, 2, 4))).shape
        TensorShape([1, 2, 4])
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        """`(…, D)` to `(…, D)`."""
        x32 = ops.cast(x, "float32")
        x32 = x32 * ops.rsqrt(ops.mean(ops.square(x32), axis=-1, keepdims=True) + self.epsilon)
        return ops.cast(x32, self.compute_dtype) * self.scale

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


def make_norm(kind: str, epsilon: float, *, name: str, dtype=None) -> keras.layers.Layer:
    """The layer that `TransformerConfig.norm` names: `"layer"` or `"rms"`."""
    if kind == "rms":
        return RMSNorm(epsilon, name=name, dtype=dtype)
    return keras.layers.LayerNormalization(epsilon=epsilon, name=name, dtype=dtype)
