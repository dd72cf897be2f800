"""Mixtral (Jiang et al., 2024; `transformers.models.mixtral`): Mistral with a mixture of experts."""

from tfllm.checkpoints import TRANSPOSE, Rule
from tfllm.zoo import llama, mistral
from tfllm.zoo.family import Family, Field

_EXPERTS = llama.LAYER + "block_sparse_moe."

FAMILY = Family(
    name="mixtral",
    base="model.",
    fields=[
        *mistral.FIELDS,
        Field("num_experts", "num_local_experts", 8),
        Field("experts_per_token", "num_experts_per_tok", 2),
    ],
    fixed={**llama.FIXED, **llama.NO_BIASES, "normalize_experts": True},
    required=llama.REQUIRED,
    buffers=llama.BUFFERS,
    defaults={
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "max_position_embeddings": 131072,
        "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-05,
    },
    backbone=[
        *llama.ENDS,
        *llama.NORMS,
        *llama.ATTENTION,
        Rule("decoder/block_{i}/experts/router/kernel", _EXPERTS + "gate.weight", TRANSPOSE),
        Rule("decoder/block_{i}/experts/gate", _EXPERTS + "experts.{e}.w1.weight", TRANSPOSE),
        Rule("decoder/block_{i}/experts/up", _EXPERTS + "experts.{e}.w3.weight", TRANSPOSE),
        Rule("decoder/block_{i}/experts/down", _EXPERTS + "experts.{e}.w2.weight", TRANSPOSE),
    ],
    heads=llama.heads("Mixtral"),
)
