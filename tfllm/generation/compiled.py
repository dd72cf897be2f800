"""The loops of one model as `tf.function`s, each traced once for a set of shapes and processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.generation import beams, slots
from tfllm.generation.float_weights import FloatWeights
from tfllm.generation.int8 import Int8Weights
from tfllm.generation.methods import PLAIN, Method
from tfllm.generation.processors import Processor, numbers, structure, with_numbers
from tfllm.generation.steps import make_steps


class CompiledLoops:
    """Compiles and keeps the loops.

    Args:
        model: a `CausalLM` or a `Seq2SeqLM`.
        jit_compile: with XLA.
        weights: `"float"`, the model's own, or `"int8"`, see `Int8Weights`.

    Attributes:
        traces: how often a loop was traced, which is how many were compiled.
    """

    def __init__(self, model: keras.Model, *, jit_compile: bool = True, weights: str = "float"):
        self.steps = make_steps(model)
        self.jit_compile = jit_compile
        self.traces = 0
        kinds = {"float": FloatWeights, "int8": Int8Weights}
        if weights not in kinds:
            raise UserError(f'weights must be "float" or "int8". Received: weights={weights!r}.')
        self._kind = kinds[weights]
        self.weights = self._kind(model, compiled=jit_compile)
        self._functions: dict[tuple, Callable] = {}
        self._variables: dict[keras.Model, list[keras.Variable]] = {model: model.weights}

    def start(self, batch: dict[str, np.ndarray], new_tokens: int, method: Method = PLAIN) -> dict:
        """See `Method.start`. `new_tokens` are the text's alone."""
        batch = {key: tf.constant(value) for key, value in batch.items()}
        places = new_tokens + method.extra_places
        return self._call(("start", method, places), lambda batch: method.start(self.steps, batch, places), batch)

    def advance(
        self,
        processors: Sequence[Processor],
        eos_ids: tuple[int, ...],
        state: dict,
        count: int,
        method: Method = PLAIN,
    ) -> dict:
        """See `Method.advance`."""

        def body(state, count, values):
            return method.advance(self.steps, with_numbers(processors, values), eos_ids, state, count)

        arguments = state, tf.constant(count), _vector(processors)
        return self._call(("advance", method, structure(processors), eos_ids), body, *arguments)

    def search(self, processors, eos_ids, rules: beams.BeamRules, state: dict, count: int) -> dict:
        """See `beams.start_beams`, `beams.advance_beams` and `beams.finish_beams`."""

        def body(state, count, values):
            state = beams.start_beams(state, rules)
            fed = with_numbers(processors, values)
            return beams.finish_beams(beams.advance_beams(self.steps, fed, eos_ids, rules, state, count), rules)

        arguments = state, tf.constant(count), _vector(processors)
        return self._call(("search", structure(processors), eos_ids, rules), body, *arguments)

    def start_search(self, rules: beams.BeamRules, state: dict) -> dict:
        """See `beams.start_beams`."""
        return self._call(("start_search", rules), lambda state: beams.start_beams(state, rules), state)

    def advance_search(self, processors, eos_ids, rules: beams.BeamRules, state: dict, count: int) -> dict:
        """See `beams.advance_beams`."""

        def body(state, count, values):
            fed = with_numbers(processors, values)
            return beams.advance_beams(self.steps, fed, eos_ids, rules, state, count)

        arguments = state, tf.constant(count), _vector(processors)
        return self._call(("advance_search", structure(processors), eos_ids, rules), body, *arguments)

    def finish_search(self, rules: beams.BeamRules, state: dict) -> dict:
        """See `beams.finish_beams`."""
        best = {name: tensor for name, tensor in state.items() if name.startswith("best_")}
        return self._call(("finish_search", rules), lambda best: beams.finish_beams(best, rules), best)

    def advance_slots(
        self, processors: Sequence[Processor], eos_ids: tuple[int, ...], state: dict, count: int, idle: int
    ) -> tf.Tensor:
        """See `slots.advance_slots`."""

        def body(state, count, idle, values):
            return slots.advance_slots(self.steps, with_numbers(processors, values), eos_ids, state, count, idle)

        arguments = state, tf.constant(count), tf.constant(idle), _vector(processors)
        return self._call(("advance_slots", structure(processors), eos_ids), body, *arguments)

    def enter(self, state: dict, row: int, newcomer: dict) -> tf.Tensor:
        """See `slots.enter`."""
        return self._call(("enter",), slots.enter, state, tf.constant(row), newcomer)

    def move_left(self, state: dict, by: int) -> tf.Tensor:
        """See `slots.move_left`."""
        return self._call(("move_left",), slots.move_left, state, tf.constant(by))

    def refresh(self, draft_model: keras.Model | None = None) -> None:
        """Takes the models' present weights. (The values of those in float are read at every call anyway.)

        A model that has other variables than the last time (a low-rank update, quantized or merged kernels) is compiled anew.
        """
        model = self.steps.model
        for each in (model,) if draft_model is None else (model, draft_model):
            present = each.weights
            known = self._variables.setdefault(each, present)
            if len(known) != len(present) or any(one is not other for one, other in zip(known, present)):
                self._variables[each] = present
                self._functions.clear()
                self.weights = self._kind(model, compiled=self.jit_compile)
        self.weights.refresh()

    def _call(self, key: tuple, body: Callable, *arguments):
        """Calls `body`, compiled for `key` and the arguments' shapes."""
        key = (*key, *(tuple(tensor.shape) for tensor in tf.nest.flatten(arguments)))
        if key not in self._functions:
            function = tf.function(body, jit_compile=self.jit_compile, autograph=False)
            with self.weights.in_use():
                self._functions[key] = function.get_concrete_function(*arguments)
            self.traces += 1
        return self._functions[key](*arguments)


def _vector(processors: Sequence[Processor]) -> tf.Tensor:
    return tf.constant(numbers(processors), tf.float32)
