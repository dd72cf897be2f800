"""`TransformerConfig`: one frozen dataclass that describes every architecture in the zoo.

Layers and models ask it for a property (`config.norm == "rms"`), never for a family's name.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tfllm.errors import UserError

# Each property with a closed set of values, so that a typo or a value from a foreign `config.json` is refused by name.
_CHOICES = {
    "position": ("learned", "sinusoidal", "rotary", "none"),
    "norm": ("layer", "rms"),
    "norm_placement": ("pre", "post"),
    "activation": ("gelu", "gelu_tanh", "silu", "relu", "tanh"),
    "pooled": ("first", "last"),
    "classifier_activation": (None, "tanh", "relu", "gelu"),
}


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """An architecture, as a value.

    Args:
        vocab_size: number of rows of the token embedding.
        hidden_size: width D of the residual stream.
        num_layers: number of transformer blocks.
        num_heads: query heads H.
        intermediate_size: width of the feed-forward layer.
        num_kv_heads: key and value heads (grouped-query attention); default `num_heads`.
        head_dim: width of one head; default `hidden_size // num_heads`.
        max_positions: longest sequence that the position table (or the rotary training length) covers.
        causal: a token attends only to itself and to tokens before it.
        position: `"learned"`, `"sinusoidal"` (fixed table, as in the Transformer paper), `"rotary"` or `"none"`.
        position_offset: rows of the position table in front of position 0 (RoBERTa keeps 2).
        rope_theta: base of the rotary frequencies.
        type_vocab_size: rows of the token-type table; 0 for none.
        norm: `"layer"` or `"rms"`.
        norm_epsilon: added to the variance.
        norm_placement: `"post"` (after the residual sum, BERT) or `"pre"` (before each sublayer, GPT-2, Llama).
        embedding_norm: normalise the sum of the embeddings.
        final_norm: normalise the output of the last block.
        activation: of the feed-forward layer; `"gelu"` is the exact (erf) one.
        gated: feed-forward is `down(act(gate(x)) * up(x))`.
        attention_bias: query, key and value projections have a bias.
        attention_output_bias: the attention's output projection has a bias.
        feed_forward_bias: feed-forward projections have a bias.
        tie_embeddings: the language-model head uses the token embedding's matrix.
        lm_head_bias: the language-model head has a bias over the vocabulary.
        lm_head_transform: a dense layer, activation and norm stand before the language-model head (masked LM).
        pooled: token that a classifier reads from each example: `"first"` or `"last"`.
        classifier_activation: activation of the dense layer before the classifier's logits; `None` for no such layer.
        classifier_bias: the classifier's logits have a bias.
        token_classifier_bias: the token classifier's logits have a bias.
        dropout: rate on embeddings and on each sublayer's output.
        attention_dropout: rate on attention probabilities.
        classifier_dropout: rate before the classifier's logits; default `dropout`.
        initializer_range: standard deviation of freshly initialised weights.
        pad_id, bos_id, eos_id: special token ids, or `None`.

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
    position: str = "learned"
    position_offset: int = 0
    rope_theta: float = 10000.0
    type_vocab_size: int = 0
    norm: str = "layer"
    norm_epsilon: float = 1e-12
    norm_placement: str = "post"
    embedding_norm: bool = True
    final_norm: bool = False
    activation: str = "gelu"
    gated: bool = False
    attention_bias: bool = True
    attention_output_bias: bool = True
    feed_forward_bias: bool = True
    tie_embeddings: bool = True
    lm_head_bias: bool = True
    lm_head_transform: bool = True
    pooled: str = "first"
    classifier_activation: str | None = "tanh"
    classifier_bias: bool = True
    token_classifier_bias: bool = True
    dropout: float = 0.1
    attention_dropout: float = 0.1
    classifier_dropout: float | None = None
    initializer_range: float = 0.02
    pad_id: int | None = 0
    bos_id: int | None = None
    eos_id: int | None = None

    def __post_init__(self):
        if self.num_kv_heads is None:
            object.__setattr__(self, "num_kv_heads", self.num_heads)
        for name in (
            "vocab_size",
            "hidden_size",
            "num_layers",
            "num_heads",
            "num_kv_heads",
            "intermediate_size",
            "max_positions",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(
                    f"TransformerConfig: {name} must be a whole number of at least 1. Received: {name}={value!r}."
                )
        if self.head_dim is None:
            if self.hidden_size % self.num_heads:
                raise UserError(
                    "TransformerConfig: hidden_size must be a multiple of num_heads, or give head_dim. "
                    f"Received: hidden_size={self.hidden_size}, num_heads={self.num_heads}."
                )
            object.__setattr__(self, "head_dim", self.hidden_size // self.num_heads)
        if self.num_heads % self.num_kv_heads:
            raise UserError(
                "TransformerConfig: num_heads must be a multiple of num_kv_heads. "
                f"Received: num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}."
            )
        if self.position == "rotary" and self.head_dim % 2:
            raise UserError(
                f"TransformerConfig: rotary positions need an even head_dim. Received: head_dim={self.head_dim}."
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(
                    f"TransformerConfig: {name} must be one of {choices}. Received: {name}={getattr(self, name)!r}."
                )
        for name in ("dropout", "attention_dropout", "classifier_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(f"TransformerConfig: {name} must be in [0, 1). Received: {name}={value!r}.")

    def replace(self, **changes: Any) -> TransformerConfig:
        """A copy with some values changed."""
        return dataclasses.replace(self, **changes)

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
        return self.num_layers * 2.0 * (projections + feed_forward + 2 * length * attention_width)
