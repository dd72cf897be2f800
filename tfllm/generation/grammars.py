"""Constraints on a whole text as grammars in llguidance's language: a list of choices, a regular expression, a JSON schema."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Any

from tfllm.errors import UserError

# Between JSON's tokens: nothing, or a line break and an indentation. Without a bound, a model may write spaces for ever.
_WHITE_SPACE = r"\n?[ ]{0,8}"
_VALUES = ("const", "enum", "default", "examples")  # keywords whose values are no schemas
_NAMES = ("choices", "regex", "json_schema")


@dataclasses.dataclass(frozen=True)
class Grammar:
    """A grammar that a whole text must follow.

    Attributes:
        name: the option that it comes from.
        rules: its rules, of which `text` is that of a text, where strings that match an expression have so many characters at most (or any
            number, for `None`).
        boundable: whether there are such strings.
        texts: all texts, where they are listed; else empty.
    """

    name: str
    rules: Callable[[int | None], str]
    boundable: bool
    texts: tuple[str, ...] = ()

    def source(self, before: str = "", longest: int | None = None) -> str:
        """In llguidance's language.

        Args:
            before: what stands before each text.
            longest: see `rules`.
        """
        literal = f"{json.dumps(before)} " if before else ""
        return f"start: {literal}text\n{self.rules(longest)}"


def constraint_name(options: Any) -> str | None:
    """Which of the options of a constraint is given.

    Raises:
        UserError: more than one.
    """
    given = [name for name in _NAMES if getattr(options, name) not in (None, ())]
    if len(given) > 1:
        raise UserError(
            f"a text follows one constraint: give one of {', '.join(_NAMES)}. Received: {', '.join(given)}."
        )
    return given[0] if given else None


def check_constraint(options: Any) -> None:
    """Whether a constraint goes with the other options.

    Raises:
        UserError: it does not, or there is more than one.
    """
    name = constraint_name(options)
    refused = {"prompt_lookup": 0, "draft_tokens": None, "penalty_alpha": 0}
    for other, plain in refused.items() if name else ():
        if getattr(options, other) != plain:
            raise UserError(
                f"{name} goes with greedy or sampled decoding and with beams, a token at a time, not with {other}. Give one of the two. "
                f"Received: {name}, {other}={getattr(options, other)}."
            )


def make_grammar(options: Any) -> Grammar | None:
    """The grammar of `choices`, `regex` or `json_schema`; `None` without any of them.

    Raises:
        UserError: a value that is no such thing, or more than one.
    """
    name = constraint_name(options)
    return None if name is None else _MAKERS[name](getattr(options, name))


def _choices(texts: tuple[str, ...]) -> Grammar:
    if not all(isinstance(text, str) and text for text in texts):
        raise UserError(f"choices must be strings that are not empty. Received: {texts!r}.")
    expression = "|".join(map(_literal, texts))
    return Grammar("choices", functools.partial(_expression_rules, expression), True, tuple(dict.fromkeys(texts)))


def _literal(text: str) -> str:
    """A regular expression for just this text."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text)


def _regex(expression: str) -> Grammar:
    from tfllm.generation.spelling import llguidance_module

    if not expression:
        raise UserError("regex must not be empty. Received: regex=''.")
    # "d": `\d` is 0 to 9. Which of Unicode's other digits there are depends on its version.
    return Grammar(
        "regex", functools.partial(_expression_rules, llguidance_module().regex_to_lark(expression, "d")), True
    )


def _expression_rules(expression: str, longest: int | None) -> str:
    bound = "" if longest is None else f" & /(?s:.{{0,{longest}}})/"
    return f"text: TEXT\nTEXT: /{expression}/{bound}\n"


def _json_schema(text: str) -> Grammar:
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"json_schema must be a JSON schema. Received: {text!r:.200}, which is not JSON ({error})."
        ) from None
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise UserError(
            f"json_schema must be an object, or true for any JSON; nothing fits false. Received: json_schema={text!r:.200}."
        )
    schema = {**schema, "x-guidance": {"whitespace_pattern": _WHITE_SPACE}}
    return Grammar("json_schema", functools.partial(_json_rules, schema), _bounded(schema, 0) != schema)


def _json_rules(schema: dict, longest: int | None) -> str:
    return f"text: %json {json.dumps(schema if longest is None else _bounded(schema, longest))}\n"


def _bounded(schema: Any, longest: int) -> Any:
    """The schema with a bound for all strings that match an expression."""
    if isinstance(schema, list):
        return [_bounded(part, longest) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: part if key in _VALUES else _bounded(part, longest) for key, part in schema.items()}
    if any(isinstance(schema.get(key), str) for key in ("pattern", "format")):
        result["maxLength"] = min(longest, schema.get("maxLength", longest))
    return result


_MAKERS = {"choices": _choices, "regex": _regex, "json_schema": _json_schema}


def json_text(schema: Any) -> str:
    """A JSON schema as text: a dictionary, a bool or a text.

    Raises:
        UserError: it is none of these, or has values that JSON cannot write.
    """
    if isinstance(schema, str):
        return schema
    try:
        if isinstance(schema, (dict, bool)):
            return json.dumps(schema)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"json_schema must be values that JSON can write: {error}. Received: {schema!r:.200}."
        ) from None
    raise UserError(f"json_schema must be a dictionary, true, or their JSON. Received: {schema!r:.200}.")
