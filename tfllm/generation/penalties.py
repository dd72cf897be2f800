"""Processors that make tokens less likely that are there already, and that add to some tokens' logits."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfllm.generation.processors import FORBIDDEN
from tfllm.generation.view import View


@dataclasses.dataclass(frozen=True)
class RepetitionPenalty:
    """Logits of tokens in the prompt or the text so far are divided by `penalty` if positive, else multiplied (CTRL, Keskar et al., 2019)."""

    penalty: float

    def __call__(self, logits, view: View):
        seen = view.counts(logits.shape[-1]) > 0
        return tf.where(seen, tf.where(logits > 0, logits / self.penalty, logits * self.penalty), logits)


@dataclasses.dataclass(frozen=True)
class CountPenalty:
    """Takes `presence` from the logits of generated tokens, and `frequency` times how often each was generated (OpenAI's penalties)."""

    presence: float
    frequency: float

    def __call__(self, logits, view: View):
        counts = view.counts(logits.shape[-1], generated_only=True)
        return logits - self.frequency * counts - self.presence * tf.cast(counts > 0, tf.float32)


@dataclasses.dataclass(frozen=True)
class LogitBias:
    """Adds to the logits of some tokens: `(token id, bias)` pairs."""

    bias: tuple[tuple[int, float], ...]

    def __call__(self, logits, view: View):
        added = np.zeros(logits.shape[-1], "float32")
        for token, value in self.bias:
            added[token] += value
        return logits + added


@dataclasses.dataclass(frozen=True)
class NoRepeatNgrams:
    """Forbids the token that would complete an n-gram which stands in the row already (Paulus et al., 2017)."""

    size: int

    def __call__(self, logits, view: View):
        rows, length = view.token_ids.shape
        vocab_size = logits.shape[-1]
        known = tf.where(view.real, view.token_ids, -1)
        windows = length - self.size + 1
        if windows < 1:
            return logits
        tail = view.last(self.size - 1) if self.size > 1 else tf.zeros((rows, 0), tf.int32)
        matches = known[:, self.size - 1 :] >= 0  # (B, windows): the window's last token is there
        for i in range(self.size - 1):
            matches = tf.logical_and(matches, known[:, i : i + windows] == tail[:, i : i + 1])
            matches = tf.logical_and(matches, known[:, i : i + windows] >= 0)
        flat = tf.maximum(known[:, self.size - 1 :], 0) + tf.range(rows)[:, None] * vocab_size
        hits = tf.math.unsorted_segment_sum(
            tf.reshape(tf.cast(matches, tf.float32), (-1,)), tf.reshape(flat, (-1,)), rows * vocab_size
        )
        return tf.where(tf.reshape(hits, (rows, vocab_size)) > 0, FORBIDDEN, logits)
