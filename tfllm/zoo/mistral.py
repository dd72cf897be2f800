"""Mistral (Jiang et al., 2023; `transformers.models.mistral`): Llama with a sliding window."""

from tfllm.zoo import llama
from tfllm.zoo.family import Family, Field
from tfllm.zoo.fields import LocalLayers

FIELDS = [*llama.FIELDS, Field("window", "sliding_window", None), LocalLayers()]

FAMILY = Family(
    name="mistral",
    base="model.",
    fields=FIELDS,
    fixed={**llama.FIXED, **llama.NO_BIASES},
    required=llama.REQUIRED,
    buffers=llama.BUFFERS,
    defaults={
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
    backbone=llama.STACK,
    heads=llama.heads("Mistral"),
)
