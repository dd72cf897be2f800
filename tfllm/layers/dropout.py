"""Dropout that spends half the random bits."""

from __future__ import annotations

import functools
import operator

import keras
from keras import ops

from tfllm.layers.replica_seed import of_this_replica

_LEVELS = 2**16


@keras.saving.register_keras_serializable("tfllm")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` with 16 random bits a value.

    Drawing numbers is most of what dropout costs on a CPU (6 % of a MiniLM training step with Keras' layer, which draws a float32 a
    value). The rate is that of the nearest multiple of 2^-16, and what is kept is scaled by exactly that.

    Replicas draw masks of their own where the train step says which one they are (`replica_seed.drawing_for`); with Keras' layer all
    of them drop the same places.

    Example:
        >>> layer = Dropout(0.5, seed=0)
        >>> sorted(set(layer(keras.ops.ones((4, 8)), training=True).numpy().ravel().tolist()))
        [0.0, 2.0]
    """

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        seed = of_this_replica(self.seed_generator)
        if self.noise_shape is not None:
            return keras.random.dropout(inputs, self.rate, self.noise_shape, seed)
        shape, dropped = ops.shape(inputs), round(self.rate * _LEVELS)  # shape: tensors where it is not static
        count = functools.reduce(operator.mul, shape, 1)
        # Two draws in one int32; the second axis gives `view` a static width.
        bits = keras.random.randint(((count + 1) // 2, 1), -(2**31), 2**31 - 1, dtype="int32", seed=seed)
        draws = ops.reshape(ops.reshape(ops.view(bits, "int16"), (-1,))[:count], shape)  # -2^15 to 2^15 - 1
        kept = ops.cast(ops.greater_equal(draws, dropped - _LEVELS // 2), inputs.dtype)
        return inputs * (kept * (_LEVELS / (_LEVELS - dropped)))
