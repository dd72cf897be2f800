"""MPNet (Song et al., 2020; `transformers.models.mpnet`): learned positions and a bias by distance."""

from tfllm.checkpoints import dense, embedding, norm
from tfllm.zoo import bert, roberta
from tfllm.zoo.family import Family, Field, Head

_LAYER = "{base}encoder.layer.{i}."
_OWN = {
    "vocab_size": Field("vocab_size", "vocab_size", 30527),
    "max_positions": roberta.PositionRows("max_positions", "max_position_embeddings", 512),
    "pad_id": Field("pad_id", "pad_token_id", 1),
}

FAMILY = Family(
    name="mpnet",
    base="mpnet.",
    fields=[
        *(_OWN.get(field.ours, field) for field in bert.FIELDS if field.ours != "type_vocab_size"),
        Field("bos_id", "bos_token_id", 0),
        Field("eos_id", "eos_token_id", 2),
        Field("relative_buckets", "relative_attention_num_buckets", 32),
    ],
    fixed={
        "norm_placement": "post",
        "position_offset": roberta.OFFSET,
        "relative_max_distance": 128,
        "pooled": "first",
        "classifier_activation": "tanh",
        "classifier_input_dropout": True,
        "lm_head_activation": "gelu",
    },
    required={"pad_token_id": (1,)},
    buffers=bert.BUFFERS,
    backbone=[
        *bert.EMBEDDINGS,
        *embedding("encoder/relative_bias", "{base}encoder.relative_attention_bias"),
        *dense("encoder/block_{i}/attention/query", _LAYER + "attention.attn.q"),
        *dense("encoder/block_{i}/attention/key", _LAYER + "attention.attn.k"),
        *dense("encoder/block_{i}/attention/value", _LAYER + "attention.attn.v"),
        *dense("encoder/block_{i}/attention/output", _LAYER + "attention.attn.o"),
        *norm("encoder/block_{i}/attention_norm", _LAYER + "attention.LayerNorm"),
        *dense("encoder/block_{i}/feed_forward/up", _LAYER + "intermediate.dense"),
        *dense("encoder/block_{i}/feed_forward/down", _LAYER + "output.dense"),
        *norm("encoder/block_{i}/feed_forward_norm", _LAYER + "output.LayerNorm"),
    ],
    heads=[
        Head("backbone", ("MPNetModel",), bert.POOLER),
        Head(
            "classifier",
            ("MPNetForSequenceClassification",),
            [*dense("pooler", "classifier.dense"), *dense("classifier", "classifier.out_proj")],
        ),
        Head("token_classifier", ("MPNetForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("MPNetForQuestionAnswering",), dense("classifier", "qa_outputs")),
        Head("multiple_choice", ("MPNetForMultipleChoice",), [*bert.POOLER, *dense("classifier", "classifier")]),
        Head(
            "masked_lm",
            ("MPNetForMaskedLM",),
            roberta.LM_HEAD,
            carried=(r"mpnet\.pooler\..*",),
            aliases={"lm_head.decoder.weight": "embedding/token/embeddings", "lm_head.decoder.bias": "lm_bias"},
        ),
    ],
)
