"""Language models: masked, causal, sequence to sequence, and the detector of replaced tokens."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.layers import make_norm
from tfllm.layers.activations import ACTIVATIONS
from tfllm.layers.initializers import WeightInitializer
from tfllm.models import losses
from tfllm.models.backbones import make_backbone
from tfllm.models.base import TransformerModel
from tfllm.models.inputs import complete_batch, gather_tokens


class _LanguageModel(TransformerModel):
    """A backbone and logits over the vocabulary, tied to the token embedding or not."""

    def __init__(self, config: TransformerConfig, **kwargs):
        super().__init__(config, **kwargs)
        c, dtype = self.config, self.dtype_policy
        initializer = WeightInitializer(stddev=c.initializer_range)
        self.backbone = make_backbone(c, dtype=dtype)
        self.transform = self.transform_norm = None
        if c.lm_head_transform:
            self.transform = keras.layers.Dense(
                c.embedding_size,
                use_bias=c.lm_head_transform_bias,
                kernel_initializer=initializer,
                name="transform",
                dtype=dtype,
            )
            self.transform_norm = make_norm(c, name="transform_norm", dtype=dtype)
        self.build()

    def build(self, input_shape=None):
        c = self.config
        width = c.embedding_size if c.lm_head_transform else c.output_size
        if self.transform is not None:
            self.transform.build((None, None, c.hidden_size))
            self.transform_norm.build((None, None, c.embedding_size))
        self.lm_kernel = self.lm_bias = None
        if not c.tie_embeddings:
            initializer = WeightInitializer(stddev=c.initializer_range)
            # Laid out like the token table, (V, D), so that tied and untied heads are the same product.
            self.lm_kernel = self.add_weight(name="lm_kernel", shape=(c.vocab_size, width), initializer=initializer)
        if c.lm_head_bias:
            self.lm_bias = self.add_weight(
                name="lm_bias", shape=(c.vocab_size,), initializer="zeros", trainable=c.lm_head_bias_trainable
            )

    def logits(self, hidden):
        """Hidden states `(…, D)` to logits `(…, V)` float32."""
        c = self.config
        if self.transform is not None:
            hidden = self.transform_norm(ACTIVATIONS[c.lm_head_activation](self.transform(hidden)))
        if c.lm_head_scale != 1.0:
            hidden = hidden * ops.cast(c.lm_head_scale, hidden.dtype)
        logits = self.vocabulary_product(hidden)
        if self.lm_bias is not None:
            logits = logits + ops.cast(self.lm_bias, logits.dtype)
        logits = ops.cast(logits, "float32")
        if c.logit_soft_cap is not None:
            logits = ops.tanh(logits / c.logit_soft_cap) * c.logit_soft_cap
        return logits

    @property
    def vocabulary_table(self):
        """What hidden states are multiplied with: `(V, D)`, the token table or a kernel of its own."""
        return self.backbone.embedding.token.embeddings if self.lm_kernel is None else self.lm_kernel

    def vocabulary_product(self, hidden):
        """`(…, D)` to `(…, V)`, in the dtype of `hidden`."""
        return ops.matmul(hidden, ops.transpose(ops.cast(self.vocabulary_table, hidden.dtype)))

    def generate(self, texts, **options):
        """Generates text: see `tfllm.generation.generate`, which this is a door to."""
        from tfllm.generation import generate  # a room above this one

        return generate(self, texts, **options)

    def compile_defaults(self) -> dict:
        return {
            "loss": losses.cross_entropy(),
            "weighted_metrics": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        }


@keras.saving.register_keras_serializable("tfllm")
class MaskedLM(_LanguageModel):
    """Predicts masked tokens: logits `(B, T, V)`, or `(B, K, V)` at `head_positions` `(B, K)` when the batch has them.

    Example:
        >>> config = TransformerConfig(vocab_size=99, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64)
        >>> MaskedLM(config)({"token_ids": keras.ops.ones((2, 7), "int32"), "head_positions": [[1, 3], [2, 5]]}).shape
        TensorShape([2, 2, 99])
    """

    def call(self, inputs, training=None):
        batch = complete_batch(inputs, self.config)
        hidden = self.backbone(batch, training=training)
        if batch["head_positions"] is not None:
            # The product with the vocabulary is the dear part: only for the places that are asked for.
            hidden = gather_tokens(hidden, batch["head_positions"])
        return self.logits(hidden)


@keras.saving.register_keras_serializable("tfllm")
class CausalLM(_LanguageModel):
    """Predicts the next token: logits `(B, T, V)`; with a cache, `(logits, cache)` (see `Decoder`).

    Example:
        >>> config = TransformerConfig(99, 32, 2, 4, 64, causal=True, lm_head_transform=False, lm_head_bias=False)
        >>> CausalLM(config)(keras.ops.ones((2, 7), "int32")).shape
        TensorShape([2, 7, 99])
    """

    def call(self, inputs, cache=None, training=None):
        if cache is None:
            return self.logits(self.backbone(inputs, training=training))
        hidden, cache = self.backbone(inputs, cache=cache, training=training)
        return self.logits(hidden), cache


@keras.saving.register_keras_serializable("tfllm")
class Seq2SeqLM(_LanguageModel):
    """Predicts the target's next token from a source and the target so far: logits `(B, T', V)`.

    Takes what `EncoderDecoder` takes; with a cache of `start_cache`, gives `(logits, cache)`.

    Example:
        >>> config = TransformerConfig(
        ...     99, 32, 2, 4, 64, num_decoder_layers=2, lm_head_transform=False, lm_head_bias=False
        ... )
        >>> model = Seq2SeqLM(config)
        >>> source, target = keras.ops.ones((2, 7), "int32"), keras.ops.ones((2, 5), "int32")
        >>> model({"token_ids": source, "decoder_token_ids": target}).shape
        TensorShape([2, 5, 99])
    """

    layouts = ("bucketed", "padded")  # a source and its target have a row of their own

    def call(self, inputs, cache=None, training=None):
        if cache is None:
            return self.logits(self.backbone(inputs, training=training))
        hidden, cache = self.backbone(inputs, cache=cache, training=training)
        return self.logits(hidden), cache

    def start_cache(self, inputs, length: int) -> dict:
        """See `EncoderDecoder.start_cache`."""
        return self.backbone.start_cache(inputs, length)


@keras.saving.register_keras_serializable("tfllm")
class ReplacedTokenDetector(TransformerModel):
    """Tells which tokens a generator has replaced (ELECTRA, Clark et al., 2020): logits `(B, T)` float32, above 0 for replaced.

    Example:
        >>> config = TransformerConfig(vocab_size=99, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64)
        >>> ReplacedTokenDetector(config)(keras.ops.ones((2, 7), "int32")).shape
        TensorShape([2, 7])
    """

    def __init__(self, config: TransformerConfig, **kwargs):
        super().__init__(config, **kwargs)
        c, dtype = self.config, self.dtype_policy
        initializer = WeightInitializer(stddev=c.initializer_range)
        self.backbone = make_backbone(c, dtype=dtype)
        self.transform = keras.layers.Dense(
            c.hidden_size, kernel_initializer=initializer, name="transform", dtype=dtype
        )
        self.classifier = keras.layers.Dense(1, kernel_initializer=initializer, name="classifier", dtype=dtype)
        self.build()

    def build(self, input_shape=None):
        for layer in (self.transform, self.classifier):
            layer.build((None, None, self.config.hidden_size))

    def call(self, inputs, training=None):
        hidden = self.transform(self.backbone(inputs, training=training))
        logits = self.classifier(ACTIVATIONS[self.config.activation](hidden))
        return ops.cast(ops.squeeze(logits, -1), "float32")

    def compile_defaults(self) -> dict:
        return {"loss": losses.BinaryCrossEntropy()}
