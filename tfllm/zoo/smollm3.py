"""SmolLM 3 (Hugging Face, 2025; `transformers.models.smollm3`): every fourth layer has no rotary positions."""

from tfllm.zoo import llama, qwen2
from tfllm.zoo.family import Family, Field


class _NoRopeLayers(Field):
    """`no_rope_layers` holds a 0 for each layer without rotary positions, else every `no_rope_layer_interval`-th is one."""

    def read(self, hf_config):
        count, interval = hf_config["num_hidden_layers"], hf_config.get("no_rope_layer_interval", 4)
        rotates = hf_config.get("no_rope_layers") or [(i + 1) % interval != 0 for i in range(count)]
        return tuple(i for i in range(count) if not rotates[i])

    def write(self, hf_config, value):
        if self.read(hf_config) != value:
            hf_config["no_rope_layers"] = [int(i not in value) for i in range(hf_config["num_hidden_layers"])]


FAMILY = Family(
    name="smollm3",
    base="model.",
    fields=[
        *(field for field in llama.FIELDS if field.ours != "tie_embeddings"),
        Field("tie_embeddings", "tie_word_embeddings", True),
        *llama.BIASES,
        Field("feed_forward_bias", "mlp_bias", False),
        *qwen2.WINDOWS,
        _NoRopeLayers("no_rope_layers", "no_rope_layers"),
    ],
    fixed=llama.FIXED,
    required=llama.REQUIRED,
    buffers=llama.BUFFERS,
    defaults={
        "vocab_size": 128256,
        "hidden_size": 2048,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "rope_theta": 2000000.0,
        "pad_token_id": 128004,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
    },
    backbone=llama.STACK,
    heads=llama.heads("SmolLM3", span_base="transformer."),
)
