"""How likely a model finds given texts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.generation.prompts import bucket, context_length, encode_prompts
from tfllm.generation.special_ids import special_ids
from tfllm.models import CausalLM


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


def score(model: keras.Model, texts: Sequence, *, batch_size: int = 8) -> list[Score]:
    """Scores texts under a causal language model.

    A text begins with the model's bos token, which is not scored itself. One longer than the model's longest sequence is read in
    windows that overlap by half, so that each token is scored once and has at least half a window before it.

    Args:
        model: a `CausalLM`.
        texts: strings, or lists of token ids.
        batch_size: rows at a time.

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
    bos, longest = special_ids(model).bos, context_length(model.config)
    rows, owners, firsts = [], [], []
    encoded = [
        ids[1:] if bos is not None and ids[:1] == [bos] else ids for ids in encode_prompts(texts, model.tokenizer)
    ]
    for i, ids in enumerate(encoded):
        if len(ids) < (1 if bos is not None else 2):
            raise UserError(f"texts[{i}] has no token that can be scored. Received: {texts[i]!r}.")
        ids = ids if bos is None else [bos, *ids]
        for begin, end, first in windows(len(ids), longest or len(ids)):
            rows.append(ids[begin:end])
            owners.append(i)
            firsts.append(first - begin)
    log_probs = [[] for _ in encoded]
    for i, first, values in zip(owners, firsts, _log_probs(model, rows, batch_size)):
        log_probs[i] += values[first - 1 :].tolist()
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


def windows(length: int, longest: int) -> list[tuple[int, int, int]]:
    """Windows over a text: `(begin, end, first token scored in it)`; all but token 0 are scored once.

    Example:
        >>> windows(10, 6)
        [(0, 6, 1), (3, 9, 6), (4, 10, 9)]
    """
    result, done = [], 1
    while done < length:
        end = min(length, longest if done == 1 else done + longest // 2)
        result.append((max(0, end - longest), end, done))
        done = end
    return result


def _log_probs(model: CausalLM, rows: list[list[int]], batch_size: int) -> list[np.ndarray]:
    """Log-probability of each row's tokens but the first."""

    @tf.function(autograph=False)
    def of_batch(token_ids, example_ids):
        logits = model({"token_ids": token_ids, "example_ids": example_ids}, training=False)[:, :-1]
        chosen = tf.gather(logits, token_ids[:, 1:], batch_dims=2)
        return chosen - tf.reduce_logsumexp(logits, axis=-1)

    result: list[np.ndarray] = [np.zeros(0)] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for begin in range(0, len(order), batch_size):
        members = order[begin : begin + batch_size]
        shape = (batch_size if len(rows) > 1 else 1, bucket(max(len(rows[i]) for i in members)))
        token_ids, example_ids = np.zeros(shape, "int32"), np.zeros(shape, "int32")
        for k, i in enumerate(members):
            token_ids[k, : len(rows[i])], example_ids[k, : len(rows[i])] = rows[i], 1
        values = of_batch(tf.constant(token_ids), tf.constant(example_ids)).numpy()
        for k, i in enumerate(members):
            result[i] = values[k, : len(rows[i]) - 1]
    return result
