"""Marian, the opus-mt models (Tiedemann and Thottingal, 2020; `transformers.models.marian`)."""

from tfllm.zoo import bart
from tfllm.zoo.family import Family

FAMILY = Family(
    name="marian",
    base="model.",
    fields=bart.fields(
        vocab_size=58101,
        pad_token_id=58100,
        bos_token_id=None,
        eos_token_id=0,
        decoder_start_token_id=58100,
    ),
    fixed={**bart.FIXED, "position": "sinusoidal_halves", "embedding_norm": False},
    # Two vocabularies would need a second table.
    required={
        "share_encoder_decoder_embeddings": (True,),
        "normalize_before": (False,),
        "normalize_embedding": (False,),
    },
    backbone=bart.stacks(fixed_positions=True),
    repeated=bart.REPEATED,
    buffers=bart.BUFFERS,
    heads=bart.heads("Marian", lm_class="MTModel", task_heads=False),
)
