"""T5, T5 v1.1 and Flan-T5 (Raffel et al., 2020; `transformers.models.t5`). CodeT5 is of this family, mT5 extends it."""

from collections.abc import Callable, Mapping
from typing import Any

from tfllm.checkpoints import Rule, dense, embedding, norm
from tfllm.zoo.family import Family, Field, Head
from tfllm.zoo.fields import Derived

_ATTENTION = (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o"))
_PROJECTIONS = {
    "relu": ("relu", False),
    "gelu": ("gelu", False),
    "gated-gelu": ("gelu_tanh", True),
    "gated-silu": ("silu", True),
    "gated-relu": ("relu", True),
}


class _Projection(Field):
    """`feed_forward_proj` says both the activation and whether it is of a gate."""

    def read(self, hf_config):
        activation, gated = Field("", "feed_forward_proj", "relu", _PROJECTIONS).read(hf_config)
        return gated if self.ours == "gated" else activation

    def write(self, hf_config, value):
        if "feed_forward_proj" in hf_config and self.read(hf_config) == value:
            return
        wanted = {"gated": self.ours == "gated" and value, "activation": None if self.ours == "gated" else value}
        gated = wanted["gated"] or hf_config.get("feed_forward_proj", "").startswith("gated-")
        activation = wanted["activation"] or _PROJECTIONS[hf_config.get("feed_forward_proj", "relu")][0]
        hf_config["feed_forward_proj"] = next(
            (name for name, meaning in _PROJECTIONS.items() if meaning == (activation, gated)), "relu"
        )


def _scale(hf_config) -> float:
    """The original T5 scales what enters its head; files say so by a key, older ones by tied embeddings."""
    scaled = hf_config.get("scale_decoder_outputs", hf_config.get("tie_word_embeddings", True))
    return hf_config.get("d_model", 512) ** -0.5 if scaled else 1.0


def _stack(side: str) -> list[Rule]:
    block, ours = "{base}" + side + ".block.{i}.layer.", side + "/block_{i}/"
    feed_forward = block + ("1" if side == "encoder" else "2") + "."
    attentions = [("attention", block + "0.", "SelfAttention")]
    if side == "decoder":
        attentions.append(("cross_attention", block + "1.", "EncDecAttention"))
    rules = [
        rule
        for name, layer, theirs in attentions
        for rule in (
            *norm(f"{ours}{name}_norm", layer + "layer_norm"),
            *(rule for our, their in _ATTENTION for rule in dense(f"{ours}{name}/{our}", f"{layer}{theirs}.{their}")),
        )
    ]
    first = "{base}" + side + ".block.0.layer.0.SelfAttention.relative_attention_bias"
    up, inner = ours + "feed_forward/up", feed_forward + "DenseReluDense."
    return [
        *rules,
        *embedding(f"{side}/relative_bias", first),
        *norm(ours + "feed_forward_norm", feed_forward + "layer_norm"),
        *dense(up, inner + "wi", when=lambda config: not config.gated),
        *dense(ours + "feed_forward/gate", inner + "wi_0"),
        *dense(up, inner + "wi_1", when=lambda config: config.gated),
        *dense(ours + "feed_forward/down", inner + "wo"),
        *norm(f"{side}/final_norm", "{base}" + side + ".final_layer_norm"),
    ]


def t5_like(name: str, prefix: str, *, lm_head_scale: Callable[[Mapping[str, Any]], float], **defaults) -> Family:
    """A family with T5's tensors under the class names of `prefix`."""
    repeated = {
        "{base}encoder.embed_tokens.weight": "embedding/token/embeddings",
        "{base}decoder.embed_tokens.weight": "embedding/token/embeddings",
    }
    return Family(
        name=name,
        base="",
        fields=[
            Field("vocab_size", "vocab_size", 32128),
            Field("hidden_size", "d_model", 512),
            Field("head_dim", "d_kv", 64),
            Field("intermediate_size", "d_ff", 2048),
            Field("num_layers", "num_layers", 6),
            Derived("num_decoder_layers", function=lambda c: c.get("num_decoder_layers") or c.get("num_layers", 6)),
            Field("num_heads", "num_heads", 8),
            Field("relative_buckets", "relative_attention_num_buckets", 32),
            Field("relative_max_distance", "relative_attention_max_distance", 128),
            Field("dropout", "dropout_rate", 0.1),
            Field("attention_dropout", "dropout_rate", 0.1),
            Field("activation_dropout", "dropout_rate", 0.1),
            Field("classifier_dropout", "classifier_dropout", 0.0),
            Field("norm_epsilon", "layer_norm_epsilon", 1e-6),
            # In this order: an activation's name depends on whether there is a gate.
            _Projection("gated", "feed_forward_proj"),
            _Projection("activation", "feed_forward_proj"),
            Field("tie_embeddings", "tie_word_embeddings", True),
            Derived("lm_head_scale", function=lm_head_scale),
            Field("pad_id", "pad_token_id", 0),
            Field("eos_id", "eos_token_id", 1),
            Field("decoder_start_id", "decoder_start_token_id", 0),
        ],
        fixed={
            "position": "none",
            "attention_scale": 1.0,
            "attention_bias": False,
            "attention_output_bias": False,
            "feed_forward_bias": False,
            "norm": "rms",
            "norm_placement": "pre",
            "embedding_norm": False,
            "final_norm": True,
            "output_dropout": True,
            "lm_head_bias": False,
            "lm_head_transform": False,
            "pooled": "last",
            "classifier_activation": "tanh",
            "classifier_input_dropout": True,
        },
        backbone=[*embedding("embedding/token", "{base}shared"), *_stack("encoder"), *_stack("decoder")],
        defaults=defaults,
        repeated=repeated,
        # Old files hold a bias by distance in the cross-attention, which nothing reads.
        buffers=(r".*EncDecAttention\.relative_attention_bias\.weight",),
        heads=[
            Head(
                "seq2seq_lm",
                (f"{prefix}ForConditionalGeneration",),
                [Rule("lm_kernel", "lm_head.weight")],
                aliases={"lm_head.weight": "embedding/token/embeddings"},
            ),
            Head("backbone", (f"{prefix}Model",)),
            Head(
                "classifier",
                (f"{prefix}ForSequenceClassification",),
                [
                    *dense("pooler", "classification_head.dense"),
                    *dense("classifier", "classification_head.out_proj"),
                ],
                base="transformer.",
            ),
            Head("span_predictor", (f"{prefix}ForQuestionAnswering",), dense("classifier", "qa_outputs")),
            Head("encoder", (f"{prefix}EncoderModel",), encoder_alone=True),
            Head(
                "token_classifier",
                (f"{prefix}ForTokenClassification",),
                dense("classifier", "classifier"),
                base="transformer.",
                encoder_alone=True,
            ),
        ],
    )


FAMILY = t5_like("t5", "T5", lm_head_scale=_scale)
