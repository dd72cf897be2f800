"""DeBERTa v2 and v3 (He et al., 2021 and 2023; `transformers.models.deberta_v2`): disentangled attention."""

from tfllm.checkpoints import Rule, dense, embedding, norm
from tfllm.zoo import bert
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head
from tfllm.zoo.fields import Derived

_LAYER = "{base}encoder.layer.{i}."
_OWN = {
    "vocab_size": Field("vocab_size", "vocab_size", 128100),
    "hidden_size": Field("hidden_size", "hidden_size", 1536),
    "num_layers": Field("num_layers", "num_hidden_layers", 24),
    "num_heads": Field("num_heads", "num_attention_heads", 24),
    "intermediate_size": Field("intermediate_size", "intermediate_size", 6144),
    "type_vocab_size": Field("type_vocab_size", "type_vocab_size", 0),
    "norm_epsilon": Field("norm_epsilon", "layer_norm_eps", 1e-7),
    "classifier_dropout": Field("classifier_dropout", "cls_dropout", None),
}


class _Terms(Field):
    """`pos_att_type`: a list, or its members between bars."""

    def read(self, hf_config):
        value = hf_config.get("pos_att_type") or ()
        return tuple(value.lower().split("|")) if isinstance(value, str) else tuple(value)

    def write(self, hf_config, value):
        hf_config["relative_attention"] = True
        hf_config["pos_att_type"] = list(value)


def _max_distance(hf_config) -> int:
    given = hf_config.get("max_relative_positions", -1)
    return given if given >= 1 else hf_config.get("max_position_embeddings", 512)


FAMILY = Family(
    name="deberta-v2",
    base="deberta.",
    fields=[
        *(_OWN.get(field.ours, field) for field in bert.FIELDS),
        Field("position", "position_biased_input", True, {True: "learned", False: "none"}),
        _Terms("disentangled", "pos_att_type"),
        Field("position_buckets", "position_buckets", -1),
        Derived("max_relative_positions", function=_max_distance),
        Field("share_position_key", "share_att_key", False),
        Field("relative_norm", "norm_rel_ebd", "none", {"none": False, "layer_norm": True}),
        Derived("embedding_size", function=lambda c: c.get("embedding_size") or c.get("hidden_size", 1536)),
        Field("classifier_activation", "pooler_hidden_act", "gelu", ACTIVATIONS),
    ],
    fixed={
        "norm_placement": "post",
        "embedding_projection_bias": False,
        "embedding_norm_after_projection": True,
        "pooled": "first",
        "classifier_input_dropout": True,
    },
    required={
        "relative_attention": (True,),
        "conv_kernel_size": (0, None),
        "attention_head_size": (None,),
        "pooler_dropout": (0, 0.0),
        "legacy": (True,),
    },
    buffers=bert.BUFFERS,
    defaults={
        "relative_attention": False,
    },
    backbone=[
        *bert.EMBEDDINGS,
        *dense("embedding/projection", "{base}embeddings.embed_proj"),
        *embedding("encoder/distance", "{base}encoder.rel_embeddings"),
        *norm("encoder/distance_norm", "{base}encoder.LayerNorm"),
        *dense("encoder/block_{i}/attention/query", _LAYER + "attention.self.query_proj"),
        *dense("encoder/block_{i}/attention/key", _LAYER + "attention.self.key_proj"),
        *dense("encoder/block_{i}/attention/value", _LAYER + "attention.self.value_proj"),
        *dense("encoder/block_{i}/attention/position_key", _LAYER + "attention.self.pos_key_proj"),
        *dense("encoder/block_{i}/attention/position_query", _LAYER + "attention.self.pos_query_proj"),
        *dense("encoder/block_{i}/attention/output", _LAYER + "attention.output.dense"),
        *norm("encoder/block_{i}/attention_norm", _LAYER + "attention.output.LayerNorm"),
        *dense("encoder/block_{i}/feed_forward/up", _LAYER + "intermediate.dense"),
        *dense("encoder/block_{i}/feed_forward/down", _LAYER + "output.dense"),
        *norm("encoder/block_{i}/feed_forward_norm", _LAYER + "output.LayerNorm"),
    ],
    heads=[
        Head("backbone", ("DebertaV2Model",)),
        Head(
            "classifier",
            ("DebertaV2ForSequenceClassification",),
            [*dense("pooler", "pooler.dense", shared=True), *dense("classifier", "classifier")],
        ),
        Head("token_classifier", ("DebertaV2ForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("DebertaV2ForQuestionAnswering",), dense("classifier", "qa_outputs")),
        Head(
            "multiple_choice",
            ("DebertaV2ForMultipleChoice",),
            [*dense("pooler", "pooler.dense", shared=True), *dense("classifier", "classifier")],
        ),
        Head(
            "masked_lm",
            ("DebertaV2ForMaskedLM",),
            [
                *dense("transform", "cls.predictions.transform.dense"),
                *norm("transform_norm", "cls.predictions.transform.LayerNorm"),
                Rule("lm_bias", "cls.predictions.bias"),
                Rule("lm_kernel", "cls.predictions.decoder.weight"),
            ],
            # DeBERTa v3 files hold the heads of both kinds of pretraining.
            carried=(r"lm_predictions\..*", r"mask_predictions\..*", r"deberta\.embeddings\.position_embeddings\..*"),
            aliases={
                "cls.predictions.decoder.weight": "embedding/token/embeddings",
                "cls.predictions.decoder.bias": "lm_bias",
            },
        ),
    ],
)
