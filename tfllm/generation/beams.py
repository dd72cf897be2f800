"""Beam search as tensors of static shape, with the stopping rules of transformers (`GenerationMixin._beam_search`, version 5).

The state is that of `loop`, B x K rows (the K beams of a prompt one after another), with

| key | shape | |
| --- | --- | --- |
| `scores` | (B, K) | sum of log-probabilities of each running beam |
| `open` | (B,) | whether the prompt's search goes on |
| `best_ids` | (B, K, N) | finished texts, best first |
| `best_scores` | (B, K) | their scores: log-probabilities summed, divided by length ** length_penalty |
| `best_lengths` | (B, K) | their tokens, the end token included |
| `best_log_probs` | (B, K, N) | log-probability of each of their tokens |
| `best_ended` | (B, K) | whether there is a finished text at all |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tfllm.generation.loop import is_end, last_logits, view_of
from tfllm.generation.processors import Processor, apply
from tfllm.generation.steps import CausalSteps

_LOW = -1e9  # instead of -inf, so that sums stay numbers


@dataclasses.dataclass(frozen=True)
class BeamRules:
    """How beams are scored and when a search ends.

    Args:
        beams: running beams K.
        length_penalty: exponent of the length that a finished text's log-probability is divided by.
        early_stopping: True: as soon as K texts are finished; False: when the best running beam, scored at its present length, is
            no better than the worst finished text; `"never"`: when it could not become better at any length.
    """

    beams: int
    length_penalty: float = 1.0
    early_stopping: bool | str = False


def start_beams(state: dict, rules: BeamRules) -> dict:
    """Beams from the state of `loop.start`: each prompt K times."""
    beams = rules.beams
    rows, new_tokens = state["log_probs"].shape
    shape = (rows, beams)
    state = tf.nest.map_structure(lambda x: tf.repeat(x, beams, axis=0) if x.shape.rank else x, state)
    return {
        **state,
        # The beams of a prompt are the same at first: only one of them may count.
        "scores": tf.where(tf.range(beams) == 0, 0.0, tf.fill(shape, _LOW)),
        "open": tf.logical_not(state["finished"][::beams]),
        "best_ids": tf.zeros((*shape, new_tokens), tf.int32),
        "best_scores": tf.fill(shape, _LOW),
        "best_lengths": tf.zeros(shape, tf.int32),
        "best_log_probs": tf.zeros((*shape, new_tokens), tf.float32),
        "best_ended": tf.zeros(shape, tf.bool),
    }


def advance_beams(
    steps: CausalSteps,
    processors: Sequence[Processor],
    eos_ids: tuple[int, ...],
    rules: BeamRules,
    state: dict,
    count: tf.Tensor,
) -> dict:
    """Up to `count` more tokens; fewer when the search of every prompt has ended."""
    beams = rules.beams
    rows, new_tokens = state["best_ids"].shape[0], state["best_ids"].shape[2]
    width = state["token_ids"].shape[1] - new_tokens
    # So many candidates that K of them go on even if the best all end.
    keep = max(2, 1 + len(eos_ids)) * beams
    end = state["step"] + count

    def goes_on(state):
        return tf.logical_and(state["step"] < end, tf.reduce_any(state["open"]))

    def one_token(state):
        step, limits = state["step"], state["limits"][::beams]
        logits, cache = last_logits(steps, state, width)
        log_probs = tf.nn.log_softmax(logits)
        scores = apply(processors, log_probs, view_of(state, width))
        vocab_size = scores.shape[-1]
        totals = tf.reshape(scores, (rows, beams, vocab_size)) + state["scores"][:, :, None]
        totals, index = tf.math.top_k(tf.reshape(totals, (rows, beams * vocab_size)), keep)
        parents, tokens = index // vocab_size, index % vocab_size  # (B, keep)

        here = tf.range(new_tokens) == step
        ids = _of_parents(state["token_ids"][:, width:], parents, beams)
        ids = tf.where(here, tokens[:, :, None], ids)
        token_log_probs = tf.gather(tf.reshape(log_probs, (rows, beams * vocab_size)), index, batch_dims=1)
        all_log_probs = tf.where(
            here, token_log_probs[:, :, None], _of_parents(state["log_probs"], parents, beams)
        )  # (B, keep, N)
        ended = tf.logical_or(is_end(tokens, eos_ids), (step + 1 >= limits)[:, None])

        # Beams that go on.
        running, kept = tf.math.top_k(totals + tf.cast(ended, tf.float32) * _LOW, beams)
        rows_of = tf.gather(parents, kept, batch_dims=1) + tf.range(rows)[:, None] * beams
        rows_of = tf.reshape(rows_of, (rows * beams,))
        prompt = state["token_ids"][:, :width]
        going = tf.reshape(tf.gather(ids, kept, batch_dims=1), (rows * beams, new_tokens))
        cache = {**cache, "blocks": [tf.gather(block, rows_of) for block in cache["blocks"]]}

        # Texts that are finished: only the K best candidates may become one.
        just_ended = tf.logical_and(ended, tf.range(keep) < beams)
        length = tf.cast(step + 1, tf.float32)
        candidates = totals / length**rules.length_penalty
        candidates += tf.cast(tf.logical_not(state["open"]), tf.float32)[:, None] * _LOW
        candidates += tf.cast(tf.logical_not(just_ended), tf.float32) * _LOW
        best_scores, order = tf.math.top_k(tf.concat([state["best_scores"], candidates], axis=1), beams)

        def best(old, new):
            return tf.gather(tf.concat([old, new], axis=1), order, batch_dims=1)

        best_ended = best(state["best_ended"], just_ended)
        return (
            {
                **state,
                "token_ids": tf.concat([prompt, going], axis=1),
                "real": tf.logical_or(state["real"], tf.range(width + new_tokens) == width + step),
                "positions": state["positions"] + tf.repeat(tf.cast(state["open"], tf.int32), beams),
                "lengths": state["lengths"] + 1,
                "log_probs": tf.reshape(tf.gather(all_log_probs, kept, batch_dims=1), (rows * beams, new_tokens)),
                "step": step + 1,
                "cache": cache,
                "scores": running,
                "open": _still_open(rules, state["open"], running, best_scores, best_ended, step + 1, limits),
                "best_ids": best(state["best_ids"], ids),
                "best_scores": best_scores,
                "best_lengths": best(state["best_lengths"], tf.fill((rows, keep), step + 1)),
                "best_log_probs": best(state["best_log_probs"], all_log_probs),
                "best_ended": best_ended,
            },
        )

    return tf.while_loop(goes_on, one_token, (state,))[0]


def _of_parents(values, parents, beams: int):
    """`(B x K, N)` values of each beam and `(B, C)` parents to `(B, C, N)`."""
    return tf.gather(tf.reshape(values, (-1, beams, values.shape[1])), parents, batch_dims=1)


def _still_open(rules: BeamRules, was_open, running, best_scores, best_ended, step, limits):
    """Which searches can still find something better: `(B,)` bool."""
    length = tf.fill(limits.shape, step)
    if rules.early_stopping == "never" and rules.length_penalty > 0:
        length = limits
    hoped = running[:, :1] / tf.cast(tf.maximum(length, 1), tf.float32)[:, None] ** rules.length_penalty
    worst = tf.where(best_ended, tf.reduce_min(best_scores, axis=1, keepdims=True), _LOW)
    still = tf.logical_and(tf.reduce_any(hoped > worst, axis=1), step < limits)
    if rules.early_stopping is True:
        still = tf.logical_and(still, tf.logical_not(tf.reduce_all(best_ended, axis=1)))
    return tf.logical_and(was_open, still)
