"""EncoderDecoder: two stacks, the second of which attends to the output of the first."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.layers import TokenEmbedding, TransformerStack, example_mask
from tfllm.models import caches
from tfllm.models.base import TransformerModel
from tfllm.models.inputs import complete_batch, split_pair


@keras.saving.register_keras_serializable("tfllm")
class EncoderDecoder(TransformerModel):
    """Encoder-decoder backbone (T5, BART, Marian …).

    Args:
        config: a `TransformerConfig` with `num_decoder_layers`.

    Example:
        >>> model = EncoderDecoder(TransformerConfig(99, 32, 2, 4, 64, num_decoder_layers=2))
        >>> source, target = keras.ops.ones((1, 7), "int32"), keras.ops.ones((1, 5), "int32")
        >>> model({"token_ids": source, "decoder_token_ids": target}).shape
        TensorShape([1, 5, 32])
        >>> cache = model.start_cache(source, length=8)
        >>> hidden, cache = model({"decoder_token_ids": target}, cache=cache)
    """

    def __init__(self, config: TransformerConfig, **kwargs):
        super().__init__(config, **kwargs)
        if not self.config.is_encoder_decoder:
            raise UserError("EncoderDecoder needs a config with num_decoder_layers. Received: num_decoder_layers=None.")
        encoder, decoder, dtype = self.config.encoder(), self.config.decoder(), self.dtype_policy
        self.embedding = TokenEmbedding(encoder, name="embedding", dtype=dtype)
        self.decoder_embedding = TokenEmbedding(
            decoder, token=self.embedding.token, name="decoder_embedding", dtype=dtype
        )
        self.encoder = TransformerStack(encoder, name="encoder", dtype=dtype)
        self.decoder = TransformerStack(decoder, name="decoder", dtype=dtype)
        self.build()

    def build(self, input_shape=None):
        for layer in (self.embedding, self.decoder_embedding, self.encoder, self.decoder):
            layer.build()

    def encode(self, inputs, training=None):
        """The source's batch dictionary to hidden states `(B, T, D)`."""
        return self._encode(complete_batch(inputs, self.config), training)

    def _encode(self, batch, training=None):
        x = self.embedding(
            batch["token_ids"], batch["position_ids"], batch["type_ids"], batch["embedding_noise"], training=training
        )
        mask = example_mask(batch["example_ids"], batch["example_ids"])
        return self.encoder(x, batch["position_ids"], batch["position_ids"], mask, training=training)

    def call(self, inputs, cache=None, training=None):
        """A batch dictionary with source and target (see `split_pair`) to the target's hidden states `(B, T', D)`.

        With a cache of `start_cache`, the target's next tokens alone, to `(hidden, cache)`.
        """
        source, target = split_pair(inputs, self.config, cached=cache is not None)
        if cache is not None:
            cache = dict(cache)
            batch, step = caches.extend(cache, target, self.config)
            x = self._embed_target(batch, training)
            x, cache["blocks"] = self.decoder(
                x,
                **step,
                context_mask=example_mask(batch["example_ids"], cache["context_example_ids"]),
                caches=cache["blocks"],
                context_caches=cache["context"],
                training=training,
            )
            return x, cache
        context = self._encode(source, training)
        examples, positions = target["example_ids"], target["position_ids"]
        place = ops.expand_dims(ops.arange(ops.shape(examples)[1]), 0)
        return self.decoder(
            self._embed_target(target, training),
            positions,
            positions,
            example_mask(examples, examples, query_positions=place, key_positions=place),
            context=context,
            context_mask=example_mask(examples, source["example_ids"]),
            training=training,
        )

    def _embed_target(self, batch, training):
        return self.decoder_embedding(batch["token_ids"], batch["position_ids"], training=training)

    def start_cache(self, inputs, length: int) -> dict:
        """Encodes a source, once; a cache for up to `length` target tokens a row that attend to it.

        Args:
            inputs: the source's batch dictionary.
            length: places for target tokens.
        """
        batch = complete_batch(inputs, self.config)
        context = self._encode(batch)
        cache = caches.empty(self.decoder.config, ops.shape(context)[0], length, self.compute_dtype)
        cache["context"] = [
            self.decoder.layer(i).cross_attention.keys_values(context) for i in range(self.decoder.config.num_layers)
        ]
        cache["context_example_ids"] = batch["example_ids"]
        return cache
