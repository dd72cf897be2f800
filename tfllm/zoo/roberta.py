"""RoBERTa (Liu et al., 2019; `transformers.models.roberta`). CodeBERT and GraphCodeBERT are of this family, XLM-RoBERTa extends it."""

from tfllm.checkpoints import Rule, dense, norm
from tfllm.zoo import bert
from tfllm.zoo.family import Family, Field, Head

# The position table counts from pad_token_id + 1, so it has that many rows more than there are positions.
OFFSET = 2
_OWN = {"vocab_size": 50265, "max_positions": 512, "pad_id": 1}


# MPNet's language-model head has the same names.
LM_HEAD = [
    *dense("transform", "lm_head.dense"),
    *norm("transform_norm", "lm_head.layer_norm"),
    Rule("lm_bias", "lm_head.bias"),
    Rule("lm_kernel", "lm_head.decoder.weight"),
]


class PositionRows(Field):
    """`max_position_embeddings` counts the rows of the table, two more than the positions."""

    def read(self, hf_config):
        return super().read(hf_config) - OFFSET

    def write(self, hf_config, value):
        hf_config["max_position_embeddings"] = value + OFFSET


def roberta_like(name: str, prefix: str, **defaults) -> Family:
    """A family with RoBERTa's tensors under the class names of `prefix`."""
    return Family(
        name=name,
        base="roberta.",
        fields=[
            *(field for field in bert.FIELDS if field.ours not in _OWN),
            Field("vocab_size", "vocab_size", 50265),
            Field("pad_id", "pad_token_id", 1),
            Field("bos_id", "bos_token_id", 0),
            Field("eos_id", "eos_token_id", 2),
            PositionRows("max_positions", "max_position_embeddings", 512),
        ],
        fixed={
            "norm_placement": "post",
            "position_offset": OFFSET,
            "pooled": "first",
            "classifier_activation": "tanh",
            "classifier_input_dropout": True,
            "lm_head_activation": "gelu",
        },
        required={**bert.REQUIRED, "pad_token_id": (1,)},
        defaults=defaults,
        buffers=bert.BUFFERS,
        backbone=bert.STACK,
        heads=[
            Head("backbone", (f"{prefix}Model",), bert.POOLER),
            Head(
                "classifier",
                (f"{prefix}ForSequenceClassification",),
                [*dense("pooler", "classifier.dense"), *dense("classifier", "classifier.out_proj")],
            ),
            Head("token_classifier", (f"{prefix}ForTokenClassification",), dense("classifier", "classifier")),
            Head("span_predictor", (f"{prefix}ForQuestionAnswering",), dense("classifier", "qa_outputs")),
            Head(
                "multiple_choice",
                (f"{prefix}ForMultipleChoice",),
                [*bert.POOLER, *dense("classifier", "classifier")],
            ),
            Head(
                "masked_lm",
                (f"{prefix}ForMaskedLM",),
                LM_HEAD,
                carried=(r"roberta\.pooler\..*",),
                aliases={"lm_head.decoder.weight": "embedding/token/embeddings", "lm_head.decoder.bias": "lm_bias"},
            ),
        ],
    )


FAMILY = roberta_like("roberta", "Roberta")
