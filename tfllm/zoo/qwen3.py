"""Qwen 3 (Yang et al., 2025; `transformers.models.qwen3`): each head of queries and keys is normalised."""

from tfllm.zoo import llama, qwen2
from tfllm.zoo.family import Family, Field

FIELDS = [
    *(field for field in llama.FIELDS if field.ours != "head_dim"),
    Field("head_dim", "head_dim", 128),
    *llama.BIASES,
]
FIXED = {**llama.FIXED, "feed_forward_bias": False, "qk_norm": "head"}

FAMILY = Family(
    name="qwen3",
    base="model.",
    fields=[*FIELDS, *qwen2.WINDOWS],
    fixed=FIXED,
    required=llama.REQUIRED,
    buffers=llama.BUFFERS,
    defaults=qwen2.DEFAULTS,
    backbone=llama.STACK,
    heads=llama.heads("Qwen3", span_base="transformer."),
)
