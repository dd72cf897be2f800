"""Pairs of texts that belong together, two packed in a row, for models that learn to find one by the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfllm.data.batches import Batches
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import UserError
from tfllm.text.template import ranges


@dataclass(frozen=True, eq=False)
class MatchedTexts(TokenizedExamples):
    """N pairs of texts, the tokens of the second right after those of the first. Made by `match`.

    Attributes:
        texts: the texts one by one.
        first_lengths: int64 `(N,)`, tokens of each pair's first text.
        groups: int32 `(N,)`; pairs of the same group are not told from each other.
        paired: bool `(N,)`; `False` where the two are one text, as its group has no other: nothing is learned from it.
    """

    texts: TokenizedExamples | None = None
    first_lengths: np.ndarray | None = None
    groups: np.ndarray | None = None
    paired: np.ndarray | None = None


def match(texts: TokenizedExamples, pairs: np.ndarray, groups: np.ndarray) -> MatchedTexts:
    """Pairs of texts.

    Args:
        texts: token ids of each text.
        pairs: `(N, 2)` numbers of texts.
        groups: `(N,)` numbers from 0.

    Example:
        >>> texts = TokenizedExamples.from_ids([[1, 2], [1, 5, 2]])
        >>> match(texts, np.array([[0, 1]]), np.array([0])).token_ids
        array([1, 2, 1, 5, 2], dtype=int32)
    """
    order = pairs.ravel()
    lengths = texts.lengths[order]
    places = np.repeat(texts.offsets[order], lengths) + ranges(lengths)
    return MatchedTexts(
        texts.token_ids[places],
        np.concatenate([[0], np.cumsum(lengths.reshape(-1, 2).sum(axis=1))]),
        None if texts.type_ids is None else texts.type_ids[places],
        truncated=texts.truncated,
        texts=texts,
        first_lengths=lengths[::2],
        groups=np.asarray(groups, np.int32),
        paired=pairs[:, 0] != pairs[:, 1],
    )


def partners(groups: np.ndarray, seed: int) -> np.ndarray:
    """Another text of the same group for each, `(N, 2)`: every text is once the first and once the second of a pair.

    A text that is alone in its group is paired with itself.

    Example:
        >>> partners(np.array([0, 1, 0]), seed=0)
        array([[0, 2],
               [1, 1],
               [2, 0]])
    """
    order = np.random.default_rng(seed).permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    found = np.empty(len(groups), np.int64)
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        found[members] = np.roll(members, -1)
    return np.stack([np.arange(len(groups)), found], axis=1)


class MatchedBatches(Batches):
    """Batches of `MatchedTexts`, a pair a row; the arguments are those of `Batches`, `max_length` is that of one text.

    Both texts of a pair are packed in its row, as examples 1 and 2, so `head_positions` is `(B, 2)`. Labels `y` `(B,)` int32 are
    the groups, -1 in an empty row, and weights `w` `(B,)`.

    Raises:
        UserError: the batch is to be divided among replicas, workers or micro-batches; also as `Batches`.

    Example:
        >>> texts = TokenizedExamples.from_ids([[1, 2], [1, 5, 2]])
        >>> pairs = match(texts, np.array([[0, 1]]), np.array([0]))
        >>> x, y, w = MatchedBatches(pairs, batch_size=2, layout="bucketed", shuffle=False).batch(0)
        >>> x["example_ids"][0, :6], x["head_positions"][0], y, w
        (array([1, 1, 2, 2, 2, 0], dtype=int32), array([0, 2], dtype=int32), array([ 0, -1], dtype=int32), array([1., 0.], dtype=float32))
    """

    def __init__(
        self,
        tokenized: MatchedTexts,
        *,
        batch_size: int,
        layout: str = "bucketed",
        max_length: int | None = None,
        replicas: int = 1,
        shard: tuple[int, int] = (0, 1),
        **options,
    ):
        if layout == "packed":
            raise UserError("A pair of texts has a row of its own: layout='bucketed' or 'padded'.")
        if replicas > 1 or shard[1] > 1:
            raise UserError(
                "Texts are told from the others of their batch, so a batch cannot be divided: train on one device "
                "(strategy=cpu or gpu), with micro_batches=1. "
                f"Received: a batch in {max(replicas, shard[1])} parts."
            )
        super().__init__(
            tokenized,
            batch_size=batch_size,
            layout=layout,
            max_length=None if max_length is None else 2 * max_length,
            **options,
        )

    def batch(self, step):
        x, _, _ = super().batch(step)
        pairs = self.example_indices(step)[:, 0]
        filled = pairs >= 0
        first = np.where(filled, self.tokenized.first_lengths[pairs], 0).astype(np.int32)[:, None]
        second = (x["example_ids"] > 0) & (x["position_ids"] >= first)
        x["example_ids"] += second
        x["position_ids"] -= second * first
        x["head_positions"] = np.concatenate([np.zeros_like(first), first], axis=1)
        y = np.where(filled, self.tokenized.groups[pairs], -1).astype(np.int32)
        return x, y, (filled & self.tokenized.paired[pairs]).astype(np.float32)

    def dataset(self, start_step=0, stop_step=None):
        if not self.tokenized.paired.any():
            raise UserError("There is nothing to learn from: no text has another one of its group.")
        return super().dataset(start_step, stop_step)

    def report(self):
        return {**super().report(), "unpaired": int((~self.tokenized.paired).sum())}

    def _element_spec(self):
        import tensorflow as tf

        x, *_ = super()._element_spec()
        x["head_positions"] = tf.TensorSpec((self._rows, 2), tf.int32)
        return x, tf.TensorSpec((self._rows,), tf.int32), tf.TensorSpec((self._rows,), tf.float32)
