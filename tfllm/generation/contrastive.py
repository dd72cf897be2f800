"""Contrastive search (Su et al., 2022): the likely token that least resembles what is there already.

Among the k likeliest tokens v, the one with the largest `(1 - alpha) * p(v) - alpha * max cos(h(v), h(j))` is taken, where p is the
distribution after the processors, h(v) the last layer's hidden state of the candidate, and h(j) those of all tokens before it. (Of an
encoder-decoder: of the target.) Unlike transformers' implementation, a token that the processors forbid is never taken.

Every row has k rows of cache with the same tokens in it. Each candidate enters one of them; the chosen one's keys and values, one
place of each layer, are then copied to the others.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from keras import ops

from tfllm.generation import loop
from tfllm.generation.methods import Method
from tfllm.generation.processors import apply
from tfllm.generation.steps import CausalSteps

_ALPHA = "penalty_alpha"
_PLACES = 3  # axis of the places in the cache of a layer


@dataclasses.dataclass(frozen=True)
class Contrastive(Method):
    """Contrastive search. Its state, B rows with k B rows in the cache, has besides `loop`'s keys

    | key | shape | |
    | --- | --- | --- |
    | `next_logits` | (B, V) | of the next token: every token of the row is in the cache |
    | `hidden` | (B, S, D) | unit vectors of the hidden states of the tokens in the cache |
    | `penalty_alpha` | () | |

    Args:
        candidates: k.
        alpha: weight of the resemblance, from 0 (greedy) to 1.
    """

    candidates: int
    alpha: float = dataclasses.field(compare=False)  # fed, so another one needs no other compilation

    @property
    def extra_places(self) -> int:
        return 1  # the last token enters the cache, too

    def make_batch(self, rows, seeds, count):
        return {**super().make_batch(rows, seeds, count), _ALPHA: np.float32(self.alpha)}

    def start(self, steps, batch, new_tokens):
        keeping = KeepsHidden(steps)
        state = super().start(keeping, batch, new_tokens)
        width = batch["token_ids"].shape[1]
        logits, cache = loop.last_logits(keeping, state, width)
        hidden = cache.pop("hidden")
        copies = min(self.candidates, logits.shape[-1])
        cache = tf.nest.map_structure(lambda x: tf.repeat(x, copies, axis=0) if x.shape.rank else x, cache)
        return {**state, "cache": cache, "next_logits": logits, "hidden": hidden, _ALPHA: batch[_ALPHA]}

    def advance(self, steps, processors, eos_ids, state, count):
        width = state["token_ids"].shape[1] - state["log_probs"].shape[1]
        rows, vocab_size = state["next_logits"].shape
        copies = min(self.candidates, vocab_size)
        end = state["step"] + count

        def goes_on(state):
            return tf.logical_and(state["step"] < end, tf.logical_not(tf.reduce_all(state["finished"])))

        def one_token(state):
            finished, logits = state["finished"], state["next_logits"]
            scores = apply(processors, logits, loop.view_of(state, width))
            probs, candidates = tf.math.top_k(tf.nn.softmax(scores), copies)  # (B, k)
            tokens = {
                "token_ids": tf.reshape(candidates, (rows * copies, 1)),
                "example_ids": tf.ones((rows * copies, 1), tf.int32),
                "position_ids": tf.repeat(state["positions"], copies)[:, None],
            }
            at = state["cache"]["length"]
            hidden, cache = steps.enter(tokens, state["cache"])
            units = tf.reshape(_unit(hidden), (rows, copies, -1))
            cosines = tf.einsum("bkd,bsd->bks", units, state["hidden"])
            before = state["real"][:, None, : state["hidden"].shape[1]]
            likeness = tf.reduce_max(tf.where(before, cosines, -1.0), axis=-1)
            merit = (1.0 - state[_ALPHA]) * probs - state[_ALPHA] * likeness
            best = tf.argmax(tf.where(probs > 0, merit, float("-inf")), axis=-1, output_type=tf.int32)

            chosen = tf.where(finished, 0, tf.gather(candidates, best, batch_dims=1))
            taken = tf.range(rows) * copies + best
            next_logits = steps.model.logits(tf.gather(hidden, taken))[:, 0]
            state = loop.add_token(state, chosen, logits, scores, eos_ids, width)
            cache["blocks"] = tf.nest.map_structure(lambda x: _copied(x, taken, at, copies), cache["blocks"])
            unit = tf.gather(units, best, batch_dims=1)[:, None]
            return (
                {
                    **state,
                    "cache": cache,
                    "next_logits": next_logits,
                    "hidden": ops.slice_update(state["hidden"], (0, at, 0), unit),
                },
            )

        return tf.while_loop(goes_on, one_token, (state,))[0]


class KeepsHidden(CausalSteps):
    """Steps that keep the unit vectors of hidden states in the cache, as `hidden` `(B, S, D)` float32."""

    def __init__(self, steps: CausalSteps):
        super().__init__(steps.model)
        self._steps = steps

    def empty(self, rows, source, length):
        hidden = tf.zeros((rows, length, self.model.config.output_size), tf.float32)
        return {**self._steps.empty(rows, source, length), "hidden": hidden}

    def enter(self, tokens, cache):
        at = cache["length"]
        hidden, cache = self._steps.enter(tokens, cache)
        cache["hidden"] = ops.slice_update(cache["hidden"], (0, at, 0), _unit(hidden))
        return hidden, cache


def _unit(hidden: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(tf.cast(hidden, tf.float32), axis=-1)


def _copied(block: tf.Tensor, taken: tf.Tensor, at: tf.Tensor, copies: int) -> tf.Tensor:
    """The keys and values of all rows, with place `at` as in the rows `taken`, each for its copies."""
    size = [*block.shape]
    size[_PLACES] = 1
    begin = [0] * block.shape.rank
    begin[_PLACES] = at
    chosen = tf.gather(tf.slice(block, begin, size), taken)
    return ops.slice_update(block, begin, tf.repeat(chosen, copies, axis=0))
