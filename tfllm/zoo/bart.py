"""BART (Lewis et al., 2020; `transformers.models.bart`). mBART, Marian, M2M100 and Pegasus have its names."""

from collections.abc import Sequence
from typing import Any

from tfllm.checkpoints import ROW, Rule, dense, embedding, norm
from tfllm.zoo.family import ACTIVATIONS, Family, Field, Head

_ATTENTION = (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("output", "out_proj"))
# Tables that their files may repeat.
REPEATED = {
    "{base}encoder.embed_tokens.weight": "embedding/token/embeddings",
    "{base}decoder.embed_tokens.weight": "embedding/token/embeddings",
}


# fairseq's mark in old files.
BUFFERS = (r".*(encoder|decoder)\.version",)


def _stack(side: str) -> list[Rule]:
    layer, ours = "{base}" + side + ".layers.{i}.", side + "/block_{i}/"
    attentions = [("attention", "self_attn")] + ([("cross_attention", "encoder_attn")] if side == "decoder" else [])
    return [
        *(
            rule
            for name, theirs in attentions
            for our, their in _ATTENTION
            for rule in dense(f"{ours}{name}/{our}", f"{layer}{theirs}.{their}")
        ),
        *(rule for name, theirs in attentions for rule in norm(f"{ours}{name}_norm", f"{layer}{theirs}_layer_norm")),
        *dense(ours + "feed_forward/up", layer + "fc1"),
        *dense(ours + "feed_forward/down", layer + "fc2"),
        *norm(ours + "feed_forward_norm", layer + "final_layer_norm"),
        *norm(f"{side}/final_norm", "{base}" + side + ".layer_norm"),
    ]


def stacks(*, fixed_positions: bool = False) -> list[Rule]:
    """The weight table of the backbone; fixed tables of positions may be left out of a file."""
    return [
        *embedding("embedding/token", "{base}shared"),
        *embedding("embedding/position", "{base}encoder.embed_positions", optional=fixed_positions),
        *norm("embedding/norm", "{base}encoder.layernorm_embedding"),
        *embedding("decoder_embedding/position", "{base}decoder.embed_positions", optional=fixed_positions),
        *norm("decoder_embedding/norm", "{base}decoder.layernorm_embedding"),
        *_stack("encoder"),
        *_stack("decoder"),
    ]


def fields(**defaults: Any) -> list[Field]:
    """How a `config.json` of these families reads; `defaults` by the key of theirs."""

    def field(ours: str, theirs: str, default: Any, values=None) -> Field:
        return Field(ours, theirs, defaults.get(theirs, default), values)

    return [
        field("vocab_size", "vocab_size", 50265),
        field("hidden_size", "d_model", 1024),
        field("num_layers", "encoder_layers", 12),
        field("num_decoder_layers", "decoder_layers", 12),
        field("num_heads", "encoder_attention_heads", 16),
        field("decoder_num_heads", "decoder_attention_heads", 16),
        field("intermediate_size", "encoder_ffn_dim", 4096),
        field("decoder_intermediate_size", "decoder_ffn_dim", 4096),
        field("max_positions", "max_position_embeddings", 1024),
        field("activation", "activation_function", "gelu", ACTIVATIONS),
        field("scale_embeddings", "scale_embedding", False),
        field("dropout", "dropout", 0.1),
        field("attention_dropout", "attention_dropout", 0.0),
        field("activation_dropout", "activation_dropout", 0.0),
        field("classifier_dropout", "classifier_dropout", 0.0),
        field("initializer_range", "init_std", 0.02),
        field("pad_id", "pad_token_id", 1),
        field("bos_id", "bos_token_id", 0),
        field("eos_id", "eos_token_id", 2),
        field("decoder_start_id", "decoder_start_token_id", 2),
        field("tie_embeddings", "tie_word_embeddings", True),
    ]


FIXED = {
    "norm_epsilon": 1e-5,
    "norm_placement": "post",
    "lm_head_transform": False,
    "lm_head_bias": True,
    # A buffer to transformers: it is part of the logits and is not trained.
    "lm_head_bias_trainable": False,
    "pooled": "last",
    "classifier_activation": "tanh",
    "classifier_input_dropout": True,
}
LM_HEAD = [Rule("lm_kernel", "lm_head.weight"), Rule("lm_bias", "final_logits_bias", ROW)]


def heads(
    prefix: str,
    lm_head: Sequence[Rule] = LM_HEAD,
    *,
    lm_class: str = "ForConditionalGeneration",
    task_heads: bool = True,
) -> list[Head]:
    """The heads under the class names of `prefix`."""
    classifier = [*dense("pooler", "classification_head.dense"), *dense("classifier", "classification_head.out_proj")]
    lm = Head(
        "seq2seq_lm",
        (prefix + lm_class,),
        lm_head,
        aliases={"lm_head.weight": "embedding/token/embeddings"},
    )
    rest = [
        Head("classifier", (f"{prefix}ForSequenceClassification",), classifier),
        Head("span_predictor", (f"{prefix}ForQuestionAnswering",), dense("classifier", "qa_outputs")),
    ]
    return [lm, Head("backbone", (f"{prefix}Model",)), *(rest if task_heads else [])]


FAMILY = Family(
    name="bart",
    base="model.",
    fields=fields(),
    fixed={**FIXED, "position_offset": 2, "embedding_norm": True},
    backbone=stacks(),
    repeated=REPEATED,
    buffers=BUFFERS,
    heads=heads("Bart"),
)
