"""StarCoder 2 (Lozhkov et al., 2024; `transformers.models.starcoder2`): grouped queries, a sliding window, layer norms and biases."""

from tfllm.checkpoints import dense
from tfllm.zoo import llama
from tfllm.zoo.family import ACTIVATIONS, Family, Field
from tfllm.zoo.fields import LocalLayers, RopeScaling, RopeTheta

FAMILY = Family(
    name="starcoder2",
    base="model.",
    fields=[
        *(field for field in llama.SIZES if field.ours != "tie_embeddings"),
        Field("tie_embeddings", "tie_word_embeddings", True),
        Field("activation", "hidden_act", "gelu_pytorch_tanh", {"gelu_pytorch_tanh": "gelu_tanh", **ACTIVATIONS}),
        Field("norm_epsilon", "norm_epsilon", 1e-5),
        RopeTheta(),
        RopeScaling(),
        Field("window", "sliding_window", None),
        LocalLayers(),
        Field("attention_bias", "use_bias", True),
        llama.OneBias("attention_output_bias", "use_bias", True),
        llama.OneBias("feed_forward_bias", "use_bias", True),
        Field("dropout", "residual_dropout", 0.0),
    ],
    fixed={**llama.DECODER, "position": "rotary"},
    required=llama.REQUIRED,
    buffers=llama.BUFFERS,
    defaults={
        "vocab_size": 49152,
        "hidden_size": 3072,
        "num_hidden_layers": 30,
        "num_attention_heads": 24,
        "num_key_value_heads": 2,
        "intermediate_size": 12288,
        "max_position_embeddings": 4096,
        "initializer_range": 0.018042,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
    },
    backbone=[
        *llama.ENDS,
        *llama.NORMS,
        *llama.ATTENTION,
        *dense("decoder/block_{i}/feed_forward/up", llama.LAYER + "mlp.c_fc"),
        *dense("decoder/block_{i}/feed_forward/down", llama.LAYER + "mlp.c_proj"),
    ],
    heads=llama.heads("Starcoder2", without=("span_predictor",)),
)
