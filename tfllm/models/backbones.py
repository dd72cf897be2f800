"""Encoder and Decoder: embeddings and a stack of blocks."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.layers import TokenEmbedding, TransformerStack, example_mask
from tfllm.layers.activations import ACTIVATIONS
from tfllm.models import caches
from tfllm.models.base import TransformerModel
from tfllm.models.inputs import complete_batch, gather_tokens


class _Backbone(TransformerModel):
    """Embeddings and one stack. `(B, T)` ids to `(B, T, D)` hidden states."""

    causal: bool

    def __init__(self, config: TransformerConfig, **kwargs):
        super().__init__(config, **kwargs)
        c = self.config
        if c.causal != self.causal or c.is_encoder_decoder:
            raise UserError(
                f"{type(self).__name__} needs a config with causal={self.causal} and no decoder layers. "
                f"Received: causal={c.causal}, num_decoder_layers={c.num_decoder_layers}."
            )
        self.embedding = TokenEmbedding(c, name="embedding", dtype=self.dtype_policy)
        self.stack = TransformerStack(c, name="decoder" if c.causal else "encoder", dtype=self.dtype_policy)

    def build(self, input_shape=None):
        self.embedding.build()
        self.stack.build()


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
        x = self.embedding(
            batch["token_ids"], batch["position_ids"], batch["type_ids"], batch["embedding_noise"], training=training
        )
        mask = example_mask(batch["example_ids"], batch["example_ids"])
        return self.stack(x, batch["position_ids"], batch["position_ids"], mask, training=training)

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
        # Some OPT checkpoints compute in another width than they embed in, and project back at the end.
        self.output_projection = None
        if self.config.projects_output:
            self.output_projection = keras.layers.Dense(
                self.config.embedding_size, use_bias=False, name="output_projection", dtype=self.dtype_policy
            )
        self.build()

    def build(self, input_shape=None):
        super().build(input_shape)
        if self.output_projection is not None:
            self.output_projection.build((None, None, self.config.hidden_size))

    def call(self, inputs, cache=None, training=None):
        """A batch dictionary to hidden states `(B, T, D)`; with a cache, to `(hidden, cache)`.

        Args:
            inputs: see `complete_batch`. With a cache, positions go on from those in it unless given.
            cache: from `empty_cache` or an earlier call.
        """
        if cache is not None:
            cache = dict(cache)
            batch, step = caches.extend(cache, inputs, self.config)
            x = self.embedding(batch["token_ids"], batch["position_ids"], batch["type_ids"], training=training)
            x, cache["blocks"] = self.stack(x, **step, caches=cache["blocks"], training=training)
            return self._project(x), cache
        batch = complete_batch(inputs, self.config)
        x = self.embedding(
            batch["token_ids"], batch["position_ids"], batch["type_ids"], batch["embedding_noise"], training=training
        )
        place = ops.expand_dims(ops.arange(ops.shape(batch["token_ids"])[1]), 0)
        examples, positions = batch["example_ids"], batch["position_ids"]
        mask = example_mask(examples, examples, query_positions=place, key_positions=place)
        return self._project(self.stack(x, positions, positions, mask, training=training))

    def _project(self, hidden):
        return hidden if self.output_projection is None else self.output_projection(hidden)

    def empty_cache(self, batch_size: int, length: int) -> dict:
        """A cache for `batch_size` rows of up to `length` tokens, prompt included."""
        return caches.empty(self.config, batch_size, length, self.compute_dtype)


def backbone_class(config: TransformerConfig) -> type[TransformerModel]:
    """The backbone that the config describes: an `EncoderDecoder`, a `Decoder` if it is causal, else an `Encoder`."""
    if config.is_encoder_decoder:
        from tfllm.models.encoder_decoder import EncoderDecoder

        return EncoderDecoder
    return Decoder if config.causal else Encoder


def make_backbone(config: TransformerConfig, **kwargs) -> TransformerModel:
    """A model of `backbone_class(config)`."""
    return backbone_class(config)(config, **kwargs)
