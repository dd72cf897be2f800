"""How likely a model finds given texts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import keras

from tfllm.errors import UserError
from tfllm.generation.prompts import context_length, encode_prompts, prompt_list
from tfllm.generation.special_ids import special_ids
from tfllm.models import CausalLM
from tfllm.tasks.likelihood import strided_windows
from tfllm.tasks.token_likelihoods import BATCH_TOKENS, Request, answer


@dataclasses.dataclass(frozen=True)
class Score:
    """A text's probability under a model.

    Attributes:
        token_ids: the tokens that were scored.
        log_probs: natural log-probability of each, given those before it.
        words: words of the text, separated by white space.
        bytes: its bytes in UTF-8. (Both are 0 for a text that was given as token ids.)
        unscored: tokens at the beginning that nothing predicts: 1 for a model without a bos token, else 0.
    """

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    words: int
    bytes: int
    unscored: int

    @property
    def log_prob(self) -> float:
        """Of the whole text."""
        return math.fsum(self.log_probs)

    @property
    def perplexity(self) -> float:
        """exp(-log_prob / tokens)."""
        return _perplexity(self.log_prob, len(self.log_probs))

    @property
    def word_perplexity(self) -> float:
        return _perplexity(self.log_prob, self.words)

    @property
    def byte_perplexity(self) -> float:
        return _perplexity(self.log_prob, self.bytes)

    @property
    def bits_per_byte(self) -> float:
        return -self.log_prob / math.log(2) / self.bytes if self.bytes else float("nan")


def _perplexity(log_prob: float, count: int) -> float:
    return math.exp(-log_prob / count) if count else float("nan")


def score(model: keras.Model, texts: Sequence, *, batch_tokens: int = BATCH_TOKENS) -> list[Score]:
    """Scores texts under a causal language model.

    A text begins with the model's bos token, which is not scored itself. One longer than the model's longest sequence is read in
    windows that overlap by half, so that each token is scored once and has at least half a window before it.

    Args:
        model: a `CausalLM`.
        texts: strings, or lists of token ids.
        batch_tokens: tokens a step.

    Returns:
        A `Score` a text.

    Raises:
        UserError: the model is none, or a text has nothing to score.

    Example:
        >>> tfllm.generation.score(model, ["Once upon a time"])[0].perplexity      # doctest: +SKIP
    """
    if not isinstance(model, CausalLM):
        raise UserError(f"Texts are scored by a CausalLM. Received: a {type(model).__name__}.")
    if isinstance(texts, str):
        raise UserError(f"texts must be a list of texts. Received: one string, {texts[:40]!r}.")
    texts, one = prompt_list(texts, "texts")
    if one:
        raise UserError(f"texts must be a list of texts. Received: the token ids of one, {str(texts[0])[:40]}.")
    if batch_tokens < 1:
        raise UserError(f"batch_tokens must be at least 1. Received: batch_tokens={batch_tokens}.")
    bos, longest = special_ids(model).bos, context_length(model.config)
    requests, owners = [], []
    encoded = [
        ids[1:] if bos is not None and ids[:1] == [bos] else ids for ids in encode_prompts(texts, model.tokenizer)
    ]
    for i, ids in enumerate(encoded):
        if len(ids) < (1 if bos is not None else 2):
            raise UserError(f"texts[{i}] has no token that can be scored. Received: {texts[i]!r}.")
        outside = next((token for token in ids if not 0 <= token < model.config.vocab_size), None)
        if outside is not None:
            raise UserError(
                f"texts[{i}]: token ids must be from 0 to {model.config.vocab_size - 1}. Received: {outside}."
            )
        ids = ids if bos is None else [bos, *ids]
        window = longest or len(ids)
        for begin, end, first in strided_windows(len(ids), window, max(1, window // 2)):
            places = tuple(range(first - 1 - begin, end - 1 - begin))
            requests.append(Request(tuple(ids[begin : end - 1]), places, tuple(ids[first:end])))
            owners.append(i)
    log_probs = [[] for _ in encoded]
    for i, found in zip(owners, answer(model, requests, batch_tokens=batch_tokens)):
        log_probs[i] += found.log_probs.tolist()
    unscored = 1 if bos is None else 0
    return [
        Score(
            tuple(ids[unscored:]),
            tuple(values),
            words=len(text.split()) if isinstance(text, str) else 0,
            bytes=len(text.encode()) if isinstance(text, str) else 0,
            unscored=unscored,
        )
        for text, ids, values in zip(texts, encoded, log_probs)
    ]
