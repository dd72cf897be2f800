"""Qwen 3 with a mixture of experts (Yang et al., 2025; `transformers.models.qwen3_moe`)."""

from tfllm.checkpoints import TRANSPOSE, Rule
from tfllm.zoo import llama, qwen2, qwen3
from tfllm.zoo.family import Family, Field
from tfllm.zoo.fields import Derived

_EXPERTS = llama.LAYER + "mlp."


def _dense_layers(hf_config) -> tuple[int, ...]:
    step, plain = hf_config.get("decoder_sparse_step", 1), hf_config.get("mlp_only_layers") or ()
    return tuple(i for i in range(hf_config["num_hidden_layers"]) if i in plain or (i + 1) % step)


FAMILY = Family(
    name="qwen3_moe",
    base="model.",
    fields=[
        *qwen3.FIELDS,
        qwen2.WINDOWS[0],
        qwen2.WindowedLayers(),
        Field("num_experts", ("num_experts", "num_local_experts"), 128),
        Field("experts_per_token", "num_experts_per_tok", 8),
        Field("expert_intermediate_size", "moe_intermediate_size", 768),
        Field("normalize_experts", "norm_topk_prob", False),
        Derived("dense_layers", function=_dense_layers),
    ],
    fixed=qwen3.FIXED,
    required=llama.REQUIRED,
    buffers=llama.BUFFERS,
    defaults={
        "vocab_size": 151936,
        "num_hidden_layers": 24,
        "max_position_embeddings": 32768,
        "bos_token_id": None,
        "eos_token_id": None,
        "hidden_size": 2048,
        "num_key_value_heads": 4,
        "intermediate_size": 6144,
    },
    backbone=[
        *llama.STACK,
        Rule("decoder/block_{i}/experts/router/kernel", _EXPERTS + "gate.weight", TRANSPOSE),
        Rule("decoder/block_{i}/experts/gate", _EXPERTS + "experts.{e}.gate_proj.weight", TRANSPOSE),
        Rule("decoder/block_{i}/experts/up", _EXPERTS + "experts.{e}.up_proj.weight", TRANSPOSE),
        Rule("decoder/block_{i}/experts/down", _EXPERTS + "experts.{e}.down_proj.weight", TRANSPOSE),
    ],
    heads=llama.heads("Qwen3Moe", span_base="transformer."),
)
