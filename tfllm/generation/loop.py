"""The decode loop: greedy and sampled decoding as tensors of static shape, which a `tf.function` runs and XLA can compile.

The state is a dictionary of tensors, B rows of S places of which the first `width` are the prompt's (padded on the left):

| key | shape | |
| --- | --- | --- |
| `token_ids` | (B, S) | the prompt, then what was generated |
| `real` | (B, S) | where a token stands |
| `positions` | (B,) | position of the next token in its own row |
| `limits` | (B,) | tokens that the row may generate |
| `lengths` | (B,) | tokens that it has generated, the end token included |
| `finished` | (B,) | whether it has ended |
| `log_probs` | (B, N) | log-probability of each generated token under the model, before any processor; -inf: none was possible |
| `seeds` | (B,) | each row's random seed |
| `step` | () | tokens generated so far by rows that have not ended |
| `cache` | | keys and values; the row's last token is not in it yet |
| `allowed` | (B, V) | tokens that may be chosen next; only where they are set from outside, a step at a time |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfllm.generation.processors import FORBIDDEN, Processor, apply
from tfllm.generation.steps import CausalSteps
from tfllm.generation.view import View


def start(steps: CausalSteps, batch: dict[str, tf.Tensor], new_tokens: int) -> dict:
    """The state before the first token: the prompt but its last token is in the cache.

    Args:
        steps: of the model.
        batch: `token_ids` and `real` `(B, width)`, padded on the left; `limits`, `seeds` `(B,)`; for an encoder-decoder also
            `source_token_ids` and `source_real` `(B, Ts)`.
        new_tokens: places N for generated tokens.
    """
    token_ids, real = batch["token_ids"], tf.cast(batch["real"], tf.bool)
    rows, width = token_ids.shape
    examples = tf.cast(real, tf.int32)
    positions = tf.maximum(tf.cumsum(examples, axis=1) - 1, 0)
    prompt = {"token_ids": token_ids[:, :-1], "example_ids": examples[:, :-1], "position_ids": positions[:, :-1]}
    source = None
    if "source_token_ids" in batch:
        source = {
            "token_ids": batch["source_token_ids"],
            "example_ids": tf.cast(batch["source_real"], tf.int32),
        }
    room = ((0, 0), (0, new_tokens))
    return {
        "token_ids": tf.pad(token_ids, room),
        "real": tf.pad(real, room),
        "positions": tf.reduce_sum(examples, axis=1),
        "limits": batch["limits"],
        "lengths": tf.zeros((rows,), tf.int32),
        "finished": batch["limits"] < 1,
        "log_probs": tf.zeros((rows, new_tokens), tf.float32),
        "seeds": batch["seeds"],
        "step": tf.zeros((), tf.int32),
        "cache": steps.start(prompt, source, width - 1 + new_tokens),
    }


def advance(
    steps: CausalSteps,
    processors: Sequence[Processor],
    eos_ids: tuple[int, ...],
    state: dict,
    count: tf.Tensor,
) -> dict:
    """Up to `count` more tokens a row; fewer when all rows have ended."""
    width = state["token_ids"].shape[1] - state["log_probs"].shape[1]
    end = state["step"] + count

    def goes_on(state):
        return tf.logical_and(state["step"] < end, tf.logical_not(tf.reduce_all(state["finished"])))

    def one_token(state):
        logits, cache = last_logits(steps, state, width)
        scores = apply(processors, logits, view_of(state, width))
        chosen = tf.where(state["finished"], 0, tf.argmax(scores, axis=-1, output_type=tf.int32))
        state = {**add_token(state, chosen, logits, scores, eos_ids, width), "cache": cache}
        return (state,)

    return tf.while_loop(goes_on, one_token, (state,))[0]


def add_token(
    state: dict, chosen: tf.Tensor, logits: tf.Tensor, scores: tf.Tensor, eos_ids: tuple[int, ...], width: int
) -> dict:
    """The state with one more token in every row that has not ended; the cache is as it was.

    Args:
        state: see the module's text.
        chosen: `(B,)` int32.
        logits: `(B, V)`, what it was chosen from, before any processor.
        scores: `(B, V)`, the same after all processors.
        eos_ids: tokens that end a text.
        width: places of the prompt.
    """
    step, finished = state["step"], state["finished"]
    log_prob = chosen_log_prob(logits, scores, chosen)
    alive = tf.logical_not(finished)
    lengths = state["lengths"] + tf.cast(alive, tf.int32)
    ended = tf.logical_or(is_end(chosen, eos_ids), lengths >= state["limits"])
    here = tf.logical_and(tf.range(state["token_ids"].shape[1]) == width + step, alive[:, None])
    here_new = tf.logical_and(tf.range(state["log_probs"].shape[1]) == state["lengths"][:, None], alive[:, None])
    return {
        **state,
        "token_ids": tf.where(here, chosen[:, None], state["token_ids"]),
        "real": tf.logical_or(state["real"], here),
        "positions": state["positions"] + tf.cast(tf.logical_and(alive, tf.logical_not(ended)), tf.int32),
        "lengths": lengths,
        "finished": tf.logical_or(finished, ended),
        "log_probs": tf.where(here_new, log_prob[:, None], state["log_probs"]),
        "step": step + 1,
    }


def chosen_log_prob(logits: tf.Tensor, scores: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """The log-probability `(B,)` of the chosen tokens; -inf where the processors forbid all, by which the caller sees it."""
    log_prob = tf.gather(logits, chosen, batch_dims=1) - tf.reduce_logsumexp(logits, axis=-1)
    return tf.where(tf.reduce_all(scores == FORBIDDEN, axis=-1), FORBIDDEN, log_prob)


def last_logits(steps: CausalSteps, state: dict, width: int) -> tuple[tf.Tensor, dict]:
    """Enters each row's last token in the cache: the logits `(B, V)` of the next, and the cache."""
    rows = state["token_ids"].shape[0]
    last = tf.slice(state["token_ids"], (0, width - 1 + state["step"]), (rows, 1))
    tokens = {
        "token_ids": last,
        "example_ids": tf.ones_like(last),
        "position_ids": tf.maximum(state["positions"] - 1, 0)[:, None],
    }
    logits, cache = steps.next(tokens, state["cache"])
    return logits[:, 0], cache


def view_of(state: dict, width: int) -> View:
    return View(
        state["token_ids"],
        state["real"],
        width,
        state["step"],
        state["positions"],
        state["limits"],
        state["seeds"],
        state.get("allowed"),
    )


def is_end(tokens: tf.Tensor, eos_ids: tuple[int, ...]) -> tf.Tensor:
    """Which tokens end a text: a bool tensor of the same shape."""
    if not eos_ids:
        return tf.zeros_like(tokens, tf.bool)
    return tf.reduce_any(tokens[..., None] == np.array(eos_ids, "int32"), axis=-1)
