"""Toy models that write text, with a byte tokenizer, as Hugging Face directories."""

from __future__ import annotations

from pathlib import Path

import toy_generation

import tfllm

# Beside the 256 bytes stand <eos> (256) and <bos> (257) of the tokenizer.
CONFIGS = {
    "gpt2": {
        "vocab_size": 258, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 64, "eos_token_id": 256,
        "bos_token_id": 257, "initializer_range": 0.1, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
    },
    "t5": {
        "vocab_size": 258, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4,
        "decoder_start_token_id": 257, "eos_token_id": 256, "pad_token_id": 257, "dropout_rate": 0.0,
        "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "relative_attention_num_buckets": 16,
    },
}  # fmt: skip


def save_text_model(directory: Path, family: str, seed: int = 0) -> Path:
    """A GPT-2 or a T5 of one layer, freshly made."""
    import keras

    from tfllm import models, zoo

    keras.utils.set_random_seed(seed)
    config = zoo.get(family).read_config({"model_type": family, **CONFIGS[family]})
    model = (models.Seq2SeqLM if config.is_encoder_decoder else models.CausalLM)(config)
    model.tokenizer = toy_generation.make_byte_tokenizer()
    tfllm.save(model, directory, family=family)
    return directory
