"""The contract of a way of decoding from left to right, and the plain one. What is compiled, streamed and cut by stop strings is the same for all.

Others: `speculative.Drafted` (drafts, by a model or from the prompt), `contrastive.Contrastive`, and `guidance.Guided` around another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfllm.generation import loop, prompts
from tfllm.generation.processors import Processor
from tfllm.generation.prompts import Prompt
from tfllm.generation.steps import CausalSteps


@dataclasses.dataclass(frozen=True)
class Method:
    """Plain decoding, and the base of the other methods. Hashable: methods that are equal share what was compiled.

    Attributes:
        extra_places: places of token ids and of the cache beyond those of the text, which it may write to.
        one_row: whether it takes one row at a time.
    """

    @property
    def extra_places(self) -> int:
        return 0

    @property
    def one_row(self) -> bool:
        return False

    def make_batch(self, rows: Sequence[Prompt], seeds: Sequence[int], count: int) -> dict[str, np.ndarray]:
        """The arrays that `start` takes, of `count` rows. A number that needs no other compilation may be among them."""
        return prompts.make_batch(rows, seeds, count)

    def start(self, steps: CausalSteps, batch: dict[str, tf.Tensor], new_tokens: int) -> dict:
        """The state before the first token, as `loop.start` describes it. `new_tokens` has the extra places in it."""
        return self.extend(loop.start(steps, batch, new_tokens), batch, new_tokens)

    def extend(self, state: dict, batch: dict[str, tf.Tensor], new_tokens: int) -> dict:
        """The state of `loop.start` with what the method needs besides."""
        return state

    def advance(
        self,
        steps: CausalSteps,
        processors: Sequence[Processor],
        eos_ids: tuple[int, ...],
        state: dict,
        count: tf.Tensor,
    ) -> dict:
        """Up to about `count` more tokens a row; fewer when all rows have ended."""
        return loop.advance(steps, processors, eos_ids, state, count)


PLAIN = Method()
