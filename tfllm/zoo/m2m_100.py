"""M2M100 and NLLB (Fan et al., 2021; NLLB Team, 2022; `transformers.models.m2m_100`)."""

from tfllm.zoo import bart
from tfllm.zoo.family import Family

FAMILY = Family(
    name="m2m_100",
    base="model.",
    fields=bart.fields(
        vocab_size=128112,
        activation_function="relu",
        scale_embedding=True,
        attention_dropout=0.1,
    ),
    fixed={
        **bart.FIXED,
        "position": "sinusoidal_fairseq",
        "position_offset": 2,
        "embedding_norm": False,
        "norm_placement": "pre",
        "final_norm": True,
        "lm_head_bias": False,
    },
    required={"pad_token_id": (1,)},
    backbone=bart.stacks(),
    repeated=bart.REPEATED,
    # Older files hold the table of positions, which is computed.
    buffers=(*bart.BUFFERS, r".*(encoder|decoder)\.embed_positions\.weights?", r".*embed_positions\._float_tensor"),
    heads=bart.heads("M2M100", bart.LM_HEAD[:1], task_heads=False),
)
