"""GPT-2 (Radford et al., 2019; `transformers.models.gpt2`). Its linear layers are stored `(in, out)`, as Keras' are."""

from tfllm.checkpoints import Rule, SplitColumns, dense, embedding, norm
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head

_LAYER = "{base}h.{i}."
_QKV = tuple(f"decoder/block_{{i}}/attention/{part}" for part in ("query", "key", "value"))


def _conv1d(ours: str, theirs: str) -> list[Rule]:
    return [Rule(f"{ours}/kernel", f"{theirs}.weight"), Rule(f"{ours}/bias", f"{theirs}.bias")]


class _Inner(Field):
    """`n_inner` may be null: four times the width."""

    def read(self, hf_config):
        return super().read(hf_config) or 4 * hf_config.get("n_embd", 768)


FAMILY = Family(
    name="gpt2",
    base="transformer.",
    fields=[
        Field("vocab_size", "vocab_size", 50257),
        Field("hidden_size", "n_embd", 768),
        Field("num_layers", "n_layer", 12),
        Field("num_heads", "n_head", 12),
        _Inner("intermediate_size", "n_inner"),
        Field("activation", "activation_function", "gelu_new", {"gelu_new": "gelu_tanh", **ACTIVATIONS}),
        Field("dropout", "resid_pdrop", 0.1),
        Field("attention_dropout", "attn_pdrop", 0.1),
        Field("max_positions", "n_positions", 1024),
        Field("norm_epsilon", "layer_norm_epsilon", 1e-5),
        Field("initializer_range", "initializer_range", 0.02),
        Field("pad_id", "pad_token_id", None),
        Field("bos_id", "bos_token_id", 50256),
        Field("eos_id", "eos_token_id", 50256),
        Field("tie_embeddings", "tie_word_embeddings", True),
    ],
    fixed={
        "causal": True,
        "norm_placement": "pre",
        "embedding_norm": False,
        "final_norm": True,
        "lm_head_bias": False,
        "lm_head_transform": False,
        "pooled": "last",
        "classifier_activation": None,
        "classifier_bias": False,
        "classifier_dropout": 0.0,
    },
    required={
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    },
    buffers=(r".*h\.\d+\.attn\.(masked_)?bias",),
    backbone=[
        *embedding("embedding/token", "{base}wte"),
        *embedding("embedding/position", "{base}wpe"),
        *norm("decoder/block_{i}/attention_norm", _LAYER + "ln_1"),
        Rule(tuple(f"{path}/kernel" for path in _QKV), _LAYER + "attn.c_attn.weight", SplitColumns(3)),
        Rule(tuple(f"{path}/bias" for path in _QKV), _LAYER + "attn.c_attn.bias", SplitColumns(3)),
        *_conv1d("decoder/block_{i}/attention/output", _LAYER + "attn.c_proj"),
        *norm("decoder/block_{i}/feed_forward_norm", _LAYER + "ln_2"),
        *_conv1d("decoder/block_{i}/feed_forward/up", _LAYER + "mlp.c_fc"),
        *_conv1d("decoder/block_{i}/feed_forward/down", _LAYER + "mlp.c_proj"),
        *norm("decoder/final_norm", "{base}ln_f"),
    ],
    heads=[
        Head("backbone", ("GPT2Model",)),
        Head(
            "causal_lm",
            ("GPT2LMHeadModel",),
            [Rule("lm_kernel", "lm_head.weight")],
            aliases={"lm_head.weight": "embedding/token/embeddings"},
        ),
        Head("classifier", ("GPT2ForSequenceClassification",), dense("classifier", "score")),
        Head("token_classifier", ("GPT2ForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("GPT2ForQuestionAnswering",), dense("classifier", "qa_outputs")),
    ],
)
