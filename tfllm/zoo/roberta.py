"""RoBERTa (Liu et al., 2019; `transformers.models.roberta`). CodeBERT and GraphCodeBERT are of this family."""

from tfllm.checkpoints import Rule, dense, norm
from tfllm.zoo import bert
from tfllm.zoo.family import Family, Field, Head

# The position table counts from pad_token_id + 1, so it has that many rows more than there are positions.
_OFFSET = 2
_OWN = {"vocab_size": 50265, "max_positions": 512, "pad_id": 1}


class _PositionRows(Field):
    """`max_position_embeddings` counts the rows of the table, two more than the positions."""

    def read(self, hf_config):
        return super().read(hf_config) - _OFFSET

    def write(self, hf_config, value):
        hf_config["max_position_embeddings"] = value + _OFFSET


FAMILY = Family(
    name="roberta",
    base="roberta.",
    fields=[
        *(field for field in bert.FIELDS if field.ours not in _OWN),
        Field("vocab_size", "vocab_size", 50265),
        Field("pad_id", "pad_token_id", 1),
        Field("bos_id", "bos_token_id", 0),
        Field("eos_id", "eos_token_id", 2),
        _PositionRows("max_positions", "max_position_embeddings", 514),
    ],
    fixed={"norm_placement": "post", "position_offset": _OFFSET, "pooled": "first", "classifier_activation": "tanh"},
    required={**bert.REQUIRED, "pad_token_id": (1,)},
    buffers=bert.BUFFERS,
    backbone=bert.STACK,
    heads=[
        Head("backbone", ("RobertaModel",), bert.POOLER),
        Head(
            "classifier",
            ("RobertaForSequenceClassification",),
            [*dense("pooler", "classifier.dense"), *dense("classifier", "classifier.out_proj")],
        ),
        Head("token_classifier", ("RobertaForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("RobertaForQuestionAnswering",), dense("classifier", "qa_outputs")),
        Head(
            "masked_lm",
            ("RobertaForMaskedLM",),
            [
                *dense("transform", "lm_head.dense"),
                *norm("transform_norm", "lm_head.layer_norm"),
                Rule("lm_bias", "lm_head.bias"),
                Rule("lm_kernel", "lm_head.decoder.weight"),
            ],
            carried=(r"roberta\.pooler\..*",),
            aliases={"lm_head.decoder.weight": "embedding/token/embeddings", "lm_head.decoder.bias": "lm_bias"},
        ),
    ],
)
