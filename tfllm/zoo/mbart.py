"""mBART (Liu et al., 2020; `transformers.models.mbart`): BART that normalises first, in many languages."""

from tfllm.zoo import bart
from tfllm.zoo.family import Family

FAMILY = Family(
    name="mbart",
    base="model.",
    fields=bart.fields(decoder_start_token_id=None),
    fixed={
        **bart.FIXED,
        "position_offset": 2,
        "embedding_norm": True,
        "norm_placement": "pre",
        "final_norm": True,
    },
    backbone=bart.stacks(),
    repeated=bart.REPEATED,
    buffers=bart.BUFFERS,
    heads=bart.heads("MBart"),
)
