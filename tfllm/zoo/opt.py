"""OPT (Zhang et al., 2022; `transformers.models.opt`)."""

from tfllm.checkpoints import Rule, dense, embedding, norm
from tfllm.zoo import llama
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head
from tfllm.zoo.fields import Derived

_LAYER = "{base}decoder.layers.{i}."


def _final_norm(hf_config) -> bool:
    return hf_config.get("do_layer_norm_before", True) and not hf_config.get("_remove_final_layer_norm", False)


FAMILY = Family(
    name="opt",
    base="model.",
    fields=[
        Field("vocab_size", "vocab_size", 50272),
        Field("hidden_size", "hidden_size", 768),
        Derived("embedding_size", function=lambda c: c.get("word_embed_proj_dim") or c.get("hidden_size", 768)),
        Field("num_layers", "num_hidden_layers", 12),
        Field("num_heads", "num_attention_heads", 12),
        Field("intermediate_size", "ffn_dim", 3072),
        Field("max_positions", "max_position_embeddings", 2048),
        Field("activation", "activation_function", "relu", ACTIVATIONS),
        Field("norm_placement", "do_layer_norm_before", True, {True: "pre", False: "post"}),
        Derived("final_norm", function=_final_norm),
        Field("attention_bias", "enable_bias", True),
        llama.OneBias("attention_output_bias", "enable_bias", True),
        llama.OneBias("feed_forward_bias", "enable_bias", True),
        Field("dropout", "dropout", 0.1),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("initializer_range", "init_std", 0.02),
        Field("pad_id", "pad_token_id", 1),
        Field("bos_id", "bos_token_id", 2),
        Field("eos_id", "eos_token_id", 2),
        Field("tie_embeddings", "tie_word_embeddings", True),
    ],
    fixed={
        **llama.DECODER,
        "position_offset": 2,
        "norm_epsilon": 1e-5,
        "embedding_projection_bias": False,
        "classifier_dropout": 0.0,
    },
    buffers=(r".*decoder\.version",),
    required={"layer_norm_elementwise_affine": (True,)},
    backbone=[
        *embedding("embedding/token", "{base}decoder.embed_tokens"),
        *embedding("embedding/position", "{base}decoder.embed_positions"),
        *dense("embedding/projection", "{base}decoder.project_in"),
        *dense("output_projection", "{base}decoder.project_out"),
        *norm("decoder/block_{i}/attention_norm", _LAYER + "self_attn_layer_norm"),
        *dense("decoder/block_{i}/attention/query", _LAYER + "self_attn.q_proj"),
        *dense("decoder/block_{i}/attention/key", _LAYER + "self_attn.k_proj"),
        *dense("decoder/block_{i}/attention/value", _LAYER + "self_attn.v_proj"),
        *dense("decoder/block_{i}/attention/output", _LAYER + "self_attn.out_proj"),
        *norm("decoder/block_{i}/feed_forward_norm", _LAYER + "final_layer_norm"),
        *dense("decoder/block_{i}/feed_forward/up", _LAYER + "fc1"),
        *dense("decoder/block_{i}/feed_forward/down", _LAYER + "fc2"),
        *norm("decoder/final_norm", "{base}decoder.final_layer_norm"),
    ],
    heads=[
        Head(
            "causal_lm",
            ("OPTForCausalLM",),
            [Rule("lm_kernel", "lm_head.weight")],
            aliases={"lm_head.weight": "embedding/token/embeddings"},
        ),
        Head("backbone", ("OPTModel",)),
        Head("classifier", ("OPTForSequenceClassification",), dense("classifier", "score")),
        Head("span_predictor", ("OPTForQuestionAnswering",), dense("classifier", "qa_outputs")),
    ],
)
