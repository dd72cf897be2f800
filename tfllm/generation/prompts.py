"""Prompts as rows of few static shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.generation.special_ids import SpecialIds
from tfllm.text import Tokenizer

_SHORTEST = 16


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One prompt in tokens.

    Attributes:
        token_ids: what the decoder reads before the first generated token, at least one token.
        source_ids: what the encoder reads; empty for a decoder alone.
        limit: tokens that may be generated.
        truncated: tokens that were cut off.
        in_context: `limit` is what the model's longest sequence leaves, less than `max_new_tokens`.
        negative: with guidance, the prompt to be led away from.
    """

    token_ids: tuple[int, ...]
    source_ids: tuple[int, ...]
    limit: int
    truncated: int
    in_context: bool
    negative: Prompt | None = None

    def limited(self, limit: int) -> Prompt:
        """The same with at most `limit` tokens to generate."""
        return dataclasses.replace(self, limit=min(self.limit, limit), in_context=self.limit < limit)


def context_length(config: TransformerConfig) -> int | None:
    """The longest sequence of a model; `None` where nothing bounds it (ALiBi, T5's distances)."""
    return None if config.position in ("alibi", "none") else config.max_positions


def prompt_list(texts: Any, name: str) -> tuple[list, bool]:
    """Prompts as a list, and whether they are but one: a string, or a flat list of token ids.

    Raises:
        UserError: they are no sequence.
    """
    if isinstance(texts, str):
        return [texts], True
    try:
        found = None if isinstance(texts, (bytes, Mapping, Set)) else list(texts)
    except TypeError:  # a number, a path, nothing, a tensor without rows
        found = None
    if found is None:
        raise UserError(f"{name} must be a string, token ids, or a list of these. Received: {texts!r}.")
    one = bool(found) and all(isinstance(i, (int, np.integer)) for i in found)
    return ([found], True) if one else (found, False)


def whole_numbers(values: Any) -> list[int] | None:
    """A sequence of whole numbers as a list; `None` if it is none."""
    array = np.asarray(values)
    whole = array.ndim == 1 and (np.issubdtype(array.dtype, np.integer) or not array.size)
    return [int(value) for value in array] if whole else None


def encode_prompts(texts: Sequence, tokenizer: Tokenizer | None) -> list[list[int]]:
    """Token ids of each prompt, special tokens as the tokenizer's template sets them. A prompt may be a list of ids already.

    Raises:
        UserError: a prompt is neither a string nor token ids, or there is no tokenizer for a string.
    """
    result = []
    for i, text in enumerate(texts):
        if isinstance(text, str):
            if tokenizer is None:
                raise UserError(
                    f"model.tokenizer is None: give prompts as lists of token ids, or a tokenizer. Received: prompts[{i}]={text!r}."
                )
            result.append(tokenizer.encode(text))
        else:
            ids = np.asarray(text)
            if ids.ndim != 1 or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
                raise UserError(f"A prompt is a string or a list of token ids. Received: prompts[{i}]={text!r}.")
            result.append(ids.tolist())
    return result


def make_prompt(
    ids: Sequence[int], config: TransformerConfig, special: SpecialIds, *, max_new_tokens: int, too_long: str, name: str
) -> Prompt:
    """Checks one prompt and decides how much may be generated.

    Args:
        ids: its tokens. An empty one begins with the model's bos token.
        config: of the model.
        special: of the model.
        max_new_tokens: most tokens to generate.
        too_long: `"error"`, `"cut_left"` or `"cut_right"`.
        name: how errors call the prompt.

    Raises:
        UserError: the prompt is empty and there is no bos token, has an id outside the vocabulary, or is too long.
    """
    ids, longest = [int(i) for i in ids], context_length(config)
    bad = [i for i in ids if not 0 <= i < config.vocab_size]
    if bad:
        raise UserError(f"{name}: token ids must be from 0 to {config.vocab_size - 1}. Received: {bad[0]}.")
    if config.is_encoder_decoder:
        if not ids:
            raise UserError(
                f"{name}: an encoder-decoder needs a source of at least one token. Received: an empty prompt."
            )
        start = special.decoder_start
        if start is None:  # mBART: the target begins with the source's last token, its language
            start = ids[-1]
        source, truncated = _cut(ids, longest, too_long, name, "the model's longest source")
        limit = max_new_tokens if longest is None else min(max_new_tokens, longest)
        return Prompt((start,), tuple(source), limit, truncated, limit < max_new_tokens)
    if not ids:
        if special.bos is None:
            raise UserError(
                f"{name}: the prompt is empty, and the model has no bos token to begin with. Give some text."
            )
        ids = [special.bos]
    room = None if longest is None else longest - 1  # one place at least for what is generated
    ids, truncated = _cut(ids, room, too_long, name, f"the {room} tokens that the model's longest sequence leaves")
    limit = max_new_tokens if longest is None else min(max_new_tokens, longest - len(ids))
    return Prompt(tuple(ids), (), limit, truncated, limit < max_new_tokens)


def _cut(ids: list[int], longest: int | None, too_long: str, name: str, what: str) -> tuple[list[int], int]:
    excess = 0 if longest is None else max(0, len(ids) - longest)
    if not excess:
        return ids, 0
    if too_long == "error":
        raise UserError(
            f"{name} is longer than {what}: at most {longest} tokens. Received: {len(ids)}. "
            'Shorten it, or give too_long="cut_left" or "cut_right".'
        )
    return (ids[excess:] if too_long == "cut_left" else ids[:longest]), excess


def with_longest(options: dict[str, Any], limits: Sequence[int], count: int) -> dict[str, Any]:
    """Options for prompts that have limits of their own: `max_new_tokens` is the largest of them.

    Raises:
        UserError: they are not one whole number of at least 1 a prompt, or do not go with another option.
    """
    numbers = whole_numbers(limits)
    if numbers is None or len(numbers) != count or any(limit < 1 for limit in numbers):
        raise UserError(
            f"limits must be one whole number of at least 1 a prompt: {count}. Received: limits={limits!r}."
        )
    if "max_new_tokens" in options:
        raise UserError(
            "limits stand in place of max_new_tokens: give one of the two. "
            f"Received: max_new_tokens={options['max_new_tokens']}, limits={list(limits)}."
        )
    least = options.get("min_new_tokens", 0)
    if count and isinstance(least, int) and min(limits) < least:
        raise UserError(
            "min_new_tokens must be at most each prompt's limit. "
            f"Received: min_new_tokens={least}, limits={list(limits)}."
        )
    return {**options, "max_new_tokens": int(max(limits))} if count else options


def bucket(length: int) -> int:
    """The static length for rows of up to `length` tokens: 16, then powers of two and their halves between (16, 24, 32, 48, 64 …)."""
    size = _SHORTEST
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
    return size


def make_batch(
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    rows: int,
    *,
    width: int | None = None,
    source_length: int = 0,
) -> dict[str, np.ndarray]:
    """The arrays that `loop.start` takes. Rows beyond the prompts are empty and have ended before they begin.

    Args:
        prompts, seeds: one each a row.
        rows: rows B.
        width: places for the prompts; by default what the longest needs.
        source_length: places for the sources are at least so many.
    """
    if width is None:
        width = bucket(max(len(prompt.token_ids) for prompt in prompts))
        if all(len(prompt.token_ids) == 1 for prompt in prompts):
            width = 1  # nothing to read before the first step
    token_ids, real = np.zeros((rows, width), "int32"), np.zeros((rows, width), bool)
    for i, prompt in enumerate(prompts):
        token_ids[i, width - len(prompt.token_ids) :] = prompt.token_ids
        real[i, width - len(prompt.token_ids) :] = True
    batch = {"token_ids": token_ids, "real": real}
    batch["limits"] = np.zeros(rows, "int32")
    batch["limits"][: len(prompts)] = [prompt.limit for prompt in prompts]
    batch["seeds"] = np.zeros(rows, "int32")
    batch["seeds"][: len(prompts)] = seeds
    if prompts[0].source_ids:
        length = bucket(max(source_length, *(len(prompt.source_ids) for prompt in prompts)))
        source, source_real = np.zeros((rows, length), "int32"), np.zeros((rows, length), bool)
        for i, prompt in enumerate(prompts):
            source[i, : len(prompt.source_ids)] = prompt.source_ids
            source_real[i, : len(prompt.source_ids)] = True
        batch |= {"source_token_ids": source, "source_real": source_real}
    return batch
