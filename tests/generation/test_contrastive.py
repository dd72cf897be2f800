"""Contrastive search: transformers 4's, id for id, and its definition computed without a cache."""

from __future__ import annotations

import numpy as np
import pytest
from hf4_decoding import TOYS, assert_the_same

from tfllm.errors import UserError
from tfllm.generation import Generator, generate

PROMPTS = [[5, 6, 7, 8, 9], [3], [10, 11, 12]]


@pytest.mark.parametrize(
    ("toy", "options"), [("gpt2-causal_lm", "contrastive_mild"), ("bart-seq2seq_lm", "contrastive")]
)
def test_ids_are_those_of_transformers_4(toy, options):
    assert_the_same(toy, options)


@pytest.mark.parity
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("options", ["contrastive", "contrastive_mild"])
@pytest.mark.parametrize("toy", TOYS)
def test_ids_are_those_of_transformers_4_for_all_toys(toy, options, jit_compile):
    assert_the_same(toy, options, jit_compile=jit_compile)


def by_definition(model, prompt: list[int], count: int, alpha: float, k: int) -> tuple[list[int], list[float]]:
    """Ids and log-probabilities from whole forward passes, in float64."""
    new, log_probs = [], []

    def hidden_and_log_probs(more):
        if model.config.is_encoder_decoder:
            target = np.array([[model.config.decoder_start_id, *more]])
            hidden = model.backbone({"token_ids": np.array([prompt]), "decoder_token_ids": target})
        else:
            hidden = model.backbone({"token_ids": np.array([[*prompt, *more]])})
        logits = np.asarray(model.logits(hidden))[0, -1].astype("float64")
        hidden = np.asarray(hidden)[0].astype("float64")
        return hidden / np.linalg.norm(hidden, axis=1, keepdims=True), logits - np.log(np.exp(logits).sum())

    while len(new) < count and (not new or new[-1] != model.config.eos_id):
        _, log_p = hidden_and_log_probs(new)
        merits = {}
        for token in np.argsort(-log_p)[:k].tolist():
            hidden, _ = hidden_and_log_probs([*new, token])
            merits[token] = (1 - alpha) * np.exp(log_p[token]) - alpha * (hidden[:-1] @ hidden[-1]).max()
        new.append(max(merits, key=merits.get))
        log_probs.append(log_p[new[-1]])
    return new, log_probs


@pytest.mark.parametrize("kind", ["causal_lm", "seq2seq_lm"])
def test_it_is_what_the_definition_gives(kind, request):
    model = request.getfixturevalue(kind)
    results = generate(model, PROMPTS, max_new_tokens=5, penalty_alpha=0.5, top_k=3)
    differs = False
    for prompt, result, greedy in zip(PROMPTS, results, generate(model, PROMPTS, max_new_tokens=5)):
        ids, log_probs = by_definition(model, prompt, 5, 0.5, 3)
        assert list(result.token_ids) == ids
        np.testing.assert_allclose(result.log_probs, log_probs, atol=1e-4)
        differs |= result.token_ids != greedy.token_ids
    assert differs


def test_no_weight_is_greedy_and_forbidden_tokens_are_never_taken(causal_lm):
    greedy = generate(causal_lm, PROMPTS, max_new_tokens=8)
    tiny = generate(causal_lm, PROMPTS, max_new_tokens=8, penalty_alpha=1e-6, top_k=5)
    assert [r.token_ids for r in tiny] == [r.token_ids for r in greedy]
    # All but two tokens are forbidden: the other candidates have no probability, however unlike the text they are.
    bias = {token: -float("inf") for token in range(31) if token not in (8, 9)}
    result = generate(causal_lm, PROMPTS[0], max_new_tokens=8, penalty_alpha=1.0, top_k=6, logit_bias=bias)
    assert set(result.token_ids) <= {8, 9} and len(result.token_ids) == 8
    # More candidates than there are tokens are all of them.
    assert (
        len(generate(causal_lm, PROMPTS[0], max_new_tokens=3, min_new_tokens=3, penalty_alpha=0.5, top_k=99).token_ids)
        == 3
    )


def test_xla_gives_the_same_and_one_compilation_serves_a_bucket(causal_lm):
    generator = Generator(causal_lm, jit_compile=True)
    for prompt, alpha in (([5] * 3, 0.5), ([6, 7] * 6, 0.8)):
        options = {"max_new_tokens": 10, "penalty_alpha": alpha, "top_k": 4}
        assert generator(prompt, **options).token_ids == generate(causal_lm, prompt, **options).token_ids
        assert generator.loops.traces == 2


def test_the_context_streams_and_stop_strings_hold(causal_lm, byte_lm):
    options = {"penalty_alpha": 0.6, "top_k": 4}
    full = generate(causal_lm, [5] * 60, max_new_tokens=20, min_new_tokens=20, **options)
    assert (len(full.token_ids), full.finish_reason) == (4, "context")
    options |= {"max_new_tokens": 20, "min_new_tokens": 20}
    text = generate(byte_lm, "ab", **options).text
    assert "".join(Generator(byte_lm).stream("ab", **options)) == text
    stop = text[6:8]
    assert generate(byte_lm, "ab", stop=stop, chunk=3, **options).text == text[: text.index(stop)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty_alpha": 0.6}, "give top_k of at least 2. Received: top_k=None"),
        ({"penalty_alpha": 0.6, "top_k": 1}, "give top_k of at least 2. Received: top_k=1"),
        ({"penalty_alpha": 0.6, "top_k": 4, "temperature": 1.0}, "penalty_alpha and temperature: .*does not draw"),
        ({"penalty_alpha": 0.6, "top_k": 4, "num_beams": 2}, "penalty_alpha and num_beams"),
        ({"penalty_alpha": 0.6, "top_k": 4, "prompt_lookup": 2}, "penalty_alpha and prompt_lookup"),
        ({"penalty_alpha": 0.6, "top_k": 4, "guidance_scale": 2.0}, "penalty_alpha and guidance_scale"),
        ({"penalty_alpha": 0.6, "top_k": 4, "top_p": 0.9}, "top_p needs tokens to be drawn"),
        ({"penalty_alpha": 1.5, "top_k": 4}, "penalty_alpha must be at most 1"),
        ({"penalty_alpha": 0.6, "top_k": 4, "num_results": 2}, "num_results must be at most num_beams"),
    ],
)
def test_wrong_options_are_one_clear_error(causal_lm, options, message):
    with pytest.raises(UserError, match=message):
        generate(causal_lm, [5], **options)
