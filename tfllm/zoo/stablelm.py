"""StableLM (Bellagente et al., 2024; `transformers.models.stablelm`): layer norms, partly rotary heads."""

from tfllm.zoo import llama
from tfllm.zoo.family import ACTIVATIONS, Family, Field
from tfllm.zoo.fields import Derived, RopeScaling, RopeTheta, rotary_dim

FAMILY = Family(
    name="stablelm",
    base="model.",
    fields=[
        *(field for field in llama.SIZES if field.ours not in ("vocab_size", "intermediate_size", "max_positions")),
        Field("vocab_size", "vocab_size", 50304),
        Field("intermediate_size", "intermediate_size", 6912),
        Field("max_positions", "max_position_embeddings", 4096),
        Field("activation", "hidden_act", "silu", {"silu": "silu", **ACTIVATIONS}),
        Field("norm_epsilon", "layer_norm_eps", 1e-5),
        RopeTheta(),
        RopeScaling(),
        Derived("rotary_dim", function=rotary_dim(0.25)),
        Field("attention_bias", "use_qkv_bias", False),
        Field("dropout", "hidden_dropout", 0.0),
    ],
    fixed={
        **llama.DECODER,
        "position": "rotary",
        "gated": True,
        "attention_output_bias": False,
        "feed_forward_bias": False,
    },
    required={"qk_layernorm": (False,), "use_parallel_residual": (False,)},
    buffers=llama.BUFFERS,
    defaults={
        "hidden_size": 2560,
        "num_attention_heads": 32,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    backbone=llama.STACK,
    heads=llama.heads("StableLm", without=("span_predictor",)),
)
