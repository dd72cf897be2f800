"""ELECTRA (Clark et al., 2020; `transformers.models.electra`): generator and discriminator."""

from tfllm.checkpoints import Rule, dense, norm
from tfllm.zoo import bert
from tfllm.zoo.family import Family, Field, Head

_OWN = {
    "hidden_size": Field("hidden_size", "hidden_size", 256),
    "num_heads": Field("num_heads", "num_attention_heads", 4),
    "intermediate_size": Field("intermediate_size", "intermediate_size", 1024),
}

FAMILY = Family(
    name="electra",
    base="electra.",
    fields=[
        *(_OWN.get(field.ours, field) for field in bert.FIELDS),
        Field("embedding_size", "embedding_size", 128),
    ],
    fixed={
        "norm_placement": "post",
        "pooled": "first",
        "classifier_activation": "gelu",
        "classifier_input_dropout": True,
        "lm_head_activation": "gelu",
    },
    required={
        **bert.REQUIRED,
        "summary_type": ("first",),
        "summary_use_proj": (True,),
        "summary_activation": ("gelu",),
    },
    buffers=bert.BUFFERS,
    backbone=[*bert.STACK, *dense("embedding/projection", "{base}embeddings_project")],
    heads=[
        Head(
            "discriminator",
            ("ElectraForPreTraining",),
            [
                *dense("transform", "discriminator_predictions.dense"),
                *dense("classifier", "discriminator_predictions.dense_prediction"),
            ],
        ),
        Head("backbone", ("ElectraModel",)),
        Head(
            "classifier",
            ("ElectraForSequenceClassification",),
            [*dense("pooler", "classifier.dense"), *dense("classifier", "classifier.out_proj")],
        ),
        Head("token_classifier", ("ElectraForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("ElectraForQuestionAnswering",), dense("classifier", "qa_outputs")),
        Head(
            "multiple_choice",
            ("ElectraForMultipleChoice",),
            [*dense("pooler", "sequence_summary.summary"), *dense("classifier", "classifier")],
        ),
        Head(
            "masked_lm",
            ("ElectraForMaskedLM",),
            [
                *dense("transform", "generator_predictions.dense"),
                *norm("transform_norm", "generator_predictions.LayerNorm"),
                Rule("lm_bias", "generator_lm_head.bias"),
                Rule("lm_kernel", "generator_lm_head.weight"),
            ],
            aliases={"generator_lm_head.weight": "embedding/token/embeddings"},
        ),
    ],
)
