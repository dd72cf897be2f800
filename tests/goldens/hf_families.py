"""Every family of the zoo as transformers spells it: class names, heads, and a toy's config in the family's own words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a toy measures. The defaults are the goldens'."""

    hidden: int = 24
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 21
    vocab: int = 53
    positions: int = 32
    batch: int = 2
    length: int = 11
    real_tokens: int = 7  # of the last row; the others are full
    target_length: int = 9  # of an encoder-decoder's target
    real_target_tokens: int = 5


# Head -> the class's name in transformers after the family's prefix. A regression is a classifier of one label.
HEADS = {
    "backbone": "Model",
    "encoder": "EncoderModel",
    "masked_lm": "ForMaskedLM",
    "causal_lm": "ForCausalLM",
    "seq2seq_lm": "ForConditionalGeneration",
    "discriminator": "ForPreTraining",
    "pretraining": "ForPreTraining",
    "classifier": "ForSequenceClassification",
    "regression": "ForSequenceClassification",
    "token_classifier": "ForTokenClassification",
    "span_predictor": "ForQuestionAnswering",
    "multiple_choice": "ForMultipleChoice",
}
_LABELLED = ("classifier", "regression", "token_classifier", "span_predictor")
_ENCODER = ("backbone", "masked_lm", *_LABELLED, "multiple_choice")
_DECODER = ("backbone", "causal_lm", *_LABELLED)
_DECODER_NO_SPAN = ("backbone", "causal_lm", "classifier", "regression", "token_classifier")
_SEQ2SEQ = ("backbone", "seq2seq_lm")
_SEQ2SEQ_LABELLED = (*_SEQ2SEQ, "classifier", "regression", "span_predictor")
_T5 = (*_SEQ2SEQ_LABELLED, "encoder", "token_classifier")


@dataclasses.dataclass(frozen=True)
class HFFamily:
    """A family's table entry.

    Args:
        prefix: of its class names.
        heads: keys of `HEADS` for which transformers has a class.
        config: sizes to the arguments of its config class.
        pad_id: its padding token; counted from the vocabulary's end if negative.
        classes: names that do not follow from prefix and head (`"config"` for the config class).
        variants: name of a variant to `(head, overrides of the config)`; these may be a function of the sizes.
    """

    prefix: str
    heads: tuple[str, ...]
    config: Callable[[Sizes], dict[str, Any]]
    pad_id: int = 0
    classes: dict[str, str] = dataclasses.field(default_factory=dict)
    variants: dict[str, tuple[str, dict[str, Any] | Callable[[Sizes], dict[str, Any]]]] = dataclasses.field(
        default_factory=dict
    )

    def class_name(self, head: str) -> str:
        return self.classes.get(head, self.prefix + ("Config" if head == "config" else HEADS[head]))


def _common(s: Sizes) -> dict[str, Any]:
    return {
        "hidden_size": s.hidden,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "intermediate_size": s.intermediate,
        "max_position_embeddings": s.positions,
    }


def _roberta(s: Sizes) -> dict[str, Any]:
    # RoBERTa numbers its positions from pad_token_id + 1, so its table is two rows longer.
    return {
        **_common(s),
        "max_position_embeddings": s.positions + 2,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


def _llama(s: Sizes) -> dict[str, Any]:
    return {**_common(s), "num_key_value_heads": s.kv_heads, "bos_token_id": 1, "eos_token_id": 2}


def _gemma(s: Sizes) -> dict[str, Any]:
    return {**_llama(s), "head_dim": 12}


def _bart(s: Sizes) -> dict[str, Any]:
    return {
        "d_model": s.hidden,
        "encoder_layers": s.layers,
        "decoder_layers": s.layers,
        "encoder_attention_heads": s.heads,
        "decoder_attention_heads": s.heads,
        "encoder_ffn_dim": s.intermediate,
        "decoder_ffn_dim": s.intermediate,
        "max_position_embeddings": s.positions,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
    }


def _t5(s: Sizes) -> dict[str, Any]:
    return {
        "d_model": s.hidden,
        "d_kv": 7,
        "d_ff": s.intermediate,
        "num_layers": s.layers,
        "num_decoder_layers": s.layers,
        "num_heads": s.heads,
        # Few buckets and a small largest distance: all kinds of distances occur.
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 10,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }


def _rope(kind: str, theta: float = 10000.0, **numbers: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **numbers}}


LLAMA3_ROPE = _rope(
    "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16
)
_YARN = _rope("yarn", factor=4.0, original_max_position_embeddings=16)


def _longrope(original: int) -> Callable[[Sizes], dict[str, Any]]:
    def overrides(s: Sizes) -> dict[str, Any]:
        frequencies = range(s.hidden // s.heads // 2)
        factors = {"short_factor": [1.0 + 0.1 * i for i in frequencies], "long_factor": [1.5 + i for i in frequencies]}
        return {**_rope("longrope", **factors), "original_max_position_embeddings": original}

    return overrides


def _partial_rotary(s: Sizes) -> dict[str, Any]:
    # An even number of dimensions in each of the toys' sizes.
    share = 0.5 if s.hidden // s.heads % 4 == 0 else 0.75
    return {**_rope("default", partial_rotary_factor=share), **_TIED, **_WINDOWS}


_DEBERTA_V3 = {
    "relative_attention": True,
    "position_buckets": 4,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "max_relative_positions": -1,
    "type_vocab_size": 0,
}
_WINDOWS = {"sliding_window": 4}
_UNTIED, _TIED = {"tie_word_embeddings": False}, {"tie_word_embeddings": True}

FAMILIES: dict[str, HFFamily] = {
    # Encoders
    "bert": HFFamily(
        "Bert",
        (*_ENCODER, "pretraining"),
        lambda s: {**_common(s), "type_vocab_size": 2},
        variants={
            # An epsilon this large shows whether it is read.
            "gelu_new": ("masked_lm", {"hidden_act": "gelu_new", "layer_norm_eps": 1e-2}),
        },
    ),
    "roberta": HFFamily("Roberta", _ENCODER, _roberta, pad_id=1),
    "xlm-roberta": HFFamily("XLMRoberta", _ENCODER, _roberta, pad_id=1),
    "distilbert": HFFamily(
        "DistilBert",
        _ENCODER,
        lambda s: {
            "dim": s.hidden,
            "n_layers": s.layers,
            "n_heads": s.heads,
            "hidden_dim": s.intermediate,
            "max_position_embeddings": s.positions,
        },
        variants={"sinusoidal": ("masked_lm", {"sinusoidal_pos_embds": True})},
    ),
    "albert": HFFamily(
        "Albert",
        (*_ENCODER, "pretraining"),
        lambda s: {**_common(s), "embedding_size": 20, "type_vocab_size": 2},
        variants={
            "groups": ("masked_lm", {"num_hidden_groups": 2, "num_hidden_layers": 4}),
            "relu": ("masked_lm", {"hidden_act": "relu", "layer_norm_eps": 1e-2}),
        },
    ),
    "electra": HFFamily(
        "Electra",
        (*_ENCODER, "discriminator"),
        lambda s: {**_common(s), "embedding_size": 20, "type_vocab_size": 2},
        variants={
            "same_width": ("discriminator", lambda s: {"embedding_size": s.hidden}),
            "same_width_lm": ("masked_lm", lambda s: {"embedding_size": s.hidden}),
        },
    ),
    "mpnet": HFFamily(
        "MPNet",
        _ENCODER,
        lambda s: {
            **_common(s),
            "max_position_embeddings": s.positions + 2,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        pad_id=1,
    ),
    "deberta-v2": HFFamily(
        "DebertaV2",
        _ENCODER,
        lambda s: {**_common(s), **_DEBERTA_V3, "pooler_hidden_size": s.hidden},
        variants={
            "v2": (
                "masked_lm",
                {"position_buckets": -1, "share_att_key": False, "norm_rel_ebd": "none", "max_relative_positions": 8},
            ),
            "c2p": ("masked_lm", {"pos_att_type": ["c2p"], "share_att_key": False}),
            "p2c": ("masked_lm", {"pos_att_type": "p2c", "position_buckets": 6}),
            "positions_and_types": ("backbone", {"position_biased_input": True, "type_vocab_size": 2}),
            "embedding_size": ("backbone", {"embedding_size": 20}),
            "relu_pooler": ("classifier", {"pooler_hidden_act": "relu"}),
        },
    ),
    "modernbert": HFFamily(
        "ModernBert",
        _ENCODER,
        lambda s: {
            **_common(s),
            "global_attn_every_n_layers": 2,
            "local_attention": 6,
            "bos_token_id": 1,
            "cls_token_id": 1,
            "eos_token_id": 2,
            "sep_token_id": 2,
        },
        variants={
            "mean": ("classifier", {"classifier_pooling": "mean"}),
            "mean_choice": ("multiple_choice", {"classifier_pooling": "mean"}),
            "biases": (
                "masked_lm",
                {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "decoder_bias": False},
            ),
            "classifier_biases": ("classifier", {"classifier_bias": True, "norm_bias": True, "norm_eps": 1e-2}),
            "untied": ("masked_lm", _UNTIED),
            "activations": (
                "masked_lm",
                {"hidden_activation": "silu", "classifier_activation": "relu", "norm_eps": 1e-2},
            ),
        },
    ),
    # Decoders
    "gpt2": HFFamily(
        "GPT2",
        _DECODER,
        lambda s: {
            "n_embd": s.hidden,
            "n_layer": s.layers,
            "n_head": s.heads,
            "n_inner": s.intermediate,
            "n_positions": s.positions,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        classes={"causal_lm": "GPT2LMHeadModel"},
        variants={
            "n_inner": ("backbone", {"n_inner": None}),  # None: 4 x hidden
            "epsilon": ("causal_lm", {"layer_norm_epsilon": 1e-2}),
            "relu_untied": ("causal_lm", {"activation_function": "relu", **_UNTIED}),
        },
    ),
    "opt": HFFamily(
        "OPT",
        ("backbone", "causal_lm", "classifier", "regression", "span_predictor"),
        lambda s: {
            "hidden_size": s.hidden,
            "num_hidden_layers": s.layers,
            "num_attention_heads": s.heads,
            "ffn_dim": s.intermediate,
            "max_position_embeddings": s.positions,
            "word_embed_proj_dim": s.hidden,
            "bos_token_id": 2,
            "eos_token_id": 2,
        },
        pad_id=1,
        variants={
            "post_norm": ("causal_lm", {"do_layer_norm_before": False, "word_embed_proj_dim": 20}),
            "projected": ("causal_lm", {"word_embed_proj_dim": 20}),
            "projected_backbone": ("backbone", {"word_embed_proj_dim": 20, "do_layer_norm_before": False}),
            "projected_classifier": ("classifier", {"word_embed_proj_dim": 20, "do_layer_norm_before": False}),
            "no_final_norm": ("causal_lm", {"_remove_final_layer_norm": True}),
            "no_bias": ("causal_lm", {"enable_bias": False, "activation_function": "gelu"}),
            "untied": ("causal_lm", _UNTIED),
        },
    ),
    "gpt_neox": HFFamily(
        "GPTNeoX",
        _DECODER,
        # Heads of 8, of which a quarter rotates.
        lambda s: {**_common(s), "hidden_size": 8 * s.heads, "bos_token_id": 1, "eos_token_id": 2},
        variants={
            "sequential": ("causal_lm", {"use_parallel_residual": False}),
            "whole_rotary": (
                "causal_lm",
                {"rope_parameters": {"rope_type": "default", "rope_theta": 5e3, "partial_rotary_factor": 1.0}},
            ),
            "half_rotary": (
                "causal_lm",
                {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
            ),
            "tied": ("causal_lm", _TIED),
            "no_bias": ("causal_lm", {"attention_bias": False, "hidden_act": "gelu_new", "layer_norm_eps": 1e-2}),
        },
    ),
    "bloom": HFFamily(
        "Bloom",
        _DECODER,
        lambda s: {
            "hidden_size": s.hidden,
            "n_layer": s.layers,
            "n_head": s.heads,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        pad_id=3,
        variants={
            # ALiBi's slopes are another series where the number of heads is no power of 2.
            "three_heads": ("causal_lm", {"hidden_size": 18, "n_head": 3, "layer_norm_epsilon": 1e-2}),
            "untied": ("causal_lm", _UNTIED),
        },
    ),
    "llama": HFFamily(
        "Llama",
        _DECODER,
        _llama,
        variants={
            "tied": ("causal_lm", {**_TIED, "rms_norm_eps": 1e-2}),
            "biases": ("causal_lm", {"attention_bias": True, "mlp_bias": True}),
            "head_dim": ("causal_lm", {"head_dim": 12}),
            "rope_theta": ("causal_lm", _rope("default", 5e5)),
            "rope_linear": ("causal_lm", _rope("linear", factor=4.0)),
            "rope_llama3": ("causal_lm", LLAMA3_ROPE),
            "rope_yarn": ("causal_lm", _YARN),
            "rope_yarn_mscale": (
                "causal_lm",
                _rope(
                    "yarn",
                    factor=4.0,
                    original_max_position_embeddings=16,
                    beta_fast=16.0,
                    beta_slow=2.0,
                    mscale=1.0,
                    mscale_all_dim=0.8,
                    truncate=False,
                ),
            ),
        },
    ),
    "mistral": HFFamily(
        "Mistral",
        _DECODER,
        lambda s: {**_llama(s), **_WINDOWS},
        variants={
            "no_window": ("causal_lm", {"sliding_window": None, **_TIED}),
            "head_dim": ("causal_lm", {"head_dim": 12}),
        },
    ),
    "mixtral": HFFamily(
        "Mixtral",
        _DECODER,
        lambda s: {**_llama(s), "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
        variants={
            "window": ("causal_lm", {**_WINDOWS, **_TIED, "num_experts_per_tok": 3}),
        },
    ),
    "qwen2": HFFamily(
        "Qwen2",
        _DECODER,
        _llama,
        variants={
            "windows": ("causal_lm", {"use_sliding_window": True, **_WINDOWS, "max_window_layers": 1}),
            "tied": ("causal_lm", _TIED),
            "yarn": ("causal_lm", _YARN),
        },
    ),
    "qwen3": HFFamily(
        "Qwen3",
        _DECODER,
        lambda s: {**_llama(s), "head_dim": 12},
        variants={
            "windows": ("causal_lm", {"use_sliding_window": True, **_WINDOWS, "max_window_layers": 1, **_TIED}),
            "biases": ("causal_lm", {"attention_bias": True}),
        },
    ),
    "qwen3_moe": HFFamily(
        "Qwen3Moe",
        _DECODER,
        lambda s: {
            **_llama(s),
            "head_dim": 12,
            "moe_intermediate_size": 13,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "norm_topk_prob": True,
        },
        variants={
            "not_normalized": ("causal_lm", {"norm_topk_prob": False}),
            "sparse_step": ("causal_lm", {"decoder_sparse_step": 2}),
            "mlp_only": ("causal_lm", {"mlp_only_layers": [1], **_TIED}),
        },
    ),
    "gemma": HFFamily(
        "Gemma", _DECODER_NO_SPAN, _gemma, variants={"untied": ("causal_lm", {**_UNTIED, "attention_bias": True})}
    ),
    "gemma2": HFFamily(
        "Gemma2",
        _DECODER_NO_SPAN,
        lambda s: {
            **_gemma(s),
            **_WINDOWS,
            "query_pre_attn_scalar": 10,
            # Small caps bend the scores and logits of a toy, too.
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        variants={
            "no_caps": ("causal_lm", {"attn_logit_softcapping": None, "final_logit_softcapping": None}),
            "biases": ("causal_lm", {"attention_bias": True, **_UNTIED}),
        },
    ),
    "gemma3_text": HFFamily(
        "Gemma3",
        ("backbone", "causal_lm", "classifier", "regression"),
        lambda s: {
            **_gemma(s),
            **_WINDOWS,
            "query_pre_attn_scalar": 10,
            "layer_types": ["full_attention" if i % 2 else "sliding_attention" for i in range(s.layers)],
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e2},
                "full_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
        classes={
            "config": "Gemma3TextConfig",
            "backbone": "Gemma3TextModel",
            "classifier": "Gemma3TextForSequenceClassification",
            "regression": "Gemma3TextForSequenceClassification",
        },
        variants={
            "rope_linear": (
                "causal_lm",
                {
                    "rope_parameters": {
                        "sliding_attention": {"rope_type": "default", "rope_theta": 1e2},
                        "full_attention": {"rope_type": "linear", "rope_theta": 1e4, "factor": 8.0},
                    }
                },
            ),
            "cap_untied": ("causal_lm", {"final_logit_softcapping": 3.0, **_UNTIED}),
        },
    ),
    "phi3": HFFamily(
        "Phi3",
        _DECODER_NO_SPAN,
        _llama,
        variants={
            # The long factors serve where a sequence is longer than the original length, the short ones elsewhere.
            "longrope": ("causal_lm", _longrope(8)),
            "longrope_short": ("causal_lm", _longrope(24)),
            "partial": ("causal_lm", _partial_rotary),
        },
    ),
    "smollm3": HFFamily(
        "SmolLM3",
        _DECODER,
        lambda s: {**_llama(s), "no_rope_layers": [i % 2 for i in range(s.layers)]},
        variants={
            "interval": ("causal_lm", {"no_rope_layers": None, "no_rope_layer_interval": 2, **_UNTIED}),
            "windows": (
                "causal_lm",
                {"use_sliding_window": True, **_WINDOWS, "layer_types": None, "attention_bias": True, "mlp_bias": True},
            ),
        },
    ),
    "starcoder2": HFFamily(
        "Starcoder2",
        _DECODER_NO_SPAN,
        lambda s: {**_llama(s), **_WINDOWS},
        variants={
            "no_bias": ("causal_lm", {"use_bias": False, "sliding_window": None, **_UNTIED, "norm_epsilon": 1e-2}),
        },
    ),
    "stablelm": HFFamily(
        "StableLm",
        _DECODER_NO_SPAN,
        # Heads of 8, of which a quarter rotates.
        lambda s: {**_llama(s), "hidden_size": 8 * s.heads},
        variants={
            "biases": (
                "causal_lm",
                {"use_qkv_bias": True, "layer_norm_eps": 1e-2, **_rope("default", partial_rotary_factor=0.5)},
            ),
            "tied": ("causal_lm", {**_TIED, **_rope("default", 5e3, partial_rotary_factor=1.0)}),
        },
    ),
    "olmo2": HFFamily(
        "Olmo2",
        ("backbone", "causal_lm", "classifier", "regression"),
        _llama,
        variants={"biases": ("causal_lm", {"attention_bias": True, **_TIED, "rms_norm_eps": 1e-2})},
    ),
    # Encoder-decoders
    "t5": HFFamily(
        "T5",
        _T5,
        lambda s: {**_t5(s), "feed_forward_proj": "relu", **_TIED},
        variants={
            "v1_1": ("seq2seq_lm", {"feed_forward_proj": "gated-gelu", **_UNTIED, "num_decoder_layers": 1}),
            "v1_1_backbone": ("backbone", {"feed_forward_proj": "gated-gelu", **_UNTIED}),
            "silu": ("seq2seq_lm", {"feed_forward_proj": "gated-silu", "layer_norm_epsilon": 1e-2}),
        },
    ),
    "mt5": HFFamily(
        "MT5",
        _T5,
        lambda s: {**_t5(s), "feed_forward_proj": "gated-gelu", **_UNTIED},
    ),
    "bart": HFFamily(
        "Bart",
        _SEQ2SEQ_LABELLED,
        _bart,
        pad_id=1,
        variants={
            "scaled": ("seq2seq_lm", {"scale_embedding": True, "activation_function": "relu"}),
            "sizes": (
                "seq2seq_lm",
                {
                    "scale_embedding": True,
                    "decoder_layers": 1,
                    "decoder_attention_heads": 2,
                    "decoder_ffn_dim": 17,
                },
            ),
        },
    ),
    "mbart": HFFamily(
        "MBart",
        _SEQ2SEQ_LABELLED,
        lambda s: {**_bart(s), "decoder_start_token_id": None},
        pad_id=1,
        variants={"scaled": ("seq2seq_lm", {"scale_embedding": True})},
    ),
    "marian": HFFamily(
        "Marian",
        _SEQ2SEQ,
        lambda s: {
            **_bart(s),
            "eos_token_id": 0,
            "decoder_start_token_id": s.vocab - 1,
            "forced_eos_token_id": 0,
            "activation_function": "swish",
            "scale_embedding": True,
        },
        pad_id=-1,
        classes={"seq2seq_lm": "MarianMTModel"},
        variants={"unscaled": ("seq2seq_lm", {"scale_embedding": False, "activation_function": "relu"})},
    ),
    "m2m_100": HFFamily(
        "M2M100",
        _SEQ2SEQ,
        lambda s: {**_bart(s), "scale_embedding": True},
        pad_id=1,
        variants={"unscaled": ("seq2seq_lm", {"scale_embedding": False, "activation_function": "gelu"})},
    ),
    "pegasus": HFFamily(
        "Pegasus",
        _SEQ2SEQ,
        lambda s: {
            **_bart(s),
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
            "forced_eos_token_id": 1,
            "activation_function": "relu",
            "scale_embedding": True,
        },
        variants={"unscaled": ("seq2seq_lm", {"scale_embedding": False, "activation_function": "gelu"})},
    ),
}
