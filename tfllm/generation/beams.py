"""Beam search as tensors of static shape, with the stopping rules of transformers (`GenerationMixin._beam_search`, version 5).

Groups of beams (diverse beam search, Vijayakumar et al., 2018) are searches of their own, which share the prompt. Only the choice of
tokens goes group by group: what the groups before have just chosen becomes less likely. (So it was in transformers up to version 4, whose
searches ended by slightly other rules.)

Below B is the number of searches, prompts x groups, one prompt's groups one after another, and K the beams of a group. The state is that
of `loop`, B x K rows (the K beams of a search one after another), with

| key | shape | |
| --- | --- | --- |
| `parents` | (B x K,) | the row that each running beam goes on from, in the last step |
| `scores` | (B, K) | sum of log-probabilities of each running beam |
| `open` | (B,) | whether the search goes on |
| `best_ids` | (B, K, N) | finished texts, best first |
| `best_scores` | (B, K) | their scores: log-probabilities summed, divided by length ** length_penalty |
| `best_lengths` | (B, K) | their tokens, the end token included |
| `best_log_probs` | (B, K, N) | log-probability of each of their tokens |
| `best_ended` | (B, K) | whether there is a finished text at all; there may be fewer than K that nothing forbids |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tfllm.generation.loop import is_end, last_logits, view_of
from tfllm.generation.processors import Processor, apply
from tfllm.generation.steps import CausalSteps

LOW = -1e9  # instead of -inf, so that sums stay numbers


@dataclasses.dataclass(frozen=True)
class BeamRules:
    """How beams are scored and when a search ends.

    Args:
        beams: running beams of a prompt.
        length_penalty: exponent of the length that a finished text's log-probability is divided by.
        early_stopping: True: as soon as K texts are finished; False: when the best running beam, scored at its present length, is
            no better than the worst finished text; `"never"`: when it could not become better at any length.
        groups: of how many groups the beams are. They divide the beams.
        diversity_penalty: taken from a token's log-probability for every beam of the groups before that has just chosen it.
    """

    beams: int
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    groups: int = 1
    diversity_penalty: float = 0.0

    @property
    def group_beams(self) -> int:
        return self.beams // self.groups


def start_beams(state: dict, rules: BeamRules) -> dict:
    """Beams from the state of `loop.start`: each prompt as often as it has beams."""
    beams = rules.group_beams
    rows, new_tokens = state["log_probs"].shape
    shape = (rows * rules.groups, beams)
    state = tf.nest.map_structure(lambda x: tf.repeat(x, rules.beams, axis=0) if x.shape.rank else x, state)
    return {
        **state,
        "parents": tf.range(rows * rules.beams),
        # The beams of a search are the same at first: only one of them may count.
        "scores": tf.where(tf.range(beams) == 0, 0.0, tf.fill(shape, LOW)),
        "open": tf.logical_not(state["finished"][::beams]),
        "best_ids": tf.zeros((*shape, new_tokens), tf.int32),
        "best_scores": tf.fill(shape, LOW),
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
    """Up to `count` more tokens; fewer when every search has ended."""
    beams = rules.group_beams
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
        vocab_size = log_probs.shape[-1]

        def choose(group: int, others: tf.Tensor):
            """One group's candidates and which of them go on; `others` `(B / groups, V)` counts what the groups before have chosen."""
            of_group = _group_rows(rules, group)
            lowered = of_group(log_probs, beams) - rules.diversity_penalty * tf.repeat(others, beams, axis=0)
            scores = apply(processors, lowered, view_of(state, width).map_rows(lambda x: of_group(x, beams)))
            totals = tf.reshape(scores, (-1, beams, vocab_size)) + of_group(state["scores"])[:, :, None]
            totals, index = tf.math.top_k(tf.reshape(totals, (-1, beams * vocab_size)), keep)
            tokens = index % vocab_size
            ended = is_end(tokens, eos_ids)
            running, kept = tf.math.top_k(totals + tf.cast(ended, tf.float32) * LOW, beams)
            going = tf.one_hot(tf.gather(tokens, kept, batch_dims=1), vocab_size)
            # A search that has ended chooses nothing.
            counts = tf.reduce_sum(going, axis=1) * tf.cast(of_group(state["open"]), tf.float32)[:, None]
            return others + counts, (totals, index, ended, running, kept)

        others, chosen = tf.zeros((rows // rules.groups, vocab_size)), []
        for group in range(rules.groups):
            others, choice = choose(group, others)
            chosen.append(choice)
        # Each from (B / groups, C) a group to (B, C).
        totals, index, ended, running, kept = (
            tf.reshape(tf.stack(parts, axis=1), (rows, parts[0].shape[1])) for parts in zip(*chosen)
        )
        parents, tokens = index // vocab_size, index % vocab_size  # (B, keep)
        ended = tf.logical_or(ended, (step + 1 >= limits)[:, None])

        here = tf.range(new_tokens) == step
        ids = _of_parents(state["token_ids"][:, width:], parents, beams)
        ids = tf.where(here, tokens[:, :, None], ids)
        token_log_probs = tf.gather(tf.reshape(log_probs, (rows, beams * vocab_size)), index, batch_dims=1)
        all_log_probs = tf.where(
            here, token_log_probs[:, :, None], _of_parents(state["log_probs"], parents, beams)
        )  # (B, keep, N)

        # Beams that go on.
        rows_of = tf.gather(parents, kept, batch_dims=1) + tf.range(rows)[:, None] * beams
        rows_of = tf.reshape(rows_of, (rows * beams,))
        prompt = state["token_ids"][:, :width]
        going = tf.reshape(tf.gather(ids, kept, batch_dims=1), (rows * beams, new_tokens))
        cache = {**cache, "blocks": [tf.gather(block, rows_of) for block in cache["blocks"]]}

        # Texts that are finished: only the K best candidates may become one.
        just_ended = tf.logical_and(ended, tf.logical_and(tf.range(keep) < beams, totals > LOW / 2))
        length = tf.cast(step + 1, tf.float32)
        candidates = totals / length**rules.length_penalty
        candidates += tf.cast(tf.logical_not(state["open"]), tf.float32)[:, None] * LOW
        candidates += tf.cast(tf.logical_not(just_ended), tf.float32) * LOW
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
                "parents": rows_of,
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


def finish_beams(state: dict, rules: BeamRules) -> dict:
    """The state with the finished texts of each prompt's groups together, best first: `best_*` of as many rows as prompts."""
    if rules.groups == 1:
        return state

    def of_prompts(values):
        return tf.reshape(values, (-1, rules.beams, *values.shape[2:]))

    scores, order = tf.math.top_k(of_prompts(state["best_scores"]), rules.beams)
    names = ("best_ids", "best_lengths", "best_log_probs", "best_ended")
    best = {name: tf.gather(of_prompts(state[name]), order, batch_dims=1) for name in names}
    return {**state, **best, "best_scores": scores}


def _group_rows(rules: BeamRules, group: int):
    """`(B x each, …)` to the rows of one group of every prompt, as a function of the values and of `each`."""

    def of_group(values: tf.Tensor, each: int = 1) -> tf.Tensor:
        if rules.groups == 1:
            return values
        rest = values.shape[1:]
        return tf.reshape(tf.reshape(values, (-1, rules.groups, each, *rest))[:, group], (-1, *rest))

    return of_group


def _of_parents(values, parents, beams: int):
    """`(B x K, N)` values of each beam and `(B, C)` parents to `(B, C, N)`."""
    return tf.gather(tf.reshape(values, (-1, beams, values.shape[1])), parents, batch_dims=1)


def _still_open(rules: BeamRules, was_open, running, best_scores, best_ended, step, limits):
    """Which searches can still find something better: `(B,)` bool."""
    length = tf.fill(limits.shape, step)
    if rules.early_stopping == "never" and rules.length_penalty > 0:
        length = limits
    hoped = running[:, :1] / tf.cast(tf.maximum(length, 1), tf.float32)[:, None] ** rules.length_penalty
    worst = tf.where(best_ended, tf.reduce_min(best_scores, axis=1, keepdims=True), LOW)
    still = tf.logical_and(tf.reduce_any(hoped > worst, axis=1), step < limits)
    if rules.early_stopping is True:
        still = tf.logical_and(still, tf.logical_not(tf.reduce_all(best_ended, axis=1)))
    return tf.logical_and(was_open, still)
