"""Multi-head attention: self, cross, grouped-query, cached and packed, in one layer."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.layers.dense import Dense
from tfllm.layers.dropout import Dropout
from tfllm.layers.normalization import RMSNorm
from tfllm.layers.rotary import apply_rotary


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
        scale: factor on the scores; default `head_dim ** -0.5`.
        soft_cap: scores become `cap * tanh(scores / cap)` before the mask (Gemma 2).
        qk_norm: RMS norm of queries and keys before they are rotated: `"head"` (each head, Qwen 3), `"width"` (all heads of a token
            together, OLMo 2) or `None`.
        qk_norm_epsilon, qk_norm_unit_offset: see `RMSNorm`.
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
        scale: float | None = None,
        soft_cap: float | None = None,
        qk_norm: str | None = None,
        qk_norm_epsilon: float = 1e-6,
        qk_norm_unit_offset: bool = False,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.scale = head_dim**-0.5 if scale is None else scale
        self.soft_cap, self.qk_norm = soft_cap, qk_norm
        self.qk_norm_epsilon, self.qk_norm_unit_offset = qk_norm_epsilon, qk_norm_unit_offset
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
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.query_norm = self.key_norm = None
        if qk_norm is not None:
            self.query_norm, self.key_norm = (
                RMSNorm(qk_norm_epsilon, unit_offset=qk_norm_unit_offset, name=name, dtype=self.dtype_policy)
                for name in ("query_norm", "key_norm")
            )

    def _projection(self, units: int, use_bias: bool, name: str) -> Dense:
        # A clone for each kernel: one initializer object would give all of them the same values.
        initializer = self.kernel_initializer.__class__.from_config(self.kernel_initializer.get_config())
        return Dense(units, use_bias=use_bias, kernel_initializer=initializer, name=name, dtype=self.dtype_policy)

    def build(self, x_shape, context_shape=None):
        width = x_shape[-1]
        context_width = width if context_shape is None else context_shape[-1]
        self.query.build((None, None, width))
        self.key.build((None, None, context_width))
        self.value.build((None, None, context_width))
        self.output_projection = self._projection(width, self.output_bias, "output")
        self.output_projection.build((None, None, self.num_heads * self.head_dim))
        if self.qk_norm is not None:
            per_head = self.qk_norm == "head"
            self.query_norm.build((None, self.head_dim if per_head else self.num_heads * self.head_dim))
            self.key_norm.build((None, self.head_dim if per_head else self.num_kv_heads * self.head_dim))

    def call(
        self,
        x,
        context=None,
        attention_mask=None,
        rotary=None,
        cache=None,
        cache_index=None,
        context_cache=None,
        training=None,
    ):
        """Attends from `x` to `context` (default: to `x` itself).

        Args:
            x: `(B, Tq, D)`.
            context: `(B, Tk, Dc)` to attend to, for cross attention.
            attention_mask: added to the scores, broadcast to `(B, H, Tq, Tk)`; see `additive_mask`.
            rotary: `(cos, sin)`, each `(B, Tq, dim)`, that rotate queries and keys.
            cache: `(B, 2, Hkv, S, head_dim)` keys and values of earlier tokens. Those of `x` are written at
                `cache_index`, and attention is over all S places: `attention_mask` must hide the empty ones.
            cache_index: scalar int, place of the first token of `x` in the cache.
            context_cache: `(B, 2, Hkv, Tk, head_dim)` from `keys_values(context)`, in place of `context`.

        Returns:
            `(B, Tq, D)`, or with a cache `((B, Tq, D), cache)`.
        """
        query = self._normed_heads(self.query(x), self.num_heads, self.query_norm)
        # The scale goes on the queries, the smallest of the tensors that could carry it.
        query = query * ops.cast(self.scale, query.dtype)
        if rotary is not None:
            query = apply_rotary(query, *rotary)
        query = ops.transpose(query, (0, 2, 1, 3))  # (B, H, Tq, head_dim)
        if context_cache is None:
            key, value = self._keys_values(x if context is None else context, rotary)
        else:
            key, value = ops.cast(context_cache[:, 0], query.dtype), ops.cast(context_cache[:, 1], query.dtype)
        if cache is not None:
            update = ops.cast(ops.stack([key, value], axis=1), cache.dtype)
            cache = ops.slice_update(cache, (0, 0, 0, cache_index, 0), update)
            key, value = ops.cast(cache[:, 0], query.dtype), ops.cast(cache[:, 1], query.dtype)
        y = self._attend(query, key, value, attention_mask, training)
        return y if cache is None else (y, cache)

    def keys_values(self, context):
        """Keys and values of a context, computed once for many calls: `(B, Tk, Dc)` to `(B, 2, Hkv, Tk, head_dim)`."""
        return ops.stack(self._keys_values(ops.cast(context, self.compute_dtype), None), axis=1)

    def _keys_values(self, source, rotary):
        key = self._normed_heads(self.key(source), self.num_kv_heads, self.key_norm)
        if rotary is not None:
            key = apply_rotary(key, *rotary)
        value = self._heads(self.value(source), self.num_kv_heads)
        return ops.transpose(key, (0, 2, 1, 3)), ops.transpose(value, (0, 2, 1, 3))  # (B, Hkv, Tk, head_dim)

    def _normed_heads(self, x, heads: int, norm):
        if self.qk_norm == "width":
            return self._heads(norm(x), heads)
        x = self._heads(x, heads)
        return x if norm is None else norm(x)

    def _heads(self, x, heads: int):
        shape = ops.shape(x)
        return ops.reshape(x, (shape[0], shape[1], heads, self.head_dim))

    def _attend(self, query, key, value, attention_mask, training):
        batch, _, length, _ = ops.shape(query)
        groups = self.num_heads // self.num_kv_heads
        # Query heads that share a key head are stacked along the time axis: no key or value is repeated in memory.
        if groups > 1:
            query = ops.reshape(query, (batch, self.num_kv_heads, groups * length, self.head_dim))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        if groups > 1:
            scores = ops.reshape(scores, (batch, self.num_heads, length, ops.shape(scores)[-1]))
        return self._weigh(scores, value, attention_mask, training)

    def _weigh(self, scores, value, attention_mask, training):
        """Scores `(B, H, Tq, Tk)` and values `(B, Hkv, Tk, head_dim)` to the layer's output `(B, Tq, D)`."""
        batch, _, length, keys = ops.shape(scores)
        groups = self.num_heads // self.num_kv_heads
        # float32 for the softmax under mixed precision, as the reference implementations do.
        scores = ops.cast(scores, "float32")
        if self.soft_cap is not None:
            scores = ops.tanh(scores / self.soft_cap) * self.soft_cap
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
            "scale": self.scale,
            "soft_cap": self.soft_cap,
            "qk_norm": self.qk_norm,
            "qk_norm_epsilon": self.qk_norm_epsilon,
            "qk_norm_unit_offset": self.qk_norm_unit_offset,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
