"""How many weights a model has, by formula over its `TransformerConfig`: exact for every head of every family of the zoo."""

from __future__ import annotations

import dataclasses

from tfllm.config import TransformerConfig

_LANGUAGE_MODELS = ("masked_lm", "causal_lm", "seq2seq_lm")


@dataclasses.dataclass(frozen=True)
class ParameterCount:
    """Weights by part.

    Attributes:
        embedding: tables (tokens, positions, types), with their norm and projection.
        blocks: the transformer blocks.
        shared: what a stack has once: last norm, biases by distance.
        head: what stands above the backbone.
        idle: of `blocks`, those of experts that a token is not routed to.
    """

    embedding: int
    blocks: int
    shared: int
    head: int
    idle: int = 0

    @property
    def total(self) -> int:
        return self.embedding + self.blocks + self.shared + self.head

    @property
    def active(self) -> int:
        """Those that one token uses: all but the experts that it is not routed to."""
        return self.total - self.idle


def count_parameters(
    config: TransformerConfig, head: str = "backbone", *, num_labels: int = 2, with_pooler: bool = False
) -> ParameterCount:
    """The weights of a model, trainable or not, as `model.count_params()` counts them.

    Args:
        config: the architecture.
        head: a kind of `tfllm.zoo.family.HEAD_CLASSES`, or `"backbone"`.
        num_labels: outputs of a classifier.
        with_pooler: as `tfllm.models.Encoder`'s.

    Example:
        >>> config = TransformerConfig(30522, 768, 12, 12, 3072, type_vocab_size=2)
        >>> count_parameters(config, with_pooler=True).total     # BERT base
        109482240
    """
    c = config
    all_stacks = stacks(c)
    # The decoder of an encoder-decoder looks its tokens up in the encoder's table.
    embedding = sum(embedding_parameters(stack, own_tokens=stack is all_stacks[0]) for stack in all_stacks)
    blocks = sum(block_parameters(stack, i) for stack in all_stacks for i in range(stack.num_layer_groups))
    idle = sum(_idle_experts(stack, i) for stack in all_stacks for i in range(stack.num_layer_groups))
    shared = sum(map(_shared_parameters, all_stacks))
    return ParameterCount(embedding, blocks, shared, head_parameters(c, head, num_labels, with_pooler), idle)


def stacks(config: TransformerConfig) -> list[TransformerConfig]:
    """The config of each stack of blocks: of an encoder-decoder the encoder's, then the decoder's."""
    return [config.encoder(), config.decoder()] if config.is_encoder_decoder else [config]


def dense_parameters(inputs: int, units: int, bias: bool = True) -> int:
    return inputs * units + (units if bias else 0)


def norm_parameters(config: TransformerConfig, width: int) -> int:
    return width * (2 if config.norm == "layer" and config.norm_bias else 1)


def embedding_parameters(config: TransformerConfig, own_tokens: bool = True) -> int:
    """Those of `TokenEmbedding`."""
    c = config
    count = c.vocab_size * c.embedding_size if own_tokens else 0
    if c.position in ("learned", "sinusoidal", "sinusoidal_halves"):
        count += (c.max_positions + c.position_offset) * (c.hidden_size if c.projects_output else c.embedding_size)
    count += c.type_vocab_size * c.embedding_size
    if c.embedding_size != c.hidden_size:
        count += dense_parameters(c.embedding_size, c.hidden_size, c.embedding_projection_bias)
    if c.embedding_norm:
        count += norm_parameters(c, c.hidden_size if c.embedding_norm_after_projection else c.embedding_size)
    if c.projects_output:  # the decoder's projection back
        count += c.hidden_size * c.embedding_size
    return count


def block_parameters(config: TransformerConfig, index: int) -> int:
    """Those of the `TransformerBlock` with that number."""
    c = config
    sublayers = 3 if c.cross_attention else 2
    norms = sublayers * (2 if c.norm_placement == "sandwich" else 1)
    if c.norm_placement in ("pre", "sandwich") and index == 0 and not c.first_attention_norm:
        norms -= 1
    count = norms * norm_parameters(c, c.hidden_size) + attention_parameters(c)
    if c.disentangled and not c.share_position_key:
        width = c.num_heads * c.head_dim
        count += len(c.disentangled) * dense_parameters(c.hidden_size, width, c.attention_bias)
    if c.cross_attention:
        count += attention_parameters(c)
    return count + feed_forward_parameters(c, index)


def attention_parameters(config: TransformerConfig) -> int:
    c = config
    queries, keys = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
    count = dense_parameters(c.hidden_size, queries, c.attention_bias)
    count += 2 * dense_parameters(c.hidden_size, keys, c.attention_bias)
    count += dense_parameters(queries, c.hidden_size, c.attention_output_bias)
    if c.qk_norm and not c.disentangled:
        count += 2 * c.head_dim if c.qk_norm == "head" else queries + keys
    return count


def is_sparse(config: TransformerConfig, index: int) -> bool:
    """Whether that block's feed-forward layer is one of experts."""
    return bool(config.num_experts) and index not in config.dense_layers


def feed_forward_parameters(config: TransformerConfig, index: int) -> int:
    c = config
    if is_sparse(c, index):
        return c.num_experts * (c.hidden_size + 3 * c.hidden_size * c.expert_intermediate_size)
    inner = dense_parameters(c.hidden_size, c.intermediate_size, c.feed_forward_bias)
    outer = dense_parameters(c.intermediate_size, c.hidden_size, c.feed_forward_bias)
    return (2 if c.gated else 1) * inner + outer


def _idle_experts(config: TransformerConfig, index: int) -> int:
    c = config
    if not is_sparse(c, index):
        return 0
    return (c.num_experts - c.experts_per_token) * 3 * c.hidden_size * c.expert_intermediate_size


def _shared_parameters(config: TransformerConfig) -> int:
    c = config
    count = norm_parameters(c, c.hidden_size) if c.final_norm else 0
    count += c.relative_buckets * c.num_heads
    if c.disentangled:
        span = c.position_buckets if c.position_buckets > 0 else c.max_relative_positions
        count += 2 * span * c.hidden_size + (norm_parameters(c, c.hidden_size) if c.relative_norm else 0)
    return count


def head_parameters(config: TransformerConfig, head: str, num_labels: int = 2, with_pooler: bool = False) -> int:
    """Those above the backbone; a head whose matrix is the token table has none of that."""
    c = config
    if head in _LANGUAGE_MODELS:
        count = 0
        if c.lm_head_transform:
            count += dense_parameters(c.hidden_size, c.embedding_size, c.lm_head_transform_bias)
            count += norm_parameters(c, c.embedding_size)
        if not c.tie_embeddings:
            count += c.vocab_size * (c.embedding_size if c.lm_head_transform else c.output_size)
        return count + (c.vocab_size if c.lm_head_bias else 0)
    if head == "discriminator":
        return dense_parameters(c.hidden_size, c.hidden_size) + dense_parameters(c.hidden_size, 1)
    if head in ("backbone", "encoder"):
        return dense_parameters(c.hidden_size, c.hidden_size) if with_pooler else 0
    outputs = {"span_predictor": 2, "multiple_choice": 1}.get(head, num_labels)
    bias = {"classifier": c.classifier_bias, "token_classifier": c.token_classifier_bias}.get(head, True)
    count = dense_parameters(c.output_size, outputs, bias)
    if c.classifier_activation and (head in ("classifier", "multiple_choice") or c.token_pooler):
        count += dense_parameters(c.output_size, c.output_size, c.classifier_pooler_bias)
        count += norm_parameters(c, c.output_size) if c.classifier_norm else 0
    return count
