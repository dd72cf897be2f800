"""Processors that forbid or force tokens."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfllm.generation.processors import FORBIDDEN
from tfllm.generation.view import View


def _members(tokens, vocab_size: int) -> np.ndarray:
    """`(V,)` bool, True for `tokens`."""
    mask = np.zeros(vocab_size, bool)
    mask[list(tokens)] = True
    return mask


@dataclasses.dataclass(frozen=True)
class MinNewTokens:
    """Forbids the end tokens until `count` tokens are generated."""

    count: int
    eos_ids: tuple[int, ...]

    def __call__(self, logits, view: View):
        early = tf.logical_and((view.new < self.count)[:, None], _members(self.eos_ids, logits.shape[-1]))
        return tf.where(early, FORBIDDEN, logits)


@dataclasses.dataclass(frozen=True)
class BadWords:
    """Forbids sequences of token ids: the last token of each, where the ones before it have just been generated."""

    sequences: tuple[tuple[int, ...], ...]

    def __call__(self, logits, view: View):
        vocab_size = logits.shape[-1]
        single = [sequence[0] for sequence in self.sequences if len(sequence) == 1]
        if single:
            logits = tf.where(_members(single, vocab_size), FORBIDDEN, logits)
        for sequence in self.sequences:
            if len(sequence) > 1:
                tail = view.last(len(sequence) - 1)
                follows = tf.reduce_all(tail == np.array(sequence[:-1], "int32"), axis=1, keepdims=True)
                logits = tf.where(tf.logical_and(follows, _members(sequence[-1:], vocab_size)), FORBIDDEN, logits)
        return logits


@dataclasses.dataclass(frozen=True)
class SuppressAt:
    """Forbids tokens at one place of the generated ones."""

    tokens: tuple[int, ...]
    place: int

    def __call__(self, logits, view: View):
        here = tf.logical_and((view.new == self.place)[:, None], _members(self.tokens, logits.shape[-1]))
        return tf.where(here, FORBIDDEN, logits)


@dataclasses.dataclass(frozen=True)
class ForcedFirst:
    """The first generated token is `token` (the target language of multilingual translation models)."""

    token: int

    def __call__(self, logits, view: View):
        return tf.where((view.new == 0)[:, None], _only(self.token, logits.shape[-1]), logits)


@dataclasses.dataclass(frozen=True)
class ForcedLast:
    """The last token that a row may generate is `token`."""

    token: int

    def __call__(self, logits, view: View):
        last = (view.limits - 1 == view.new)[:, None]
        return tf.where(last, _only(self.token, logits.shape[-1]), logits)


@dataclasses.dataclass(frozen=True)
class Allowed:
    """Forbids all tokens but those that the loop is told from outside, a step at a time (`View.allowed`).

    Args:
        shown: where the processors before it have forbidden all of these, it leaves those that are not allowed, by which the caller
            sees it; otherwise it forbids all.
    """

    shown: bool = True

    def __call__(self, logits, view: View):
        left = tf.where(view.allowed, logits, FORBIDDEN)
        if not self.shown:
            return left
        none = tf.reduce_all(left == FORBIDDEN, axis=-1, keepdims=True)
        return tf.where(none, tf.where(view.allowed, FORBIDDEN, 0.0), left)


def _only(token: int, vocab_size: int) -> np.ndarray:
    return np.where(_members([token], vocab_size), np.float32(0), np.float32(FORBIDDEN))[None]
