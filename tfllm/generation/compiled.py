"""The loops of one model as `tf.function`s, each traced once for a set of shapes and processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfllm.generation import beams, loop
from tfllm.generation.drafts import PromptLookup, advance_with_drafts
from tfllm.generation.processors import Processor, numbers, structure, with_numbers
from tfllm.generation.steps import make_steps


class CompiledLoops:
    """Compiles and keeps the loops.

    Args:
        model: a `CausalLM` or a `Seq2SeqLM`.
        jit_compile: with XLA.

    Attributes:
        traces: how often a loop was traced, which is how many were compiled.
    """

    def __init__(self, model: keras.Model, *, jit_compile: bool = True):
        self.steps = make_steps(model)
        self.jit_compile = jit_compile
        self.traces = 0
        self._functions: dict[tuple, Callable] = {}

    def start(self, batch: dict[str, np.ndarray], new_tokens: int) -> dict:
        """See `loop.start`."""
        batch = {key: tf.constant(value) for key, value in batch.items()}
        return self._call(("start", new_tokens), lambda batch: loop.start(self.steps, batch, new_tokens), batch)

    def advance(self, processors: Sequence[Processor], eos_ids: tuple[int, ...], state: dict, count: int) -> dict:
        """See `loop.advance`."""

        def body(state, count, values):
            return loop.advance(self.steps, with_numbers(processors, values), eos_ids, state, count)

        arguments = state, tf.constant(count), _vector(processors)
        return self._call(("advance", structure(processors), eos_ids), body, *arguments)

    def advance_with_drafts(self, processors, eos_ids, draft: PromptLookup, state: dict, count: int) -> dict:
        """See `drafts.advance_with_drafts`."""

        def body(state, count, values):
            fed = with_numbers(processors, values)
            return advance_with_drafts(self.steps, fed, eos_ids, draft, state, count)

        arguments = state, tf.constant(count), _vector(processors)
        return self._call(("drafts", structure(processors), eos_ids, draft), body, *arguments)

    def search(self, processors, eos_ids, rules: beams.BeamRules, state: dict, count: int) -> dict:
        """See `beams.start_beams` and `beams.advance_beams`."""

        def body(state, count, values):
            state = beams.start_beams(state, rules)
            return beams.advance_beams(self.steps, with_numbers(processors, values), eos_ids, rules, state, count)

        arguments = state, tf.constant(count), _vector(processors)
        return self._call(("search", structure(processors), eos_ids, rules), body, *arguments)

    def _call(self, key: tuple, body: Callable, *arguments):
        """Calls `body`, compiled for `key` and the arguments' shapes."""
        key = (*key, *(tuple(tensor.shape) for tensor in tf.nest.flatten(arguments)))
        if key not in self._functions:
            function = tf.function(body, jit_compile=self.jit_compile, autograph=False)
            self._functions[key] = function.get_concrete_function(*arguments)
            self.traces += 1
        return self._functions[key](*arguments)


def _vector(processors: Sequence[Processor]) -> tf.Tensor:
    return tf.constant(numbers(processors), tf.float32)
