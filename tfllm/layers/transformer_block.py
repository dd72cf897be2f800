"""One transformer block."""

from __future__ import annotations

import keras

from tfllm.config import TransformerConfig
from tfllm.layers.attention import MultiHeadAttention
from tfllm.layers.disentangled_attention import DisentangledAttention
from tfllm.layers.dropout import Dropout
from tfllm.layers.feed_forward import FeedForward
from tfllm.layers.initializers import WeightInitializer
from tfllm.layers.mixture_of_experts import MixtureOfExperts
from tfllm.layers.normalization import make_norm

# Where each placement normalises: a sublayer's input, its output, the sum after it.
_INPUT, _OUTPUT, _SUM = ("pre", "sandwich"), ("output", "sandwich"), ("post",)


@keras.saving.register_keras_serializable("tfllm")
class TransformerBlock(keras.layers.Layer):
    """Self-attention, cross-attention if the config has it, and feed-forward, each with dropout, residual and norms.

    `norm_placement="post"`: `x = norm(x + sublayer(x))`; `"pre"`: `x = x + sublayer(norm(x))`; `"output"`:
    `x = x + norm(sublayer(x))`; `"sandwich"`: `x = x + output_norm(sublayer(norm(x)))`.

    Args:
        config: a `TransformerConfig` (or the dictionary of one).
        index: number of the block in its stack, for what the config says of single layers.

    Example:
        >>> config = TransformerConfig(vocab_size=9, hidden_size=32, num_layers=1, num_heads=4, intermediate_size=64)
        >>> TransformerBlock(config)(keras.ops.ones((2, 5, 32))).shape
        TensorShape([2, 5, 32])
    """

    def __init__(self, config: TransformerConfig, index: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.config = config if isinstance(config, TransformerConfig) else TransformerConfig(**config)
        self.index = index
        c = self.config
        self.attention = self._attention("attention", disentangled=bool(c.disentangled))
        self.cross_attention = self._attention("cross_attention") if c.cross_attention else None
        self.feed_forward = self._feed_forward()
        sublayers = ["attention", *(["cross_attention"] if c.cross_attention else []), "feed_forward"]
        self.input_norms, self.output_norms, self.sum_norms = {}, {}, {}
        for name in sublayers:
            first = name == "attention" and index == 0 and not c.first_attention_norm
            if c.norm_placement in _INPUT and not first:
                self.input_norms[name] = make_norm(c, name=f"{name}_norm", dtype=self.dtype_policy)
            if c.norm_placement in _OUTPUT:
                self.output_norms[name] = make_norm(c, name=f"{name}_output_norm", dtype=self.dtype_policy)
            if c.norm_placement in _SUM:
                self.sum_norms[name] = make_norm(c, name=f"{name}_norm", dtype=self.dtype_policy)
        self.dropouts = {
            name: Dropout(c.dropout, name=f"{name}_dropout", dtype=self.dtype_policy) for name in sublayers
        }

    def _attention(self, name: str, disentangled: bool = False) -> MultiHeadAttention:
        c = self.config
        arguments = {
            "num_kv_heads": c.num_kv_heads,
            "use_bias": c.attention_bias,
            "output_bias": c.attention_output_bias,
            "dropout": c.attention_dropout,
            "kernel_initializer": WeightInitializer(stddev=c.initializer_range),
            "name": name,
            "dtype": self.dtype_policy,
        }
        if disentangled:
            return DisentangledAttention(
                c.num_heads, c.head_dim, terms=c.disentangled, share_position_key=c.share_position_key, **arguments
            )
        return MultiHeadAttention(
            c.num_heads,
            c.head_dim,
            scale=c.attention_scale,
            soft_cap=c.attention_soft_cap,
            qk_norm=c.qk_norm,
            qk_norm_epsilon=c.norm_epsilon,
            qk_norm_unit_offset=c.norm_unit_offset,
            **arguments,
        )

    def _feed_forward(self) -> keras.layers.Layer:
        c = self.config
        initializer = WeightInitializer(stddev=c.initializer_range)
        if c.num_experts and self.index not in c.dense_layers:
            return MixtureOfExperts(
                c.num_experts,
                c.experts_per_token,
                c.expert_intermediate_size,
                activation=c.activation,
                normalize=c.normalize_experts,
                kernel_initializer=initializer,
                name="experts",
                dtype=self.dtype_policy,
            )
        return FeedForward(
            c.intermediate_size,
            activation=c.activation,
            gated=c.gated,
            use_bias=c.feed_forward_bias,
            dropout=c.activation_dropout,
            kernel_initializer=initializer,
            name="feed_forward",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        norms = [*self.input_norms.values(), *self.output_norms.values(), *self.sum_norms.values()]
        for layer in (self.attention, self.cross_attention, self.feed_forward, *norms):
            if layer is not None:
                layer.build(input_shape)

    def call(
        self,
        x,
        attention_mask=None,
        rotary=None,
        relative=None,
        context=None,
        context_mask=None,
        cache=None,
        cache_index=None,
        context_cache=None,
        training=None,
    ):
        """`(B, T, D)` to `(B, T, D)`; with a cache, `((B, T, D), cache)`.

        `relative` is that of `DisentangledAttention`; `context_mask` is the cross-attention's `attention_mask`; the others are those of
        `MultiHeadAttention`.
        """
        new_cache = None

        def attend(y):
            nonlocal new_cache
            if relative is not None:
                return self.attention(y, attention_mask=attention_mask, relative=relative, training=training)
            y = self.attention(
                y,
                attention_mask=attention_mask,
                rotary=rotary,
                cache=cache,
                cache_index=cache_index,
                training=training,
            )
            if cache is not None:
                y, new_cache = y
            return y

        def attend_to_context(y):
            return self.cross_attention(
                y, context=context, attention_mask=context_mask, context_cache=context_cache, training=training
            )

        def feed(y):
            if isinstance(self.feed_forward, MixtureOfExperts):
                return self.feed_forward(y)
            return self.feed_forward(y, training=training)

        if self.config.parallel_residual:
            x = x + self._change(x, "attention", attend, training) + self._change(x, "feed_forward", feed, training)
        else:
            x = self._sublayer(x, "attention", attend, training)
            if self.cross_attention is not None:
                x = self._sublayer(x, "cross_attention", attend_to_context, training)
            x = self._sublayer(x, "feed_forward", feed, training)
        return x if cache is None else (x, new_cache)

    def _sublayer(self, x, name: str, function, training):
        x = x + self._change(x, name, function, training)
        return self.sum_norms[name](x) if name in self.sum_norms else x

    def _change(self, x, name: str, function, training):
        """What a sublayer adds to the residual stream."""
        y = function(self.input_norms[name](x) if name in self.input_norms else x)
        if name in self.output_norms:
            y = self.output_norms[name](y)
        return self.dropouts[name](y, training=training)

    def compute_output_shape(self, input_shape, **kwargs):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict(), "index": self.index}
