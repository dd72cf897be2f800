"""Typed options: dataclass fields that carry their own help text and range.

A configuration is a frozen dataclass whose fields are made by `option()`. Its values are checked when it is made, from
Python and from the command line alike, and the command line's flags are generated from the same fields
(`tfllm.commands.flags`).
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any

from tfllm.errors import UserError


def option(
    default: Any,
    help: str,
    *,
    choices: tuple | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field with a help text and, optionally, a closed set of values or a range.

    Args:
        default: the value when nothing is given.
        help: one or two sentences, shown by `--help`.
        choices: the only values allowed.
        minimum, maximum: inclusive bounds.
        above, below: exclusive bounds.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Config(Options):
        ...     epochs: int = option(3, "Passes over the training data.", minimum=1)
        >>> Config(epochs=5).epochs
        5
        >>> Config(epochs=0)
        Traceback (most recent call last):
        ...
        tfllm.errors.UserError: epochs must be at least 1. Received: epochs=0.
    """
    bounds = {"minimum": minimum, "maximum": maximum, "above": above, "below": below}
    metadata = {
        "help": help,
        "choices": choices,
        "bounds": {name: value for name, value in bounds.items() if value is not None},
    }
    return dataclasses.field(default=default, metadata=metadata)


def option_types(config_class: type) -> dict[str, tuple[type, bool]]:
    """`{field: (type, optional)}`: `float | None` gives `(float, True)`, `tuple[str, ...]` gives `(tuple, False)`."""
    result = {}
    for name, hint in typing.get_type_hints(config_class).items():
        optional = False
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            members = [member for member in typing.get_args(hint) if member is not type(None)]
            optional, hint = len(members) < len(typing.get_args(hint)), members[0]
        result[name] = (typing.get_origin(hint) or hint, optional)
    return result


@dataclasses.dataclass(frozen=True)
class Options:
    """Base of the configurations: checks the type and the range of every field when it is made.

    Raises:
        UserError: a value has the wrong type, is not one of the choices, or is out of range.
    """

    def __post_init__(self):
        kinds = option_types(type(self))
        for field in dataclasses.fields(self):
            kind, optional = kinds[field.name]
            value = getattr(self, field.name)
            if value is None and optional:
                continue
            object.__setattr__(self, field.name, _checked(field, kind, value))

    def replace(self, **changes: Any):
        """A copy with some values changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary of all values."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()
        }


def _checked(field: dataclasses.Field, kind: type, value: Any) -> Any:
    received = f"Received: {field.name}={value!r}."
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif kind is tuple and isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{field.name} must be {_TYPE_NAMES[kind]}. {received}")
    if field.metadata["choices"] is not None and value not in field.metadata["choices"]:
        raise UserError(f"{field.name} must be one of {', '.join(map(str, field.metadata['choices']))}. {received}")
    if kind is float and not math.isfinite(value):
        raise UserError(f"{field.name} must be a finite number. {received}")
    for bound, limit in field.metadata["bounds"].items():
        holds, text = _BOUNDS[bound]
        if not holds(value, limit):
            raise UserError(f"{field.name} must be {text} {limit}. {received}")
    return value


_TYPE_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", tuple: "a list"}
_BOUNDS = {
    "minimum": (lambda value, limit: value >= limit, "at least"),
    "maximum": (lambda value, limit: value <= limit, "at most"),
    "above": (lambda value, limit: value > limit, "greater than"),
    "below": (lambda value, limit: value < limit, "less than"),
}
