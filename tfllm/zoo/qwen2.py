"""Qwen 2 and 2.5 (Yang et al., 2024; `transformers.models.qwen2`): biases on query, key and value, windows in the upper layers."""

from tfllm.zoo import llama
from tfllm.zoo.family import Family
from tfllm.zoo.fields import Derived, LocalLayers


def window(hf_config) -> int | None:
    """Qwen's window counts only where `use_sliding_window` says so."""
    return hf_config.get("sliding_window") if hf_config.get("use_sliding_window") else None


class WindowedLayers(LocalLayers):
    """The layers from `max_window_layers` on."""

    def read(self, hf_config):
        return super().read(hf_config) if window(hf_config) is not None else ()


WINDOWS = [
    Derived("window", function=window),
    WindowedLayers(rule=lambda hf_config, i: i >= hf_config.get("max_window_layers", 28)),
]

DEFAULTS = {
    "vocab_size": 151936,
    "num_hidden_layers": 32,
    "max_position_embeddings": 32768,
    "bos_token_id": None,
    "eos_token_id": None,
    "num_key_value_heads": 32,
    "intermediate_size": 22016,
}

FAMILY = Family(
    name="qwen2",
    base="model.",
    fields=[*llama.FIELDS, *WINDOWS],
    fixed={**llama.FIXED, **llama.NO_BIASES, "attention_bias": True},
    required=llama.REQUIRED,
    buffers=llama.BUFFERS,
    defaults=DEFAULTS,
    backbone=llama.STACK,
    heads=llama.heads("Qwen2", span_base="transformer."),
)
