"""Bloom (BigScience, 2022; `transformers.models.bloom`): ALiBi, normed embeddings."""

from tfllm.checkpoints import Rule, SplitHeads, dense, embedding, fused, norm
from tfllm.zoo import llama
from tfllm.zoo.family import Family, Field, Head
from tfllm.zoo.fields import Derived

_LAYER = "{base}h.{i}."
_QKV = [f"decoder/block_{{i}}/attention/{part}" for part in ("query", "key", "value")]

FAMILY = Family(
    name="bloom",
    base="transformer.",
    fields=[
        Field("vocab_size", "vocab_size", 250880),
        Field("hidden_size", ("hidden_size", "n_embed"), 64),
        Field("num_layers", ("n_layer", "num_hidden_layers"), 2),
        Field("num_heads", ("n_head", "num_attention_heads"), 8),
        Derived("intermediate_size", function=lambda c: 4 * (c.get("hidden_size") or c.get("n_embed", 64))),
        Field("norm_epsilon", "layer_norm_epsilon", 1e-5),
        Field("dropout", "hidden_dropout", 0.0),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("max_positions", "seq_length", 2048),
        Field("initializer_range", "initializer_range", 0.02),
        Field("pad_id", "pad_token_id", None),
        Field("bos_id", "bos_token_id", 1),
        Field("eos_id", "eos_token_id", 2),
        Field("tie_embeddings", "tie_word_embeddings", True),
    ],
    fixed={**llama.DECODER, "position": "alibi", "embedding_norm": True, "activation": "gelu_tanh"},
    required={"apply_residual_connection_post_layernorm": (False,)},
    backbone=[
        *embedding("embedding/token", "{base}word_embeddings"),
        *norm("embedding/norm", "{base}word_embeddings_layernorm"),
        *norm("decoder/block_{i}/attention_norm", _LAYER + "input_layernorm"),
        *norm("decoder/block_{i}/feed_forward_norm", _LAYER + "post_attention_layernorm"),
        *fused(_QKV, _LAYER + "self_attention.query_key_value", SplitHeads(3)),
        *dense("decoder/block_{i}/attention/output", _LAYER + "self_attention.dense"),
        *dense("decoder/block_{i}/feed_forward/up", _LAYER + "mlp.dense_h_to_4h"),
        *dense("decoder/block_{i}/feed_forward/down", _LAYER + "mlp.dense_4h_to_h"),
        *norm("decoder/final_norm", "{base}ln_f"),
    ],
    heads=[
        Head(
            "causal_lm",
            ("BloomForCausalLM",),
            [Rule("lm_kernel", "lm_head.weight")],
            aliases={"lm_head.weight": "embedding/token/embeddings"},
        ),
        Head("backbone", ("BloomModel",)),
        Head("classifier", ("BloomForSequenceClassification",), dense("classifier", "score")),
        Head("token_classifier", ("BloomForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("BloomForQuestionAnswering",), dense("classifier", "qa_outputs")),
    ],
)
