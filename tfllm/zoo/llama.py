"""Llama 1 to 3 (Touvron et al., 2023; `transformers.models.llama`). SmolLM 1 and 2 are of this family, and most decoders extend it."""

from tfllm.checkpoints import Rule, dense, embedding, norm
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head
from tfllm.zoo.fields import RopeScaling, RopeTheta

LAYER = "{base}layers.{i}."


class OneBias(Field):
    """`attention_bias` is of all four projections."""

    def write(self, hf_config, value):
        hf_config.setdefault(self.keys[0], value)


SIZES = [
    Field("vocab_size", "vocab_size", 32000),
    Field("hidden_size", "hidden_size", 4096),
    Field("num_layers", "num_hidden_layers", 32),
    Field("num_heads", "num_attention_heads", 32),
    Field("num_kv_heads", "num_key_value_heads", None),
    Field("intermediate_size", "intermediate_size", 11008),
    Field("max_positions", "max_position_embeddings", 2048),
    Field("initializer_range", "initializer_range", 0.02),
    Field("attention_dropout", "attention_dropout", 0.0),
    Field("pad_id", "pad_token_id", None),
    Field("bos_id", "bos_token_id", 1),
    Field("eos_id", "eos_token_id", 2),
    Field("tie_embeddings", "tie_word_embeddings", False),
]
FIELDS = [
    *SIZES,
    Field("head_dim", "head_dim", None),
    Field("activation", "hidden_act", "silu", {"silu": "silu", **ACTIVATIONS}),
    Field("norm_epsilon", "rms_norm_eps", 1e-6),
    RopeTheta(),
    RopeScaling(),
]
BIASES = [
    Field("attention_bias", "attention_bias", False),
    OneBias("attention_output_bias", "attention_bias", False),
]
NO_BIASES = {"attention_bias": False, "attention_output_bias": False, "feed_forward_bias": False}
# What decoders have in common, and what those that follow Llama do.
DECODER = {
    "causal": True,
    "norm_placement": "pre",
    "embedding_norm": False,
    "final_norm": True,
    "lm_head_bias": False,
    "lm_head_transform": False,
    "pooled": "last",
    "classifier_activation": None,
    "classifier_bias": False,
}
FIXED = {**DECODER, "position": "rotary", "norm": "rms", "gated": True, "dropout": 0.0}
REQUIRED = {"rope_parameters/partial_rotary_factor": (1.0,), "partial_rotary_factor": (1.0,)}
BUFFERS = (r".*rotary_emb\..*inv_freq",)
ATTENTION = [
    *dense("decoder/block_{i}/attention/query", LAYER + "self_attn.q_proj"),
    *dense("decoder/block_{i}/attention/key", LAYER + "self_attn.k_proj"),
    *dense("decoder/block_{i}/attention/value", LAYER + "self_attn.v_proj"),
    *dense("decoder/block_{i}/attention/output", LAYER + "self_attn.o_proj"),
    *norm("decoder/block_{i}/attention/query_norm", LAYER + "self_attn.q_norm"),
    *norm("decoder/block_{i}/attention/key_norm", LAYER + "self_attn.k_norm"),
]
FEED_FORWARD = [
    *dense("decoder/block_{i}/feed_forward/gate", LAYER + "mlp.gate_proj"),
    *dense("decoder/block_{i}/feed_forward/up", LAYER + "mlp.up_proj"),
    *dense("decoder/block_{i}/feed_forward/down", LAYER + "mlp.down_proj"),
]
ENDS = [*embedding("embedding/token", "{base}embed_tokens"), *norm("decoder/final_norm", "{base}norm")]
NORMS = [
    *norm("decoder/block_{i}/attention_norm", LAYER + "input_layernorm"),
    *norm("decoder/block_{i}/feed_forward_norm", LAYER + "post_attention_layernorm"),
]
STACK = [*ENDS, *NORMS, *ATTENTION, *FEED_FORWARD]


def heads(prefix: str, *, span_base: str = "model.", without: tuple[str, ...] = ()) -> list[Head]:
    """The heads that transformers gives its decoders, under the class names of `prefix`.

    `span_base` is the prefix of the backbone's tensors under the span predictor, which some families keep from older files.
    """
    every = [
        Head(
            "causal_lm",
            (f"{prefix}ForCausalLM",),
            [Rule("lm_kernel", "lm_head.weight")],
            aliases={"lm_head.weight": "embedding/token/embeddings"},
        ),
        Head("backbone", (f"{prefix}Model",)),
        Head("classifier", (f"{prefix}ForSequenceClassification",), dense("classifier", "score")),
        Head("token_classifier", (f"{prefix}ForTokenClassification",), dense("classifier", "score")),
        Head("span_predictor", (f"{prefix}ForQuestionAnswering",), dense("classifier", "qa_outputs"), base=span_base),
    ]
    return [head for head in every if head.kind not in without]


FAMILY = Family(
    name="llama",
    base="model.",
    fields=[*FIELDS, *BIASES, Field("feed_forward_bias", "mlp_bias", False)],
    fixed=FIXED,
    required=REQUIRED,
    buffers=BUFFERS,
    backbone=STACK,
    heads=heads("Llama", span_base="transformer."),
)
