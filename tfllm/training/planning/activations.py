"""What the backward pass needs of the forward pass, in bytes a token, by formula over our layers.

The method is that of Korthikanti et al. (2022, «Reducing activation recomputation in large transformer models», section 4): add up
what each operation keeps for its gradient. Theirs, for GPT in 16 bits, is `34 h + 5 a T` bytes a token and layer (h the width, a the
heads, T the length). Ours differs where our layers do:

  - c bytes a value, 4 in float32 and 2 in mixed precision, where softmax and norms still keep float32;
  - a dropout mask takes c bytes a value, not 1: it is kept as the factor that it multiplies by;
  - exact GELU keeps 3 values of the inner width (in, out, its own share), the tanh form 5, SiLU 2, ReLU 1;
  - a layer norm keeps its normalised input (float32), an RMS norm its input besides;
  - every expert computes every token (`tfllm.layers.MixtureOfExperts`): E experts keep E times the inner width.

Tests compare the formula with the tensors that the gradient's graph really reads.
"""

from __future__ import annotations

import dataclasses

from tfllm.config import TransformerConfig
from tfllm.training.planning.parameters import is_sparse

# Values of the inner width that an activation's gradient reads, without its own output; and whether it reads that.
_KEPT = {"gelu": (2, False), "gelu_tanh": (4, False), "silu": (1, False), "relu": (0, True), "tanh": (0, True)}
_F = 4  # bytes of a float32


@dataclasses.dataclass(frozen=True)
class Kept:
    """Bytes a token, by what can be done about them.

    Attributes:
        stream: of the width of the model, on every device of a tensor-parallel group (divided by sequence parallelism only).
        inner: of heads and feed-forward layers, divided by tensor parallelism.
        scores: attention's, which grow with the length; selective rematerialisation computes them again.
    """

    stream: float = 0.0
    inner: float = 0.0
    scores: float = 0.0

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.stream + other.stream, self.inner + other.inner, self.scores + other.scores)

    @property
    def total(self) -> float:
        return self.stream + self.inner + self.scores


def block_activations(
    config: TransformerConfig, index: int, *, length: int, context_length: int | None = None, value_bytes: int = 4
) -> Kept:
    """What one block keeps of each token.

    Args:
        config: of the stack.
        index: number of the layer.
        length: tokens a row, T.
        context_length: tokens a row of what cross-attention reads.
        value_bytes: c, 4 in float32, 2 in mixed precision.
    """
    c, b = config, value_bytes
    kept = _attention(c, length, length, length, b, disentangled=bool(c.disentangled))
    kept += _sublayer(c, b, normed=index > 0 or c.first_attention_norm)
    if c.cross_attention:
        kept += _attention(c, length, context_length or length, length, b) + _sublayer(c, b)
    kept += _experts(c, b) if is_sparse(c, index) else _feed_forward(c, b)
    return kept + _sublayer(c, b)


def _attention(
    config: TransformerConfig, queries: int, keys: int, length: int, b: int, disentangled: bool = False
) -> Kept:
    c = config
    query_width, key_width = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
    of_keys = 2 * key_width * keys / length  # keys and values of a context, shared out over the queries' tokens
    inner = b * (2 * query_width + of_keys)  # the queries, what attention gives, keys and values
    if c.qk_norm and not disentangled:
        heads = query_width + key_width
        inner += _rms_norm(c, heads, b, input_kept=False)
    per_score = _F  # the softmax
    if disentangled:
        per_score += 8 * len(c.disentangled)  # where each pair's distance stands in the table, int64
    if c.attention_dropout:
        per_score += 2 * b  # the mask, and the weights that meet the values
    elif b != _F:
        per_score += b
    if c.attention_soft_cap is not None and not disentangled:
        per_score += _F
    scores = per_score * c.num_heads * keys
    return Kept(inner=inner, scores=scores)


def _rms_norm(config: TransformerConfig, width: int, b: int, *, input_kept: bool) -> float:
    """An RMS norm's input and its normalised value. In float32 the input may be a tensor that is kept anyway."""
    scaled = _F if config.norm_unit_offset else b
    return width * (scaled + (0 if input_kept and b == _F else _F))


def _norm(config: TransformerConfig, b: int, width: int | None = None) -> float:
    width = config.hidden_size if width is None else width
    if config.norm == "rms":
        return _rms_norm(config, width, b, input_kept=False)
    return _F * width


def _sublayer(config: TransformerConfig, b: int, normed: bool = True) -> Kept:
    """A sublayer's input, its norms and its dropout, in the width of the model."""
    c = config
    stream = b * c.hidden_size  # the input, which the projections' gradients read
    norms = 2 if c.norm_placement == "sandwich" else 1
    if c.norm_placement in ("pre", "sandwich") and not normed:
        norms -= 1
    stream += norms * _norm(c, b)
    if c.dropout:
        stream += b * c.hidden_size
    return Kept(stream=stream)


def _feed_forward(config: TransformerConfig, b: int) -> Kept:
    c = config
    inside, own_output = _KEPT[c.activation]
    if c.gated:
        values = inside + 3  # the activation's output, up, their product
    else:
        values = inside + 1
    if c.activation_dropout:  # the mask, and what it leaves in the place of what enters the last projection
        values += 2 if own_output and not c.gated else 1
    return Kept(inner=b * values * c.intermediate_size)


def _experts(config: TransformerConfig, b: int) -> Kept:
    c = config
    values = _KEPT[c.activation][0] + 4  # the activation's output, up, their product, and that weighed by the router
    router = _F * c.num_experts * (2 + c.experts_per_token)
    return Kept(stream=router, inner=b * values * c.num_experts * c.expert_intermediate_size)


def embedding_activations(config: TransformerConfig, value_bytes: int = 4) -> float:
    """What the embeddings keep of each token, bytes."""
    c, b = config, value_bytes
    kept = 0.0
    if c.embedding_norm:
        kept += _norm(c, b, c.hidden_size if c.embedding_norm_after_projection else c.embedding_size)
    if c.embedding_size != c.hidden_size:
        kept += b * c.embedding_size
    if c.dropout:
        narrow = c.embedding_size != c.hidden_size and not (c.projects_output or c.embedding_norm_after_projection)
        kept += b * (c.embedding_size if narrow else c.hidden_size)
    return kept


def top_activations(config: TransformerConfig, value_bytes: int = 4) -> float:
    """What a stack keeps above its last block, bytes a token: the last norm and dropout, and the output itself."""
    c, b = config, value_bytes
    kept = b * c.hidden_size
    if c.final_norm:
        kept += _norm(c, b)
    if c.output_dropout and c.dropout:
        kept += b * c.hidden_size
    return kept


def language_model_activations(config: TransformerConfig, value_bytes: int = 4) -> float:
    """What the head of a language model keeps of each token that it is computed for: without the logits."""
    c, b = config, value_bytes
    if not c.lm_head_transform:
        return 0.0
    inside, own_output = _KEPT[c.lm_head_activation]
    values = inside + (1 if own_output else 0)
    return b * (values + 1) * c.embedding_size + _norm(c, b, c.embedding_size)
