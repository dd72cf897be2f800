"""The sum of token, position and type embeddings that enters the first block."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.layers.dropout import Dropout
from tfllm.layers.initializers import WeightInitializer
from tfllm.layers.normalization import make_norm
from tfllm.layers.positions import sinusoidal_table


@keras.saving.register_keras_serializable("tfllm")
class TokenEmbedding(keras.layers.Layer):
    """Token table, plus position and type tables where the config has them, norm, projection to the blocks' width and dropout.

    Args:
        config: a `TransformerConfig` (or the dictionary of one).
        token: the token table of another `TokenEmbedding`, to share it (a decoder's with its encoder's).
    """

    def __init__(self, config: TransformerConfig, token: keras.layers.Embedding | None = None, **kwargs):
        super().__init__(**kwargs)
        self.config = config if isinstance(config, TransformerConfig) else TransformerConfig(**config)
        c, dtype = self.config, self.dtype_policy
        self.token = self._table(c.vocab_size, "token") if token is None else token
        # A learned table, or a fixed one that stands in checkpoints; fairseq's is computed.
        self.has_table = c.position in ("learned", "sinusoidal", "sinusoidal_halves")
        self.position = self._table(c.max_positions + c.position_offset, "position") if self.has_table else None
        self.type = self._table(c.type_vocab_size, "type") if c.type_vocab_size else None
        self.norm = make_norm(c, name="norm", dtype=dtype) if c.embedding_norm else None
        self.projection = None
        if c.embedding_size != c.hidden_size:
            self.projection = keras.layers.Dense(
                c.hidden_size,
                use_bias=c.embedding_projection_bias,
                kernel_initializer=WeightInitializer(stddev=c.initializer_range),
                name="projection",
                dtype=dtype,
            )
        self.dropout = Dropout(c.dropout, name="dropout", dtype=dtype)

    def _table(self, rows: int, name: str) -> keras.layers.Embedding:
        c = self.config
        # OPT projects its tokens before it adds positions.
        width = c.hidden_size if name == "position" and c.projects_output else c.embedding_size
        initializer = WeightInitializer(stddev=c.initializer_range)
        return keras.layers.Embedding(
            rows, width, embeddings_initializer=initializer, name=name, dtype=self.dtype_policy
        )

    def build(self, input_shape=None):
        c = self.config
        for table in (self.token, self.position, self.type):
            if table is not None and not table.built:
                table.build()
        if self.has_table and c.position != "learned":
            rows = c.max_positions + c.position_offset
            self.position.embeddings.assign(sinusoidal_table(rows, c.embedding_size, c.position))
            self.position.trainable = False
        if self.projection is not None:
            self.projection.build((None, None, c.embedding_size))
        if self.norm is not None:
            self.norm.build((None, None, c.hidden_size if c.embedding_norm_after_projection else c.embedding_size))

    def call(self, token_ids, position_ids, type_ids=None, noise=None, training=None):
        """`(B, T)` int each to `(B, T, D)`; `noise` `(B, T, embedding_size)` is added to what the token table gives."""
        c = self.config
        x = self.token(token_ids)
        if noise is not None:
            x = x + ops.cast(noise, x.dtype)
        if c.scale_embeddings:
            x = x * ops.cast(c.hidden_size**0.5, x.dtype)
        if c.projects_output:
            x = self.projection(x)
        if self.position is not None:
            x = x + self.position(position_ids + c.position_offset)
        elif c.position == "sinusoidal_fairseq":
            table = sinusoidal_table(c.max_positions + c.position_offset, c.hidden_size, c.position)
            x = x + ops.take(ops.convert_to_tensor(table, x.dtype), position_ids + c.position_offset, axis=0)
        if self.type is not None:
            x = x + self.type(ops.zeros_like(token_ids) if type_ids is None else type_ids)
        projects_sum = self.projection is not None and not c.projects_output
        if projects_sum and c.embedding_norm_after_projection:
            x = self.projection(x)
        if self.norm is not None:
            x = self.norm(x)
        if projects_sum and not c.embedding_norm_after_projection:
            x = self.dropout(x, training=training)
            return self.projection(x)
        return self.dropout(x, training=training)

    def compute_output_shape(self, input_shape, *args, **kwargs):
        return (*input_shape, self.config.hidden_size)

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}
