"""DeBERTa's disentangled attention."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from tfllm.layers.attention import MultiHeadAttention


@keras.saving.register_keras_serializable("tfllm")
class DisentangledAttention(MultiHeadAttention):
    """Self-attention whose scores are sums of content and of distance (He et al., 2021, DeBERTa and DeBERTaV3).

    `content to position` (c2p): a query meets the key that is projected from its distance to the other token; `position to content`
    (p2c): a key meets the query that is projected from that distance. Every term is divided by `sqrt(head_dim * number of terms)`.

    Args:
        terms: which of `"c2p"` and `"p2c"`.
        share_position_key: project distances by the query and key kernels; else by kernels of their own.
        **kwargs: those of `MultiHeadAttention`.
    """

    def __init__(self, *args, terms=("c2p", "p2c"), share_position_key: bool = True, **kwargs):
        super().__init__(*args, **kwargs)
        self.terms, self.share_position_key = tuple(terms), share_position_key
        self.position_key = self.position_query = None
        width = self.num_heads * self.head_dim
        if not share_position_key and "c2p" in self.terms:
            self.position_key = self._projection(width, self.use_bias, "position_key")
        if not share_position_key and "p2c" in self.terms:
            self.position_query = self._projection(width, self.use_bias, "position_query")

    def build(self, x_shape, context_shape=None):
        super().build(x_shape, context_shape)
        for layer in (self.position_key, self.position_query):
            if layer is not None:
                layer.build((None, None, x_shape[-1]))

    def call(self, x, attention_mask=None, relative=None, training=None):
        """Attends from `x` to `x`.

        Args:
            x: `(B, T, D)`.
            attention_mask: as in `MultiHeadAttention`.
            relative: `(table, index)`: the table of distances `(P, D)`, and `(B, T, T)` int, the row of each query-key pair.

        Returns:
            `(B, T, D)`.
        """
        table, index = relative
        query, key, value = (
            ops.transpose(self._heads(projection(x), self.num_heads), (0, 2, 1, 3))
            for projection in (self.query, self.key, self.value)
        )  # (B, H, T, head_dim)
        scale = ops.cast((self.head_dim * (1 + len(self.terms))) ** -0.5, query.dtype)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        index = ops.broadcast_to(ops.expand_dims(index, 1), ops.shape(scores))
        if "c2p" in self.terms:
            keys = self._distances(self.position_key or self.key, table)
            scores = scores + ops.take_along_axis(ops.matmul(query, ops.transpose(keys, (0, 1, 3, 2))), index, axis=-1)
        if "p2c" in self.terms:
            queries = self._distances(self.position_query or self.query, table)
            # Rows are keys here: a key's entry for a query is that of the same distance.
            met = ops.matmul(key, ops.transpose(queries, (0, 1, 3, 2)))
            met = ops.take_along_axis(met, ops.transpose(index, (0, 1, 3, 2)), axis=-1)
            scores = scores + ops.transpose(met, (0, 1, 3, 2))
        return self._weigh(scores * scale, value, attention_mask, training)

    def _distances(self, projection, table):
        """The table of distances to `(1, H, P, head_dim)`."""
        projected = projection(ops.expand_dims(table, 0))
        return ops.transpose(self._heads(projected, self.num_heads), (0, 2, 1, 3))

    def get_config(self):
        return {**super().get_config(), "terms": self.terms, "share_position_key": self.share_position_key}


def log_buckets(buckets: int, max_distance: int) -> np.ndarray:
    """DeBERTa's signed bucket of each distance from `-2 * max_distance` to `2 * max_distance`.

    Distances below `buckets / 2` have a bucket each, larger ones share buckets of logarithmic width up to `buckets - 1` at
    `max_distance`. With `buckets=0` every distance is its own bucket.

    Returns:
        `(4 * max_distance + 1,)` int32.
    """
    distance = np.arange(-2 * max_distance, 2 * max_distance + 1)
    if buckets <= 0:
        return distance.astype("int32")
    middle = buckets // 2
    size = np.where(np.abs(distance) < middle, middle - 1, np.abs(distance)).astype("float32")
    # In float32, like the reference: ceil() sees the rounding.
    share = np.log(size / np.float32(middle)) / np.log(np.float32((max_distance - 1) / middle))
    log = np.ceil(share * np.float32(middle - 1)) + middle
    return np.where(size <= middle, distance, log * np.sign(distance)).astype("int32")
