"""Prompt lookup: the same text as plain decoding, in fewer steps."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from toy_generation import Script

from tfllm.generation import Generator, generate
from tfllm.generation.drafts import PromptLookup
from tfllm.generation.view import View


def guesses(tokens: list[int], count: int = 3) -> list[int]:
    row = np.pad(np.array([[0, 0, *tokens]], "int32"), ((0, 0), (0, 4)))
    real = np.zeros(row.shape, bool)
    real[:, 2 : 2 + len(tokens)] = True
    one = tf.ones((1,), tf.int32)
    view = View(tf.constant(row), tf.constant(real), 2 + len(tokens), tf.constant(0), one, one, one)
    return PromptLookup(count)(view, [], {})[0].numpy()[0].tolist()


def test_lookup_finds_the_latest_longest_match():
    assert guesses([5, 6, 7, 8, 9, 5, 6, 7]) == [8, 9, 5]
    assert guesses([5, 6, 1, 6, 2, 3, 4, 6]) == [2, 3, 4]  # the latest of two
    assert guesses([4, 5, 6, 1, 9, 6, 2, 2, 4, 5, 6]) == [1, 9, 6]  # three tokens go before one
    assert guesses([7, 7]) == [7, 0, 0]


@pytest.mark.parametrize("kind", ["causal_lm", "seq2seq_lm"])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "top_p": 0.9, "seed": 3}, {"repetition_penalty": 1.2}])
def test_the_text_is_that_of_plain_decoding(kind, options, request):
    model = request.getfixturevalue(kind)
    prompts = [[5, 6, 7, 5, 6, 7, 5], [3], [9, 9, 8] * 5]
    plain = generate(model, prompts, max_new_tokens=20, **options)
    drafted = generate(model, prompts, max_new_tokens=20, prompt_lookup=3, **options)
    for one, other in zip(plain, drafted):
        assert (one.token_ids, one.finish_reason) == (other.token_ids, other.finish_reason)
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-5)


def test_a_repeated_text_takes_few_steps(causal_lm):
    period = (4, 5, 6, 7, 8)
    generator = Generator(causal_lm, processors=[Script(period * 8)])
    steps, next_ = [], generator.loops.steps.next
    generator.loops.jit_compile = False

    def counting(tokens, cache):
        tf.py_function(lambda: steps.append(1), [], [])
        return next_(tokens, cache)

    generator.loops.steps.next = counting
    result = generator([*period, *period], max_new_tokens=24, prompt_lookup=4)
    assert result.token_ids == (period * 8)[:24]
    assert len(steps) <= 8


def test_the_context_and_chunks_hold_with_drafts(causal_lm):
    options = {"max_new_tokens": 20, "min_new_tokens": 20}
    plain, drafted = (generate(causal_lm, [5] * 60, **options, **more) for more in ({}, {"prompt_lookup": 5}))
    assert (drafted.token_ids, drafted.finish_reason) == (plain.token_ids, "context")


def test_stop_strings_and_streams_with_drafts(byte_lm):
    text = "abc abc abc STOP abc"
    generator = Generator(byte_lm, processors=[Script((*text.encode(), 256))])
    for options in ({}, {"stop": "STOP"}):
        plain = generator("abc ", **options)
        drafted = generator("abc ", prompt_lookup=4, chunk=3, **options)
        assert (drafted.text, drafted.token_ids, drafted.finish_reason) == (
            plain.text,
            plain.token_ids,
            plain.finish_reason,
        )
        assert "".join(generator.stream("abc ", prompt_lookup=4, **options)) == plain.text
