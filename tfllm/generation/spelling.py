"""A model's vocabulary as llguidance's automata read it, and the fewest tokens that spell a text."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tfllm.errors import UserError
from tfllm.text import Tokenizer
from tfllm.text.token_bytes import token_bytes


class Spelling:
    """What the tokens of a vocabulary spell.

    Args:
        tokenizer: of the model.
        vocab_size: V, of the model; ids that the tokenizer does not have spell nothing.
        eos_ids: tokens that end a text, and spell nothing.

    Attributes:
        tokens: each token's bytes, `None` where it has none.
        library: llguidance's tokenizer, whose end token is V, an id that the model does not have.
        alphabet: bytes that the tokens consist of.

    Raises:
        UserError: tokens do not stand for bytes, or llguidance is not there.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_ids: tuple[int, ...]):
        known = token_bytes(tokenizer)[:vocab_size]
        self.tokens = [*known, *[None] * (vocab_size - len(known))]
        for token in [*eos_ids, *_spare(tokenizer, known)]:
            self.tokens[token] = None
        self._tokenizer = tokenizer
        self._ids = {text: i for i, text in reversed(list(enumerate(self.tokens))) if text is not None}
        self._longest = max(map(len, self._ids), default=0)
        single = frozenset(text[0] for text in self._ids if len(text) == 1)
        self.alphabet = single if len(single) == 256 else frozenset(b"".join(self._ids))
        self.spell = functools.lru_cache(4096)(self._spell)
        self.library = _library(self.tokens, self._usual)

    def matcher(self, grammar: str) -> Any:
        """The automaton of a grammar over this vocabulary. Ask it for errors."""
        return _matcher(self.library, grammar)

    def mask(self, matcher: Any) -> np.ndarray:
        """Tokens that may follow: `(V,)` bool."""
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        return np.unpackbits(bits, bitorder="little")[: len(self.tokens)].astype(bool)

    def fits(self, text: bytes, room: int | None = None) -> bool:
        """Whether a text can be spelt, in at most `room` tokens."""
        spelt = self.spell(text)
        return spelt is not None and (room is None or len(spelt) <= room)

    def _usual(self, text: bytes) -> list[int]:
        """The tokens that the tokenizer makes of a text within another; where it cannot say, the fewest."""
        try:
            ids = self._tokenizer.encode(text.decode(), add_special_tokens=False)
        except UnicodeDecodeError:  # a part of a character
            ids = []
        pieces = [self.tokens[i] or b"" for i in ids]
        if pieces[:1] == [b" "] and text[:1] != b" ":  # SentencePiece's, before each text
            ids, pieces = ids[1:], pieces[1:]
        if b"".join(pieces) == text:
            return ids
        return list(self.spell(text) or (len(self.tokens) + 1 + byte for byte in text))

    def _spell(self, text: bytes) -> tuple[int, ...] | None:
        """The fewest tokens that spell a text; `None` if none do."""
        # fewest[i]: tokens for the first i bytes, and the last of them.
        fewest: list[tuple[int, int] | None] = [(0, -1)]
        for end in range(1, len(text) + 1):
            best = None
            for begin in range(max(0, end - self._longest), end):
                token = self._ids.get(text[begin:end]) if fewest[begin] is not None else None
                if token is not None and (best is None or fewest[begin][0] + 1 < best[0]):
                    best = fewest[begin][0] + 1, token
            fewest.append(best)
        if fewest[-1] is None:
            return None
        result, end = [], len(text)
        while end:
            result.append(fewest[end][1])
            end -= len(self.tokens[result[-1]])
        return tuple(reversed(result))


def _spare(tokenizer: Tokenizer, tokens: list[bytes | None]) -> list[int]:
    """Tokens such as `<0x20>` for bytes that have a piece of their own, with which SentencePiece spells them."""
    single = [i for i, text in enumerate(tokens) if text is not None and len(text) == 1]
    fallback = [i for i in single if tokenizer.id_to_token(i) == f"<0x{tokens[i][0]:02X}>"]
    pieces = {tokens[i] for i in set(single).difference(fallback)}
    return [i for i in fallback if tokens[i] in pieces]


def byte_matcher(grammar: str) -> Any:
    """The automaton of a grammar over the 256 bytes: token b is the byte b."""
    return _matcher(_bytes_library(), grammar)


@functools.cache
def _bytes_library() -> Any:
    return _library([bytes([byte]) for byte in range(256)], list)


def _library(tokens: list[bytes | None], encode: Callable[[bytes], list[int]]) -> Any:
    llguidance = llguidance_module()
    vocabulary = _Vocabulary(tokens, encode)
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(vocabulary), slices=None if len(tokens) > 256 else [])


def _matcher(library: Any, grammar: str) -> Any:
    return llguidance_module().LLMatcher(library, grammar, log_level=0)


def llguidance_module() -> Any:
    """The package llguidance.

    Raises:
        UserError: it is not installed.
    """
    try:
        import llguidance
    except ImportError:
        raise UserError(
            "choices, regex and json_schema need the package llguidance: `pip install llguidance`. Received: none installed."
        ) from None
    return llguidance


class _Vocabulary:
    """The face that llguidance asks for."""

    def __init__(self, tokens: list[bytes | None], encode: Callable[[bytes], list[int]]):
        named = [b"<%d>" % i if text is None else text for i, text in enumerate(tokens)]
        self.eos_token_id, self.bos_token_id = len(tokens), None
        self.special_token_ids = [i for i, text in enumerate(tokens) if text is None] + [self.eos_token_id]
        # Bytes after the end token, which no model has: what stands for a part of a character in a vocabulary without bytes.
        self.tokens = [*named, b"<end>", *(bytes([byte]) for byte in range(256))]
        self._encode = encode

    def __call__(self, text: bytes) -> list[int]:
        return self._encode(text)  # what the grammar leaves no choice about is spelt so
