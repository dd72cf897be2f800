"""Scores of given texts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfllm.errors import UserError
from tfllm.generation.scoring import score
from tfllm.tasks.likelihood import strided_windows


def log_probs_of(model, ids):
    logits = np.asarray(model({"token_ids": np.array([ids[:-1]])}))[0].astype("float64")
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    return [float(logits[i, token]) for i, token in enumerate(ids[1:])]


def test_scores_are_those_of_the_model_whatever_the_batch(byte_lm):
    texts = ["one two", "Ünï", "x"]
    for batch_tokens in (1, 4096):
        for text, result in zip(texts, score(byte_lm, texts, batch_tokens=batch_tokens)):
            expected = log_probs_of(byte_lm, [257, *text.encode()])
            np.testing.assert_allclose(result.log_probs, expected, atol=1e-5)
            assert result.perplexity == pytest.approx(math.exp(-sum(expected) / len(expected)))
            assert (result.words, result.bytes) == (len(text.split()), len(text.encode()))
            assert result.byte_perplexity == pytest.approx(2**result.bits_per_byte)
            assert result.word_perplexity == pytest.approx(math.exp(-sum(expected) / result.words))


def test_generated_texts_score_what_generation_said(causal_lm):
    from tfllm.generation import generate

    prompt = [5, 6, 7]
    result = generate(causal_lm, prompt, max_new_tokens=8)
    # generate() reads a prompt of ids as it is; score() puts bos before it.
    result = generate(causal_lm, [1, *prompt], max_new_tokens=8)
    (scored,) = score(causal_lm, [[*prompt, *result.token_ids]])
    np.testing.assert_allclose(scored.log_probs[len(prompt) :], result.log_probs, atol=1e-5)


def test_long_texts_are_read_in_windows(causal_lm):
    ids = np.random.default_rng(0).integers(3, 31, 150).tolist()
    (result,) = score(causal_lm, [ids])
    assert len(result.log_probs) == len(result.token_ids) == 150
    full = [1, *ids]
    last = log_probs_of(causal_lm, full[-65:])
    np.testing.assert_allclose(result.log_probs[-20:], last[-20:], atol=1e-4)


@pytest.mark.parametrize(("length", "longest"), [(2, 64), (64, 64), (65, 64), (200, 7), (9, 2)])
def test_windows_score_each_token_once(length, longest):
    scored = []
    for begin, end, first in strided_windows(length, longest, max(1, longest // 2)):
        assert 0 <= begin < first < end <= length and end - 1 - begin <= longest  # the last token is not read
        scored += range(first, end)
    assert scored == list(range(1, length))


def test_what_cannot_be_scored_is_one_clear_error(byte_lm, seq2seq_lm):
    with pytest.raises(UserError, match="no token that can be scored"):
        score(byte_lm, [""])
    with pytest.raises(UserError, match="Received: a Seq2SeqLM"):
        score(seq2seq_lm, ["x"])
    with pytest.raises(UserError, match="Received: one string"):
        score(byte_lm, "x")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (None, "texts must be a string, token ids, or a list"),
        ([5, 6], "a list of texts. Received: the token ids of one"),
        ([[5, 31]], r"texts\[0\]: token ids must be from 0 to 30. Received: 31"),
        ([[5, -1]], r"texts\[0\]: token ids must be from 0 to 30. Received: -1"),
    ],
    ids=str,
)
def test_texts_of_the_wrong_kind_are_one_clear_error(causal_lm, texts, message):
    with pytest.raises(UserError, match=message):
        score(causal_lm, texts)


def test_texts_may_come_from_a_generator(causal_lm):
    texts = [[5, 6], [7, 8, 9]]
    assert score(causal_lm, iter(texts)) == score(causal_lm, texts)
    with pytest.raises(UserError, match="batch_tokens must be at least 1"):
        score(causal_lm, texts, batch_tokens=0)
