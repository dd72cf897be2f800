"""Gemma 3, the text model (Gemma Team, 2025; `transformers.models.gemma3`): five local layers to a global one, each kind with its own
rotary base."""

from tfllm.zoo import gemma2, llama
from tfllm.zoo.family import Family, Field
from tfllm.zoo.fields import LocalLayers, RopeScaling, RopeTheta

_ROPE = ("rope_theta", "rope_scaling")

FAMILY = Family(
    name="gemma3_text",
    base="model.",
    fields=[
        *(field for field in gemma2.FIELDS if field.ours not in _ROPE),
        RopeTheta(1_000_000.0, layer_type="full_attention"),
        RopeTheta(10000.0, "local_rope_theta", "sliding_attention", legacy=("rope_local_base_freq",)),
        RopeScaling(layer_type="full_attention"),
        Field("window", "sliding_window", 4096),
        LocalLayers(rule=lambda hf_config, i: bool((i + 1) % hf_config.get("sliding_window_pattern", 6))),
    ],
    fixed={**gemma2.FAMILY.fixed, "qk_norm": "head"},
    required={**llama.REQUIRED, "use_bidirectional_attention": (False, None)},
    buffers=llama.BUFFERS,
    defaults={
        "vocab_size": 262208,
        "hidden_size": 2304,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "intermediate_size": 9216,
        "max_position_embeddings": 131072,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "sliding_window": 4096,
    },
    backbone=gemma2.STACK,
    heads=[
        *llama.heads("Gemma3", without=("backbone", "classifier", "token_classifier", "span_predictor")),
        *llama.heads("Gemma3Text", without=("causal_lm", "token_classifier", "span_predictor")),
    ],
)
