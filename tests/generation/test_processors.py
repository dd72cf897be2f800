"""Every sampler, penalty and constraint by itself: what it computes, and that draws follow its distribution."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfllm.generation import constraints, penalties, sampling
from tfllm.generation.processors import apply, numbers, structure, with_numbers
from tfllm.generation.view import View

V = 10
INF = float("inf")


def view(*rows: list[int], width: int = 1, seeds=None, position: int = 0, limit: int = 9) -> View:
    """The state of rows that stand in the same number of places; -1 is padding. Places after `width` are generated."""
    ids = np.array(rows, "int32")
    count = len(rows)
    return View(
        tf.constant(np.maximum(np.pad(ids, ((0, 0), (0, 3))), 0)),
        tf.constant(np.pad(ids >= 0, ((0, 0), (0, 3)))),
        width,
        tf.constant(ids.shape[1] - width),
        tf.fill((count,), position),
        tf.fill((count,), limit),
        tf.constant(np.arange(count) if seeds is None else seeds, tf.int32),
    )


def run(processor, logits, state: View) -> np.ndarray:
    return np.asarray(processor(tf.constant(logits, tf.float32), state))


LOGITS = np.random.default_rng(0).normal(size=(2, V)).astype("float32")


def test_repetition_penalty():
    got = run(penalties.RepetitionPenalty(2.0), LOGITS, view([3, 4, 4], [-1, 5, 3]))
    expected = LOGITS.copy()
    for row, seen in enumerate([(3, 4), (5, 3)]):
        for token in seen:
            expected[row, token] *= 0.5 if LOGITS[row, token] > 0 else 2.0
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_count_penalty_counts_generated_tokens_only():
    got = run(penalties.CountPenalty(0.5, 0.25), LOGITS, view([3, 4, 4], [-1, 5, 3], width=1))
    expected = LOGITS.copy()
    expected[0, 4] -= 0.5 + 2 * 0.25
    expected[1, [5, 3]] -= 0.75
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_logit_bias():
    got = run(penalties.LogitBias(((2, 1.5), (7, -INF))), LOGITS, view([0], [0]))
    assert got[0, 2] == LOGITS[0, 2] + np.float32(1.5) and (got[:, 7] == -INF).all()


@pytest.mark.parametrize(
    ("size", "rows", "banned"),
    [
        (1, [[-1, 3, 4]], {3, 4}),
        (2, [[5, 6, 5]], {6}),
        (2, [[-1, -1, 5]], set()),
        (3, [[5, 6, 7, 5, 6]], {7}),
        (3, [[5, 6]], set()),
    ],
)
def test_no_repeat_ngrams(size, rows, banned):
    got = run(penalties.NoRepeatNgrams(size), LOGITS[:1], view(*rows))
    assert set(np.flatnonzero(got[0] == -INF)) == banned


def test_bad_words_of_one_and_of_several_tokens():
    processor = constraints.BadWords(((9,), (4, 5), (3, 4, 6)))
    got = run(processor, LOGITS, view([3, 4], [-1, 4]))
    assert set(np.flatnonzero(got[0] == -INF)) == {9, 5, 6}
    assert set(np.flatnonzero(got[1] == -INF)) == {9, 5}


def test_min_new_tokens_forced_first_and_forced_last():
    before, after = view([1, 3], width=1), view([1, 3, 4], width=1)
    processor = constraints.MinNewTokens(2, (2, 8))
    assert set(np.flatnonzero(run(processor, LOGITS[:1], before)[0] == -INF)) == {2, 8}
    assert np.isfinite(run(processor, LOGITS[:1], after)).all()
    assert run(constraints.ForcedFirst(7), LOGITS[:1], view([1], width=1)).argmax() == 7
    np.testing.assert_array_equal(run(constraints.ForcedFirst(7), LOGITS[:1], before), LOGITS[:1])
    last = run(constraints.ForcedLast(6), LOGITS, view([1, 3], [1, 3], width=1, limit=2))
    assert (last.argmax(-1) == 6).all()


def exact(name: str, p: np.ndarray) -> np.ndarray:
    """The distribution that each sampler leaves of `p`, computed from its definition."""
    order = np.argsort(-p)
    keep = np.zeros(len(p), bool)
    if name == "top_k":
        keep[order[:4]] = True
    elif name == "top_p":
        keep[order[: 1 + np.searchsorted(np.cumsum(p[order]), 0.7)]] = True
    elif name == "min_p":
        keep = p >= 0.2 * p.max()
    elif name == "typical":
        order = np.argsort(np.abs(-np.log(p) - -(p * np.log(p)).sum()))
        keep[order[: 1 + np.searchsorted(np.cumsum(p[order]), 0.6)]] = True
    elif name == "temperature":
        p, keep = p**2, ~keep
    else:
        keep = ~keep
    return np.where(keep, p, 0) / np.where(keep, p, 0).sum()


SAMPLERS = {
    "plain": [],
    "temperature": [sampling.Temperature(0.5)],
    "top_k": [sampling.TopK(4)],
    "top_p": [sampling.TopP(0.7)],
    "min_p": [sampling.MinP(0.2)],
    "typical": [sampling.TypicalP(0.6)],
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_follow_the_exact_distribution(name):
    draws = 4000
    logits = np.random.default_rng(1).normal(size=V).astype("float32")
    p = exact(name, np.exp(logits.astype("float64")) / np.exp(logits.astype("float64")).sum())

    @tf.function(autograph=False)
    def draw(seeds, positions):
        ids, ones = tf.zeros((draws, 1), tf.int32), tf.ones((draws,), tf.int32)
        state = View(ids, ids == 0, 1, tf.constant(0), positions, ones, seeds)
        scores = apply([*SAMPLERS[name], sampling.GumbelNoise()], tf.tile(logits[None], (draws, 1)), state)
        return tf.argmax(scores, -1)

    # Neighbouring seeds must be independent, and so must neighbouring positions.
    for seeds, positions in (
        (tf.range(draws), tf.zeros(draws, tf.int32)),
        (tf.zeros(draws, tf.int32), tf.range(draws)),
    ):
        counts = np.bincount(draw(seeds, positions), minlength=V)
        assert (counts[p == 0] == 0).all()
        assert scipy.stats.chisquare(counts[p > 0], draws * p[p > 0]).pvalue > 1e-3


@pytest.mark.parametrize("name", ["top_p", "typical", "min_p"])
def test_a_filter_keeps_at_least_one_token(name):
    tiny = {"top_p": sampling.TopP(1e-6), "typical": sampling.TypicalP(1e-6), "min_p": sampling.MinP(0.999)}[name]
    assert (np.isfinite(run(tiny, LOGITS, view([0], [0]))).sum(-1) == 1).all()


def test_filters_take_forbidden_tokens():
    logits = LOGITS.copy()
    logits[:, :7] = -INF
    for filters in SAMPLERS.values():
        got = np.asarray(apply(filters, tf.constant(logits), view([0], [0])))
        assert not np.isnan(got).any() and np.isfinite(got).any(-1).all() and (got[:, :7] == -INF).all()


def test_float_fields_are_fed_and_the_rest_is_structure():
    processors = [sampling.TopK(3), sampling.Temperature(0.5), penalties.CountPenalty(0.1, 0.2)]
    assert numbers(processors) == [0.5, 0.1, 0.2]
    others = [sampling.TopK(3), sampling.Temperature(2.0), penalties.CountPenalty(1.0, 2.0)]
    assert structure(processors) == structure(others) != structure([sampling.TopK(4), *others[1:]])
    fed = with_numbers(processors, tf.constant(numbers(others)))
    np.testing.assert_allclose(apply(fed, LOGITS, view([1], [2])), apply(others, LOGITS, view([1], [2])))


def test_noise_is_finite_where_the_bits_are_all_ones():
    """One draw in 2^24: among them is the seed 4 at position 41, with a vocabulary of 49,152."""
    size = 49_152
    ids = tf.zeros((1, 42), tf.int32)
    state = View(ids, ids == 0, 42, tf.constant(0), tf.constant([41]), tf.constant([9]), tf.constant([4]))
    bits = tf.random.stateless_uniform((size,), [4, 41], minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    place = int(tf.argmax(bits))
    assert int(bits[place]) >> 8 == 2**24 - 1
    logits = np.zeros((1, size), "float32")
    logits[0, place] = -INF
    for compiled in (False, True):
        noise = sampling.GumbelNoise()
        call = tf.function(lambda logits, noise=noise: noise(logits, state), jit_compile=compiled)
        noisy = call(tf.constant(logits)).numpy()[0]
        assert noisy[place] == -INF and np.isfinite(np.delete(noisy, place)).all()
        assert call(tf.zeros((1, size))).numpy()[0, place] == pytest.approx(24 * np.log(2), abs=0.1)
