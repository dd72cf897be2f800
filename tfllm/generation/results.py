"""What generation returns."""

from __future__ import annotations

import dataclasses
import math


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
        others: with `num_results` above 1, the next best texts, best first.
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
