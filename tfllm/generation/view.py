"""What a logits processor may see of the decode loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class View:
    """The decode loop's state at the moment when a token is chosen, for reading.

    Rows are padded on the left, so that a row's tokens stand one after another and end at place `width + step - 1`.

    Attributes:
        token_ids: `(B, S)` int32, the prompt's tokens and those generated so far; what stands after them has no meaning.
        real: `(B, S)` bool, where a token of the prompt or a generated one stands.
        width: places of the prompt, padding included; the first generated token stands at this place.
        step: scalar int32, tokens generated so far.
        positions: `(B,)` int32, position of the token to be chosen in its own row, from 0.
        limits: `(B,)` int32, tokens that the row may generate.
        seeds: `(B,)` int32, the row's random seed.
        allowed: `(B, V)` bool, tokens that may be chosen, where the loop is told so from outside; else `None`.
        lengths: `(B,)` int32, tokens generated so far by each row, where that is not `step` for all; read `new`.
    """

    token_ids: tf.Tensor
    real: tf.Tensor
    width: int
    step: tf.Tensor
    positions: tf.Tensor
    limits: tf.Tensor
    seeds: tf.Tensor
    allowed: tf.Tensor | None = None
    lengths: tf.Tensor | None = None

    @property
    def new(self) -> tf.Tensor:
        """Tokens generated so far by each row: `(B,)` int32. Processors that read it and not `step` run in continuous batching, too."""
        return tf.fill(self.seeds.shape, self.step) if self.lengths is None else self.lengths

    @property
    def end(self):
        """The place of the token to be chosen."""
        return self.width + self.step

    def map_rows(self, change: Callable[[tf.Tensor], tf.Tensor]) -> View:
        """The view of other rows: `change` applied to everything that has rows."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        changed = {name: change(x) for name, x in values.items() if isinstance(x, tf.Tensor) and x.shape.rank}
        return dataclasses.replace(self, **changed)

    def counts(self, vocab_size: int, *, generated_only: bool = False) -> tf.Tensor:
        """How often each token of the vocabulary stands in each row: `(B, V)` float32."""
        rows, length = self.token_ids.shape
        counted = self.real
        if generated_only:
            counted = tf.logical_and(counted, tf.range(length) >= (self.end - self.new)[:, None])
        flat = self.token_ids + tf.range(rows)[:, None] * vocab_size
        sums = tf.math.unsorted_segment_sum(
            tf.reshape(tf.cast(counted, tf.float32), (-1,)), tf.reshape(flat, (-1,)), rows * vocab_size
        )
        return tf.reshape(sums, (rows, vocab_size))

    def last(self, count: int) -> tf.Tensor:
        """The last tokens of each row, -1 where it has fewer: `(B, count)` int32."""
        known = tf.where(self.real, self.token_ids, -1)
        padded = tf.pad(known, ((0, 0), (count, 0)), constant_values=-1)
        return tf.slice(padded, (0, self.end), (known.shape[0], count))
