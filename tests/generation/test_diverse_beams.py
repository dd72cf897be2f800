"""Groups of beams: transformers 4's, id for id and score for score; what they are without a penalty; errors."""

from __future__ import annotations

import pytest
from hf4_decoding import TOYS, assert_the_same

from tfllm.errors import UserError
from tfllm.generation import Generator, generate

PROMPTS = [[5, 6, 7, 8, 9], [3], [10, 11, 12]]


def texts(result) -> list[tuple]:
    return [text.token_ids for text in (result, *result.others)]


@pytest.mark.parametrize(
    ("toy", "options"),
    [("gpt2-causal_lm", "groups"), ("llama-causal_lm", "groups_of_one"), ("bart-seq2seq_lm", "groups_early")],
)
def test_ids_and_scores_are_those_of_transformers_4(toy, options):
    assert_the_same(toy, options)


@pytest.mark.parity
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("options", ["groups", "groups_of_one", "groups_early"])
@pytest.mark.parametrize("toy", TOYS)
def test_ids_and_scores_are_those_of_transformers_4_for_all_toys(toy, options, jit_compile):
    assert_the_same(toy, options, jit_compile=jit_compile)


def test_groups_without_a_penalty_are_the_same_search(causal_lm):
    options = {"max_new_tokens": 7}
    ordinary = generate(causal_lm, PROMPTS, num_beams=3, num_results=3, **options)
    groups = generate(causal_lm, PROMPTS, num_beams=6, num_beam_groups=2, num_results=6, **options)
    for one, both in zip(ordinary, groups):
        assert texts(both) == [text for text in texts(one) for _ in range(2)]
        assert both.score == pytest.approx(one.score, abs=1e-5)


def test_a_high_penalty_makes_every_group_begin_with_another_token(causal_lm):
    options = {"max_new_tokens": 6, "num_beams": 4, "num_results": 4, "min_new_tokens": 6}
    ordinary = generate(causal_lm, [5, 6], **options)
    apart = generate(causal_lm, [5, 6], num_beam_groups=4, diversity_penalty=50.0, **options)
    assert len({ids[0] for ids in texts(apart)}) == 4 > len({ids[0] for ids in texts(ordinary)})
    # The first group is never penalised: it is the greedy text, and scored as such.
    greedy = generate(causal_lm, [5, 6], max_new_tokens=6, min_new_tokens=6)
    assert greedy.token_ids in texts(apart)


def test_a_batch_gives_what_each_prompt_gives_and_is_compiled_once(causal_lm):
    generator = Generator(causal_lm)
    options = {
        "max_new_tokens": 8,
        "num_beams": 4,
        "num_beam_groups": 2,
        "diversity_penalty": 1.0,
        "num_results": 4,
        "no_repeat_ngram_size": 2,
    }
    together = generator(PROMPTS, **options)
    alone = [generator(PROMPTS[0], **options)]
    traces = generator.loops.traces
    alone += [generator(prompt, **options) for prompt in PROMPTS[1:]]
    # [3] alone has nothing to read before its last token, so it is a bucket of its own.
    assert generator.loops.traces == traces + 2
    assert [texts(result) for result in alone] == [texts(result) for result in together]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 4, "num_beam_groups": 3}, "num_beam_groups must divide num_beams"),
        ({"num_beam_groups": 2}, "num_beam_groups needs beam search: give num_beams above 1"),
        ({"num_beams": 4, "diversity_penalty": 0.5}, "give num_beam_groups above 1"),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": -1.0}, "diversity_penalty must be at least 0"),
        ({"num_beams": 4, "num_beam_groups": 2, "temperature": 1.0}, "temperature=0 or num_beams=1"),
        ({"num_beams": 4, "num_beam_groups": 0}, "num_beam_groups must be at least 1"),
    ],
)
def test_wrong_options_are_one_clear_error(causal_lm, options, message):
    with pytest.raises(UserError, match=message):
        generate(causal_lm, [5], **options)
