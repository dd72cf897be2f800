"""Gemma 2 (Gemma Team, 2024; `transformers.models.gemma2`): norms around every sublayer, soft caps, a window in every other layer."""

from tfllm.checkpoints import norm
from tfllm.zoo import gemma, llama
from tfllm.zoo.family import Family, Field
from tfllm.zoo.fields import LocalLayers


class _AttentionScale(Field):
    """`query_pre_attn_scalar` is the inverse square of the scale."""

    def read(self, hf_config):
        return super().read(hf_config) ** -0.5

    def write(self, hf_config, value):
        super().write(hf_config, round(value**-2))


SANDWICH = [
    *norm("decoder/block_{i}/attention_norm", llama.LAYER + "input_layernorm"),
    *norm("decoder/block_{i}/attention_output_norm", llama.LAYER + "post_attention_layernorm"),
    *norm("decoder/block_{i}/feed_forward_norm", llama.LAYER + "pre_feedforward_layernorm"),
    *norm("decoder/block_{i}/feed_forward_output_norm", llama.LAYER + "post_feedforward_layernorm"),
]
STACK = [*llama.ENDS, *SANDWICH, *llama.ATTENTION, *llama.FEED_FORWARD]
FIELDS = [
    *gemma.FIELDS,
    _AttentionScale("attention_scale", "query_pre_attn_scalar", 256),
    Field("logit_soft_cap", "final_logit_softcapping", None),
    Field("attention_soft_cap", "attn_logit_softcapping", None),
]

FAMILY = Family(
    name="gemma2",
    base="model.",
    fields=[
        *FIELDS,
        Field("window", "sliding_window", 4096),
        LocalLayers(rule=lambda hf_config, i: i % 2 == 0),
    ],
    fixed={**gemma.FIXED, "norm_placement": "sandwich"},
    required={**llama.REQUIRED, "use_bidirectional_attention": (False, None)},
    buffers=llama.BUFFERS,
    defaults={
        "vocab_size": 256000,
        "hidden_size": 2304,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "intermediate_size": 9216,
        "max_position_embeddings": 8192,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    backbone=STACK,
    heads=llama.heads("Gemma2", without=("span_predictor",)),
)
