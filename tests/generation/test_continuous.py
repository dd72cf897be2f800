"""Continuous batching: the results of plain batches, in the order of the prompts, whatever takes whose place."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_generation import Script, toy_config

from tfllm.errors import UserError
from tfllm.generation import Generator, generate, slots

POSITIONS = {
    "learned": {},
    "rotary": {"position": "rotary", "num_kv_heads": 1},
    "window": {"position": "rotary", "num_layers": 2, "local_layers": (0,), "window": 4},
    "alibi": {"position": "alibi"},
    "sinusoidal": {"position": "sinusoidal"},
    "seq2seq": {"causal": False, "num_decoder_layers": 1, "decoder_start_id": 0},
}


def prompts_and_limits(count: int = 11) -> tuple[list[list[int]], list[int]]:
    random = np.random.default_rng(1)
    prompts = [random.integers(3, 31, random.integers(1, 28)).tolist() for _ in range(count)]
    return prompts, random.integers(1, 24, count).tolist()


def same(plain, others) -> None:
    assert len(plain) == len(others)
    for one, other in zip(plain, others):
        assert (one.token_ids, one.finish_reason, one.text, one.prompt_tokens) == (
            other.token_ids,
            other.finish_reason,
            other.text,
            other.prompt_tokens,
        )
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=2e-5)


@pytest.fixture
def entered(monkeypatch):
    """Rows that prompts entered after the first."""
    rows, enter = [], slots.enter

    def counting(state, row, newcomer):
        rows.append(row)
        return enter(state, row, newcomer)

    monkeypatch.setattr(slots, "enter", counting)
    return rows


@pytest.mark.parametrize("kind", POSITIONS)
def test_the_results_are_those_of_plain_batches(kind, entered):
    from tfllm.models import CausalLM, Seq2SeqLM

    keras.utils.set_random_seed(3)
    model = (Seq2SeqLM if kind == "seq2seq" else CausalLM)(toy_config(**POSITIONS[kind]))
    generator = Generator(model)
    prompts, limits = prompts_and_limits()
    for options in ({"min_new_tokens": 1}, {"temperature": 1.5, "top_p": 0.9, "repetition_penalty": 1.1, "seed": 5}):
        plain = generator(prompts, limits=limits, batch_size=3, continuous=False, **options)
        assert not entered or options.get("temperature")
        same(plain, generator(prompts, limits=limits, batch_size=3, **options))
        assert entered


def test_what_counts_generated_tokens_counts_those_of_each_row(causal_lm):
    prompts, limits = prompts_and_limits()
    options = {"limits": [limit + 4 for limit in limits], "batch_size": 2, "min_new_tokens": 4}
    options |= {"presence_penalty": 3.0, "no_repeat_ngram_size": 2}
    same(generate(causal_lm, prompts, continuous=False, **options), generate(causal_lm, prompts, **options))


def test_with_xla_and_a_single_slot(causal_lm):
    prompts, limits = prompts_and_limits(5)
    plain = generate(causal_lm, prompts, limits=limits)
    for batch_size in (1, 2):
        same(plain, Generator(causal_lm, jit_compile=True)(prompts, limits=limits, batch_size=batch_size))


def test_seeds_and_several_draws_stay_with_their_prompts(causal_lm):
    prompts, _ = prompts_and_limits(5)
    options = {"temperature": 2.0, "max_new_tokens": 6, "num_results": 2, "seeds": [9, 8, 7, 6, 5]}
    plain = generate(causal_lm, prompts, batch_size=16, **options)
    slotted = generate(causal_lm, prompts, batch_size=3, **options)
    same(plain, slotted)
    same([r.others[0] for r in plain], [r.others[0] for r in slotted])


def test_stop_strings_free_a_row(byte_lm, entered):
    generator = Generator(byte_lm)
    prompts = ["one", "two words", "three words here", "four", "five more words"]
    options = {"max_new_tokens": 30, "temperature": 2.0, "min_new_tokens": 30, "chunk": 4}
    first = generator(prompts, batch_size=8, **options)
    stop = [result.text[3] for result in first[:3]]
    plain = generator(prompts, batch_size=8, stop=stop, **options)
    assert {result.finish_reason for result in plain[:3]} == {"stop"} and not entered
    same(plain, generator(prompts, batch_size=2, stop=stop, **options))
    assert entered


def test_further_calls_compile_nothing(causal_lm):
    generator = Generator(causal_lm)
    prompts, limits = prompts_and_limits()
    generator(prompts, limits=limits, batch_size=3)
    traces = generator.loops.traces
    generator(prompts[::-1], limits=limits[::-1], batch_size=3)
    generator([p[:1] + p for p in prompts if len(p) < 27] * 2, max_new_tokens=max(limits), batch_size=3)
    assert generator.loops.traces == traces


def test_a_processor_that_needs_a_common_step_gets_it(causal_lm, entered):
    # `Script` reads view.step.
    generator = Generator(causal_lm, processors=[Script((5, 6, 7, 8, 2))])
    results = generator([[5], [6], [7]], batch_size=2)
    assert [result.token_ids for result in results] == [(5, 6, 7, 8, 2)] * 3 and not entered


@dataclasses.dataclass(frozen=True)
class ForbidUntil:
    """Forbids a token in a row's first `count` tokens."""

    token: int
    count: int

    def __call__(self, logits, view):
        early = (view.new < self.count)[:, None]
        return tf.where(tf.logical_and(early, tf.range(logits.shape[-1]) == self.token), float("-inf"), logits)


def test_own_processors_that_read_new_run_in_slots(causal_lm, entered):
    prompts, _ = prompts_and_limits(5)
    generator = Generator(causal_lm, processors=[ForbidUntil(int(generate(causal_lm, prompts[0]).token_ids[0]), 2)])
    same(
        generator(prompts, max_new_tokens=6, batch_size=2, continuous=False),
        generator(prompts, max_new_tokens=6, batch_size=2),
    )
    assert entered


def test_limits_are_each_prompts_own(causal_lm):
    options = {"temperature": 2.0, "min_new_tokens": 2}
    results = generate(causal_lm, [[5], [6], [7] * 62], limits=[2, 5, 4], bad_words=(), **options)
    assert [len(result.token_ids) for result in results[:1]] == [2]
    assert [result.finish_reason for result in results if len(result.token_ids) < 3] == ["length", "context"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": [1]}, "one whole number of at least 1 a prompt: 2"),
        ({"limits": [1, 0]}, "at least 1"),
        ({"limits": [1, 2.0]}, "whole number"),
        ({"limits": [1, 2], "max_new_tokens": 3}, "give one of the two"),
        ({"limits": [1, 2], "min_new_tokens": 2}, "at most each prompt's limit"),
    ],
)
def test_wrong_limits_are_one_clear_error(causal_lm, options, message):
    with pytest.raises(UserError, match=message):
        generate(causal_lm, [[5], [6]], **options)
