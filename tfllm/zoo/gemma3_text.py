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
    backbone=gemma2.STACK,
    heads=[
        *llama.heads("Gemma3", without=("backbone", "classifier", "token_classifier", "span_predictor")),
        *llama.heads("Gemma3Text", without=("causal_lm", "token_classifier", "span_predictor")),
    ],
)
