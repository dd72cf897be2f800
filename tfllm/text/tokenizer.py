"""The interface of every tokenizer, and what it returns for a batch."""

from __future__ import annotations

import abc
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfllm.errors import UserError
from tfllm.text.files import write_files
from tfllm.text.special_tokens import ROLES, Token
from tfllm.text.template import Template, longest_first, ranges

# Texts that are handed to a tokenizer library at a time. It bounds the memory of its intermediate objects.
_CHUNK = 8192


@dataclass(frozen=True)
class Encodings:
    """The token ids of N inputs, one after the other.

    Attributes:
        ids: flat int32 array of all tokens.
        offsets: int64 (N + 1,); the tokens of input i are `ids[offsets[i]:offsets[i + 1]]`.
        type_ids: flat uint8 array beside `ids` (0 for the first text, 1 for the second), or `None` if the tokenizer has
            none.
        truncated: how many inputs were cut to fit `max_length`.
    """

    ids: np.ndarray
    offsets: np.ndarray
    type_ids: np.ndarray | None
    truncated: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        """The ids of input i (a view)."""
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"input {i} of {n}")
        return self.ids[self.offsets[i % n] : self.offsets[i % n + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each input, int64 (N,)."""
        return np.diff(self.offsets)


class Tokenizer(abc.ABC):
    """Text to token ids and back. Made by `tfllm.text.load(directory)`.

    Attributes:
        vocab_size: one more than the largest id.
        cls_id, sep_id, bos_id, eos_id, mask_id, unk_id: ids of the special tokens, `None` where there is none.
        pad_id: id that fills a row; 0 if the tokenizer has no padding token.
        has_type_ids: whether inputs have token types (`type_ids`: which of two texts a token is of), as BERT's and
            ALBERT's do.
        added_tokens: the tokens that are looked for in the raw text (`[MASK]` and the like), with their ids.
        template: where special tokens stand (`tfllm.text.template.Template`).
        truncation_side: "right" or "left": from which end a text that is too long loses tokens.
        pooled: "first" or "last": the token that stands for an example in the model that the tokenizer was loaded with
            (`tfllm.load` sets it); batches point their heads there.
        target_form: how that model reads and ends the text that it writes (`tfllm.text.target_form.TargetForm`; `tfllm.load`
            sets it); `None` for a model that writes none.
        fingerprint: sha256, in hex, of everything that determines the ids; it does not depend on the path.

    Example:
        >>> tokenizer = tfllm.text.load("path/to/bert")
        >>> tokenizer.encode("the first text", "and the second", max_length=16)
        [101, 1996, 2034, 3793, 102, 1998, 1996, 2117, 102]
    """

    def __init__(
        self,
        *,
        template: Template,
        special_ids: Mapping[str, int | None],
        has_type_ids: bool,
        vocab_size: int,
        added_tokens: Mapping[Token, int],
        files: Mapping[str, bytes],
        truncation_side: str = "right",
    ):
        self.template = template
        self.cls_id, self.sep_id, self.bos_id, self.eos_id, self.mask_id, self.unk_id, pad_id = (
            special_ids.get(role) for role in ROLES
        )
        self.pad_id: int = 0 if pad_id is None else pad_id
        self.has_type_ids = has_type_ids
        self.vocab_size = vocab_size
        self.added_tokens = dict(added_tokens)
        self.truncation_side = truncation_side
        self.pooled = "first"
        self.target_form = None
        self.files = dict(files)
        self._fingerprint: str | None = None

    @abc.abstractmethod
    def _encode_texts(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of N texts without the template's special tokens: flat int32, and the number of each, int64 (N,)."""

    @abc.abstractmethod
    def _identity(self) -> bytes:
        """What determines the ids, apart from the attributes of this base class."""

    @abc.abstractmethod
    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of `ids`."""

    @abc.abstractmethod
    def id_to_token(self, token_id: int) -> str | None:
        """The token of an id; `None` if the vocabulary has none."""

    @abc.abstractmethod
    def token_to_id(self, token: str) -> int | None:
        """The id of a token; `None` if it is not in the vocabulary."""

    def encode(
        self, text: str, pair: str | None = None, *, max_length: int | None = None, add_special_tokens: bool = True
    ) -> list[int]:
        """Token ids of a text, or of a pair of texts. See `encode_batch`."""
        pairs = None if pair is None else [pair]
        batch = self.encode_batch([text], pairs, max_length=max_length, add_special_tokens=add_special_tokens)
        return batch.ids.tolist()

    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        add_special_tokens: bool = True,
    ) -> Encodings:
        """Token ids of N texts, or of N pairs.

        Args:
            texts: N strings.
            pairs: the second text of each, N strings.
            max_length: most tokens of an input, special tokens included. Longer ones are cut (the longer text of a pair
                first) and counted. `None`: no limit.
            add_special_tokens: whether to set the template's special tokens, such as `[CLS]` and `[SEP]`.

        Returns:
            `Encodings`.

        Raises:
            UserError: something is not a string, the columns differ in length, or `max_length` has no room for any
                text.
        """
        columns = [_checked_texts(texts, "texts")]
        if pairs is not None:
            columns.append(_checked_texts(pairs, "pairs"))
            if len(columns[0]) != len(columns[1]):
                raise UserError(
                    f"texts and pairs must be of the same length. Received: {len(columns[0])} texts and "
                    f"{len(columns[1])} pairs."
                )
        layout = self.template.single if pairs is None else self.template.pair
        if not add_special_tokens:
            layout = type(layout)(((),) * len(layout.specials), ((),) * len(layout.specials), layout.text_types)
        room = None if max_length is None else self.room(max_length, layout.num_specials)
        encoded = [self._encode_chunks(column) for column in columns]
        counts = [lengths for _, lengths in encoded]
        truncated = 0
        if room is not None:
            keep = [np.minimum(counts[0], room)] if pairs is None else longest_first(*counts, room)
            truncated = int(np.count_nonzero(sum(keep) < sum(counts)))
            if truncated:
                encoded = [self._cut(*text, kept) for text, kept in zip(encoded, keep)]
        return Encodings(*layout.assemble(encoded, self.has_type_ids), truncated)

    def encode_with_offsets(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids of N texts without special tokens, and which characters of its text each token comes from.

        Args:
            texts: N strings.

        Returns:
            flat ids int32, the number of each text's tokens int64 `(N,)`, and flat int32 `(tokens, 2)`: the first character
            and the one after the last, counted in code points.

        Raises:
            UserError: this tokenizer does not keep track of characters.
        """
        raise UserError(
            f"Offsets of tokens need a tokenizer that keeps track of characters. Received: {type(self).__name__}, which "
            "does not. Give a checkpoint with a tokenizer.json or a vocab.txt."
        )

    def room(self, max_length: int, num_specials: int) -> int:
        """How many tokens `max_length` leaves beside the special ones.

        Raises:
            UserError: there is room for none.
        """
        if not isinstance(max_length, (int, np.integer)) or isinstance(max_length, bool):
            raise UserError(f"max_length must be a whole number. Received: max_length={max_length!r}")
        if max_length <= num_specials:
            raise UserError(
                f"max_length must leave room for text beside {num_specials} special tokens: "
                f"at least {num_specials + 1}. Received: max_length={max_length}"
            )
        return int(max_length) - num_specials

    def save(self, directory: str | os.PathLike, overwrite: bool = False) -> None:
        """Writes the files that this tokenizer was loaded from, bit for bit.

        Args:
            directory: where to; made if it is not there.
            overwrite: whether other tokenizer files there may be replaced.

        Raises:
            UserError: the directory has another tokenizer and `overwrite` is false.
        """
        write_files(self.files, directory, overwrite=overwrite)

    @property
    def fingerprint(self) -> str:
        if self._fingerprint is None:
            digest = hashlib.sha256(self._identity())
            special_ids = (self.cls_id, self.sep_id, self.bos_id, self.eos_id, self.mask_id, self.unk_id, self.pad_id)
            digest.update(repr((self.template, special_ids, self.has_type_ids, self.truncation_side)).encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} vocab_size={self.vocab_size} fingerprint={self.fingerprint[:12]}>"

    def _encode_chunks(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        chunks = [self._encode_texts(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
        if not chunks:
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        return np.concatenate([ids for ids, _ in chunks]), np.concatenate([lengths for _, lengths in chunks])

    def _cut(self, flat: np.ndarray, lengths: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts = np.cumsum(lengths) - (keep if self.truncation_side == "left" else lengths)
        return flat[np.repeat(starts, keep) + ranges(keep)], keep


def flatten(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lists of ids as one flat int32 array and the length of each, int64 (N,)."""
    from itertools import chain

    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum())), lengths


def _checked_texts(texts: Sequence[str], name: str) -> list[str]:
    if isinstance(texts, (str, bytes)):
        raise UserError(
            f"{name} must be a list of strings. Received: one {type(texts).__name__}; use encode() for one text."
        )
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"{name}[{i}] must be a string. Received: {text!r} ({type(text).__name__})")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise UserError(
                    f"{name}[{i}] must be text that can be written in UTF-8. Received: the lone surrogate "
                    f"U+{ord(text[error.start]):04X} at character {error.start}; read the file with errors='replace' "
                    "or mend it."
                ) from None
    return texts
