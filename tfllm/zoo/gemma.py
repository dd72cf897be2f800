"""Gemma 1 (Gemma Team, 2024; `transformers.models.gemma`): scaled embeddings, norms by `1 + scale`."""

from tfllm.zoo import llama
from tfllm.zoo.family import ACTIVATIONS, Family, Field

_ACTIVATIONS = {"gelu_pytorch_tanh": "gelu_tanh", **ACTIVATIONS}


class _Activation(Field):
    """Gemma's first files say `gelu` in `hidden_act` and mean the tanh form, unless `hidden_activation` says otherwise."""

    def read(self, hf_config):
        value = super().read({key: hf_config[key] for key in self.keys if hf_config.get(key) is not None})
        return "gelu_tanh" if value == "gelu" and not hf_config.get("hidden_activation") else value


FIELDS = [
    *(field for field in llama.FIELDS if field.ours not in ("head_dim", "activation", "tie_embeddings")),
    Field("head_dim", "head_dim", 256),
    _Activation("activation", ("hidden_activation", "hidden_act"), "gelu_pytorch_tanh", _ACTIVATIONS),
    Field("tie_embeddings", "tie_word_embeddings", True),
    *llama.BIASES,
]
FIXED = {**llama.FIXED, "feed_forward_bias": False, "norm_unit_offset": True, "scale_embeddings": True}

FAMILY = Family(
    name="gemma",
    base="model.",
    fields=FIELDS,
    fixed=FIXED,
    required={**llama.REQUIRED, "use_bidirectional_attention": (False, None)},
    buffers=llama.BUFFERS,
    defaults={
        "vocab_size": 256000,
        "hidden_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "intermediate_size": 24576,
        "max_position_embeddings": 8192,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 1,
    },
    backbone=llama.STACK,
    heads=llama.heads("Gemma", without=("span_predictor",)),
)
