"""Slots for continuous batching (Yu et al., 2022, Orca): a row of the batch that has ended is taken by the next prompt.

The state is that of `loop`, in variables, so that XLA changes the cache in place. All rows write at one place, `width + step`, as in the
plain loop: a newcomer's prompt is put right before it, whatever stood there in that row. So nothing needs places of its own for each row,
and masks and positions follow from `example_ids` and `position_ids`, which they do anyway. When the places are used up, all rows are
moved to the left by as much as the longest live one leaves.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from keras import ops

from tfllm.generation import loop
from tfllm.generation.processors import Processor, apply
from tfllm.generation.steps import CausalSteps
from tfllm.generation.view import View

_BY_PLACE = ("example_ids", "position_ids")


class NeedsCommonStep(Exception):
    """A processor read `view.step` or `view.width`, which rows that began at different times do not share."""


class SlotView(View):
    """A `View` of rows that began at different times."""

    def __getattribute__(self, name: str):
        if name in ("step", "width"):
            raise NeedsCommonStep(name)
        return super().__getattribute__(name)

    @property
    def end(self):
        return object.__getattribute__(self, "width") + object.__getattribute__(self, "step")


def advance_slots(
    steps: CausalSteps,
    processors: Sequence[Processor],
    eos_ids: tuple[int, ...],
    state: dict,
    count: tf.Tensor,
    idle: tf.Tensor,
) -> tf.Tensor:
    """Up to `count` more tokens a row, until more than `idle` rows have ended. Changes the variables of `state`.

    Returns:
        The state's `step`.
    """
    width = _width(state)
    values = tf.nest.map_structure(lambda variable: variable.read_value(), state)
    end = values["step"] + count

    def goes_on(values):
        ended = tf.reduce_sum(tf.cast(values["finished"], tf.int32))
        return tf.logical_and(values["step"] < end, ended <= idle)

    def one_token(values):
        logits, cache = loop.last_logits(steps, values, width)
        seen = {key: values[key] for key in ("token_ids", "real", "step", "positions", "limits", "seeds", "lengths")}
        view = SlotView(width=width, **seen)
        scores = apply(processors, logits, view)
        chosen = tf.where(values["finished"], 0, tf.argmax(scores, axis=-1, output_type=tf.int32))
        return ({**loop.add_token(values, chosen, logits, scores, eos_ids, width), "cache": cache},)

    values = tf.while_loop(goes_on, one_token, (values,))[0]
    tf.nest.map_structure(lambda variable, value: variable.assign(value), state, values)
    return values["step"]


def enter(state: dict, row: tf.Tensor, newcomer: dict) -> tf.Tensor:
    """Puts the state of one prompt, from `loop.start` with one row, in a row of `state`. Changes the variables of `state`.

    Args:
        state: variables.
        row: scalar int32.
        newcomer: its prompt is no wider than that of `state`, its source (of an encoder-decoder) no longer.

    Returns:
        `row`.
    """
    rows, places = state["token_ids"].shape
    own = _width(newcomer)
    begin = _width(state) + state["step"] - own
    here = tf.range(rows) == row

    def put(variable, value):
        """One value a row: `(1, …)` in the row's place."""
        variable.assign(tf.where(tf.reshape(here, (rows, *[1] * (len(variable.shape) - 1))), value, variable))

    def at_places(value):
        """`(1, n)` to `(1, places)`, beginning at the newcomer's first place."""
        kept = tf.zeros((1, places), tf.int32)
        return ops.slice_update(kept, (0, begin), tf.cast(value, tf.int32)) if value.shape[1] else kept

    put(state["token_ids"], at_places(newcomer["token_ids"][:, :own]))
    put(state["real"], at_places(newcomer["real"][:, :own]) > 0)
    for key in ("positions", "limits", "lengths", "finished", "seeds"):
        put(state[key], newcomer[key])
    put(state["log_probs"], tf.zeros((1, state["log_probs"].shape[1])))
    cache, new_cache = state["cache"], newcomer["cache"]
    for key in _BY_PLACE:
        put(cache[key], at_places(new_cache[key][:, : own - 1])[:, : cache[key].shape[1]])
    if own > 1:
        for block, piece in zip(cache["blocks"], new_cache["blocks"]):
            block.assign(ops.slice_update(block, (row, 0, 0, begin, 0), piece[:, :, :, : own - 1]))
    for block, piece in zip(cache.get("context", ()), new_cache.get("context", ())):
        block.assign(ops.slice_update(block, (row, 0, 0, 0, 0), piece))
    if "context_example_ids" in cache:
        source = new_cache["context_example_ids"]
        room = cache["context_example_ids"].shape[1] - source.shape[1]
        put(cache["context_example_ids"], tf.pad(source, ((0, 0), (0, room))))
    return tf.identity(row)


def move_left(state: dict, by: tf.Tensor) -> tf.Tensor:
    """Moves all rows `by` places to the left: what stood there is lost. Changes the variables of `state`.

    Returns:
        The state's new `step`.
    """
    cache, end = state["cache"], _width(state) + state["step"] - by
    for variable in (state["token_ids"], *(cache[key] for key in _BY_PLACE)):
        variable.assign(tf.roll(variable, -by, axis=1))
    before_end = tf.range(state["real"].shape[1]) < end
    state["real"].assign(tf.logical_and(tf.roll(state["real"], -by, axis=1), before_end))
    for block in cache["blocks"]:
        block.assign(tf.roll(block, -by, axis=3))
    cache["length"].assign_sub(by)
    return state["step"].assign_sub(by)


def as_variables(state: dict) -> dict:
    """The state of `loop.start` in variables."""
    return tf.nest.map_structure(lambda tensor: tf.Variable(tensor, trainable=False), state)


def _width(state: dict) -> int:
    return state["token_ids"].shape[1] - state["log_probs"].shape[1]
