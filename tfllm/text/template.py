"""Where special tokens stand around one text or two, and how a text that is too long is cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """The special tokens around the texts of one input.

    Args:
        specials: ids before, between and after the texts: one group more than there are texts.
        special_types: the token type of each of these.
        text_types: the token type of each text.

    Example:
        >>> bert_pair = Layout(((101,), (102,), (102,)), ((0,), (0,), (1,)), (0, 1))
        >>> bert_pair.num_specials
        3
    """

    specials: tuple[tuple[int, ...], ...]
    special_types: tuple[tuple[int, ...], ...]
    text_types: tuple[int, ...]

    @property
    def num_specials(self) -> int:
        return sum(map(len, self.specials))

    def assemble(
        self, texts: list[tuple[np.ndarray, np.ndarray]], types: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Sets the special tokens around N inputs.

        Args:
            texts: for each text of an input, the flat ids of all N and the number that each has, (N,).
            types: whether to make token types as well.

        Returns:
            flat ids (int32), offsets (N + 1,) (int64), flat token types (uint8) or `None`.
        """
        lengths = np.full(len(texts[0][1]), self.num_specials, np.int64)
        for _, counts in texts:
            lengths += counts
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        ids = np.empty(offsets[-1], np.int32)
        type_ids = np.empty(offsets[-1], np.uint8) if types else None
        position = offsets[:-1].copy()  # where the next token of each input goes
        for group in range(len(texts) + 1):
            for token, kind in zip(self.specials[group], self.special_types[group]):
                ids[position] = token
                if types:
                    type_ids[position] = kind
                position += 1
            if group < len(texts):
                flat, counts = texts[group]
                where = np.repeat(position, counts) + ranges(counts)
                ids[where] = flat
                if types:
                    type_ids[where] = self.text_types[group]
                position += counts
        return ids, offsets, type_ids


@dataclass(frozen=True)
class Template:
    """The layout of a single text and that of a pair."""

    single: Layout
    pair: Layout

    @classmethod
    def bert(cls, cls_id: int, sep_id: int) -> Template:
        """`[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`, the second text and its `[SEP]` of type 1."""
        return cls(
            Layout(((cls_id,), (sep_id,)), ((0,), (0,)), (0,)),
            Layout(((cls_id,), (sep_id,), (sep_id,)), ((0,), (0,), (1,)), (0, 1)),
        )

    @classmethod
    def roberta(cls, cls_id: int, sep_id: int) -> Template:
        """`<s> A </s>` and `<s> A </s></s> B </s>`, without token types."""
        return cls(
            Layout(((cls_id,), (sep_id,)), ((0,), (0,)), (0,)),
            Layout(((cls_id,), (sep_id, sep_id), (sep_id,)), ((0,), (0, 0), (0,)), (0, 0)),
        )

    @classmethod
    def bos_eos(cls, bos_id: int | None, eos_id: int | None) -> Template:
        """`<s> A </s>` and `<s> A </s> <s> B </s>`, without those that are `None`, without token types."""
        bos = () if bos_id is None else (bos_id,)
        eos = () if eos_id is None else (eos_id,)
        return cls._untyped((bos, eos), (bos, eos + bos, eos))

    @classmethod
    def _untyped(cls, *groups: tuple[tuple[int, ...], ...]) -> Template:
        return cls(*(Layout(g, tuple((0,) * len(ids) for ids in g), (0,) * (len(g) - 1)) for g in groups))


def ranges(lengths: np.ndarray) -> np.ndarray:
    """`[0 .. l0-1, 0 .. l1-1, ...]` for lengths `(N,)`, as one flat array."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)


def longest_first(n_a, n_b, room, xp=np):
    """How many tokens of each text to keep, so that a pair fits into `room` tokens: the longer one is cut first.

    This is the rule of the `tokenizers` library. Where both must be cut, each gets half, and an odd token goes to the
    one that was longer (to the second if they were equal).

    Args:
        n_a, n_b: numbers of tokens (N,).
        room: how many tokens may stay.
        xp: `numpy` or `tensorflow`, whichever the arrays are of.

    Returns:
        `(keep_a, keep_b)`, each (N,).

    Example:
        >>> [int(k) for k in longest_first(np.array(10), np.array(3), 8)]
        [5, 3]
    """
    short, long = xp.minimum(n_a, n_b), xp.maximum(n_a, n_b)
    halve = short + xp.maximum(short, room - short) > room
    keep_short = xp.where(halve, room // 2 + 0 * short, short)
    keep_long = xp.where(halve, room - room // 2 + 0 * long, room - short)
    swap, fits = n_a > n_b, n_a + n_b <= room
    keep_a = xp.where(fits, n_a, xp.where(swap, keep_long, keep_short))
    keep_b = xp.where(fits, n_b, xp.where(swap, keep_short, keep_long))
    return keep_a, keep_b
