"""Texts that follow a grammar, row by row of a batch: which tokens may come next, and that the text is whole when it ends.

llguidance's automaton says which tokens may follow. Beside it, each row keeps a *rest*: bytes that would complete its text, in no more tokens
than the row may still generate. A token after which no such rest is found is taken back, and the rest's first token said instead. So
a text is whole however early its limit comes, and whatever the model says.
"""

from __future__ import annotations

import copy
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.generation.completion import Completions, following
from tfllm.generation.grammars import Grammar
from tfllm.generation.incremental_text import IncrementalText
from tfllm.generation.spelling import Spelling, byte_matcher
from tfllm.text import Tokenizer

_FIRST_EFFORT, _EFFORT = 20_000, 2_000  # states visited in search of a completion: in the beginning, and after a token
_SPELLINGS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class Matching:
    """The rows of a batch under one grammar.

    Args:
        grammar: what texts must follow.
        tokenizer: of the model.
        vocab_size: of the model.
        eos_ids: tokens that end a text.
        least: tokens that a text must have.

    Raises:
        UserError: the grammar is not valid, no text follows it, or the vocabulary cannot spell one.
    """

    def __init__(
        self, grammar: Grammar, tokenizer: Tokenizer, vocab_size: int, eos_ids: tuple[int, ...], *, least: int = 0
    ):
        self.grammar, self.tokenizer, self.eos_ids, self.least = grammar, tokenizer, eos_ids, least
        self.spelling = _spelling(tokenizer, vocab_size, eos_ids)
        self.rows: list[Row] = []
        self._begun = functools.cache(self._begin)

    def add_row(self, limit: int, context: Sequence[int], skip: int = 0) -> None:
        """Adds a row.

        Args:
            limit: tokens that it may generate.
            context: tokens that its text is decoded with, see `IncrementalText`.
            skip: tokens before the text, such as a forced language.

        Raises:
            UserError: no text that follows the grammar is so short.
        """
        # Some tokenizers leave out a text's first space: there, one stands before the text.
        tokens, text, completions = self._begun(" " if self._loses_space(context) else "")
        room, needed = limit - skip, []

        def fits(rest: bytes) -> bool:
            spelt = self.spelling.spell(rest)
            if spelt is not None:
                needed.append(len(spelt))
            return spelt is not None and len(spelt) <= room

        rest = completions(text, b"", fits, _FIRST_EFFORT)
        if rest is None and needed:
            raise UserError(
                f"unmet constraint: the shortest text found that follows {self.grammar.name} has {min(needed)} tokens. "
                f"Raise max_new_tokens, or shorten the prompt. Received: room for {room}."
            )
        if rest is None:
            raise UserError(
                "unmet constraint: no text was found that follows it and that the model's vocabulary can spell. "
                f"Received: {self.grammar.name}."
            )
        self.rows.append(Row(self.spelling, self.eos_ids, completions, tokens.deep_copy(), text, rest, limit, skip))

    def advance(self, advance: Callable[[dict, int], dict], state: dict, width: int) -> dict:
        """One more token in every row that has not ended.

        Args:
            advance: of a state and a number of tokens; it chooses among those that are `allowed` in the state, `(B, V)` bool.
            state: of the loop.
            width: places of the prompt.

        Returns:
            The state; rows after whose text nothing may follow are finished.

        Raises:
            UserError: another option forbids all that the grammar allows.
        """
        finished = state["finished"].numpy()
        open_ = {i: row for i, row in enumerate(self.rows) if not finished[i]}
        allowed = np.ones((len(finished), len(self.spelling.tokens)), bool)
        for i, row in open_.items():
            allowed[i] = row.allowed()
        place = width + int(state["step"])
        new, chosen = self._choose(advance, state, allowed, place, open_)
        refused = [i for i, row in open_.items() if not row.take(int(chosen[i]))]
        if refused:  # the same step again: what was taken is taken again
            forced = {i: self.rows[i].forced() for i in refused}
            ending = [i for i, token in forced.items() if token is None]
            finished[ending] = True
            going = {i: row for i, row in open_.items() if i not in ending}
            for i in going:
                allowed[i] = np.arange(allowed.shape[1]) == forced.get(i, chosen[i])
            again = {**state, "finished": tf.constant(finished)}
            new, chosen = self._choose(advance, again, allowed, place, going)
            for i in refused:
                if i in going:
                    self.rows[i].take(int(chosen[i]))
                else:
                    self.rows[i].complete = True
        complete = [i in open_ and self.rows[i].complete for i in range(len(finished))]
        short = np.flatnonzero(complete & (new["lengths"].numpy() < self.least))
        if short.size:
            raise UserError(
                f"unmet constraint: {self.grammar.name} allows nothing after {self.rows[short[0]].said.decode(errors='replace')!r}, "
                f"which is shorter than min_new_tokens. Received: min_new_tokens={self.least}."
            )
        return {**new, "finished": tf.logical_or(new["finished"], complete)}

    def _choose(self, advance, state: dict, allowed: np.ndarray, place: int, rows: dict[int, Row]):
        """The state after one more token, and the tokens `(B,)`. `rows` are those that have not ended."""
        new = advance({**state, "allowed": tf.constant(allowed)}, 1)
        chosen = new["token_ids"][:, place].numpy()
        for i, row in rows.items():
            if not allowed[i, chosen[i]]:
                raise UserError(
                    f"unmet constraint: another option (bad_words, min_new_tokens, a penalty, an own processor) forbids every "
                    f"token that {self.grammar.name} allows after {row.said.decode(errors='replace')!r}."
                )
        return new, chosen

    def _begin(self, before: str) -> tuple[Any, Any, Completions]:
        """The automata over tokens and over bytes where a text begins, and how texts are completed."""
        source = self.grammar.source(before)
        text = byte_matcher(source)
        if text.is_error():
            raise UserError(f"{self.grammar.name} cannot be followed: {_message(text)}")
        unspelt = [choice for choice in self.grammar.texts if not self.spelling.fits((before + choice).encode())]
        if unspelt:
            raise UserError(
                f"choices must be texts that the model's vocabulary can spell. Received: {', '.join(map(repr, unspelt))}."
            )
        if not before and text.is_accepting() and not following(text):
            raise UserError(f"{self.grammar.name} must allow more than the empty text. Received: one that does not.")
        return self.spelling.matcher(source), text, Completions(self.grammar, before, self.spelling.alphabet)

    def _loses_space(self, context: Sequence[int]) -> bool:
        spaced = next(
            (i for i, text in enumerate(self.spelling.tokens) if text and text[:1] == b" " and text[1:2].isalnum()),
            None,
        )
        if spaced is None:
            return False
        text = IncrementalText(self.tokenizer, context=context)
        text.add([spaced])
        return not text.text.startswith(" ")


class Row:
    """One text that follows a grammar.

    Attributes:
        said: its bytes.
        complete: whether it follows the grammar as it stands, and nothing can come after it.
        tokens: each token's bytes, `None` where it has none.
    """

    def __init__(
        self, spelling: Spelling, eos_ids, completions: Completions, tokens, text, rest, limit: int, skip: int
    ):
        self.said, self.complete, self.tokens = b"", False, spelling.tokens
        self._spelling, self._eos_ids, self._tokens, self._text = spelling, eos_ids, tokens, text
        self._rest, self._room, self._skip, self._completions = rest, limit, skip, completions

    def allowed(self) -> np.ndarray:
        """Tokens that may come next: `(V,)` bool."""
        if self._skip:
            return np.ones(len(self._spelling.tokens), bool)
        shortest = self._spelling.spell(self._rest)
        if shortest and len(shortest) == self._room:
            return np.arange(len(self._spelling.tokens)) == shortest[0]
        mask = self._spelling.mask(self._tokens)
        mask[list(self._eos_ids)] = self._text.is_accepting()
        return mask if mask.any() else np.arange(len(mask)) == shortest[0]

    def copy(self) -> Row:
        """A row that goes on by itself."""
        copied = copy.copy(self)
        copied._tokens = self._tokens.deep_copy()
        return copied

    def forced(self) -> int | None:
        """The next token on the way to the end; `None` if the text is whole as it stands, and there is no end token to say so."""
        shortest = self._spelling.spell(self._rest)
        if shortest:
            return shortest[0]
        return self._eos_ids[0] if self._eos_ids else None

    def take(self, token: int) -> bool:
        """Enters an allowed token; False, and nothing happens, if the text could not be ended in the room after it."""
        if self._skip:
            self._skip, self._room = self._skip - 1, self._room - 1
            return True
        if token in self._eos_ids:
            return True
        piece, after = self._spelling.tokens[token], self._text.deep_copy()
        after.consume_tokens(list(piece))
        rest = self._rest_after(after, piece)
        if rest is None:
            return False
        self._tokens.consume_token(token)
        if self._tokens.is_error() or after.is_error():
            raise UserError(f"unmet constraint: {_message(after if after.is_error() else self._tokens)}")
        self.said, self._text, self._rest, self._room = self.said + piece, after, rest, self._room - 1
        self.complete = not rest and after.is_accepting() and not self._spelling.mask(self._tokens).any()
        return True

    def _rest_after(self, after: Any, piece: bytes) -> bytes | None:
        def fits(rest: bytes) -> bool:
            return self._spelling.fits(rest, self._room - 1)

        if after.is_accepting():
            return b""
        if self._rest.startswith(piece) and fits(self._rest[len(piece) :]):
            return self._rest[len(piece) :]
        if fits(self._rest) and _completes(after, self._rest):
            return self._rest
        return self._completions(after, self.said + piece, fits, _EFFORT)


def _completes(matcher, rest: bytes) -> bool:
    matcher = matcher.deep_copy()
    return (
        matcher.validate_tokens(list(rest)) == len(rest)
        and matcher.consume_tokens(list(rest))
        and matcher.is_accepting()
    )


def _message(matcher) -> str:
    """llguidance's, on one line."""
    return " ".join(matcher.get_error().split())


def _spelling(tokenizer: Tokenizer, vocab_size: int, eos_ids: tuple[int, ...]) -> Spelling:
    """The spelling of a vocabulary, made once."""
    kept = _SPELLINGS.setdefault(tokenizer, {})
    key = vocab_size, eos_ids
    if key not in kept:
        kept[key] = Spelling(tokenizer, vocab_size, eos_ids)
    return kept[key]
