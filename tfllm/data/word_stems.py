"""Words of prose and of code, made comparable: what word-overlap baselines count."""

from __future__ import annotations

import re

# A run of capitals, a word with or without a capital, or a number: "HTTPServer.maxItems2" -> HTTP Server max Items 2.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SUFFIXES = ("ing", "ies", "es", "ed", "s", "e")
_STOP_WORDS = frozenset(
    "a all an and any are as at be been but by can could for from had has have if in into is it its may no not of on "
    "one only or should so such than that the their then there they this to use used using was were when where which "
    "will with would".split()
)


def word_stems(text: str) -> frozenset[str]:
    """The stems of the words in a text, without stop words. Identifiers are split at underscores and at capitals.

    Args:
        text: prose or source code.

    Example:
        >>> sorted(word_stems("Returns the parsed headers; see parse_headerLines()."))
        ['header', 'lin', 'pars', 'return', 'see']
    """
    return frozenset(_stem(word) for word in map(str.lower, _WORD.findall(text)) if word not in _STOP_WORDS)


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


def overlap(words: frozenset[str], others: frozenset[str]) -> float:
    """The share of `words` that is also in `others`; 0 where there are no words."""
    return len(words & others) / len(words) if words else 0.0
