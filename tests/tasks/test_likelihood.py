"""Likelihoods of continuations, long texts and masked sentences, against the model asked row by row."""

import math

import numpy as np
import pytest
from toy_judging import byte_lm, continuation_log_prob, row_log_probs

from tfllm.errors import UserError
from tfllm.tasks.likelihood import continuations, strided_windows, whole_texts
from tfllm.tasks.pseudo_likelihood import filled_blanks, masked_sentences, shared_places

BOS = 257


def test_continuations_follow_their_contexts(causal):
    pairs = [("Is it?", " yes"), ("Is it?", " no"), ("", "Ünï"), ("a b ", "c"), ("  ", "x")]
    # Blanks at the end of a context belong to the continuation; without a context it follows the bos token.
    split = [("Is it?", " yes"), ("Is it?", " no"), (None, "Ünï"), ("a b", " c"), (None, "  x")]
    for (context, continuation), found in zip(split, continuations(causal, pairs)):
        before, after = [BOS] if context is None else list(context.encode()), list(continuation.encode())
        assert found.log_prob == pytest.approx(continuation_log_prob(causal, before, after), abs=1e-4)
        assert (found.tokens, found.truncated) == (len(after), False)
        table = row_log_probs(causal, [*before, *after])[len(before) - 1 : -1]
        assert found.greedy == (table.argmax(-1).tolist() == after)


def test_the_most_probable_continuation_is_greedy(causal):
    ids = list(b"abc")
    for _ in range(3):
        ids.append(int(row_log_probs(causal, ids)[-1, :128].argmax()))
    text = bytes(ids[3:]).decode()
    best = row_log_probs(causal, ids)[2:-1].argmax(-1).tolist()
    assert continuations(causal, [("abc", text)])[0].greedy == (best == ids[3:])


def test_a_context_that_is_too_long_loses_its_beginning(causal):
    short = byte_lm(max_positions=16)
    found = continuations(short, [("x" * 30 + "abcdefgh", "ijkl"), ("ab", "c")])
    assert [one.truncated for one in found] == [True, False]
    read = ("x" * 30 + "abcdefghijk")[-16:].encode()
    table = row_log_probs(short, list(read))
    expected = sum(table[12 + k, token] for k, token in enumerate(b"ijkl"))
    assert found[0].log_prob == pytest.approx(expected, abs=1e-4)
    with pytest.raises(UserError, match="must fit into the 16 tokens that the model reads. Received: 17"):
        continuations(short, [("a", "b" * 17)])
    windowed = continuations(causal, [("x" * 30 + "abcdefgh", "ijkl")], window=16)
    assert windowed[0].truncated
    with pytest.raises(UserError, match="window must be from 2 to 16"):
        continuations(short, [("a", "b")], window=17)


def test_what_cannot_be_asked_is_refused(causal, masked):
    with pytest.raises(UserError, match="A continuation needs a token"):
        continuations(causal, [("a", "")])
    with pytest.raises(UserError, match="from left to right. Received: a MaskedLM"):
        continuations(masked, [("a", "b")])
    with pytest.raises(UserError, match="masked language model. Received: a CausalLM"):
        masked_sentences(causal, ["a"])
    with pytest.raises(UserError, match="A sentence needs a token"):
        masked_sentences(masked, [""])


@pytest.mark.parametrize("stride", [None, 16, 7, 1])
def test_windows_score_every_token_of_a_text_once_with_its_context(stride):
    model = byte_lm(max_positions=16)
    texts = ["a short one", "".join(chr(97 + i * i % 26) for i in range(75)), ""]
    for text, found in zip(texts, whole_texts(model, texts, stride=stride)):
        ids = [BOS, *text.encode()]
        expected = []
        for begin, end, first in strided_windows(len(ids), 16, stride or 16):
            table = row_log_probs(model, ids[begin : end - 1])
            expected += [table[place - 1 - begin, ids[place]] for place in range(first, end)]
        assert found.tokens == len(text) == len(expected)
        np.testing.assert_allclose(found.token_log_probs, expected, atol=2e-5)
        assert found.log_prob == pytest.approx(math.fsum(expected), abs=1e-3)


@pytest.mark.parametrize(
    ("length", "window", "stride"), [(2, 8, 8), (9, 8, 8), (40, 8, 8), (40, 8, 3), (40, 8, 1), (3, 2, 2)]
)
def test_windows_are_full_and_meet(length, window, stride):
    found = strided_windows(length, window, stride)
    scored = [place for _, end, first in found for place in range(first, end)]
    assert scored == list(range(1, length))
    for begin, end, first in found[1:]:
        assert end - 1 - begin == window and end - first <= stride and begin < first


def test_a_bad_window_or_stride_is_refused(causal):
    for options, message in (
        ({"window": 1}, "window must be from 2 to 512"),
        ({"window": 513}, "window must be from 2 to 512"),
        ({"window": 8, "stride": 9}, "stride must be from 1 to the window, 8"),
        ({"stride": 0}, "stride must be from 1"),
    ):
        with pytest.raises(UserError, match=message):
            whole_texts(causal, ["a text"], **options)


def masked_log_prob(model, ids, place) -> float:
    hidden = [*ids[:place], model.tokenizer.mask_id, *ids[place + 1 :]]
    return row_log_probs(model, hidden)[place, ids[place]]


def test_pseudo_log_likelihoods_mask_each_token_in_turn(masked):
    for sentence in ("a cat.", "x"):
        ids = masked.tokenizer.encode(sentence)
        expected = [masked_log_prob(masked, ids, place) for place in range(1, len(ids) - 1)]
        (found,) = masked_sentences(masked, [sentence])
        np.testing.assert_allclose(found.token_log_probs, expected, atol=2e-5)
        assert found.tokens == len(ids) - 2


def official_spans(first, second):
    """CrowS-Pairs' rule in the plainest words: equal stretches of both, without the first and the last token of them all."""
    import difflib

    first, second = [str(token) for token in first], [str(token) for token in second]
    spans = ([], [])
    for name, a, b, c, d in difflib.SequenceMatcher(None, first, second).get_opcodes():
        if name == "equal":
            spans[0].extend(range(a, b))
            spans[1].extend(range(c, d))
    return tuple(span[1:-1] for span in spans)


def test_shared_tokens_are_those_of_the_official_rule(masked):
    for first, second in (("he is a cat.", "she is a cat."), ("all cats purr", "all of my dogs purr"), ("abc", "xyz")):
        found = shared_places(masked, first, second)
        ids = [masked.tokenizer.encode(text) for text in (first, second)]
        assert found == official_spans(*ids)
        assert [ids[0][place] for place in found[0]] == [ids[1][place] for place in found[1]]


def test_blanks_are_filled_from_left_to_right(masked):
    tokenizer = masked.tokenizer
    (found,) = filled_blanks(masked, [("it is BLANK.", "cat")])
    expected = []
    for begun, target in (("", "c"), ("c", "##a"), ("ca", "##t")):
        ids = tokenizer.encode(f"it is {begun}[MASK].")
        place = ids.index(tokenizer.mask_id)
        expected.append(math.exp(row_log_probs(masked, ids)[place, tokenizer.token_to_id(target)]))
    assert found == pytest.approx(sum(expected) / 3, rel=1e-4)
