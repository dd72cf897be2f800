"""One transformer block."""

from __future__ import annotations

import keras

from tfllm.config import TransformerConfig
from tfllm.layers.attention import MultiHeadAttention
from tfllm.layers.feed_forward import FeedForward
from tfllm.layers.initializers import WeightInitializer
from tfllm.layers.normalization import make_norm


@keras.saving.register_keras_serializable("tfllm")
class TransformerBlock(keras.layers.Layer):
    """Self-attention and feed-forward, each with dropout, residual and norm, placed as the config says.

    `norm_placement="post"`: `x = norm(x + sublayer(x))`; `"pre"`: `x = x + sublayer(norm(x))`.

    Args:
        config: a `TransformerConfig` (or the dictionary of one).

    Example:
        >>> config = TransformerConfig(vocab_size=9, hidden_size=32, num_layers=1, num_heads=4, intermediate_size=64)
        >>> TransformerBlock(config)(keras.ops.ones((2, 5, 32))).shape
        TensorShape([2, 5, 32])
    """

    def __init__(self, config: TransformerConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config if isinstance(config, TransformerConfig) else TransformerConfig(**config)
        c, dtype = self.config, self.dtype_policy
        initializer = WeightInitializer(stddev=c.initializer_range)
        self.attention = MultiHeadAttention(
            c.num_heads,
            c.head_dim,
            num_kv_heads=c.num_kv_heads,
            use_bias=c.attention_bias,
            output_bias=c.attention_output_bias,
            dropout=c.attention_dropout,
            kernel_initializer=initializer,
            name="attention",
            dtype=dtype,
        )
        self.feed_forward = FeedForward(
            c.intermediate_size,
            activation=c.activation,
            gated=c.gated,
            use_bias=c.feed_forward_bias,
            kernel_initializer=initializer,
            name="feed_forward",
            dtype=dtype,
        )
        self.attention_norm = make_norm(c.norm, c.norm_epsilon, name="attention_norm", dtype=dtype)
        self.feed_forward_norm = make_norm(c.norm, c.norm_epsilon, name="feed_forward_norm", dtype=dtype)
        self.attention_dropout = keras.layers.Dropout(c.dropout, name="attention_dropout", dtype=dtype)
        self.feed_forward_dropout = keras.layers.Dropout(c.dropout, name="feed_forward_dropout", dtype=dtype)

    def build(self, input_shape):
        for layer in (self.attention, self.feed_forward, self.attention_norm, self.feed_forward_norm):
            layer.build(input_shape)

    def call(self, x, attention_mask=None, rotary=None, cache=None, cache_index=None, training=None):
        """`(B, T, D)` to `(B, T, D)`; with a cache, `((B, T, D), cache)`. Arguments as in `MultiHeadAttention.call`."""
        pre = self.config.norm_placement == "pre"
        y = self.attention(
            self.attention_norm(x) if pre else x,
            attention_mask=attention_mask,
            rotary=rotary,
            cache=cache,
            cache_index=cache_index,
            training=training,
        )
        y, cache = y if cache is not None else (y, None)
        x = x + self.attention_dropout(y, training=training)
        if not pre:
            x = self.attention_norm(x)
        y = self.feed_forward(self.feed_forward_norm(x) if pre else x)
        x = x + self.feed_forward_dropout(y, training=training)
        if not pre:
            x = self.feed_forward_norm(x)
        return x if cache is None else (x, cache)

    def compute_output_shape(self, input_shape, **kwargs):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}
