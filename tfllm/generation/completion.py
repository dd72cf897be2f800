"""How a text that follows a grammar can be ended: short completions of what is there, found byte by byte."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from tfllm.generation.grammars import Grammar
from tfllm.generation.spelling import byte_matcher

# What ends something comes first, what begins something last: a string's quote before any letter, a bracket before a comma.
# Nought is the last digit: 0.5 and any number of noughts is not yet above 0.5.
_FIRST = b'"}],1234567890:ntf-{['
_ORDER = bytes([*_FIRST, *(b for b in range(33, 127) if b not in _FIRST), 32, *range(128, 256), *range(32), 127])
_LONGEST = 4096  # bytes
_AT_RANDOM = 0.1
_REPRESENTATIVES, _WIDTH = 2, 48


class Completions:
    """Short texts after which a grammar is satisfied, near the shortest for most grammars.

    What closes things is tried first. If that finds nothing that fits, strings that match an expression are bounded to their least length,
    so that no repetition is endless. Then texts of all lengths are searched side by side, and a few kept of those after which the same
    bytes may follow. At last things are closed with some bytes at random.

    Args:
        grammar: what texts follow.
        before: what stands before each text.
        alphabet: bytes that may be used.
    """

    def __init__(self, grammar: Grammar, before: str, alphabet: frozenset[int]):
        self._grammar, self._before, self._alphabet = grammar, before, alphabet

    def __call__(self, matcher: Any, said: bytes, fits: Callable[[bytes], bool], effort: int) -> bytes | None:
        """A completion.

        Args:
            matcher: a `byte_matcher` at what is there. It is left as it is.
            said: what is there.
            fits: whether a completion can be used.
            effort: most states that a search may visit.

        Returns:
            The bytes, or `None` if none was found.
        """
        # Where repetitions may be endless, this soon shows.
        found = self._closing(matcher, longest=_LONGEST // 16 if self._grammar.boundable else _LONGEST)
        if found is not None and fits(found):
            return found
        found = self._bounded(said, fits) if self._grammar.boundable else None
        if found is not None and fits(found):
            return found
        found = self._search(matcher, fits, effort)
        draw = random.Random(0)
        for _ in range(effort // 1000 if found is None else 0):
            tried = self._closing(matcher, draw=draw)
            if tried is not None and fits(tried) and (found is None or len(tried) < len(found)):
                found = tried
        return found

    def _closing(self, matcher: Any, *, longest: int = _LONGEST, draw: random.Random | None = None) -> bytes | None:
        matcher, text = matcher.deep_copy(), bytearray()
        while len(text) < longest:
            if matcher.is_accepting():
                return bytes(text)
            allowed = self._alphabet.intersection(following(matcher))
            byte = next((byte for byte in _ORDER if byte in allowed), None)
            if draw is not None and allowed and draw.random() < _AT_RANDOM:
                byte = draw.choice(sorted(allowed))
            if byte is None or not matcher.consume_token(byte):
                return None
            text.append(byte)
        return None

    def _bounded(self, said: bytes, fits: Callable[[bytes], bool]) -> bytes | None:
        """A completion by the automaton in which strings that match an expression are bounded: one without dead ends there.

        The bound is doubled until there is one; where that does not fit, the least bound is found.
        """
        found, short, long = None, 0, 1
        while found is None and short < _LONGEST:
            found = self._within(said, long)
            if found is None:
                short, long = long, 2 * long
        while found is not None and long - short > 1 and not fits(found):
            middle = (short + long) // 2
            shorter = self._within(said, middle)
            if shorter is None:
                short = middle
            else:
                found, long = shorter, middle
        return found

    def _within(self, said: bytes, longest: int) -> bytes | None:
        matcher = byte_matcher(self._grammar.source(self._before, longest))
        if matcher.is_error() or (said and not matcher.consume_tokens(list(said))):
            return None
        return self._closing(matcher)

    def _search(self, matcher: Any, fits: Callable[[bytes], bool], effort: int) -> bytes | None:
        level = [(b"", matcher)]
        while level and effort > 0 and len(level[0][0]) < _LONGEST:
            below, seen = [], {}
            for text, state in level:
                for byte in self._alphabet.intersection(following(state)):
                    effort -= 1
                    child = state.deep_copy()
                    if not child.consume_token(byte):
                        continue
                    longer = text + bytes([byte])
                    if child.is_accepting() and fits(longer):
                        return longer
                    alike = child.compute_bitmask()
                    seen[alike] = seen.get(alike, 0) + 1
                    if seen[alike] <= _REPRESENTATIVES:
                        below.append((int.from_bytes(alike, "little").bit_count(), longer, child))
            # Where little may follow, something is being ended. The sort is stable: who was ahead there stays ahead.
            level = [(text, child) for _, text, child in sorted(below, key=lambda entry: entry[0])[:_WIDTH]]
        return None


def following(matcher: Any) -> bytes:
    """The bytes that may follow, in a `byte_matcher`."""
    mask = np.frombuffer(matcher.compute_bitmask(), np.uint8)[:32]
    return np.flatnonzero(np.unpackbits(mask, bitorder="little")).astype(np.uint8).tobytes()
