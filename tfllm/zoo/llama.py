"""Llama (Touvron et al., 2023; `transformers.models.llama`), without scaled rotary positions."""

from tfllm.checkpoints import Rule, dense, embedding, norm
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head

_LAYER = "{base}layers.{i}."


class _OneBias(Field):
    """`attention_bias` of Llama is of all four projections."""

    def write(self, hf_config, value):
        hf_config.setdefault("attention_bias", value)


FAMILY = Family(
    name="llama",
    base="model.",
    fields=[
        Field("vocab_size", "vocab_size", 32000),
        Field("hidden_size", "hidden_size", 4096),
        Field("num_layers", "num_hidden_layers", 32),
        Field("num_heads", "num_attention_heads", 32),
        Field("num_kv_heads", "num_key_value_heads", None),
        Field("head_dim", "head_dim", None),
        Field("intermediate_size", "intermediate_size", 11008),
        Field("activation", "hidden_act", "silu", {"silu": "silu", **ACTIVATIONS}),
        Field("attention_bias", "attention_bias", False),
        _OneBias("attention_output_bias", "attention_bias", False),
        Field("feed_forward_bias", "mlp_bias", False),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("max_positions", "max_position_embeddings", 2048),
        Field("rope_theta", ("rope_parameters/rope_theta", "rope_theta"), 10000.0),
        Field("norm_epsilon", "rms_norm_eps", 1e-6),
        Field("initializer_range", "initializer_range", 0.02),
        Field("pad_id", "pad_token_id", None),
        Field("bos_id", "bos_token_id", 1),
        Field("eos_id", "eos_token_id", 2),
        Field("tie_embeddings", "tie_word_embeddings", False),
    ],
    fixed={
        "causal": True,
        "position": "rotary",
        "norm": "rms",
        "norm_placement": "pre",
        "embedding_norm": False,
        "final_norm": True,
        "gated": True,
        "dropout": 0.0,
        "lm_head_bias": False,
        "lm_head_transform": False,
        "pooled": "last",
        "classifier_activation": None,
        "classifier_bias": False,
    },
    required={
        "rope_scaling": (None,),
        "rope_parameters/rope_type": ("default",),
        "rope_parameters/partial_rotary_factor": (1.0,),
    },
    buffers=(r".*rotary_emb\.inv_freq",),
    backbone=[
        *embedding("embedding/token", "{base}embed_tokens"),
        *norm("block_{i}/attention_norm", _LAYER + "input_layernorm"),
        *dense("block_{i}/attention/query", _LAYER + "self_attn.q_proj"),
        *dense("block_{i}/attention/key", _LAYER + "self_attn.k_proj"),
        *dense("block_{i}/attention/value", _LAYER + "self_attn.v_proj"),
        *dense("block_{i}/attention/output", _LAYER + "self_attn.o_proj"),
        *norm("block_{i}/feed_forward_norm", _LAYER + "post_attention_layernorm"),
        *dense("block_{i}/feed_forward/gate", _LAYER + "mlp.gate_proj"),
        *dense("block_{i}/feed_forward/up", _LAYER + "mlp.up_proj"),
        *dense("block_{i}/feed_forward/down", _LAYER + "mlp.down_proj"),
        *norm("final_norm", "{base}norm"),
    ],
    heads=[
        Head("backbone", ("LlamaModel",)),
        Head(
            "causal_lm",
            ("LlamaForCausalLM",),
            [Rule("lm_kernel", "lm_head.weight")],
            aliases={"lm_head.weight": "embedding/token/embeddings"},
        ),
        Head("classifier", ("LlamaForSequenceClassification",), dense("classifier", "score")),
        Head("token_classifier", ("LlamaForTokenClassification",), dense("classifier", "score")),
        Head("span_predictor", ("LlamaForQuestionAnswering",), dense("classifier", "qa_outputs"), base="transformer."),
    ],
)
