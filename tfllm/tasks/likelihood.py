"""How likely a language model finds continuations, whole texts and sentences.

The rules of tokenization and of windows are lm-evaluation-harness' (Gao et al., https://github.com/EleutherAI/lm-evaluation-harness,
`lm_eval/api/model.py` and `lm_eval/utils.py` of version 0.4), so that numbers can be compared:

- a context and its continuation are tokenized together, and the continuation's tokens are those beyond the context's own
  number; blanks at the end of a context belong to the continuation;
- a text without a context follows the bos token, or the eos token where there is none;
- what is too long for the model loses tokens at its left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from tfllm.errors import UserError
from tfllm.models import CausalLM
from tfllm.tasks.token_likelihoods import BATCH_TOKENS, Request, answer, longest_row
from tfllm.text import Tokenizer

Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class Likelihood:
    """What a model thinks of a text.

    Attributes:
        log_prob: its natural log-probability, the sum over its tokens.
        tokens: how many tokens that are.
        greedy: whether every one of them is the most probable.
        truncated: whether the model could not read all of what stands before.
        token_log_probs: of each token, `(tokens,)` float32.
    """

    log_prob: float
    tokens: int
    greedy: bool
    truncated: bool
    token_log_probs: np.ndarray


def continuations(
    model: keras.Model,
    pairs: Sequence[tuple[str, str]],
    *,
    window: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress = None,
) -> list[Likelihood]:
    """Log-probabilities of continuations, given what stands before them.

    Args:
        model: a `CausalLM` with a tokenizer.
        pairs: (context, continuation) texts. A context may be empty.
        window: most tokens that are read; default: the most that the model can.
        batch_tokens: tokens a step.
        progress: called with (tokens read, tokens in all).

    Returns:
        A `Likelihood` a pair, in their order.

    Raises:
        UserError: the model is no causal one or has no tokenizer; a continuation without tokens, or longer than the model reads.

    Example:
        >>> yes, no = continuations(model, [("Is snow white?", " yes"), ("Is snow white?", " no")])  # doctest: +SKIP
        >>> yes.log_prob > no.log_prob  # doctest: +SKIP
        True
    """
    ids = encode_pairs(causal(model), pairs)
    longest = _checked_window(model, window)
    requests, cut = [], []
    for i, (context, continuation) in enumerate(ids):
        if not continuation:
            raise UserError(
                f"A continuation needs a token at least. Received: {pairs[i][1]!r} after {pairs[i][0][-40:]!r}."
            )
        if longest is not None and len(continuation) > longest:
            raise UserError(
                f"A continuation must fit into the {longest} tokens that the model reads. Received: {len(continuation)} "
                f"tokens, {pairs[i][1][:40]!r} ..."
            )
        read = [*context, *continuation[:-1]]
        excess = 0 if longest is None else max(0, len(read) - longest)
        cut.append(excess > 0)
        read = tuple(read[excess:])
        first = len(read) - len(continuation)
        requests.append(Request(read, tuple(range(first, len(read))), tuple(continuation)))
    answers = answer(model, requests, batch_tokens=batch_tokens, progress=progress)
    return [_likelihood(found.log_probs, found.greedy, truncated) for found, truncated in zip(answers, cut)]


def whole_texts(
    model: keras.Model,
    texts: Sequence[str],
    *,
    window: int | None = None,
    stride: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress = None,
) -> list[Likelihood]:
    """Log-probabilities of texts of any length, each token once, in windows that move by `stride` tokens.

    Args:
        model: a `CausalLM` with a tokenizer.
        texts: the texts. Each follows the bos (or eos) token, which is not scored.
        window: tokens that the model reads at a time; default: the most that it can.
        stride: tokens by which windows move, 1 to `window`; default: `window`, as in lm-evaluation-harness: windows do not overlap,
            and the last reaches back to be full. Half a window gives each token at least that much context.
        batch_tokens, progress: as in `continuations`.

    Returns:
        A `Likelihood` a text; one without tokens has log-probability 0.

    Raises:
        UserError: the model is no causal one or has no tokenizer; a window or a stride that cannot be.
    """
    tokenizer = causal(model).tokenizer
    longest = _checked_window(model, window)
    encoded = encode(tokenizer, texts)
    start = start_token(model)
    requests, owners = [], []
    for i, ids in enumerate(encoded):
        ids = ids if ids[:1] == [start] else [start, *ids]
        size = longest or max(2, len(ids))
        if stride is not None and not 1 <= stride <= size:
            raise UserError(f"stride must be from 1 to the window, {size}. Received: {stride}.")
        for begin, end, first in strided_windows(len(ids), size, stride or size):
            places = tuple(range(first - 1 - begin, end - 1 - begin))
            requests.append(Request(tuple(ids[begin : end - 1]), places, tuple(ids[first:end])))
            owners.append(i)
    values, greedy = [[] for _ in texts], [[] for _ in texts]
    for i, found in zip(owners, answer(model, requests, batch_tokens=batch_tokens, progress=progress)):
        values[i].append(found.log_probs)
        greedy[i].append(found.greedy)
    empty = np.zeros(0, np.float32)
    return [
        _likelihood(np.concatenate([empty, *some]), np.concatenate([empty, *flags]), False)
        for some, flags in zip(values, greedy)
    ]


def strided_windows(length: int, window: int, stride: int) -> list[tuple[int, int, int]]:
    """Windows over `length` tokens: `(begin, end, first scored)`. The model reads `[begin, end - 1)`; all tokens but the first
    are scored once.

    Example:
        >>> strided_windows(10, 4, 4)
        [(0, 5, 1), (4, 9, 5), (5, 10, 9)]
        >>> strided_windows(10, 4, 2)
        [(0, 5, 1), (2, 7, 5), (4, 9, 7), (5, 10, 9)]
    """
    result, done = [], 1
    while done < length:
        end = min(length, window + 1 if done == 1 else done + stride)
        result.append((max(0, end - 1 - window), end, done))
        done = end
    return result


def causal(model: keras.Model) -> CausalLM:
    """The model itself.

    Raises:
        UserError: it is no causal language model, or has no tokenizer.
    """
    if not isinstance(model, CausalLM):
        raise UserError(
            f"This is asked of a causal language model, which reads from left to right. Received: a {type(model).__name__}."
        )
    tokenizer_of(model)
    return model


def tokenizer_of(model: keras.Model) -> Tokenizer:
    """The model's tokenizer.

    Raises:
        UserError: it has none.
    """
    if getattr(model, "tokenizer", None) is None:
        raise UserError("The model has no tokenizer. Load a checkpoint that has one, or set model.tokenizer.")
    return model.tokenizer


def start_token(model: keras.Model) -> int:
    """What a text without a context follows: the bos token, else the eos token.

    Raises:
        UserError: there is neither.
    """
    tokenizer, config = model.tokenizer, model.config
    for token in (tokenizer.bos_id, config.bos_id, tokenizer.eos_id, config.eos_id):
        if token is not None:
            return token
    raise UserError(
        "A text without a context needs a bos or an eos token to follow. Received: a model that has neither."
    )


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts, with what the tokenizer sets before a text and without what it sets after."""
    before = list(tokenizer.template.single.specials[0])
    encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [[*before, *encoded[i].tolist()] for i in range(len(texts))]


def encode_pairs(model: keras.Model, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
    """Token ids of contexts and of continuations, by the rules at the head of this module."""
    tokenizer = model.tokenizer
    moved = []
    for context, continuation in pairs:
        bare = context.rstrip()
        moved.append((bare, context[len(bare) :] + continuation))
    whole = encode(tokenizer, [context + continuation for context, continuation in moved])
    known = {context: None for context, _ in moved}  # each different context once
    known = dict(zip(known, encode(tokenizer, list(known))))
    before = len(tokenizer.template.single.specials[0])
    result = []
    for (context, _), ids in zip(moved, whole):
        if not context:  # a context of blanks alone too
            ids = ids[before:]
            start = start_token(model)
            result.append(([start], ids[1:] if ids[:1] == [start] else ids))
        else:
            size = len(known[context])
            result.append((ids[:size], ids[size:]))
    return result


def _checked_window(model: keras.Model, window: int | None) -> int | None:
    longest = longest_row(model)
    if window is None:
        return longest
    if window < 2 or (longest is not None and window > longest):
        raise UserError(
            f"window must be from 2 to {longest or 'any number'}, what the model reads. Received: {window}."
        )
    return window


def _likelihood(log_probs: np.ndarray, greedy: np.ndarray, truncated: bool) -> Likelihood:
    return Likelihood(
        math.fsum(log_probs.astype(float)), len(log_probs), bool(np.all(greedy)), bool(truncated), log_probs
    )
