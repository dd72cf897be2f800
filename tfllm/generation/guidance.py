"""Classifier-free guidance for language models (Sanchez et al., 2023): away from what the model says without the prompt.

Every row is computed twice, side by side in one batch: with its own prompt, and with a negative one. With log-probabilities p and n
of the two, tokens are chosen by `n + scale * (p - n)`, before all processors, as in transformers' generation.
The `log_probs` of a result are those of the guided distribution.

A decoder's negative prompt is, if none is given, the last token of the prompt alone. An encoder-decoder's is another *source* for the
same target; if none is given, that of an empty text. (transformers would feed it the target's tokens as a source: not followed.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.generation import prompts
from tfllm.generation.methods import Method
from tfllm.generation.prompts import Prompt, context_length
from tfllm.generation.steps import CausalSteps

# What the cache of guided rows holds besides the caches of both prompts.
_LAST, _SHIFT, _BEGIN, _SCALE = "negative_last", "negative_shift", "begin", "guidance_scale"


@dataclasses.dataclass(frozen=True)
class Guided(Method):
    """Another method, guided. Its prompts have a `negative`.

    Args:
        method: what decodes.
        scale: 1 leaves the model as it is, above 1 strengthens the prompt.
    """

    method: Method
    scale: float = dataclasses.field(compare=False)  # fed, so another scale needs no other compilation

    @property
    def extra_places(self) -> int:
        return self.method.extra_places

    @property
    def one_row(self) -> bool:
        return self.method.one_row

    def make_batch(self, rows: Sequence[Prompt], seeds: Sequence[int], count: int) -> dict[str, np.ndarray]:
        """Twice `count` rows: the prompts, then their negatives."""
        empty = [dataclasses.replace(rows[0], limit=0)] * (count - len(rows))
        negatives = [row.negative for row in (*rows, *empty)]
        seeds = [*seeds, *[0] * len(empty)]
        batch = prompts.make_batch([*rows, *empty, *negatives], seeds * 2, 2 * count)
        return {**batch, _SCALE: np.float32(self.scale)}

    def start(self, steps: CausalSteps, batch: dict[str, tf.Tensor], new_tokens: int) -> dict:
        batch = dict(batch)
        scale = batch.pop(_SCALE)
        both = super().start(steps, batch, new_tokens)
        rows = both["positions"].shape[0] // 2
        state = {key: _half(value, rows) for key, value in both.items() if key != "cache"}
        width = batch["token_ids"].shape[1]
        state["cache"] = {
            **both["cache"],
            _LAST: batch["token_ids"][rows:, -1:],
            _SHIFT: both["positions"][rows:] - both["positions"][:rows],
            _BEGIN: tf.constant(width - 1),
            _SCALE: scale,
        }
        return self.method.extend(state, {key: _half(value, rows) for key, value in batch.items()}, new_tokens)

    def advance(self, steps, processors, eos_ids, state, count):
        return self.method.advance(GuidedSteps(steps), processors, eos_ids, state, count)


class GuidedSteps:
    """Steps whose logits are guided: B rows outside, 2 B in the cache of `Guided.start`."""

    def __init__(self, steps: CausalSteps):
        self.model = steps.model
        self._steps = steps

    def next(self, tokens: dict, cache: dict) -> tuple[tf.Tensor, dict]:
        """Enters T tokens a row: `(guided logits (B, T, V) float32, cache)`."""
        ids, positions = tokens["token_ids"], tokens["position_ids"]
        # The first token to enter is the prompt's last, in whose place a negative prompt has its own.
        is_last = tf.logical_and(cache["length"] == cache[_BEGIN], tf.range(ids.shape[1]) == 0)
        moved = tf.maximum(positions + cache[_SHIFT][:, None], 0)
        longest = context_length(self.model.config)
        both = {
            "token_ids": tf.concat([ids, tf.where(is_last, cache[_LAST], ids)], axis=0),
            "example_ids": tf.tile(tokens["example_ids"], (2, 1)),
            "position_ids": tf.concat([positions, moved if longest is None else tf.minimum(moved, longest - 1)], 0),
        }
        logits, cache = self._steps.next(both, cache)
        given, negative = tf.split(tf.nn.log_softmax(logits), 2)
        return negative + cache[_SCALE] * (given - negative), cache


def _half(value: tf.Tensor, rows: int) -> tf.Tensor:
    return value[:rows] if value.shape.rank else value


def with_negatives(rows: Sequence[Prompt], negatives: Sequence[Prompt] | None) -> list[Prompt]:
    """The prompts with their negatives, and with limits that both leave.

    Args:
        rows: prompts.
        negatives: one a prompt, or one for all; `None` for the last token of each prompt.

    Raises:
        UserError: there is another number of negatives.
    """
    if negatives is None:
        negatives = [dataclasses.replace(row, token_ids=row.token_ids[-1:]) for row in rows]
    if len(negatives) not in (1, len(rows)):
        raise UserError(
            f"negative_prompt must be one text for all prompts, or one a prompt: {len(rows)}. Received: {len(negatives)}."
        )
    result = []
    for i, row in enumerate(rows):
        negative = negatives[i % len(negatives)]
        if row.source_ids:  # another source, the same target
            negative = dataclasses.replace(negative, token_ids=row.token_ids)
        limit = min(row.limit, negative.limit)
        in_context = row.in_context or limit < row.limit
        result.append(dataclasses.replace(row, limit=limit, in_context=in_context, negative=negative))
    return result
