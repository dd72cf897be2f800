"""Toy language models for the tests of judging by likelihoods, and what they say of a row without any batching."""

from __future__ import annotations

import string

import numpy as np
from toy_generation import make_byte_tokenizer, toy_config

GPT2 = {"pooled": "last", "classifier_activation": None, "classifier_bias": False, "classifier_dropout": 0.0}


def byte_lm(max_positions: int = 512):
    """A causal model of bytes; 256 is its eos and 257 its bos token, which the tokenizer does not set."""
    import keras

    from tfllm.models import CausalLM

    keras.utils.set_random_seed(8)
    model = CausalLM(toy_config(vocab_size=258, eos_id=256, bos_id=257, max_positions=max_positions, **GPT2))
    model.tokenizer = make_byte_tokenizer()
    return model


def letters_mlm(max_positions: int = 128):
    """A masked model whose tokens are single letters, as words and as the rest of a word."""
    import keras

    from tfllm import TransformerConfig
    from tfllm.models import MaskedLM
    from tfllm.text import from_files

    keras.utils.set_random_seed(5)
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation, "’"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    config = TransformerConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_layers=1, num_heads=2, intermediate_size=16,
        max_positions=max_positions, type_vocab_size=2, initializer_range=0.5,
    )  # fmt: skip
    model = MaskedLM(config)
    model.tokenizer = from_files({"vocab.txt": "".join(f"{token}\n" for token in vocabulary).encode()})
    return model


def row_log_probs(model, ids) -> np.ndarray:
    """Log-probabilities `(T, V)` float64 of one row that is read alone."""
    logits = np.asarray(model({"token_ids": np.array([ids], np.int32)}))[0].astype(np.float64)
    return (
        logits
        - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
        - logits.max(-1, keepdims=True)
    )


def continuation_log_prob(model, context, continuation) -> float:
    """Of the token ids `continuation` after the ids `context`."""
    table = row_log_probs(model, [*context, *continuation])
    return float(sum(table[len(context) - 1 + k, token] for k, token in enumerate(continuation)))
