"""Beam search under a grammar: every running beam keeps a row of its own, a copy of the row of the beam that it goes on from.

A text ends by the end token where the grammar allows it to end, or whole at its limit; so the scores are those of ordinary beam search
among the texts that follow the grammar. (transformers does the same with `prefix_allowed_tokens_fn`, but cuts a text at its limit.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfllm.generation.beams import LOW
from tfllm.generation.matching import Row

# Of a step, whose refused tokens are taken out one by one. Then each beam is left only those that it may surely take.
_RETRIES = 8


def search(rows: list[Row], beams: int, groups: int, advance: Callable[[dict], dict], state: dict, width: int) -> dict:
    """Runs a beam search to its end.

    Args:
        rows: of each prompt at its beginning; fewer than the prompts of the state if the last ones are empty.
        beams: running beams K of a group.
        groups: of each prompt.
        advance: of a state, one token; it chooses among those that are `allowed` in the state, `(B x K, V)` bool.
        state: of `beams.start_beams`.
        width: places of the prompt.

    Returns:
        The state in which every search has ended.
    """
    running: list[Row | None] = [None] * state["token_ids"].shape[0]
    for i, row in enumerate(rows):
        for group in range(groups):  # the beams of a group are the same at first: only one of them counts
            running[(i * groups + group) * beams] = row
    vocab_size = len(rows[0].tokens)
    while True:
        open_ = np.repeat(state["open"].numpy(), beams)
        running = [row if is_open else None for row, is_open in zip(running, open_)]
        if not any(running):
            return state
        allowed = np.zeros((len(running), vocab_size), bool)
        for i, row in enumerate(running):
            if row is not None:
                allowed[i] = row.allowed()
        state, running = _step(running, allowed, advance, state, width)


def _step(running: list[Row | None], allowed: np.ndarray, advance, state: dict, width: int):
    """The state after one more token, and its beams' rows; the same step again, as long as it chose what no text can go on with."""
    place = width + int(state["step"])
    for attempt in range(_RETRIES + 2):
        new = advance({**state, "allowed": tf.constant(allowed)})
        parents, chosen = new["parents"].numpy(), new["token_ids"][:, place].numpy()
        alive = new["scores"].numpy().reshape(-1) > LOW / 2
        children: list[Row | None] = [None] * len(running)
        taken, refused = np.zeros_like(allowed), []
        for i in np.flatnonzero(alive):
            parent, token = parents[i], int(chosen[i])
            if running[parent] is None or not allowed[parent, token]:
                continue
            child = running[parent].copy()
            if child.take(token):
                children[i], taken[parent, token] = child, True
            else:
                refused.append(parent)
                allowed[parent, token] = False
        if not refused:
            break
        if attempt >= _RETRIES:
            for parent in set(refused):
                taken[parent, running[parent].forced()] = True
                allowed[parent] &= taken[parent]
    return new, children
