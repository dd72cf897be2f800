"""mT5 (Xue et al., 2021; `transformers.models.mt5`): T5 v1.1 in 101 languages."""

from tfllm.zoo.t5 import t5_like

FAMILY = t5_like(
    "mt5",
    "MT5",
    lm_head_scale=lambda hf_config: 1.0,
    vocab_size=250112,
    num_layers=8,
    num_heads=6,
    d_ff=1024,
    feed_forward_proj="gated-gelu",
)
