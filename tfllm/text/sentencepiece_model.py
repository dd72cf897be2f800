"""Tokenizers from a SentencePiece model, in the `sentencepiece` library."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sentencepiece

from tfllm.errors import CheckpointError
from tfllm.text.albert_text import AlbertText
from tfllm.text.files import ADDED_TOKENS, CONFIG, MODEL_NAMES
from tfllm.text.special_tokens import Token, TokenizerConfig, read_config
from tfllm.text.template import Template, ranges
from tfllm.text.tokenizer import Tokenizer, flatten

_UNDERLINE = "\u2581"  # stands for a space in a piece


class SentencePieceTokenizer(Tokenizer):
    """A tokenizer that runs in the `sentencepiece` library.

    Special and added tokens are cut out of the raw text first; what is between them is prepared (ALBERT only) and encoded, each
    part by itself.

    Attributes:
        model: the serialized model.
        processor: the library's object for it.
        piece_ids: the vocabulary id of each of the model's pieces, int32.
        tokens: the special and added tokens that are looked for in the text, with their ids.
        prepare: what is done to a text before, or `None`.
        splits: pieces that are replaced by others: id -> ids.
    """

    def __init__(
        self,
        model: bytes,
        processor: sentencepiece.SentencePieceProcessor,
        *,
        vocabulary: list[str | None],
        piece_ids: np.ndarray,
        tokens: Mapping[Token, int],
        prepare: AlbertText | None,
        splits: Mapping[int, tuple[int, ...]],
        config: TokenizerConfig,
        template: Template,
        files: Mapping[str, bytes],
    ):
        self.model, self.processor, self.piece_ids, self.prepare = model, processor, piece_ids, prepare
        self.tokens, self.splits = dict(tokens), dict(splits)
        self._vocabulary = vocabulary
        self._ids = {token: i for i, token in reversed(list(enumerate(vocabulary))) if token is not None}
        self._token_ids = {token.content: i for token, i in tokens.items()}
        self._special = {i for token, i in tokens.items() if token.special}
        self._pattern = token_pattern(self.tokens)
        self._split_lengths = np.ones(len(vocabulary), np.int64)
        for i, pieces in self.splits.items():
            self._split_lengths[i] = len(pieces)
        super().__init__(
            template=template,
            special_ids={role: self._ids.get(token.content) for role, token in config.roles.items()},
            has_type_ids=any(template.pair.text_types) and "token_type_ids" in config.option("model_input_names", ["token_type_ids"], list),
            vocab_size=len(vocabulary),
            files=files,
            truncation_side=config.truncation_side,
        )

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        pieces = {i: piece for piece, i in reversed(list(enumerate(self.piece_ids.tolist())))}
        parts: list[str | list[int]] = []
        for i in map(int, ids):
            if i in self._special or i not in pieces:
                if not (skip_special_tokens and i in self._special):
                    parts.append(self.id_to_token(i) or "")
            elif parts and isinstance(parts[-1], list):
                parts[-1].append(pieces[i])
            else:
                parts.append([pieces[i]])
        return " ".join(part if isinstance(part, str) else self.processor.decode(part) for part in parts)

    def id_to_token(self, token_id: int) -> str | None:
        return self._vocabulary[token_id] if 0 <= token_id < len(self._vocabulary) else None

    def token_to_id(self, token: str) -> int | None:
        return self._ids.get(token)

    def _encode_texts(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        # A text is one part, or several with the tokens that were found in it between them.
        parts: list[str] = []
        found: dict[int, list[int]] = {}  # text -> the ids between its parts
        for i, text in enumerate(texts):
            if self._pattern is not None and self._pattern.search(text):
                pieces = self._pattern.split(text)  # parts and matches, by turns
                parts += pieces[0::2]
                found[i] = [self._token_ids[self._pattern.fullmatch(match)["token"]] for match in pieces[1::2]]
            else:
                parts.append(text)
        if self.prepare is not None:
            parts = [self.prepare(part) for part in parts]
        flat, lengths = flatten(self.processor.encode(parts, out_type=int, num_threads=-1))
        flat, lengths = self._split(self.piece_ids[flat], lengths)
        return (flat, lengths) if not found else _put_between(flat, lengths, found, len(texts))

    def _split(self, flat: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Replaces the pieces that have a replacement."""
        counts = self._split_lengths[flat]
        where = np.flatnonzero(counts != 1)
        if not len(where):
            return flat, lengths
        starts = np.cumsum(counts) - counts
        result = np.repeat(flat, counts)
        for i in where:
            result[starts[i] : starts[i] + counts[i]] = self.splits[int(flat[i])]
        rows = np.repeat(np.arange(len(lengths)), lengths)
        return result, np.bincount(rows, weights=counts, minlength=len(lengths)).astype(np.int64)

    def _identity(self) -> bytes:
        options = (self.tokens, self.prepare, sorted(self.splits.items()), self.piece_ids.tobytes(), len(self._vocabulary))
        return self.model + repr(options).encode()


def token_pattern(tokens: Mapping[Token, int]) -> re.Pattern | None:
    """A pattern that finds added tokens in a text, the longest first, with the white space that belongs to them."""
    if not tokens:
        return None
    longest_first = sorted(tokens, key=lambda token: len(token.content), reverse=True)
    # One group for `split` to keep, and one name in each match for the token itself: hence a pattern in two steps.
    alternatives = "|".join(
        rf"{'\\s*' if t.lstrip else ''}{re.escape(t.content)}{'\\s*' if t.rstrip else ''}" for t in longest_first
    )
    return re.compile(f"({alternatives})")


def _put_between(
    flat: np.ndarray, lengths: np.ndarray, found: Mapping[int, list[int]], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sets the ids of found tokens between the parts of their texts, and counts by text instead of by part."""
    ends = np.cumsum(lengths)
    result, totals, part = [], np.zeros(count, np.int64), 0
    for i in range(count):
        between = found.get(i, [])
        for k in range(len(between) + 1):
            ids = flat[ends[part] - lengths[part] : ends[part]]
            result.append(ids)
            totals[i] += len(ids)
            if k < len(between):
                result.append(np.asarray([between[k]], np.int32))
                totals[i] += 1
            part += 1
    return np.concatenate(result), totals
