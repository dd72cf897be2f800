"""What contradicts itself or is of the wrong kind: one clear error, whatever the way of decoding."""

from __future__ import annotations

import numpy as np
import pytest

from tfllm.errors import UserError
from tfllm.generation import generate

NOTHING = {token: float("-inf") for token in range(31)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 1.0, "top_p": 0.9, "min_p": 0.1, "typical_p": 0.9},
        {"prompt_lookup": 2},
        {"penalty_alpha": 0.5, "top_k": 3},
        {"guidance_scale": 2.0},
        {"batch_size": 1},
        {"batch_size": 1, "continuous": False},
    ],
    ids=str,
)
def test_options_that_forbid_every_token(causal_lm, options):
    with pytest.raises(UserError, match="together they forbid every token .* after 0 tokens"):
        generate(causal_lm, [[5, 6], [7]], logit_bias=NOTHING, max_new_tokens=4, **options)
    # Two tokens are left, and each may stand once.
    left = {token: float("-inf") for token in range(31) if token not in (8, 9)}
    with pytest.raises(UserError, match="after 2 tokens"):
        generate(causal_lm, [[5, 6], [7]], logit_bias=left, no_repeat_ngram_size=1, max_new_tokens=4, **options)


def test_beams_give_no_forbidden_text(causal_lm):
    left = {token: float("-inf") for token in range(31) if token not in (8, 9)}
    best = generate(causal_lm, [5, 6], logit_bias=left, max_new_tokens=1, num_beams=4, num_results=4)
    assert sorted(text.token_ids for text in (best, *best.others)) == [(8,), (9,)]
    for options in ({"logit_bias": NOTHING}, {"length_penalty": -1000.0}):
        with pytest.raises(UserError, match="no text with a finite score"):
            generate(causal_lm, [5, 6], max_new_tokens=4, num_beams=2, **options)


def test_a_model_of_nan_is_an_error(causal_lm):
    model = type(causal_lm)(causal_lm.config)
    model.set_weights([np.full_like(np.asarray(weight), np.nan) for weight in causal_lm.get_weights()])
    for options in ({}, {"prompt_lookup": 2}, {"temperature": 1.0}):
        with pytest.raises(UserError, match="NaN"):
            generate(model, [5, 6], max_new_tokens=4, **options)
    with pytest.raises(UserError, match="finite score"):
        generate(model, [5, 6], max_new_tokens=4, num_beams=2)


@pytest.mark.parametrize("prompt", [None, 5, b"ab", {"prompt": [5]}, {5}, object()], ids=lambda prompt: type(prompt).__name__)
def test_prompts_that_are_no_sequence(causal_lm, prompt):
    with pytest.raises(UserError, match="prompts must be a string, token ids, or a list"):
        generate(causal_lm, prompt)


def test_prompts_may_come_from_a_generator(causal_lm):
    prompts = [[5, 6], [7]]
    assert generate(causal_lm, iter(prompts), max_new_tokens=3) == generate(causal_lm, prompts, max_new_tokens=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 5}, "one whole number"),
        ({"seeds": ["a"]}, "one whole number"),
        ({"seeds": [1.5]}, "one whole number"),
        ({"limits": 5}, "one whole number"),
        ({"limits": [2.0]}, "one whole number"),
        ({"logit_bias": {5: "x"}}, "map token ids to numbers"),
        ({"logit_bias": [5]}, "map token ids to numbers"),
        ({"logit_bias": {5: None, "a": 1.0}}, "map token ids to numbers"),
        ({"logit_bias": {True: 1.0}}, "map token ids to numbers"),
        ({"guidance_scale": 2.0, "negative_prompt": 5}, "negative_prompt must be a string, token ids"),
    ],
    ids=str,
)
def test_values_of_the_wrong_type(causal_lm, options, message):
    with pytest.raises(UserError, match=message):
        generate(causal_lm, [5, 6], **options)


def test_numbers_of_numpy_are_numbers(causal_lm):
    options = {"max_new_tokens": 4, "temperature": 1.0}
    assert generate(
        causal_lm, [5], logit_bias={np.int64(7): np.float32(3.0)}, seeds=np.array([3]), **options
    ) == generate(causal_lm, [5], logit_bias={7: 3.0}, seeds=[3], **options)


def test_a_constraint_that_ends_before_min_new_tokens(byte_lm):
    with pytest.raises(UserError, match="shorter than min_new_tokens"):
        generate(byte_lm, "x", regex="ab", min_new_tokens=5, max_new_tokens=8)
    assert len(generate(byte_lm, "x", regex="[a-f]{2,6}", min_new_tokens=5, max_new_tokens=8).token_ids) >= 5
