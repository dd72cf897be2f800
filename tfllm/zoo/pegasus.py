"""Pegasus (Zhang et al., 2020; `transformers.models.pegasus`)."""

from tfllm.zoo import bart
from tfllm.zoo.family import Family

FAMILY = Family(
    name="pegasus",
    base="model.",
    fields=bart.fields(pad_token_id=0, bos_token_id=None, eos_token_id=1, decoder_start_token_id=0),
    fixed={
        **bart.FIXED,
        "position": "sinusoidal_halves",
        "embedding_norm": False,
        "norm_placement": "pre",
        "final_norm": True,
    },
    backbone=bart.stacks(fixed_positions=True),
    repeated=bart.REPEATED,
    buffers=bart.BUFFERS,
    heads=bart.heads("Pegasus", task_heads=False),
)
