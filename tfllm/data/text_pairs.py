"""Sources and targets of a model with an encoder and a decoder: `TokenizedPairs`, and their batches.

The source is what every model reads (`token_ids`, `example_ids`, `position_ids`). Beside it stand `decoder_token_ids`, the
target moved one place to the right behind its start token, `decoder_example_ids` and `decoder_position_ids`, all `(B, T')`;
labels are the target itself, `(B, T')`, and weights 1 where there is a token, so that the loss is a mean over real tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfllm.data.batches import Batches
from tfllm.data.plan import WIDTH_MULTIPLE, choose_widths, fit_widths, round_up
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import UserError
from tfllm.text.template import ranges

# Target lengths allowed beside each source length: every pair of them is a shape to compile.
_TARGET_SHAPES = 2
_SOURCE_SHAPES = 4


@dataclass(frozen=True, eq=False)
class TokenizedPairs(TokenizedExamples):
    """N sources and targets as token ids.

    Attributes:
        token_ids, offsets: of the sources, as in `TokenizedExamples`.
        target_ids: int32, the ids of all targets one after the other, end tokens included; `None` where none are known.
        target_offsets: int64 `(N + 1,)`.
        target_starts: int32 `(N,)`, what the decoder reads first.
        targets_cut: how many targets were cut; `truncated` counts examples of which either side was.
    """

    target_ids: np.ndarray | None = None
    target_offsets: np.ndarray | None = None
    target_starts: np.ndarray | None = None
    targets_cut: int = 0


class PairBatches(Batches):
    """Batches of `TokenizedPairs`; the arguments are those of `Batches`, the layouts "bucketed" and "padded".

    Which examples make step k depends on the sources' lengths alone. The target's T' is the smallest of at most two lengths
    that holds the batch.

    Example:
        >>> pairs = TokenizedPairs(
        ...     np.array([5, 6, 7, 8], np.int32), np.array([0, 3, 4]),
        ...     target_ids=np.array([9, 1, 1], np.int32), target_offsets=np.array([0, 2, 3]),
        ...     target_starts=np.array([0, 0], np.int32),
        ... )
        >>> x, y, w = PairBatches(pairs, batch_size=2, layout="padded", shuffle=False).batch(0)
        >>> x["decoder_token_ids"][0, :3], y[0, :3], w[0, :3]
        (array([0, 9, 0], dtype=int32), array([9, 1, 0], dtype=int32), array([1., 1., 0.], dtype=float32))
    """

    def __init__(self, tokenized: TokenizedPairs, *, batch_size: int, layout: str = "bucketed", **options):
        if layout == "packed":
            raise UserError("A source and its target have a row of their own: layout='bucketed' or 'padded'.")
        if options.get("max_shapes") is None and layout == "bucketed":
            options["max_shapes"] = _SOURCE_SHAPES
        super().__init__(tokenized, batch_size=batch_size, layout=layout, **options)
        if tokenized.target_ids is None:
            return
        self._target_lengths = np.diff(tokenized.target_offsets)
        longest = np.sort(self._target_lengths)[::-1][::batch_size] if layout == "bucketed" else self._target_lengths
        needed = round_up(longest, WIDTH_MULTIPLE)
        self._target_widths = choose_widths(needed, _TARGET_SHAPES if layout == "bucketed" else 1)

    def batch(self, step):
        x, _, _ = super().batch(step)
        del x["head_positions"]  # no token stands for the example
        if self.tokenized.target_ids is None:
            return x, None, np.ones(len(x["token_ids"]), np.float32)
        examples = self.example_indices(step)[:, 0]
        rows = np.flatnonzero(examples >= 0)
        lengths = self._target_lengths[examples[rows]]
        width = int(fit_widths(np.array([self._longest_target(step)]), self._target_widths)[0])
        places = np.repeat(rows * width, lengths) + ranges(lengths)
        labels = self.tokenized.target_ids[
            np.repeat(self.tokenized.target_offsets[examples[rows]], lengths) + ranges(lengths)
        ]

        def spread(values, dtype=np.int32) -> np.ndarray:
            flat = np.zeros(len(examples) * width, dtype)
            flat[places] = values
            return flat.reshape(len(examples), width)

        y, w = spread(labels), spread(1.0, np.float32)
        read = np.zeros_like(y)
        read[:, 1:] = y[:, :-1]
        read[rows, 0] = self.tokenized.target_starts[examples[rows]]
        x["decoder_token_ids"] = np.where(w > 0, read, self.pad_id).astype(np.int32)
        x["decoder_example_ids"] = w.astype(np.int32)
        x["decoder_position_ids"] = spread(ranges(lengths))
        return x, y, w

    def _longest_target(self, step: int) -> int:
        # Of the whole batch, all shards included: every worker must have the same shape.
        epoch, number = divmod(int(step), self.steps_per_epoch)
        indices = self._epoch(epoch).indices[number]
        return int(self._target_lengths[indices[indices >= 0]].max())

    def _element_spec(self):
        import tensorflow as tf

        x, *_ = super()._element_spec()
        del x["head_positions"]
        if self.tokenized.target_ids is None:
            return (x,)
        width = int(self._target_widths[0]) if len(self._target_widths) == 1 else None
        tokens = tf.TensorSpec((self._rows, width), tf.int32)
        for name in ("token_ids", "example_ids", "position_ids"):
            x[f"decoder_{name}"] = tokens
        return x, tokens, tf.TensorSpec((self._rows, width), tf.float32)

    @cached_property
    def _computed_tokens(self) -> int:
        sources = int(self._plan.rows * self._epoch(0).widths.sum())
        if self.tokenized.target_ids is None:
            return sources
        needed = np.array([self._longest_target(step) for step in range(self.steps_per_epoch)])
        return sources + int(self._plan.rows * fit_widths(needed, self._target_widths).sum())

    @property
    def _real_tokens(self) -> int:
        targets = 0 if self.tokenized.target_ids is None else int(self._target_lengths.sum())
        return int(self._lengths.sum()) + targets
