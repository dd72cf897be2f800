"""BERT (Devlin et al., 2019; `transformers.models.bert`). MiniLM is of this family."""

from tfllm.checkpoints import Rule, dense, embedding, norm
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head

LAYER = "{base}encoder.layer.{i}."

# Shared with the families that keep BERT's names.
EMBEDDINGS = [
    *embedding("embedding/token", "{base}embeddings.word_embeddings"),
    *embedding("embedding/position", "{base}embeddings.position_embeddings"),
    *embedding("embedding/type", "{base}embeddings.token_type_embeddings"),
    *norm("embedding/norm", "{base}embeddings.LayerNorm"),
]
STACK = [
    *EMBEDDINGS,
    *dense("encoder/block_{i}/attention/query", LAYER + "attention.self.query"),
    *dense("encoder/block_{i}/attention/key", LAYER + "attention.self.key"),
    *dense("encoder/block_{i}/attention/value", LAYER + "attention.self.value"),
    *dense("encoder/block_{i}/attention/output", LAYER + "attention.output.dense"),
    *norm("encoder/block_{i}/attention_norm", LAYER + "attention.output.LayerNorm"),
    *dense("encoder/block_{i}/feed_forward/up", LAYER + "intermediate.dense"),
    *dense("encoder/block_{i}/feed_forward/down", LAYER + "output.dense"),
    *norm("encoder/block_{i}/feed_forward_norm", LAYER + "output.LayerNorm"),
]
POOLER = dense("pooler", "{base}pooler.dense", shared=True)
FIELDS = [
    Field("vocab_size", "vocab_size", 30522),
    Field("hidden_size", "hidden_size", 768),
    Field("num_layers", "num_hidden_layers", 12),
    Field("num_heads", "num_attention_heads", 12),
    Field("intermediate_size", "intermediate_size", 3072),
    Field("activation", "hidden_act", "gelu", ACTIVATIONS),
    Field("dropout", "hidden_dropout_prob", 0.1),
    Field("attention_dropout", "attention_probs_dropout_prob", 0.1),
    Field("classifier_dropout", "classifier_dropout", None),
    Field("max_positions", "max_position_embeddings", 512),
    Field("type_vocab_size", "type_vocab_size", 2),
    Field("initializer_range", "initializer_range", 0.02),
    Field("norm_epsilon", "layer_norm_eps", 1e-12),
    Field("pad_id", "pad_token_id", 0),
    Field("tie_embeddings", "tie_word_embeddings", True),
]
REQUIRED = {
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}
BUFFERS = (r".*embeddings\.position_ids",)
LM_HEAD = [
    *dense("transform", "cls.predictions.transform.dense"),
    *norm("transform_norm", "cls.predictions.transform.LayerNorm"),
    Rule("lm_bias", "cls.predictions.bias"),
    Rule("lm_kernel", "cls.predictions.decoder.weight"),
]

FAMILY = Family(
    name="bert",
    base="bert.",
    fields=FIELDS,
    fixed={"norm_placement": "post", "pooled": "first", "classifier_activation": "tanh"},
    required=REQUIRED,
    buffers=BUFFERS,
    backbone=STACK,
    heads=[
        Head("backbone", ("BertModel",), POOLER),
        Head("classifier", ("BertForSequenceClassification",), [*POOLER, *dense("classifier", "classifier")]),
        Head("token_classifier", ("BertForTokenClassification",), dense("classifier", "classifier")),
        Head("span_predictor", ("BertForQuestionAnswering",), dense("classifier", "qa_outputs")),
        Head("multiple_choice", ("BertForMultipleChoice",), [*POOLER, *dense("classifier", "classifier")]),
        Head(
            "masked_lm",
            ("BertForMaskedLM", "BertForPreTraining"),
            LM_HEAD,
            carried=(r"cls\.seq_relationship\..*", r"bert\.pooler\..*"),
            aliases={
                "cls.predictions.decoder.weight": "embedding/token/embeddings",
                "cls.predictions.decoder.bias": "lm_bias",
            },
        ),
    ],
)
