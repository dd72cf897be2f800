"""Trivial methods, beside whose scores a model's mean something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfllm.data.examples import Examples
from tfllm.data.word_stems import overlap, word_stems
from tfllm.errors import UserError


@dataclass(frozen=True, eq=False)
class WordOverlap:
    """Says class 1 where enough of the first text's words are in the second text.

    Words are counted as `tfllm.data.word_stems` gives them: identifiers split, stop words left out, ends such as "-ing"
    cut off.

    Attributes:
        threshold: the share of the words from which on it says 1.

    Example:
        >>> train = Examples((["Close it.", "Open it."], ["close()", "close()"]), np.array([1, 0]))
        >>> WordOverlap.fit(train).predict(train)
        array([1, 0], dtype=int32)
    """

    threshold: float

    @classmethod
    def fit(cls, train: Examples) -> WordOverlap:
        """The threshold with the best accuracy on `train`; the lowest of several.

        Raises:
            UserError: not two texts an example, or not two classes.
        """
        if len(train.texts) != 2 or train.labels is None or not set(train.labels.tolist()) <= {0, 1}:
            raise UserError(f"word overlap needs two texts an example and labels 0 and 1. Received: {train.source}.")
        shares = cls._shares(train)
        thresholds = np.unique(shares)
        accuracies = [np.mean((shares >= threshold) == train.labels) for threshold in thresholds]
        return cls(float(thresholds[np.argmax(accuracies)]))

    def predict(self, examples: Examples) -> np.ndarray:
        """Classes 0 and 1, `(N,)` int32."""
        return (self._shares(examples) >= self.threshold).astype(np.int32)

    @staticmethod
    def _shares(examples: Examples) -> np.ndarray:
        return np.array([overlap(word_stems(first), word_stems(second)) for first, second in zip(*examples.texts)])


def majority(train: Examples, examples: Examples) -> np.ndarray:
    """The most frequent class of `train` (the first of several) for every example, `(N,)` int32."""
    return np.full(len(examples), np.bincount(train.labels).argmax(), np.int32)
