"""Phi-3 and Phi-3.5 (Abdin et al., 2024; `transformers.models.phi3`): Llama with fused projections."""

from tfllm.checkpoints import SplitRows, dense, fused, gate_up_widths, qkv_widths
from tfllm.zoo import llama, mistral
from tfllm.zoo.family import Family, Field
from tfllm.zoo.fields import Derived, rotary_dim

_QKV = [f"decoder/block_{{i}}/attention/{part}" for part in ("query", "key", "value")]
_GATE_UP = [f"decoder/block_{{i}}/feed_forward/{part}" for part in ("gate", "up")]


FAMILY = Family(
    name="phi3",
    base="model.",
    fields=[*mistral.FIELDS, Derived("rotary_dim", function=rotary_dim(1.0)), Field("dropout", "resid_pdrop", 0.0)],
    fixed={key: value for key, value in {**llama.FIXED, **llama.NO_BIASES}.items() if key != "dropout"},
    buffers=llama.BUFFERS,
    defaults={
        "vocab_size": 32064,
        "hidden_size": 3072,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 8192,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "pad_token_id": 32000,
        "eos_token_id": 32000,
    },
    backbone=[
        *llama.ENDS,
        *llama.NORMS,
        *fused(_QKV, llama.LAYER + "self_attn.qkv_proj", SplitRows(qkv_widths)),
        *dense("decoder/block_{i}/attention/output", llama.LAYER + "self_attn.o_proj"),
        *fused(_GATE_UP, llama.LAYER + "mlp.gate_up_proj", SplitRows(gate_up_widths)),
        *dense("decoder/block_{i}/feed_forward/down", llama.LAYER + "mlp.down_proj"),
    ],
    heads=llama.heads("Phi3", without=("span_predictor",)),
)
