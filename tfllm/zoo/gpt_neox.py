"""GPT-NeoX and Pythia (Black et al., 2022; `transformers.models.gpt_neox`): parallel residual, partly rotary heads."""

from tfllm.checkpoints import Rule, SplitHeads, dense, embedding, fused, norm
from tfllm.zoo import llama
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head
from tfllm.zoo.fields import Derived, RopeScaling, RopeTheta, rotary_dim

_LAYER = "{base}layers.{i}."
_QKV = [f"decoder/block_{{i}}/attention/{part}" for part in ("query", "key", "value")]


FAMILY = Family(
    name="gpt_neox",
    base="gpt_neox.",
    fields=[
        Field("vocab_size", "vocab_size", 50432),
        Field("hidden_size", "hidden_size", 6144),
        Field("num_layers", "num_hidden_layers", 44),
        Field("num_heads", "num_attention_heads", 64),
        Field("intermediate_size", "intermediate_size", 24576),
        Field("activation", "hidden_act", "gelu", ACTIVATIONS),
        RopeTheta(legacy=("rotary_emb_base", "rope_theta")),
        RopeScaling(),
        Derived("rotary_dim", function=rotary_dim(0.25, "rotary_pct")),
        Field("parallel_residual", "use_parallel_residual", True),
        Field("attention_bias", "attention_bias", True),
        llama.OneBias("attention_output_bias", "attention_bias", True),
        Field("dropout", "hidden_dropout", 0.0),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("classifier_dropout", "classifier_dropout", 0.1),
        Field("max_positions", "max_position_embeddings", 2048),
        Field("initializer_range", "initializer_range", 0.02),
        Field("norm_epsilon", "layer_norm_eps", 1e-5),
        Field("pad_id", "pad_token_id", None),
        Field("bos_id", "bos_token_id", 0),
        Field("eos_id", "eos_token_id", 2),
        Field("tie_embeddings", "tie_word_embeddings", False),
    ],
    fixed={**llama.DECODER, "position": "rotary"},
    buffers=(r".*attention\.(masked_)?bias", r".*rotary_emb\.inv_freq"),
    defaults={
        "hidden_size": 6144,
        "num_attention_heads": 64,
    },
    backbone=[
        *embedding("embedding/token", "{base}embed_in"),
        *norm("decoder/block_{i}/attention_norm", _LAYER + "input_layernorm"),
        *norm("decoder/block_{i}/feed_forward_norm", _LAYER + "post_attention_layernorm"),
        *fused(_QKV, _LAYER + "attention.query_key_value", SplitHeads(3)),
        *dense("decoder/block_{i}/attention/output", _LAYER + "attention.dense"),
        *dense("decoder/block_{i}/feed_forward/up", _LAYER + "mlp.dense_h_to_4h"),
        *dense("decoder/block_{i}/feed_forward/down", _LAYER + "mlp.dense_4h_to_h"),
        *norm("decoder/final_norm", "{base}final_layer_norm"),
    ],
    heads=[
        Head(
            "causal_lm",
            ("GPTNeoXForCausalLM",),
            [Rule("lm_kernel", "embed_out.weight")],
            aliases={"embed_out.weight": "embedding/token/embeddings"},
        ),
        Head("backbone", ("GPTNeoXModel",)),
        Head("classifier", ("GPTNeoXForSequenceClassification",), dense("classifier", "score")),
        Head("token_classifier", ("GPTNeoXForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("GPTNeoXForQuestionAnswering",), dense("classifier", "qa_outputs")),
    ],
)
