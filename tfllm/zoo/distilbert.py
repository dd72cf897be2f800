"""DistilBERT (Sanh et al., 2019; `transformers.models.distilbert`)."""

from tfllm.checkpoints import Rule, dense, embedding, norm
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head

_LAYER = "{base}transformer.layer.{i}."

FAMILY = Family(
    name="distilbert",
    base="distilbert.",
    fields=[
        Field("vocab_size", "vocab_size", 30522),
        Field("hidden_size", "dim", 768),
        Field("num_layers", "n_layers", 6),
        Field("num_heads", "n_heads", 12),
        Field("intermediate_size", "hidden_dim", 3072),
        Field("activation", "activation", "gelu", ACTIVATIONS),
        Field("dropout", "dropout", 0.1),
        Field("attention_dropout", "attention_dropout", 0.1),
        Field("classifier_dropout", "seq_classif_dropout", 0.2),
        Field("max_positions", "max_position_embeddings", 512),
        Field("position", "sinusoidal_pos_embds", False, {False: "learned", True: "sinusoidal"}),
        Field("initializer_range", "initializer_range", 0.02),
        Field("pad_id", "pad_token_id", 0),
        Field("tie_embeddings", "tie_word_embeddings", True),
    ],
    fixed={"norm_placement": "post", "norm_epsilon": 1e-12, "pooled": "first", "classifier_activation": "relu"},
    buffers=(r".*embeddings\.position_ids",),
    backbone=[
        *embedding("embedding/token", "{base}embeddings.word_embeddings"),
        *embedding("embedding/position", "{base}embeddings.position_embeddings"),
        *norm("embedding/norm", "{base}embeddings.LayerNorm"),
        *dense("encoder/block_{i}/attention/query", _LAYER + "attention.q_lin"),
        *dense("encoder/block_{i}/attention/key", _LAYER + "attention.k_lin"),
        *dense("encoder/block_{i}/attention/value", _LAYER + "attention.v_lin"),
        *dense("encoder/block_{i}/attention/output", _LAYER + "attention.out_lin"),
        *norm("encoder/block_{i}/attention_norm", _LAYER + "sa_layer_norm"),
        *dense("encoder/block_{i}/feed_forward/up", _LAYER + "ffn.lin1"),
        *dense("encoder/block_{i}/feed_forward/down", _LAYER + "ffn.lin2"),
        *norm("encoder/block_{i}/feed_forward_norm", _LAYER + "output_layer_norm"),
    ],
    heads=[
        Head("backbone", ("DistilBertModel",)),
        Head(
            "classifier",
            ("DistilBertForSequenceClassification",),
            [*dense("pooler", "pre_classifier"), *dense("classifier", "classifier")],
        ),
        Head("token_classifier", ("DistilBertForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("DistilBertForQuestionAnswering",), dense("classifier", "qa_outputs")),
        Head(
            "multiple_choice",
            ("DistilBertForMultipleChoice",),
            [*dense("pooler", "pre_classifier"), *dense("classifier", "classifier")],
        ),
        Head(
            "masked_lm",
            ("DistilBertForMaskedLM",),
            [
                *dense("transform", "vocab_transform"),
                *norm("transform_norm", "vocab_layer_norm"),
                Rule("lm_bias", "vocab_projector.bias"),
                Rule("lm_kernel", "vocab_projector.weight"),
            ],
            aliases={"vocab_projector.weight": "embedding/token/embeddings"},
        ),
    ],
)
