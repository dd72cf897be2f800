"""Encoder and Decoder: embeddings and a stack of blocks."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.layers import TokenEmbedding, TransformerBlock, additive_mask, example_mask, make_norm, rotary_table
from tfllm.layers.activations import ACTIVATIONS
from tfllm.models.base import TransformerModel
from tfllm.models.inputs import complete_batch, gather_tokens


class _Backbone(TransformerModel):
    """Embeddings, blocks and final norm. `(B, T)` ids to `(B, T, D)` hidden states."""

    causal: bool

    def __init__(self, config: TransformerConfig, **kwargs):
        super().__init__(config, **kwargs)
        if self.config.causal != self.causal:
            raise UserError(
                f"{type(self).__name__} needs a config with causal={self.causal}. Received: causal={self.config.causal}."
            )
        c, dtype = self.config, self.dtype_policy
        self.embedding = TokenEmbedding(c, name="embedding", dtype=dtype)
        self.blocks = [TransformerBlock(c, name=f"block_{i}", dtype=dtype) for i in range(c.num_layers)]
        self.final_norm = make_norm(c.norm, c.norm_epsilon, name="final_norm", dtype=dtype) if c.final_norm else None

    def build(self, input_shape=None):
        self.embedding.build()
        width = (None, None, self.config.hidden_size)
        for block in self.blocks:
            block.build(width)
        if self.final_norm is not None:
            self.final_norm.build(width)

    def _hidden(self, batch: dict, mask, caches=None, cache_index=None, training=None):
        """Runs the stack; returns `(hidden, caches)`."""
        x = self.embedding(batch["token_ids"], batch["position_ids"], batch["type_ids"], training=training)
        rotary = None
        if self.config.position == "rotary":
            rotary = rotary_table(batch["position_ids"], self.config.head_dim, self.config.rope_theta)
        new_caches = []
        for i, block in enumerate(self.blocks):
            if caches is None:
                x = block(x, attention_mask=mask, rotary=rotary, training=training)
            else:
                x, cache = block(
                    x, attention_mask=mask, rotary=rotary, cache=caches[i], cache_index=cache_index, training=training
                )
                new_caches.append(cache)
        return (x if self.final_norm is None else self.final_norm(x)), new_caches


@keras.saving.register_keras_serializable("tfllm")
class Encoder(_Backbone):
    """Bidirectional backbone (BERT, RoBERTa, DistilBERT …).

    Args:
        config: a `TransformerConfig` with `causal=False`.
        with_pooler: also make the dense layer that BERT's next-sentence pretraining left over its first token. `call` does not
            use it; `pool` does.

    Example:
        >>> config = TransformerConfig(vocab_size=99, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64)
        >>> Encoder(config)(keras.ops.ones((2, 7), "int32")).shape
        TensorShape([2, 7, 32])
    """

    causal = False

    def __init__(self, config: TransformerConfig, *, with_pooler: bool = False, **kwargs):
        super().__init__(config, **kwargs)
        self.with_pooler = with_pooler
        self.pooler = (
            keras.layers.Dense(self.config.hidden_size, name="pooler", dtype=self.dtype_policy) if with_pooler else None
        )
        self.build()

    def build(self, input_shape=None):
        super().build(input_shape)
        if self.pooler is not None:
            self.pooler.build((None, None, self.config.hidden_size))

    def call(self, inputs, training=None):
        """A batch dictionary (see `complete_batch`) to hidden states `(B, T, D)`."""
        batch = complete_batch(inputs, self.config)
        mask = additive_mask(example_mask(batch["example_ids"], batch["example_ids"]))
        return self._hidden(batch, mask, training=training)[0]

    def pool(self, hidden, head_positions):
        """The pooled output of `with_pooler=True`: `(B, T, D)` and `(B, K)` to `(B, K, D)`."""
        return ACTIVATIONS[self.config.classifier_activation](self.pooler(gather_tokens(hidden, head_positions)))

    def get_config(self):
        return {**super().get_config(), "with_pooler": self.with_pooler}


@keras.saving.register_keras_serializable("tfllm")
class Decoder(_Backbone):
    """Causal backbone (GPT-2, Llama …), with an optional cache of keys and values.

    Args:
        config: a `TransformerConfig` with `causal=True`.

    Example:
        >>> decoder = Decoder(TransformerConfig(99, 32, 2, 4, 64, causal=True))
        >>> cache = decoder.empty_cache(batch_size=1, length=8)
        >>> hidden, cache = decoder({"token_ids": keras.ops.ones((1, 3), "int32")}, cache=cache)   # the prompt
        >>> hidden, cache = decoder({"token_ids": keras.ops.ones((1, 1), "int32")}, cache=cache)   # one more token
        >>> hidden.shape
        TensorShape([1, 1, 32])
    """

    causal = True

    def __init__(self, config: TransformerConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.build()

    def call(self, inputs, cache=None, training=None):
        """A batch dictionary to hidden states `(B, T, D)`; with a cache, to `(hidden, cache)`.

        Args:
            inputs: see `complete_batch`. With a cache, positions go on from those in it unless given.
            cache: from `empty_cache` or an earlier call.
        """
        if cache is None:
            batch = complete_batch(inputs, self.config)
            place = ops.expand_dims(ops.arange(ops.shape(batch["token_ids"])[1]), 0)
            examples = batch["example_ids"]
            mask = additive_mask(example_mask(examples, examples, query_positions=place, key_positions=place))
            return self._hidden(batch, mask, training=training)[0]
        given = dict(inputs) if isinstance(inputs, dict) else {"token_ids": inputs}
        positions_given = given.get("position_ids") is not None
        batch = complete_batch(given, self.config)
        start, total = cache["length"], ops.shape(cache["example_ids"])[1]
        examples = ops.slice_update(cache["example_ids"], (0, start), batch["example_ids"])
        if not positions_given:
            seen = ops.sum(ops.cast(ops.greater(cache["example_ids"], 0), "int32"), axis=1, keepdims=True)
            batch["position_ids"] = batch["position_ids"] + seen
        length = ops.shape(batch["token_ids"])[1]
        mask = example_mask(
            batch["example_ids"],
            examples,
            query_positions=ops.expand_dims(start + ops.arange(length), 0),
            key_positions=ops.expand_dims(ops.arange(total), 0),
        )
        hidden, blocks = self._hidden(batch, additive_mask(mask), cache["blocks"], start, training=training)
        return hidden, {"blocks": blocks, "example_ids": examples, "length": start + length}

    def empty_cache(self, batch_size: int, length: int) -> dict:
        """A cache for `batch_size` rows of up to `length` tokens, prompt included."""
        c = self.config
        shape = (batch_size, 2, c.num_kv_heads, length, c.head_dim)
        return {
            "blocks": [ops.zeros(shape, self.compute_dtype) for _ in range(c.num_layers)],
            "example_ids": ops.zeros((batch_size, length), "int32"),
            "length": ops.zeros((), "int32"),
        }


def make_backbone(config: TransformerConfig, **kwargs) -> _Backbone:
    """The backbone that the config describes: a `Decoder` if it is causal, else an `Encoder`."""
    return (Decoder if config.causal else Encoder)(config, **kwargs)
