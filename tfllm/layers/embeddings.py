"""The sum of token, position and type embeddings that enters the first block."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.layers.initializers import WeightInitializer
from tfllm.layers.normalization import make_norm
from tfllm.layers.positions import sinusoidal_table


@keras.saving.register_keras_serializable("tfllm")
class TokenEmbedding(keras.layers.Layer):
    """Token table, plus a learned or sinusoidal position table and a type table where the config has them, norm and dropout.

    Args:
        config: a `TransformerConfig` (or the dictionary of one).
    """

    def __init__(self, config: TransformerConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config if isinstance(config, TransformerConfig) else TransformerConfig(**config)
        c = self.config
        self.token = self._table(c.vocab_size, "token")
        # Both kinds are a table of the checkpoint; the sinusoidal one is not trained.
        self.has_table = c.position in ("learned", "sinusoidal")
        self.position = self._table(c.max_positions + c.position_offset, "position") if self.has_table else None
        self.type = self._table(c.type_vocab_size, "type") if c.type_vocab_size else None
        self.norm = (
            make_norm(c.norm, c.norm_epsilon, name="norm", dtype=self.dtype_policy) if c.embedding_norm else None
        )
        self.dropout = keras.layers.Dropout(c.dropout, name="dropout", dtype=self.dtype_policy)

    def _table(self, rows: int, name: str) -> keras.layers.Embedding:
        initializer = WeightInitializer(stddev=self.config.initializer_range)
        return keras.layers.Embedding(
            rows, self.config.hidden_size, embeddings_initializer=initializer, name=name, dtype=self.dtype_policy
        )

    def build(self, input_shape=None):
        for table in (self.token, self.position, self.type):
            if table is not None:
                table.build()
        if self.config.position == "sinusoidal":
            rows = self.config.max_positions + self.config.position_offset
            self.position.embeddings.assign(sinusoidal_table(rows, self.config.hidden_size))
            self.position.trainable = False
        if self.norm is not None:
            self.norm.build((None, None, self.config.hidden_size))

    def call(self, token_ids, position_ids, type_ids=None, training=None):
        """`(B, T)` int each to `(B, T, D)`."""
        x = self.token(token_ids)
        if self.position is not None:
            x = x + self.position(position_ids + self.config.position_offset)
        if self.type is not None:
            x = x + self.type(ops.zeros_like(token_ids) if type_ids is None else type_ids)
        if self.norm is not None:
            x = self.norm(x)
        return self.dropout(x, training=training)

    def compute_output_shape(self, input_shape, *args, **kwargs):
        return (*input_shape, self.config.hidden_size)

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}
