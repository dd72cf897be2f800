"""Perplexity per token, per word and per byte, from the log likelihood of whole texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfllm.errors import UserError


def perplexity(log_likelihood: float, tokens: int, texts: Sequence[str]) -> dict[str, float]:
    """How unlikely a model finds texts. Those per word and per byte do not depend on the tokenizer and can be compared.

    Args:
        log_likelihood: sum over all tokens that were predicted of their log probability, in nats.
        tokens: how many tokens that are.
        texts: the texts themselves. Words are what whitespace separates, bytes are of UTF-8.

    Returns:
        `token_perplexity`, `word_perplexity`, `byte_perplexity`, and `bits_per_byte`, its logarithm.

    Raises:
        UserError: nothing to score, or a log likelihood that is positive or not a number.

    Example:
        >>> round(perplexity(-2 * math.log(4), 2, ["a cat"])["word_perplexity"], 9)
        4.0
    """
    words = sum(len(text.split()) for text in texts)
    size = sum(len(text.encode("utf-8")) for text in texts)
    if tokens < 1 or not words:
        raise UserError(f"Perplexity needs at least a token and a word. Received: {tokens} tokens, {words} words.")
    if math.isnan(log_likelihood) or log_likelihood > 0:
        raise UserError(f"A log likelihood is at most 0. Received: {log_likelihood}.")
    return {
        "token_perplexity": _exp(-log_likelihood / tokens),
        "word_perplexity": _exp(-log_likelihood / words),
        "byte_perplexity": _exp(-log_likelihood / size),
        "bits_per_byte": -log_likelihood / size / math.log(2),
    }


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
