"""The contract of everything that shapes the choice of a token, and how its numbers reach the compiled loop.

A processor is a frozen dataclass that is called with logits `(B, V)` float32 and a `View`, and returns logits `(B, V)`. The loop
takes the largest; -inf forbids a token. Fields that are floats are fed when the compiled loop runs, so another temperature needs no
other compilation; all other fields are part of the program.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Protocol

import tensorflow as tf

from tfllm.generation.view import View

FORBIDDEN = float("-inf")


class Processor(Protocol):
    """See the module's text."""

    def __call__(self, logits: tf.Tensor, view: View) -> tf.Tensor: ...


def apply(processors: Sequence[Processor], logits: tf.Tensor, view: View) -> tf.Tensor:
    """Logits `(B, V)` after all processors, one after another."""
    for processor in processors:
        logits = processor(logits, view)
    return logits


def numbers(processors: Sequence[Processor]) -> list[float]:
    """The float fields of all processors, in order."""
    return [getattr(processor, name) for processor in processors for name in _float_fields(processor)]


def with_numbers(processors: Sequence[Processor], values: tf.Tensor) -> list[Processor]:
    """The same processors with their float fields taken from `values`, a float32 vector in the order of `numbers`."""
    result, i = [], 0
    for processor in processors:
        names = _float_fields(processor)
        if names:
            processor = copy.copy(processor)
            for name in names:
                object.__setattr__(processor, name, values[i])
                i += 1
        result.append(processor)
    return result


def structure(processors: Sequence[Processor]) -> tuple:
    """What makes the compiled loop another one: the processors without their numbers. Hashable."""
    return tuple(
        (type(p), *((f.name, getattr(p, f.name)) for f in _fields(p) if f.type != "float")) for p in processors
    )


def _fields(processor):
    return dataclasses.fields(processor)


def _float_fields(processor) -> list[str]:
    # Annotations are strings here (`from __future__ import annotations` in every module of processors).
    return [field.name for field in _fields(processor) if field.type == "float"]
