"""Drafts: what guesses the next tokens, for `tfllm.generation.speculative` to check."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.generation import loop
from tfllm.generation.processors import Processor, apply
from tfllm.generation.prompts import Prompt, context_length
from tfllm.generation.steps import make_steps
from tfllm.generation.view import View


class Draft(Protocol):
    """Guesses `count` tokens of one row. Hashable: drafts that are equal share what was compiled.

    A guess cannot make a text wrong, only slow: it counts if it is what would have been chosen without it.
    """

    count: int

    def start(self, batch: dict[str, tf.Tensor], new_tokens: int) -> dict:
        """What it remembers of the prompt: tensors. Takes what `loop.start` takes."""

    def __call__(self, view: View, processors: Sequence[Processor], memory: dict) -> tuple[tf.Tensor, dict]:
        """The guesses `(1, count)` int32, and the memory.

        Args:
            view: the state at the moment when the first of them is chosen.
            processors: the text's own, the random draw included.
            memory: from `start` or `keep`.
        """

    def keep(self, memory: dict, kept: tf.Tensor) -> dict:
        """The memory when `kept` tokens became text, a scalar: `kept - 1` guesses were right, and one token came after them."""


@dataclasses.dataclass(frozen=True)
class PromptLookup:
    """Guesses what followed the last time that the text's last tokens stood in it (Saxena, 2023).

    Args:
        count: tokens to guess.
        ngram: how many last tokens are looked up at first; fewer if they stand nowhere.
    """

    count: int
    ngram: int = 3

    def start(self, batch: dict[str, tf.Tensor], new_tokens: int) -> dict:
        return {}

    def __call__(self, view: View, processors: Sequence[Processor], memory: dict) -> tuple[tf.Tensor, dict]:
        known = tf.where(view.real, view.token_ids, -1)[0]
        places = tf.range(known.shape[0])
        end = view.width + view.step
        best = tf.constant(0)  # place after the match, 0 for none
        for size in range(1, self.ngram + 1):
            tail = view.last(size)[0]
            matches = places + size < end
            for i in range(size):
                matches = tf.logical_and(matches, tf.roll(known, -i, axis=0) == tail[i])
                matches = tf.logical_and(matches, tail[i] >= 0)
            after = tf.reduce_max(tf.where(matches, places + size, 0))
            best = tf.where(after > 0, after, best)  # a longer match goes before a shorter one
        padded = tf.pad(view.token_ids[0], ((0, self.count),))
        return tf.slice(padded, (best,), (self.count,))[None], memory

    def keep(self, memory: dict, kept: tf.Tensor) -> dict:
        return memory


@dataclasses.dataclass(frozen=True)
class ModelDraft:
    """Guesses what a smaller model says (Leviathan et al., 2023; Chen et al., 2023).

    It chooses as the text does: with the same processors and, where tokens are drawn, with the same noise for a place. Two models
    that nearly agree then nearly always draw the same token (a Gumbel coupling: Daliri et al., 2024).

    Args:
        model: a language model of the same vocabulary and kind.
        count: tokens to guess.
    """

    model: keras.Model
    count: int

    def start(self, batch: dict[str, tf.Tensor], new_tokens: int) -> dict:
        return loop.start(make_steps(self.model), batch, new_tokens)["cache"]

    def __call__(self, view: View, processors: Sequence[Processor], memory: dict) -> tuple[tf.Tensor, dict]:
        steps, longest = make_steps(self.model), context_length(self.model.config)
        first = view.width + view.step
        places = tf.range(view.token_ids.shape[1])

        def one_token(i, token_ids, real, cache):
            last = tf.slice(token_ids, (0, first + i - 1), (1, 1))
            position = tf.maximum(view.positions + i - 1, 0)[:, None]
            tokens = {
                "token_ids": last,
                "example_ids": tf.ones_like(last),
                # The last guesses may lie behind the longest sequence, where no text will be.
                "position_ids": position if longest is None else tf.minimum(position, longest - 1),
            }
            logits, cache = steps.next(tokens, cache)
            seen = dataclasses.replace(
                view, token_ids=token_ids, real=real, step=view.step + i, positions=view.positions + i
            )
            guess = tf.argmax(apply(processors, logits[:, 0], seen), axis=-1, output_type=tf.int32)
            here = places == first + i
            return i + 1, tf.where(here, guess[:, None], token_ids), tf.logical_or(real, here), cache

        # Once more than there are guesses: the last of them enters the cache, too, in case that all are right.
        _, token_ids, _, memory = tf.while_loop(
            lambda i, *_: i <= self.count, one_token, (tf.constant(0), view.token_ids, view.real, memory)
        )
        return tf.slice(token_ids, (0, first), (1, self.count)), memory

    def keep(self, memory: dict, kept: tf.Tensor) -> dict:
        # Wrong guesses stand behind `length`: the next tokens overwrite them.
        return {**memory, "length": memory["length"] - (self.count + 1) + kept}


def check_draft_model(draft: keras.Model, model: keras.Model, prompts: Sequence[Prompt]) -> None:
    """Checks that a model can draft for another.

    Raises:
        UserError: it does not generate text, is of another kind or vocabulary, or a text would be longer than its longest sequence.
    """
    make_steps(draft)
    ours, theirs = model.config, draft.config
    if theirs.is_encoder_decoder != ours.is_encoder_decoder:
        raise UserError(
            "draft_model must be of the model's kind, decoder or encoder-decoder. "
            f"Received: a {type(draft).__name__} for a {type(model).__name__}."
        )
    if theirs.vocab_size != ours.vocab_size:
        raise UserError(
            "draft_model must have the model's vocabulary. "
            f"Received: {theirs.vocab_size} tokens, where the model has {ours.vocab_size}."
        )
    longest = context_length(theirs)
    needed = max((max(len(p.token_ids) + p.limit - 1, len(p.source_ids)) for p in prompts), default=0)
    if longest is not None and needed > longest:
        raise UserError(
            f"prompt and text may come to {needed} tokens, and draft_model reads at most {longest}. "
            "Give a smaller max_new_tokens, a shorter prompt, or another draft."
        )
