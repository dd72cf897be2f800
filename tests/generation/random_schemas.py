"""Random JSON schemas, for the tests of constraints."""

from __future__ import annotations

import random

_NAMES = ("name", "age", "tags", "id", "unit price", "naïve", "a/b", 'quo"te', "x", "address", "日本")
_PATTERNS = ("^[A-Z]{2}[0-9]{4}$", "^(red|green|blue)$", "^[a-z]+-[0-9]+$", "^[^0-9]*$", "^a.c$")


def random_schema(draw: random.Random, depth: int = 3) -> dict | bool:
    """A schema that some value follows."""
    simple = [_string, _integer, _number, _enum, _const, _plain]
    kinds = simple if depth == 0 else [*simple, _object, _object, _object, _array, _array, _any_of]
    return draw.choice(kinds)(draw, depth - 1)


def _string(draw, depth):
    schema = {"type": "string"}
    if draw.random() < 0.25:
        return {**schema, "pattern": draw.choice(_PATTERNS)}
    if draw.random() < 0.5:
        schema["minLength"] = draw.randint(0, 4)
    if draw.random() < 0.5:
        schema["maxLength"] = draw.randint(4, 12)
    return schema


def _integer(draw, depth):
    low = draw.randint(-1000, 1000)
    bounds = {"minimum": low, "maximum": low + draw.randint(0, 500)}
    return {"type": "integer", **{name: value for name, value in bounds.items() if draw.random() < 0.6}}


def _number(draw, depth):
    low = draw.randint(-50, 50)
    bounds = {"minimum": low, "exclusiveMaximum": low + draw.randint(1, 9) / 2}
    return {"type": "number", **{name: value for name, value in bounds.items() if draw.random() < 0.5}}


def _enum(draw, depth):
    return {
        "enum": draw.sample(
            ["red", "green", "a longer one", "é", 1, 2.5, None, True, [1, 2], {"a": 1}], draw.randint(1, 4)
        )
    }


def _const(draw, depth):
    return {"const": draw.choice(["fixed", 7, -1.5, None, False, ["a", "b"], {"k": "v"}])}


def _plain(draw, depth):
    return {"type": draw.choice(["null", "boolean", ["string", "null"], ["integer", "boolean"]])}


def _object(draw, depth):
    names = draw.sample(_NAMES, draw.randint(0, 4))
    schema = {"type": "object", "properties": {name: random_schema(draw, depth) for name in names}}
    schema["required"] = [name for name in names if draw.random() < 0.6]
    if draw.random() < 0.7:
        schema["additionalProperties"] = draw.choice([False, False, {"type": "integer"}])
    return schema


def _array(draw, depth):
    schema = {"type": "array", "items": random_schema(draw, depth)}
    least = draw.randint(0, 3)
    if draw.random() < 0.5:
        schema["minItems"] = least
    if draw.random() < 0.5:
        schema["maxItems"] = least + draw.randint(0, 3)
    return schema


def _any_of(draw, depth):
    return {"anyOf": [random_schema(draw, depth) for _ in range(draw.randint(1, 3))]}
