"""What ALBERT does to a text before SentencePiece sees it: white space, quotes, accents and case."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AlbertText:
    """ALBERT's treatment of a text, as the original code and the AlbertTokenizer of `transformers` 4 have it.

    White space is squeezed, ``` `` ``` and `''` become `"`, characters are decomposed (NFKD) and lose their accents,
    and the text is lower-cased. One difference: a character is lower-cased by itself, so that a capital sigma is never
    a final one; the original looks at its neighbours, the `tokenizers` library does not, and here the layer in the
    graph does the same.

    Args:
        do_lower_case, remove_space, keep_accents: the options of tokenizer_config.json, with ALBERT's defaults.

    Example:
        >>> AlbertText()("  Café ``Ünal''  ")
        'cafe "unal"'
    """

    do_lower_case: bool = True
    remove_space: bool = True
    keep_accents: bool = False
    _characters: dict = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "_characters", _CharacterMap(self.map_character))

    def __call__(self, text: str) -> str:
        if self.remove_space:
            text = " ".join(text.split())
        text = text.replace("``", '"').replace("''", '"')
        if not text.isascii():
            return text.translate(self._characters)
        return text.lower() if self.do_lower_case else text

    def map_character(self, character: str) -> str:
        """What becomes of one character."""
        if self.do_lower_case:
            character = character.lower()
        if not self.keep_accents:
            character = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
        return character.lower() if self.do_lower_case else character


class _CharacterMap(dict):
    """A table for `str.translate` that fills itself with the characters that occur."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def __missing__(self, codepoint: int) -> str:
        value = self[codepoint] = self._function(chr(codepoint))
        return value
