"""ALBERT (Lan et al., 2020; `transformers.models.albert`): layers share one block, and the embeddings are narrower than it."""

from tfllm.checkpoints import Rule, dense, norm
from tfllm.zoo import bert
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head

_GROUP = "{base}encoder.albert_layer_groups.{i}.albert_layers.0."
_OWN = {
    "vocab_size": Field("vocab_size", "vocab_size", 30000),
    "hidden_size": Field("hidden_size", "hidden_size", 4096),
    "num_heads": Field("num_heads", "num_attention_heads", 64),
    "intermediate_size": Field("intermediate_size", "intermediate_size", 16384),
    "activation": Field("activation", "hidden_act", "gelu_new", {"gelu_new": "gelu_tanh", **ACTIVATIONS}),
    "dropout": Field("dropout", "hidden_dropout_prob", 0.0),
    "attention_dropout": Field("attention_dropout", "attention_probs_dropout_prob", 0.0),
    "classifier_dropout": Field("classifier_dropout", "classifier_dropout_prob", 0.1),
}

FAMILY = Family(
    name="albert",
    base="albert.",
    fields=[
        *(_OWN.get(field.ours, field) for field in bert.FIELDS),
        Field("embedding_size", "embedding_size", 128),
        Field("num_layer_groups", "num_hidden_groups", 1),
        Field("bos_id", "bos_token_id", 2),
        Field("eos_id", "eos_token_id", 3),
    ],
    fixed={"norm_placement": "post", "pooled": "first", "classifier_activation": "tanh"},
    required={"position_embedding_type": ("absolute", None), "inner_group_num": (1,)},
    buffers=bert.BUFFERS,
    backbone=[
        *bert.EMBEDDINGS,
        *dense("embedding/projection", "{base}encoder.embedding_hidden_mapping_in"),
        *dense("encoder/block_{i}/attention/query", _GROUP + "attention.query"),
        *dense("encoder/block_{i}/attention/key", _GROUP + "attention.key"),
        *dense("encoder/block_{i}/attention/value", _GROUP + "attention.value"),
        *dense("encoder/block_{i}/attention/output", _GROUP + "attention.dense"),
        *norm("encoder/block_{i}/attention_norm", _GROUP + "attention.LayerNorm"),
        *dense("encoder/block_{i}/feed_forward/up", _GROUP + "ffn"),
        *dense("encoder/block_{i}/feed_forward/down", _GROUP + "ffn_output"),
        *norm("encoder/block_{i}/feed_forward_norm", _GROUP + "full_layer_layer_norm"),
    ],
    heads=[
        Head("backbone", ("AlbertModel",), dense("pooler", "{base}pooler", shared=True)),
        Head(
            "classifier",
            ("AlbertForSequenceClassification",),
            [*dense("pooler", "{base}pooler", shared=True), *dense("classifier", "classifier")],
        ),
        Head("token_classifier", ("AlbertForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("AlbertForQuestionAnswering",), dense("classifier", "qa_outputs")),
        Head(
            "multiple_choice",
            ("AlbertForMultipleChoice",),
            [*dense("pooler", "{base}pooler", shared=True), *dense("classifier", "classifier")],
        ),
        Head(
            "masked_lm",
            ("AlbertForMaskedLM", "AlbertForPreTraining"),
            [
                *dense("transform", "predictions.dense"),
                *norm("transform_norm", "predictions.LayerNorm"),
                Rule("lm_bias", "predictions.bias"),
                Rule("lm_kernel", "predictions.decoder.weight"),
            ],
            carried=(r"sop_classifier\..*", r"albert\.pooler\..*"),
            aliases={
                "predictions.decoder.weight": "embedding/token/embeddings",
                "predictions.decoder.bias": "lm_bias",
            },
        ),
    ],
)
