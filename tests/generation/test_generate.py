"""`generate` and `Generator`: the loop against recomputing everything, batches, seeds, buckets, errors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from toy_generation import toy_config

from tfllm.errors import UserError
from tfllm.generation import Generator, generate

PROMPTS = [[5, 6, 7, 8, 9], [3], [10, 11, 12]]


def greedy_without_cache(model, prompt: list[int], count: int) -> tuple[list[int], list[float]]:
    """Every token from a forward pass over the whole text so far."""
    new, log_probs = [], []
    while len(new) < count:
        if model.config.is_encoder_decoder:
            target = [model.config.decoder_start_id, *new]
            batch = {"token_ids": np.array([prompt]), "decoder_token_ids": np.array([target])}
        else:
            batch = {"token_ids": np.array([prompt + new])}
        logits = np.asarray(model(batch))[0, -1].astype("float64")
        new.append(int(logits.argmax()))
        log_probs.append(float(logits.max() - np.log(np.exp(logits - logits.max()).sum()) - logits.max()))
        if new[-1] == model.config.eos_id:
            break
    return new, log_probs


@pytest.mark.parametrize("kind", ["causal_lm", "seq2seq_lm"])
def test_greedy_is_what_recomputing_gives(kind, request):
    model = request.getfixturevalue(kind)
    for prompt, result in zip(PROMPTS, generate(model, PROMPTS, max_new_tokens=10)):
        ids, log_probs = greedy_without_cache(model, prompt, 10)
        assert list(result.token_ids) == ids
        np.testing.assert_allclose(result.log_probs, log_probs, atol=1e-5)
        assert result.finish_reason == ("eos" if ids[-1] == 2 else "length")
        assert result.prompt_tokens == len(prompt)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.5, "top_k": 20, "top_p": 0.9, "typical_p": 0.9, "min_p": 0.01, "seed": 3},
        {"num_beams": 3, "repetition_penalty": 1.2, "no_repeat_ngram_size": 2},
        {"prompt_lookup": 2, "min_new_tokens": 4, "presence_penalty": 0.1},
    ],
    ids=["sampling", "beams", "prompt_lookup"],
)
def test_xla_gives_the_same(causal_lm, options):
    with_xla = Generator(causal_lm, jit_compile=True)
    assert [r.token_ids for r in with_xla(PROMPTS, max_new_tokens=8, **options)] == [
        r.token_ids for r in generate(causal_lm, PROMPTS, max_new_tokens=8, **options)
    ]


@pytest.mark.parametrize("kind", ["causal_lm", "seq2seq_lm"])
def test_a_seed_gives_the_same_text_whatever_the_batch(kind, request):
    model = request.getfixturevalue(kind)
    options = {"max_new_tokens": 10, "temperature": 2.0, "min_new_tokens": 10}
    together = generate(model, PROMPTS, seeds=[7, 8, 9], **options)
    reversed_ = generate(model, PROMPTS[::-1], seeds=[9, 8, 7], **options)[::-1]
    in_twos = generate(model, PROMPTS, seeds=[7, 8, 9], batch_size=2, **options)
    alone = [generate(model, prompt, seed=seed, **options) for prompt, seed in zip(PROMPTS, (7, 8, 9))]
    for other in (reversed_, in_twos, alone):
        assert [r.token_ids for r in other] == [r.token_ids for r in together]
    others = generate(model, PROMPTS, seeds=[1, 2, 3], **options)
    assert [r.token_ids for r in others] != [r.token_ids for r in together]


def test_several_draws_of_a_prompt_differ_and_begin_with_the_single_draw(causal_lm):
    options = {"max_new_tokens": 8, "temperature": 2.0, "seed": 5}
    result = generate(causal_lm, PROMPTS[0], num_results=3, **options)
    assert len({result.token_ids, *(other.token_ids for other in result.others)}) == 3
    assert result.token_ids == generate(causal_lm, PROMPTS[0], **options).token_ids


def test_one_compilation_serves_a_bucket_and_all_numbers(causal_lm):
    generator = Generator(causal_lm)
    for length, temperature, new in ((2, 0.5, 9), (7, 1.0001, 12), (15, 2.0, 16)):
        generator([5] * length, temperature=temperature, top_p=0.9, max_new_tokens=new)
        assert generator.loops.traces == 2  # one for the prompt, one for the loop
    generator([5] * 17, temperature=0.5, top_p=0.9, max_new_tokens=16)
    assert generator.loops.traces == 4


def test_weights_are_read_at_every_call(causal_lm):
    keras.utils.set_random_seed(9)
    model = type(causal_lm)(causal_lm.config)
    before = generate(model, PROMPTS[0], max_new_tokens=8)
    model.set_weights(causal_lm.get_weights())
    assert generate(model, PROMPTS[0], max_new_tokens=8).token_ids != before.token_ids
    assert (
        generate(model, PROMPTS[0], max_new_tokens=8).token_ids
        == generate(causal_lm, PROMPTS[0], max_new_tokens=8).token_ids
    )


def test_num_beams_finds_a_likelier_text_and_scores_it(causal_lm):
    greedy = generate(causal_lm, PROMPTS, max_new_tokens=6)
    beams = generate(causal_lm, PROMPTS, max_new_tokens=6, num_beams=4, num_results=3, length_penalty=0.0)
    for one, best in zip(greedy, beams):
        scores = [best.score, *(other.score for other in best.others)]
        assert scores == sorted(scores, reverse=True)
        assert best.score >= one.log_prob - 1e-5
        assert best.score == pytest.approx(best.log_prob, abs=1e-5)


def exhaustive(model, prompt: list[int], count: int) -> tuple[float, list[int]]:
    """The likeliest text of up to `count` tokens."""
    best, open_ = (-np.inf, []), [(0.0, [])]
    while open_:
        score, new = open_.pop()
        if len(new) == count or (new and new[-1] == model.config.eos_id):
            best = max(best, (score, new))
            continue
        logits = np.asarray(model({"token_ids": np.array([prompt + new])}))[0, -1].astype("float64")
        log_probs = logits - np.log(np.exp(logits).sum())
        open_ += [(score + float(log_probs[token]), [*new, token]) for token in range(len(logits))]
    return best


def test_beams_as_wide_as_the_vocabulary_find_the_likeliest_text():
    from tfllm.models import CausalLM

    keras.utils.set_random_seed(6)
    model = CausalLM(toy_config(vocab_size=6))
    score, ids = exhaustive(model, [3, 4], 3)
    found = generate(model, [3, 4], max_new_tokens=3, num_beams=36, length_penalty=0.0, early_stopping="never")
    assert list(found.token_ids) == ids
    assert found.score == pytest.approx(score, abs=1e-4)


def test_the_context_ends_a_text(causal_lm):
    result = generate(causal_lm, [5] * 60, max_new_tokens=20, min_new_tokens=20)
    assert (len(result.token_ids), result.finish_reason) == (4, "context")


def test_too_long_prompts_are_refused_or_cut_and_counted(causal_lm):
    prompt = [*range(3, 30), *range(3, 30), *range(3, 30)]
    with pytest.raises(UserError, match="at most 63 tokens. Received: 81"):
        generate(causal_lm, prompt)
    left = generate(causal_lm, prompt, too_long="cut_left")
    assert (left.truncated_tokens, left.prompt_tokens, len(left.token_ids)) == (18, 63, 1)
    assert left.token_ids == generate(causal_lm, prompt[18:]).token_ids
    assert generate(causal_lm, prompt, too_long="cut_right").token_ids == generate(causal_lm, prompt[:63]).token_ids


def test_an_empty_prompt_begins_with_bos(causal_lm, seq2seq_lm):
    assert generate(causal_lm, [[]])[0].token_ids == generate(causal_lm, [1]).token_ids
    with pytest.raises(UserError, match="source of at least one token"):
        generate(seq2seq_lm, [[]])
    assert generate(causal_lm, []) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1.0}, "Did you mean 'temperature'"),
        ({"top_k": 3}, "top_k needs tokens to be drawn: give temperature above 0"),
        ({"temperature": 1.0, "num_beams": 2}, "temperature=0 or num_beams=1"),
        ({"length_penalty": 2.0}, "give num_beams above 1"),
        ({"num_results": 2}, "num_results must be at most num_beams"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "at most max_new_tokens"),
        ({"num_beams": 2, "stop": "x"}, "not with beam search"),
        ({"temperature": -1.0}, "temperature must be at least 0"),
        ({"stop": ""}, "not empty"),
        ({"stop": "x"}, "model.tokenizer is None"),
        ({"seeds": [1, 2]}, "one whole number"),
    ],
)
def test_wrong_options_are_one_clear_error(causal_lm, options, message):
    with pytest.raises(UserError, match=message):
        generate(causal_lm, [5], **options)


def test_wrong_prompts_and_models_are_one_clear_error(causal_lm):
    with pytest.raises(UserError, match="from 0 to 30. Received: 31"):
        generate(causal_lm, [31])
    with pytest.raises(UserError, match="model.tokenizer is None"):
        generate(causal_lm, "text")
    with pytest.raises(UserError, match="string or a list of token ids"):
        generate(causal_lm, [[1.5]])
    with pytest.raises(UserError, match="Received: a Decoder"):
        generate(causal_lm.backbone, [5])


def test_stories260k_gives_its_published_story():
    directory = Path(os.environ.get("TFLLM_MODELS", Path(__file__).parents[3] / "shared" / "models")) / "stories260K"
    if not directory.is_dir():
        pytest.skip("stories260K is not in $TFLLM_MODELS")
    import tfllm

    model = tfllm.load(directory, tokenizer=False)
    expected = json.loads((directory / "greedy_ids.json").read_text())["greedy_ids_from_bos"]
    assert list(generate(model, [[]], max_new_tokens=len(expected) - 1)[0].token_ids) == expected[1:]
