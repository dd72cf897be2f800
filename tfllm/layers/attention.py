"""Multi-head attention: self, cross, grouped-query, cached and packed, in one layer."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.layers.positions import apply_rotary


@keras.saving.register_keras_serializable("tfllm")
class MultiHeadAttention(keras.layers.Layer):
    """Scaled dot-product attention with H query heads and Hkv key/value heads (Vaswani et al., 2017; grouped queries: Ainslie et al., 2023).

    Args:
        num_heads: query heads H.
        head_dim: width of a head.
        num_kv_heads: key and value heads Hkv, a divisor of H; default H. Query head h reads key head `h // (H / Hkv)`.
        use_bias: query, key and value projections have a bias.
        output_bias: the output projection has a bias.
        dropout: rate on the attention probabilities.
        kernel_initializer: for the four kernels.

    Example:
        >>> layer = MultiHeadAttention(num_heads=4, head_dim=8, num_kv_heads=2)
        >>> layer(keras.ops.ones((2, 5, 32))).shape
        TensorShape([2, 5, 32])
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        *,
        num_kv_heads: int | None = None,
        use_bias: bool = True,
        output_bias: bool = True,
        dropout: float = 0.0,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads, self.head_dim = num_heads, head_dim
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        self.use_bias, self.output_bias, self.dropout_rate = use_bias, output_bias, dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        if num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads must be a multiple of num_kv_heads. Received: {num_heads=}, num_kv_heads={num_kv_heads}."
            )
        self.query = self._projection(num_heads * head_dim, use_bias, "query")
        self.key = self._projection(self.num_kv_heads * head_dim, use_bias, "key")
        self.value = self._projection(self.num_kv_heads * head_dim, use_bias, "value")
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def _projection(self, units: int, use_bias: bool, name: str) -> keras.layers.Dense:
        # A clone for each kernel: one initializer object would give all of them the same values.
        initializer = self.kernel_initializer.__class__.from_config(self.kernel_initializer.get_config())
        return keras.layers.Dense(
            units, use_bias=use_bias, kernel_initializer=initializer, name=name, dtype=self.dtype_policy
        )

    def build(self, x_shape, context_shape=None):
        width = x_shape[-1]
        context_width = width if context_shape is None else context_shape[-1]
        self.query.build((None, None, width))
        self.key.build((None, None, context_width))
        self.value.build((None, None, context_width))
        self.output_projection = self._projection(width, self.output_bias, "output")
        self.output_projection.build((None, None, self.num_heads * self.head_dim))

    def call(self, x, context=None, attention_mask=None, rotary=None, cache=None, cache_index=None, training=None):
        """Attends from `x` to `context` (default: to `x` itself).

        Args:
            x: `(B, Tq, D)`.
            context: `(B, Tk, Dc)` to attend to, for cross attention.
            attention_mask: added to the scores, broadcast to `(B, H, Tq, Tk)`; see `additive_mask`.
            rotary: `(cos, sin)`, each `(B, Tq, head_dim)`, that rotate queries and keys.
            cache: `(B, 2, Hkv, S, head_dim)` keys and values of earlier tokens. Those of `x` are written at
                `cache_index`, and attention is over all S places: `attention_mask` must hide the empty ones.
            cache_index: scalar int, place of the first token of `x` in the cache.

        Returns:
            `(B, Tq, D)`, or with a cache `((B, Tq, D), cache)`.
        """
        source = x if context is None else context
        query = self._heads(self.query(x), self.num_heads)
        key = self._heads(self.key(source), self.num_kv_heads)
        value = self._heads(self.value(source), self.num_kv_heads)
        # The scale goes on the queries, the smallest of the tensors that could carry it.
        query = query * ops.cast(self.head_dim**-0.5, query.dtype)
        if rotary is not None:
            query, key = apply_rotary(query, *rotary), apply_rotary(key, *rotary)
        query = ops.transpose(query, (0, 2, 1, 3))  # (B, H, Tq, head_dim)
        key = ops.transpose(key, (0, 2, 1, 3))  # (B, Hkv, Tk, head_dim)
        value = ops.transpose(value, (0, 2, 1, 3))
        if cache is not None:
            update = ops.cast(ops.stack([key, value], axis=1), cache.dtype)
            cache = ops.slice_update(cache, (0, 0, 0, cache_index, 0), update)
            key, value = ops.cast(cache[:, 0], query.dtype), ops.cast(cache[:, 1], query.dtype)
        y = self._attend(query, key, value, attention_mask, training)
        return y if cache is None else (y, cache)

    def _heads(self, x, heads: int):
        shape = ops.shape(x)
        return ops.reshape(x, (shape[0], shape[1], heads, self.head_dim))

    def _attend(self, query, key, value, attention_mask, training):
        batch, _, length, _ = ops.shape(query)
        groups = self.num_heads // self.num_kv_heads
        # Query heads that share a key head are stacked along the time axis: no key or value is repeated in memory.
        grouped = (batch, self.num_kv_heads, groups * length, self.head_dim)
        if groups > 1:
            query = ops.reshape(query, grouped)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        keys = ops.shape(scores)[-1]
        if groups > 1:
            scores = ops.reshape(scores, (batch, self.num_heads, length, keys))
        # float32 for the softmax under mixed precision, as the reference implementations do.
        scores = ops.cast(scores, "float32")
        if attention_mask is not None:
            scores = scores + ops.cast(attention_mask, "float32")
        weights = self.dropout(ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype), training=training)
        if groups > 1:
            weights = ops.reshape(weights, (batch, self.num_kv_heads, groups * length, keys))
        y = ops.matmul(weights, value)
        if groups > 1:
            y = ops.reshape(y, (batch, self.num_heads, length, self.head_dim))
        y = ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (batch, length, self.num_heads * self.head_dim))
        return self.output_projection(y)

    def compute_output_shape(self, input_shape, *args, **kwargs):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "num_kv_heads": self.num_kv_heads,
            "use_bias": self.use_bias,
            "output_bias": self.output_bias,
            "dropout": self.dropout_rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
