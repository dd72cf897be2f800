"""What generation returns."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfllm.errors import UserError


@dataclasses.dataclass(frozen=True)
class Generation:
    """One generated text.

    Attributes:
        text: the text, without special tokens and without the stop string.
        token_ids: the generated tokens, the end token included. Where a stop string cut the text, the token in which it ends is the last.
        log_probs: log-probability of each token under the model, before temperature, penalties and constraints.
        finish_reason: `"eos"` (the model ended it), `"stop"` (a stop string), `"length"` (`max_new_tokens`), `"context"` (the
            model's longest sequence was reached), or `"constraint"` (the constraint allows nothing after the text). But for
            `"stop"`, a text under a constraint follows it whatever ended it.
        prompt_tokens: tokens of the prompt (of the source, for an encoder-decoder) that the model read.
        truncated_tokens: tokens that were cut off the prompt because it was too long.
        score: with beam search, the score by which texts are ranked: log-probabilities summed, processors included, and divided by
            length ** length_penalty. Else `None`.
        others: with `num_results` above 1, the next best texts, best first; of beam search fewer, where no more are possible.
    """

    text: str
    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    finish_reason: str
    prompt_tokens: int
    truncated_tokens: int = 0
    score: float | None = None
    others: tuple[Generation, ...] = ()

    @property
    def log_prob(self) -> float:
        """Log-probability of the whole text."""
        return math.fsum(self.log_probs)


def check_possible(log_probs: np.ndarray) -> None:
    """Checks the log-probabilities of chosen tokens, as the loop records them.

    Raises:
        UserError: there was a step at which no token was possible, or the model's logits are not numbers.
    """
    if np.isneginf(log_probs).any():
        raise UserError(
            "the options contradict each other: together they forbid every token (logit_bias, bad_words, no_repeat_ngram_size, "
            f"min_new_tokens, own processors). It showed after {np.argwhere(np.isneginf(log_probs))[0][-1]} tokens."
        )
    if np.isnan(log_probs).any():
        raise UserError(
            "the model computes no numbers but NaN: its weights are damaged, its training has diverged, or its dtype is too narrow."
        )
