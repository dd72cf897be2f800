"""OLMo 2 (OLMo Team, 2024; `transformers.models.olmo2`): norms after the sublayers, and of all heads' queries and keys together."""

from tfllm.checkpoints import norm
from tfllm.zoo import llama
from tfllm.zoo.family import Family

FAMILY = Family(
    name="olmo2",
    base="model.",
    fields=[*llama.FIELDS, *llama.BIASES],
    fixed={**llama.FIXED, "feed_forward_bias": False, "norm_placement": "output", "qk_norm": "width"},
    required=llama.REQUIRED,
    buffers=llama.BUFFERS,
    defaults={
        "vocab_size": 50304,
        "rms_norm_eps": 1e-05,
        "pad_token_id": 1,
        "bos_token_id": None,
        "eos_token_id": 50279,
    },
    backbone=[
        *llama.ENDS,
        *norm("decoder/block_{i}/attention_output_norm", llama.LAYER + "post_attention_layernorm"),
        *norm("decoder/block_{i}/feed_forward_output_norm", llama.LAYER + "post_feedforward_layernorm"),
        *llama.ATTENTION,
        *llama.FEED_FORWARD,
    ],
    heads=llama.heads("Olmo2", without=("token_classifier", "span_predictor")),
)
