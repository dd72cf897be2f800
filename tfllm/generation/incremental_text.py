"""Tokens that come one after another, as text: no half characters, nothing after a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from tfllm.text import Tokenizer

_HALF = "\ufffd"  # what a decoder writes for bytes that are no character (yet)


class IncrementalText:
    """Decodes a growing list of tokens piece by piece.

    A piece is only given out when it cannot change any more: a character of which a byte is missing is held back, and so is what
    could be the beginning of a stop string. Joined, the pieces are the text: `"".join(pieces) == text.text` in the end.

    Args:
        tokenizer: a `Tokenizer`.
        stop: strings that end the text. One that is a special token, which a text does not show, ends it where that token comes.
        context: tokens before the text, such as the prompt's last ones. Some tokenizers write the first token of a text differently
            (SentencePiece leaves out its space).

    Attributes:
        token_ids: the tokens so far; when a stop string was found, those up to the one in which it ends.
        text: the text so far, special tokens left out, cut before the stop string.
        stopped: the stop string that was found, or `None`.

    Example:
        >>> text = IncrementalText(tokenizer, stop=["\\n\\n"])                       # doctest: +SKIP
        >>> for token in tokens:                                                    # doctest: +SKIP
        ...     print(text.add([token]), end="", flush=True)
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = (), context: Sequence[int] = ()):
        self.tokenizer, self.stop = tokenizer, tuple(stop)
        self._stop_ids = {i: stop for stop in self.stop if (i := _unseen(tokenizer, stop)) is not None}
        self.token_ids: list[int] = []
        self.text = ""
        self.stopped: str | None = None
        self._given = 0  # characters that were given out
        self._window = [int(token) for token in context]  # the context, and the tokens so far
        # Tokens before `_settled` are text for good; those from `_start` on give the next ones their context.
        self._start, self._settled = 0, len(self._window)
        self._done = ""  # the text of tokens before `_settled`

    def add(self, token_ids: Sequence[int]) -> str:
        """The text that is certain after some more tokens and was not given out before."""
        for token in token_ids:
            if self.stopped is not None:
                break
            self._add_one(int(token))
        return self._give(len(self.text) if self.stopped is not None else self._certain())

    def end(self) -> str:
        """What was held back: there are no more tokens."""
        return self._give(len(self.text))

    def _add_one(self, token: int) -> None:
        self.token_ids.append(token)
        self.stopped = self._stop_ids.get(token)
        self._window.append(token)
        before = self._decode(self._start, self._settled)
        now = self._decode(self._start, len(self._window))
        self.text = self._done + now[len(before) :]
        if not now.endswith(_HALF):
            self._done = self.text
            self._start, self._settled = self._settled, len(self._window)
        if self.stopped is None:
            self._find_stop()

    def _decode(self, start: int, end: int) -> str:
        return self.tokenizer.decode(self._window[start:end]) if end > start else ""

    def _find_stop(self) -> None:
        found = [(self.text.find(stop, max(0, self._given - len(stop))), stop) for stop in self.stop]
        found = [(place, stop) for place, stop in found if place >= 0]
        if found:
            place, self.stopped = min(found)
            self.text = self.text[:place]

    def _certain(self) -> int:
        """Characters from the beginning that can change no more."""
        text = self.text.rstrip(_HALF) if self._settled < len(self._window) else self.text
        begun = [length for stop in self.stop for length in range(1, len(stop)) if text.endswith(stop[:length])]
        return len(text) - max(begun, default=0)

    def _give(self, end: int) -> str:
        piece = self.text[self._given : end]
        self._given = max(self._given, end)
        return piece


def _unseen(tokenizer: Tokenizer, text: str) -> int | None:
    """The id of the token that a text is, if decoding leaves it out."""
    token = tokenizer.token_to_id(text)
    return token if token is not None and not tokenizer.decode([token]) else None
