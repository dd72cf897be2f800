"""Tables over whole numbers as TensorFlow ops: each number becomes a sequence of numbers, or gets a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

NUM_CODEPOINTS = 0x110000
_PAGE = 256


class PagedTable:
    """A table of int32 whose equal pages of 256 entries are kept once: small where most of Unicode is alike.

    Args:
        values: int32 (size,).
    """

    def __init__(self, values: np.ndarray):
        padded = np.pad(values.astype(np.int32), (0, -len(values) % _PAGE))
        numbers: dict[bytes, int] = {}
        self._index = np.array(
            [numbers.setdefault(p.tobytes(), len(numbers)) for p in padded.reshape(-1, _PAGE)], np.int32
        )
        self._pages = np.frombuffer(b"".join(numbers), np.int32)

    def __call__(self, keys: tf.Tensor) -> tf.Tensor:
        page = tf.gather(tf.constant(self._index), keys // _PAGE)
        return tf.gather(tf.constant(self._pages), page * _PAGE + keys % _PAGE)


class SequenceMap:
    """Replaces each number by a sequence of numbers: none, one or more.

    Args:
        size: one more than the largest number.
        changes: the numbers that do not stay as they are, and what becomes of them.

    Example:
        >>> double = SequenceMap(10, {3: [7, 8], 4: []})
        >>> double(tf.ragged.constant([[1, 3], [4]], dtype=tf.int32)).to_list()
        [[1, 7, 8], []]
    """

    def __init__(self, size: int, changes: Mapping[int, Sequence[int]]):
        lengths, starts, shifts = np.ones(size, np.int32), np.zeros(size, np.int32), np.zeros(size, np.int32)
        flat: list[int] = []
        for key, sequence in changes.items():
            lengths[key], starts[key] = len(sequence), len(flat)
            if len(sequence) == 1:
                shifts[key] = sequence[0] - key  # and not the number itself: most pages then are all 0
            else:
                flat += sequence
        starts[lengths < 2] = 0
        self._lengths, self._starts, self._shifts = PagedTable(lengths), PagedTable(starts), PagedTable(shifts)
        self._flat = np.array(flat or [0], np.int32)

    def __call__(self, ragged: tf.RaggedTensor) -> tf.RaggedTensor:
        keys = ragged.flat_values
        lengths = self._lengths(keys)
        ends = tf.cumsum(lengths)
        source = tf.repeat(tf.range(tf.size(keys)), lengths)
        position = tf.range(tf.size(source)) - tf.gather(ends - lengths, source)
        one = tf.gather(keys + self._shifts(keys), source)
        is_one = tf.gather(lengths, source) == 1
        several = tf.gather(
            tf.constant(self._flat), tf.where(is_one, 0, tf.gather(self._starts(keys), source) + position)
        )
        values = tf.where(is_one, one, several)
        splits = tf.gather(tf.concat([[0], ends], axis=0), ragged.row_splits)
        return tf.RaggedTensor.from_row_splits(values, tf.cast(splits, ragged.row_splits.dtype), validate=False)


def character_changes(function: Callable[[str], str]) -> dict[int, list[int]]:
    """The characters that `function` does not leave as they are, for a function that treats each by itself."""
    changes = {}
    for block in _blocks():
        if function(block) == block:
            continue
        for character in block:
            result = function(character)
            if result != character:
                changes[ord(character)] = [ord(c) for c in result]
    return changes


def character_classes(function: Callable[[str], int], is_plain: Callable[[str], bool]) -> np.ndarray:
    """The class of each code point, int32. A block of characters for which `is_plain` is true has class 0."""
    classes = np.zeros(NUM_CODEPOINTS, np.int32)
    for block in _blocks():
        if not is_plain(block):
            for character in block:
                classes[ord(character)] = function(character)
    return classes


def _blocks() -> Iterator[str]:
    for start in range(0, NUM_CODEPOINTS, _PAGE):
        if not 0xD800 <= start < 0xE000:  # surrogates are no characters
            yield "".join(map(chr, range(start, start + _PAGE)))
