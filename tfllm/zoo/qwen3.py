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
    defaults={
        "vocab_size": 151936,
        "num_hidden_layers": 32,
        "max_position_embeddings": 32768,
        "bos_token_id": None,
        "eos_token_id": None,
        "num_key_value_heads": 32,
        "intermediate_size": 22016,
    },
    backbone=llama.STACK,
    heads=llama.heads("Qwen3", span_base="transformer."),
)
