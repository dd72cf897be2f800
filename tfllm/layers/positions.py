"""Fixed sinusoidal tables, and biases on attention scores by distance: ALiBi and T5's buckets.

Learned positions are a table in `TokenEmbedding`, rotary ones are in `rotary`.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from tfllm.layers.initializers import WeightInitializer


def sinusoidal_table(num_positions: int, width: int, layout: str = "sinusoidal") -> np.ndarray:
    """The fixed table of the Transformer paper (Vaswani et al., 2017).

    Args:
        num_positions: rows.
        width: columns, even.
        layout: `"sinusoidal"` (even columns sine, odd ones cosine, DistilBERT), `"sinusoidal_halves"` (sines, then cosines; Marian,
            Pegasus) or `"sinusoidal_fairseq"` (halves, the last frequency is 1 / 10000 exactly; M2M100).

    Returns:
        `(num_positions, width)` float32.

    Example:
        >>> sinusoidal_table(2, 4, "sinusoidal_halves")[0].tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    half = width // 2
    exponent = np.arange(half) / (half - 1 if layout == "sinusoidal_fairseq" else width / 2)
    angle = np.arange(num_positions)[:, None] / np.power(10000.0, exponent)[None, :]
    sine, cosine = np.sin(angle), np.cos(angle)
    if layout == "sinusoidal":
        return np.stack([sine, cosine], axis=-1).reshape(num_positions, width).astype("float32")
    return np.concatenate([sine, cosine], axis=-1).astype("float32")


def distances(query_positions, key_positions):
    """`(B, Tq)` and `(B, Tk)` int to `(B, Tq, Tk)` int, how far the key stands before the query."""
    return ops.expand_dims(query_positions, -1) - ops.expand_dims(key_positions, -2)


def alibi_slopes(num_heads: int) -> np.ndarray:
    """Slopes of ALiBi (Press et al., 2022): a geometric series; for a number that is no power of 2, those of two series.

    Returns:
        `(num_heads,)` float32.

    Example:
        >>> alibi_slopes(2).tolist()
        [0.0625, 0.00390625]
    """
    closest = 2 ** math.floor(math.log2(num_heads))
    slopes = [2 ** (-8 * (i + 1) / closest) for i in range(closest)]
    slopes += [2 ** (-4 * (2 * i + 1) / closest) for i in range(num_heads - closest)]
    return np.array(slopes, "float32")


def alibi_bias(distance, num_heads: int):
    """`(B, Tq, Tk)` int distances to `(B, H, Tq, Tk)` float32, to add to attention scores."""
    slopes = ops.reshape(ops.convert_to_tensor(alibi_slopes(num_heads)), (1, num_heads, 1, 1))
    return -slopes * ops.cast(ops.expand_dims(distance, 1), "float32")


@keras.saving.register_keras_serializable("tfllm")
class RelativePositionBias(keras.layers.Layer):
    """A learned bias on attention scores by bucketed distance (Raffel et al., 2020; T5, MPNet).

    Args:
        num_buckets: buckets; half of them for keys after the query if `bidirectional`.
        max_distance: distance from which all share the last bucket.
        num_heads: heads H, each with its own biases.
        bidirectional: keys after the query have buckets of their own.
        initializer_range: standard deviation of fresh biases.

    Example:
        >>> layer = RelativePositionBias(32, 128, num_heads=4)
        >>> layer(keras.ops.zeros((1, 5, 5), "int32")).shape
        TensorShape([1, 4, 5, 5])
    """

    def __init__(
        self,
        num_buckets: int,
        max_distance: int,
        num_heads: int,
        *,
        bidirectional: bool = True,
        initializer_range: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_buckets, self.max_distance, self.num_heads = num_buckets, max_distance, num_heads
        self.bidirectional, self.initializer_range = bidirectional, initializer_range

    def build(self, input_shape=None):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_buckets, self.num_heads),
            initializer=WeightInitializer(stddev=self.initializer_range),
        )

    def call(self, distance):
        """`(B, Tq, Tk)` int distances (query minus key) to `(B, H, Tq, Tk)` float32."""
        reach = self.max_distance
        table = bucket_table(self.num_buckets, reach, self.bidirectional)  # of distances -reach .. reach
        bucket = ops.take(ops.convert_to_tensor(table), ops.clip(distance, -reach, reach) + reach, axis=0)
        return ops.transpose(ops.cast(ops.take(self.embeddings, bucket, axis=0), "float32"), (0, 3, 1, 2))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_heads, *input_shape[1:])

    def get_config(self):
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "num_heads": self.num_heads,
            "bidirectional": self.bidirectional,
            "initializer_range": self.initializer_range,
        }


def bucket_table(num_buckets: int, max_distance: int, bidirectional: bool) -> np.ndarray:
    """T5's bucket of each distance from `-max_distance` to `max_distance` (query minus key).

    Distances up to half of a side's buckets have one each, larger ones share buckets of logarithmic width.

    Returns:
        `(2 * max_distance + 1,)` int32.
    """
    distance = np.arange(-max_distance, max_distance + 1)
    side = num_buckets // 2 if bidirectional else num_buckets
    after = np.where(distance < 0, side, 0) if bidirectional else 0
    distance = np.abs(distance) if bidirectional else np.maximum(distance, 0)
    exact = side // 2
    # In float32 and cut, like the reference.
    ratio = np.log(np.maximum(distance, 1).astype("float32") / np.float32(exact)) / np.float32(
        math.log(max_distance / exact)
    )
    large = np.minimum(exact + (ratio * np.float32(side - exact)).astype("int32"), side - 1)
    return (after + np.where(distance < exact, distance, large)).astype("int32")
