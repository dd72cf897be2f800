"""Speculative decoding: several guessed tokens are checked in one forward pass, and the right ones kept (Leviathan et al., 2023).

What the loop chooses is a function of the text so far and of the row's seed, so a guess is right if it is what would have been chosen:
the text is that of plain decoding, drawn or greedy, up to rounding of the logits. Its distribution is therefore the model's own, with
no rule of rejection: a wrong guess is replaced by the token that plain decoding draws there. One row at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tfllm.generation.drafts import Draft
from tfllm.generation.loop import chosen_log_prob, is_end, view_of
from tfllm.generation.methods import Method
from tfllm.generation.processors import Processor, apply
from tfllm.generation.prompts import context_length
from tfllm.generation.steps import CausalSteps


@dataclasses.dataclass(frozen=True)
class Drafted(Method):
    """Decoding with a draft."""

    draft: Draft

    @property
    def extra_places(self) -> int:
        return self.draft.count

    @property
    def one_row(self) -> bool:
        return True

    def extend(self, state, batch, new_tokens):
        return {**state, "draft": self.draft.start(batch, new_tokens)}

    def advance(self, steps, processors, eos_ids, state, count):
        return advance_with_drafts(steps, processors, eos_ids, self.draft, state, count)


def advance_with_drafts(
    steps: CausalSteps,
    processors: Sequence[Processor],
    eos_ids: tuple[int, ...],
    draft: Draft,
    state: dict,
    count: tf.Tensor,
) -> dict:
    """`loop.advance` for one row, several tokens a step.

    The state has `draft.count` more places than may be generated, and the draft's memory as `draft`.
    """
    width = state["token_ids"].shape[1] - state["log_probs"].shape[1]
    places, new_places = tf.range(state["token_ids"].shape[1]), tf.range(state["log_probs"].shape[1])
    checked = tf.range(draft.count + 1)
    longest = context_length(steps.model.config)
    end = state["step"] + count

    def goes_on(state):
        return tf.logical_and(state["step"] < end, tf.logical_not(tf.reduce_all(state["finished"])))

    def one_step(state):
        step = state["step"]
        guesses, memory = draft(view_of(state, width), processors, state["draft"])  # (1, k)
        last = tf.slice(state["token_ids"], (0, width - 1 + step), (1, 1))
        positions = tf.maximum(state["positions"] - 1, 0)[:, None] + checked
        tokens = {
            "token_ids": tf.concat([last, guesses], axis=1),
            "example_ids": tf.ones((1, draft.count + 1), tf.int32),
            "position_ids": positions if longest is None else tf.minimum(positions, longest - 1),
        }
        cached = state["cache"]["length"]
        logits, cache = steps.next(tokens, state["cache"])  # (1, k + 1, V)
        chosen, log_probs = [], []
        for i in range(draft.count + 1):
            seen = dict(state)
            for j in range(i):
                here = places == width + step + j
                seen["token_ids"] = tf.where(here, guesses[:, j : j + 1], seen["token_ids"])
                seen["real"] = tf.logical_or(seen["real"], here)
            seen |= {"step": step + i, "positions": state["positions"] + i}
            scores = apply(processors, logits[:, i], view_of(seen, width))
            chosen.append(tf.argmax(scores, axis=-1, output_type=tf.int32))
            log_probs.append(chosen_log_prob(logits[:, i], scores, chosen[i]))
        chosen, log_probs = tf.stack(chosen, axis=1), tf.stack(log_probs, axis=1)  # (1, k + 1)

        # Token i counts if all guesses before it were right and nothing before it ended the text.
        ends = tf.logical_or(
            is_end(chosen, eos_ids), state["lengths"][:, None] + checked + 1 >= state["limits"][:, None]
        )
        goes = tf.logical_and(chosen[:, :-1] == guesses, tf.logical_not(ends[:, :-1]))
        kept = 1 + tf.reduce_sum(tf.math.cumprod(tf.cast(goes, tf.int32), axis=1))
        counts = checked < kept
        ids, known, new_log_probs = state["token_ids"], state["real"], state["log_probs"]
        for i in range(draft.count + 1):
            here = tf.logical_and(places == width + step + i, counts[i])
            ids = tf.where(here, chosen[:, i : i + 1], ids)
            known = tf.logical_or(known, here)
            here = tf.logical_and(new_places == step + i, counts[i])
            new_log_probs = tf.where(here, log_probs[:, i : i + 1], new_log_probs)
        finished = tf.reduce_any(tf.logical_and(ends, counts), axis=1)
        # Wrong guesses stand behind `length`: the next tokens overwrite them, and none looks ahead.
        cache["length"] = cached + kept
        state = {
            **state,
            "token_ids": ids,
            "real": known,
            "positions": state["positions"] + kept - tf.cast(finished, tf.int32),
            "lengths": state["lengths"] + kept,
            "finished": finished,
            "log_probs": new_log_probs,
            "step": step + kept,
            "cache": cache,
            "draft": draft.keep(memory, kept),
        }
        return (state,)

    return tf.while_loop(goes_on, one_step, (state,))[0]
