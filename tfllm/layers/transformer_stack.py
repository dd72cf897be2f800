"""A stack of transformer blocks, with what they share: masks, rotary tables, biases by distance."""

from __future__ import annotations

import functools

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.layers.disentangled_attention import log_buckets
from tfllm.layers.dropout import Dropout
from tfllm.layers.initializers import WeightInitializer
from tfllm.layers.masks import additive_mask, window_mask
from tfllm.layers.normalization import make_norm
from tfllm.layers.positions import RelativePositionBias, alibi_bias, distances
from tfllm.layers.rematerialisation import rematerialised
from tfllm.layers.rotary import rotary_table
from tfllm.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable("tfllm")
class TransformerStack(keras.layers.Layer):
    """The blocks of an encoder or a decoder, and the norm of their output: `(B, T, D)` to `(B, T, D)`.

    Args:
        config: a `TransformerConfig` (or the dictionary of one).

    Attributes:
        remat: in training, blocks keep their inputs alone, and what is inside is computed again in the backward pass.

    Example:
        >>> config = TransformerConfig(vocab_size=9, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64)
        >>> places, allowed = keras.ops.arange(5)[None], keras.ops.ones((1, 1, 5, 5), "bool")
        >>> TransformerStack(config)(keras.ops.ones((2, 5, 32)), places, places, allowed).shape
        TensorShape([2, 5, 32])
    """

    remat = False

    def __init__(self, config: TransformerConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config if isinstance(config, TransformerConfig) else TransformerConfig(**config)
        c, dtype = self.config, self.dtype_policy
        self.blocks = [TransformerBlock(c, i, name=f"block_{i}", dtype=dtype) for i in range(c.num_layer_groups)]
        self.final_norm = make_norm(c, name="final_norm", dtype=dtype) if c.final_norm else None
        self.relative_bias = self.distance_table = self.distance_norm = None
        if c.relative_buckets:
            self.relative_bias = RelativePositionBias(
                c.relative_buckets,
                c.relative_max_distance,
                c.num_heads,
                bidirectional=not c.causal,
                initializer_range=c.initializer_range,
                name="relative_bias",
                dtype=dtype,
            )
        if c.disentangled:
            self.span = c.position_buckets if c.position_buckets > 0 else c.max_relative_positions
            self.distance_table = keras.layers.Embedding(
                2 * self.span,
                c.hidden_size,
                embeddings_initializer=WeightInitializer(stddev=c.initializer_range),
                name="distance",
                dtype=dtype,
            )
            self.distance_norm = make_norm(c, name="distance_norm", dtype=dtype) if c.relative_norm else None
        self.dropout = Dropout(c.dropout if c.output_dropout else 0.0, name="dropout", dtype=dtype)

    def build(self, *args, **kwargs):
        width = (None, None, self.config.hidden_size)
        for layer in (*self.blocks, self.final_norm, self.distance_norm):
            if layer is not None:
                layer.build(width)
        for layer in (self.relative_bias, self.distance_table):
            if layer is not None:
                layer.build()

    def layer(self, i: int) -> TransformerBlock:
        """The block that is layer `i`; layers of a group share one."""
        return self.blocks[i * len(self.blocks) // self.config.num_layers]

    def call(
        self,
        x,
        query_positions,
        key_positions,
        allowed,
        context=None,
        context_mask=None,
        caches=None,
        cache_index=None,
        context_caches=None,
        training=None,
    ):
        """Runs the blocks.

        Args:
            x: `(B, Tq, D)`.
            query_positions: `(B, Tq)` int, position of each token in its own example.
            key_positions: `(B, Tk)` int; Tk = Tq without a cache.
            allowed: `(B, 1, Tq, Tk)` bool, which token may attend to which.
            context, context_mask: `(B, Tc, D)` and `(B, 1, Tq, Tc)` bool, for cross-attention.
            caches, cache_index: one cache a layer, and the place of `x` in them; see `MultiHeadAttention`.
            context_caches: one a layer, in place of `context`.

        Returns:
            `(B, Tq, D)`; with caches, `((B, Tq, D), caches)`.
        """
        c = self.config
        by_kind = self._by_kind(query_positions, key_positions, allowed)
        relative = self._relative(query_positions, key_positions)
        if context_mask is not None:
            context_mask = additive_mask(context_mask)
        new_caches = []
        for i in range(c.num_layers):
            attention_mask, rotary = by_kind[i in c.local_layers]
            block = self.layer(i)
            if self.remat and training and caches is None:
                block = functools.partial(rematerialised, block)
            y = block(
                x,
                attention_mask=attention_mask,
                rotary=None if i in c.no_rope_layers else rotary,
                relative=relative,
                context=context,
                context_mask=context_mask,
                cache=None if caches is None else caches[i],
                cache_index=cache_index,
                context_cache=None if context_caches is None else context_caches[i],
                training=training,
            )
            if caches is None:
                x = y
            else:
                x, cache = y
                new_caches.append(cache)
        if self.final_norm is not None:
            x = self.final_norm(x)
        x = self.dropout(x, training=training)
        return x if caches is None else (x, new_caches)

    def _by_kind(self, query_positions, key_positions, allowed) -> dict:
        """`(attention_mask, rotary)` of the global layers (False) and of the local ones (True), as far as there are any."""
        c = self.config
        kinds = {i in c.local_layers for i in range(c.num_layers)}
        bias = None
        if c.position == "alibi":
            bias = alibi_bias(distances(query_positions, key_positions), c.num_heads)
        elif self.relative_bias is not None:
            bias = self.relative_bias(distances(query_positions, key_positions))
        result = {}
        for local in kinds:
            near = window_mask(distances(query_positions, key_positions), c.window) if local else True
            attention_mask = additive_mask(ops.logical_and(allowed, near))
            rotary = None
            if c.position == "rotary":
                own = local and c.local_rope_theta is not None
                rotary = rotary_table(
                    query_positions,
                    c.rotary_dim,
                    c.local_rope_theta if own else c.rope_theta,
                    None if own else c.rope_scaling,
                    c.max_positions,
                )
            result[local] = attention_mask if bias is None else attention_mask + bias, rotary
        return result

    def _relative(self, query_positions, key_positions):
        """The table of distances and each pair's row in it, for disentangled attention."""
        if self.distance_table is None:
            return None
        c = self.config
        table = ops.convert_to_tensor(self.distance_table.embeddings)
        table = table if self.distance_norm is None else self.distance_norm(table)
        reach = 2 * c.max_relative_positions
        rows = log_buckets(c.position_buckets, c.max_relative_positions).clip(-self.span, self.span - 1) + self.span
        distance = ops.clip(distances(query_positions, key_positions), -reach, reach) + reach
        return table, ops.take(ops.convert_to_tensor(rows), distance, axis=0)

    def compute_output_shape(self, input_shape, *args, **kwargs):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}
