"""ModernBERT (Warner et al., 2024; `transformers.models.modernbert`): rotary, gated, with local and global layers."""

from tfllm.checkpoints import Rule, SplitRows, dense, embedding, fused, gate_up_widths, norm, qkv_widths
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head
from tfllm.zoo.fields import LocalLayers, RopeScaling, RopeTheta

_LAYER = "{base}layers.{i}."
_QKV = [f"encoder/block_{{i}}/attention/{part}" for part in ("query", "key", "value")]
_GATE_UP = [f"encoder/block_{{i}}/feed_forward/{part}" for part in ("gate", "up")]
_HEAD = [*dense("pooler", "head.dense", shared=True), *norm("pooler_norm", "head.norm", shared=True)]


class _OneBias(Field):
    """`attention_bias` is of all four projections."""

    def write(self, hf_config, value):
        hf_config.setdefault("attention_bias", value)


class _Window(Field):
    """Half of `local_attention` lies on each side of a token, which sees itself, too."""

    def read(self, hf_config):
        return super().read(hf_config) // 2 + 1

    def write(self, hf_config, value):
        super().write(hf_config, 2 * (value - 1))


FAMILY = Family(
    name="modernbert",
    base="model.",
    fields=[
        Field("vocab_size", "vocab_size", 50368),
        Field("hidden_size", "hidden_size", 768),
        Field("num_layers", "num_hidden_layers", 22),
        Field("num_heads", "num_attention_heads", 12),
        Field("intermediate_size", "intermediate_size", 1152),
        Field("activation", "hidden_activation", "gelu", ACTIVATIONS),
        Field("max_positions", "max_position_embeddings", 8192),
        Field("norm_epsilon", "norm_eps", 1e-5),
        Field("norm_bias", "norm_bias", False),
        Field("attention_bias", "attention_bias", False),
        _OneBias("attention_output_bias", "attention_bias", False),
        Field("feed_forward_bias", "mlp_bias", False),
        RopeTheta(160000.0, layer_type="full_attention", legacy=("global_rope_theta",)),
        RopeTheta(10000.0, "local_rope_theta", "sliding_attention", legacy=("local_rope_theta",)),
        RopeScaling(layer_type="full_attention"),
        _Window("window", "local_attention", 128),
        LocalLayers(window="local_attention", rule=lambda c, i: i % c.get("global_attn_every_n_layers", 3) != 0),
        Field("activation_dropout", "mlp_dropout", 0.0),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("pooled", "classifier_pooling", "cls", {"cls": "first", "mean": "mean"}),
        Field("classifier_activation", "classifier_activation", "gelu", ACTIVATIONS),
        Field("lm_head_activation", "classifier_activation", "gelu", ACTIVATIONS),
        Field("classifier_pooler_bias", "classifier_bias", False),
        Field("lm_head_transform_bias", "classifier_bias", False),
        Field("classifier_dropout", "classifier_dropout", 0.0),
        Field("lm_head_bias", "decoder_bias", True),
        Field("initializer_range", "initializer_range", 0.02),
        Field("pad_id", "pad_token_id", 50283),
        Field("bos_id", "bos_token_id", 50281),
        Field("eos_id", "eos_token_id", 50282),
        Field("tie_embeddings", "tie_word_embeddings", True),
    ],
    fixed={
        "position": "rotary",
        "dropout": 0.0,
        "norm_placement": "pre",
        "first_attention_norm": False,
        "final_norm": True,
        "gated": True,
        "classifier_norm": True,
        "token_pooler": True,
    },
    required={"embedding_dropout": (0, 0.0)},
    buffers=(r".*rotary_emb\..*inv_freq",),
    defaults={
        "num_hidden_layers": 22,
        "local_attention": 128,
    },
    backbone=[
        *embedding("embedding/token", "{base}embeddings.tok_embeddings"),
        *norm("embedding/norm", "{base}embeddings.norm"),
        *norm("encoder/block_{i}/attention_norm", _LAYER + "attn_norm"),
        *fused(_QKV, _LAYER + "attn.Wqkv", SplitRows(qkv_widths)),
        *dense("encoder/block_{i}/attention/output", _LAYER + "attn.Wo"),
        *norm("encoder/block_{i}/feed_forward_norm", _LAYER + "mlp_norm"),
        *fused(_GATE_UP, _LAYER + "mlp.Wi", SplitRows(gate_up_widths)),
        *dense("encoder/block_{i}/feed_forward/down", _LAYER + "mlp.Wo"),
        *norm("encoder/final_norm", "{base}final_norm"),
    ],
    heads=[
        Head("backbone", ("ModernBertModel",)),
        Head("classifier", ("ModernBertForSequenceClassification",), [*_HEAD, *dense("classifier", "classifier")]),
        Head("token_classifier", ("ModernBertForTokenClassification",), [*_HEAD, *dense("classifier", "classifier")]),
        Head("span_predictor", ("ModernBertForQuestionAnswering",), [*_HEAD, *dense("classifier", "classifier")]),
        Head("multiple_choice", ("ModernBertForMultipleChoice",), [*_HEAD, *dense("classifier", "classifier")]),
        Head(
            "masked_lm",
            ("ModernBertForMaskedLM",),
            [
                *dense("transform", "head.dense", shared=True),
                *norm("transform_norm", "head.norm", shared=True),
                Rule("lm_bias", "decoder.bias"),
                Rule("lm_kernel", "decoder.weight"),
            ],
            aliases={"decoder.weight": "embedding/token/embeddings"},
        ),
    ],
)
