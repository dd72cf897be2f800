"""`TransformerConfig`: one frozen dataclass that describes every architecture in the zoo.

Layers and models ask it for a property (`config.norm == "rms"`), never for a family's name.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tfllm.errors import UserError

# Each property with a closed set of values, so that a typo or a value from a foreign `config.json` is refused by name.
_CHOICES = {
    "position": ("learned", "sinusoidal", "sinusoidal_halves", "sinusoidal_fairseq", "rotary", "alibi", "none"),
    "norm": ("layer", "rms"),
    "norm_placement": ("pre", "post", "sandwich", "output"),
    "qk_norm": (None, "head", "width"),
    "activation": ("gelu", "gelu_tanh", "silu", "relu", "tanh"),
    "lm_head_activation": (None, "gelu", "gelu_tanh", "silu", "relu", "tanh"),
    "pooled": ("first", "last", "mean"),
    "classifier_activation": (None, "tanh", "relu", "gelu", "gelu_tanh", "silu"),
}
_ROPE_TYPES = ("linear", "llama3", "yarn", "longrope")
_COUNTS = ("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "intermediate_size", "max_positions")
# What the encoder and the decoder of an encoder-decoder do not share.
_OF_THE_DECODER = ("num_decoder_layers", "decoder_num_heads", "decoder_intermediate_size")

# Properties whose default is another's value, in the order in which they can be filled in.
_DEFAULTS = {
    "num_kv_heads": lambda config: config.num_heads,
    "head_dim": lambda config: config.hidden_size // config.num_heads,
    "rotary_dim": lambda config: config.head_dim,
    "attention_scale": lambda config: config.head_dim**-0.5,
    "embedding_size": lambda config: config.hidden_size,
    "num_layer_groups": lambda config: config.num_layers,
    "expert_intermediate_size": lambda config: config.intermediate_size,
    "lm_head_activation": lambda config: config.activation,
    "decoder_num_heads": lambda config: config.num_heads if config.is_encoder_decoder else None,
    "decoder_intermediate_size": lambda config: config.intermediate_size if config.is_encoder_decoder else None,
}


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """An architecture, as a value.

    Args:
        vocab_size: number of rows of the token embedding.
        hidden_size: width D of the residual stream.
        num_layers: number of transformer blocks (of the encoder, in an encoder-decoder).
        num_heads: query heads H.
        intermediate_size: width of the feed-forward layer.
        num_kv_heads: key and value heads (grouped-query attention); default `num_heads`.
        head_dim: width of one head; default `hidden_size // num_heads`.
        max_positions: longest sequence that the position table (or the rotary training length) covers.
        causal: a token attends only to itself and to tokens before it.
        cross_attention: blocks also attend to a context (the decoder of an encoder-decoder).
        num_decoder_layers: blocks of the decoder; `None` for a model that is no encoder-decoder.
        decoder_num_heads, decoder_intermediate_size: the decoder's; default as the encoder's.
        num_layer_groups: distinct blocks that the layers share in equal runs (ALBERT: 1); default one a layer.

        embedding_size: width of the embedding tables, projected to `hidden_size` if it differs; default `hidden_size`.
        embedding_projection_bias: that projection has a bias.
        embedding_norm: normalise the sum of the embeddings.
        embedding_norm_after_projection: do that in the width of the blocks, not of the tables.
        scale_embeddings: token embeddings are multiplied by `sqrt(hidden_size)`.
        type_vocab_size: rows of the token-type table; 0 for none.

        position: `"learned"`, `"sinusoidal"` (fixed table, as in the Transformer paper), `"sinusoidal_halves"` (sines, then cosines),
            `"sinusoidal_fairseq"` (the same with fairseq's frequencies), `"rotary"`, `"alibi"` or `"none"`.
        position_offset: rows of the position table in front of position 0 (RoBERTa keeps 2).
        rope_theta: base of the rotary frequencies.
        local_rope_theta: that of the local layers, which are not scaled; default `rope_theta` and its scaling.
        rope_scaling: how rotary frequencies are stretched, a dictionary with `rope_type` (`"linear"`, `"llama3"`, `"yarn"` or
            `"longrope"`) and that type's numbers under the names of Hugging Face; `None` for not at all.
        rotary_dim: dimensions of a head that are rotated; default all.
        no_rope_layers: layers without rotary positions.
        relative_buckets: buckets of a learned bias by distance (T5), shared by all layers; 0 for none.
        relative_max_distance: distance from which all share a bucket.
        disentangled: terms of DeBERTa's attention, of `"c2p"` and `"p2c"`; empty for plain attention.
        position_buckets: log-spaced distances of disentangled attention; 0 for every distance its own.
        max_relative_positions: its largest distance.
        share_position_key: it projects distances by the layers' own query and key kernels.
        relative_norm: it normalises the table of distances.

        window: a token of a local layer attends to tokens less than this many positions away.
        local_layers: which layers are local.
        attention_scale: factor on the scores; default `head_dim ** -0.5`.
        attention_soft_cap: scores become `cap * tanh(scores / cap)`.
        qk_norm: RMS norm of queries and keys: `"head"` (each head by itself), `"width"` (all heads together) or `None`.
        attention_bias: query, key and value projections have a bias.
        attention_output_bias: the attention's output projection has a bias.

        norm: `"layer"` or `"rms"`.
        norm_epsilon: added to the variance.
        norm_bias: a layer norm has a bias.
        norm_unit_offset: an RMS norm multiplies by `1 + scale` (Gemma).
        norm_placement: `"post"` (after the residual sum, BERT), `"pre"` (before each sublayer, GPT-2, Llama), `"sandwich"` (before
            and after each sublayer, Gemma 2) or `"output"` (after each sublayer, before the sum, OLMo 2).
        first_attention_norm: the first block normalises before its attention, too.
        parallel_residual: both sublayers read the block's input (GPT-NeoX).
        final_norm: normalise the output of the last block.

        activation: of the feed-forward layer; `"gelu"` is the exact (erf) one.
        gated: feed-forward is `down(act(gate(x)) * up(x))`.
        feed_forward_bias: feed-forward projections have a bias.
        num_experts: gated experts of a sparse feed-forward layer; 0 for a plain one.
        experts_per_token: experts that a token is routed to.
        expert_intermediate_size: width of an expert; default `intermediate_size`.
        normalize_experts: the weights of a token's experts sum to 1.
        dense_layers: layers with a plain feed-forward layer all the same.

        tie_embeddings: the language-model head uses the token embedding's matrix.
        lm_head_bias: the language-model head has a bias over the vocabulary.
        lm_head_bias_trainable: that bias is trained.
        lm_head_scale: factor on what enters the language-model head.
        lm_head_transform: a dense layer, activation and norm stand before the language-model head (masked LM).
        lm_head_transform_bias: that dense layer has a bias.
        lm_head_activation: its activation; default `activation`.
        logit_soft_cap: logits become `cap * tanh(logits / cap)`.
        pooled: token that a classifier reads from each example: `"first"`, `"last"`, or the `"mean"` of all.
        classifier_activation: activation of the dense layer before the classifier's logits; `None` for no such layer.
        classifier_pooler_bias: that layer has a bias.
        classifier_norm: a norm follows it.
        classifier_bias: the classifier's logits have a bias.
        token_classifier_bias: the token classifier's logits have a bias.
        token_pooler: the dense layer stands before the heads that read every token, too.

        dropout: rate on embeddings and on each sublayer's output.
        attention_dropout: rate on attention probabilities.
        activation_dropout: rate inside the feed-forward layer.
        output_dropout: `dropout` also acts on the output of the last block.
        classifier_dropout: rate before the classifier's logits; default `dropout`.
        classifier_input_dropout: that rate acts before the dense layer, too.
        initializer_range: standard deviation of freshly initialised weights.
        pad_id, bos_id, eos_id, decoder_start_id: special token ids, or `None`.

    Raises:
        UserError: a value is out of range, or sizes do not fit each other.

    Example:
        >>> config = TransformerConfig(vocab_size=99, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64)
        >>> config.head_dim, config.num_kv_heads
        (8, 4)
    """

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    num_kv_heads: int | None = None
    head_dim: int | None = None
    max_positions: int = 512
    causal: bool = False
    cross_attention: bool = False
    num_decoder_layers: int | None = None
    decoder_num_heads: int | None = None
    decoder_intermediate_size: int | None = None
    num_layer_groups: int | None = None
    embedding_size: int | None = None
    embedding_projection_bias: bool = True
    embedding_norm: bool = True
    embedding_norm_after_projection: bool = False
    scale_embeddings: bool = False
    type_vocab_size: int = 0
    position: str = "learned"
    position_offset: int = 0
    rope_theta: float = 10000.0
    local_rope_theta: float | None = None
    rope_scaling: dict[str, Any] | None = None
    rotary_dim: int | None = None
    no_rope_layers: tuple[int, ...] = ()
    relative_buckets: int = 0
    relative_max_distance: int = 128
    disentangled: tuple[str, ...] = ()
    position_buckets: int = 0
    max_relative_positions: int = 512
    share_position_key: bool = False
    relative_norm: bool = False
    window: int | None = None
    local_layers: tuple[int, ...] = ()
    attention_scale: float | None = None
    attention_soft_cap: float | None = None
    qk_norm: str | None = None
    attention_bias: bool = True
    attention_output_bias: bool = True
    norm: str = "layer"
    norm_epsilon: float = 1e-12
    norm_bias: bool = True
    norm_unit_offset: bool = False
    norm_placement: str = "post"
    first_attention_norm: bool = True
    parallel_residual: bool = False
    final_norm: bool = False
    activation: str = "gelu"
    gated: bool = False
    feed_forward_bias: bool = True
    num_experts: int = 0
    experts_per_token: int = 2
    expert_intermediate_size: int | None = None
    normalize_experts: bool = True
    dense_layers: tuple[int, ...] = ()
    tie_embeddings: bool = True
    lm_head_bias: bool = True
    lm_head_bias_trainable: bool = True
    lm_head_scale: float = 1.0
    lm_head_transform: bool = True
    lm_head_transform_bias: bool = True
    lm_head_activation: str | None = None
    logit_soft_cap: float | None = None
    pooled: str = "first"
    classifier_activation: str | None = "tanh"
    classifier_pooler_bias: bool = True
    classifier_norm: bool = False
    classifier_bias: bool = True
    token_classifier_bias: bool = True
    token_pooler: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    output_dropout: bool = False
    classifier_dropout: float | None = None
    classifier_input_dropout: bool = False
    initializer_range: float = 0.02
    pad_id: int | None = 0
    bos_id: int | None = None
    eos_id: int | None = None
    decoder_start_id: int | None = None

    def __post_init__(self):
        for name in _COUNTS:
            value = getattr(self, name)
            if name == "num_kv_heads" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(
                    f"TransformerConfig: {name} must be a whole number of at least 1. Received: {name}={value!r}."
                )
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise UserError(
                "TransformerConfig: hidden_size must be a multiple of num_heads, or give head_dim. "
                f"Received: hidden_size={self.hidden_size}, num_heads={self.num_heads}."
            )
        for name, default in _DEFAULTS.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default(self))
        for name in ("no_rope_layers", "local_layers", "dense_layers", "disentangled"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check()

    def _check(self):
        if self.num_heads % self.num_kv_heads:
            raise UserError(
                "TransformerConfig: num_heads must be a multiple of num_kv_heads. "
                f"Received: num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}."
            )
        if self.num_layers % self.num_layer_groups:
            raise UserError(
                "TransformerConfig: num_layers must be a multiple of num_layer_groups. "
                f"Received: num_layers={self.num_layers}, num_layer_groups={self.num_layer_groups}."
            )
        if self.position == "rotary" and (self.rotary_dim % 2 or self.rotary_dim > self.head_dim):
            raise UserError(
                "TransformerConfig: rotary positions need an even rotary_dim of at most head_dim. "
                f"Received: rotary_dim={self.rotary_dim}, head_dim={self.head_dim}."
            )
        if self.rope_scaling is not None and self.rope_scaling.get("rope_type") not in _ROPE_TYPES:
            raise UserError(
                f"TransformerConfig: rope_scaling must have a rope_type of {_ROPE_TYPES}. Received: {self.rope_scaling!r}."
            )
        if self.local_layers and (not isinstance(self.window, int) or self.window < 1):
            raise UserError(
                f"TransformerConfig: local_layers need a window of at least 1. Received: window={self.window!r}."
            )
        if self.num_experts and not 1 <= self.experts_per_token <= self.num_experts:
            raise UserError(
                "TransformerConfig: experts_per_token must be between 1 and num_experts. "
                f"Received: experts_per_token={self.experts_per_token}, num_experts={self.num_experts}."
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(
                    f"TransformerConfig: {name} must be one of {choices}. Received: {name}={getattr(self, name)!r}."
                )
        for name in ("dropout", "attention_dropout", "activation_dropout", "classifier_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(f"TransformerConfig: {name} must be in [0, 1). Received: {name}={value!r}.")

    @property
    def is_encoder_decoder(self) -> bool:
        return self.num_decoder_layers is not None

    @property
    def projects_output(self) -> bool:
        """Token embeddings narrower than the blocks are projected before positions are added, and the output back (OPT)."""
        return self.causal and self.embedding_size != self.hidden_size and not self.embedding_norm

    @property
    def output_size(self) -> int:
        """Width of the hidden states that a backbone gives."""
        return self.embedding_size if self.projects_output else self.hidden_size

    def encoder(self) -> TransformerConfig:
        """The encoder of an encoder-decoder by itself."""
        return self.replace(**dict.fromkeys(_OF_THE_DECODER))

    def decoder(self) -> TransformerConfig:
        """The decoder of an encoder-decoder by itself."""
        return self.replace(
            **dict.fromkeys(_OF_THE_DECODER),
            causal=True,
            cross_attention=True,
            num_layers=self.num_decoder_layers,
            num_heads=self.decoder_num_heads,
            intermediate_size=self.decoder_intermediate_size,
        )

    def replace(self, **changes: Any) -> TransformerConfig:
        """A copy with some values changed. What was at its default follows (`head_dim` a new `num_heads`, say)."""
        at_default = [name for name, default in _DEFAULTS.items() if getattr(self, name) == default(self)]
        return dataclasses.replace(self, **{**dict.fromkeys(at_default), **changes})

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `TransformerConfig(**config.to_dict())` gives the config back."""
        return dataclasses.asdict(self)

    def flops_per_token(self, length: float) -> float:
        """Multiply-adds x 2 of one token's forward pass through the blocks, attending to `length` tokens.

        Counts the matrix products only, as MFU figures do (PaLM, appendix B): embeddings look up, norms and softmax are free.
        """
        attention_width = self.num_heads * self.head_dim
        projections = self.hidden_size * (2 * attention_width + 2 * self.num_kv_heads * self.head_dim)
        feed_forward = (3 if self.gated else 2) * self.hidden_size * self.intermediate_size
        experts = 3 * self.hidden_size * self.expert_intermediate_size * self.experts_per_token
        dense = len(self.dense_layers) if self.num_experts else self.num_layers
        blocks = self.num_layers * (projections + 2 * length * attention_width)
        return 2.0 * (blocks + dense * feed_forward + (self.num_layers - dense) * experts)
