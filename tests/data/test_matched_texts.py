"""Pairs of texts in rows of their own."""

import numpy as np
import pytest

from tfllm.data.matched_texts import MatchedBatches, match, partners
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import UserError

TEXTS = TokenizedExamples.from_ids(
    [[2, 7, 3], [2, 8, 8, 3], [2, 3], [2, 9, 3], [2, 5, 5, 5, 3]],
    type_ids=[[0] * 3, [0] * 4, [0] * 2, [0] * 3, [0] * 5],
)


def test_rows_hold_both_texts():
    pairs = match(TEXTS, np.array([[0, 4], [1, 3], [2, 2]]), np.array([0, 1, 2]))
    batches = MatchedBatches(pairs, batch_size=4, layout="bucketed", shuffle=False, max_length=5, pad_id=1)
    x, y, w = batches.batch(0)
    rows = dict(zip(batches.example_indices(0)[:, 0].tolist(), range(4)))
    assert set(rows) == {0, 1, 2, -1}
    for pair, (first, second) in enumerate([(0, 4), (1, 3), (2, 2)]):
        row, a, b = rows[pair], TEXTS.lengths[first], TEXTS.lengths[second]
        ids = [TEXTS.token_ids[TEXTS.offsets[i] : TEXTS.offsets[i + 1]].tolist() for i in (first, second)]
        assert x["token_ids"][row, : a + b].tolist() == ids[0] + ids[1] and set(x["token_ids"][row, a + b :]) <= {1}
        assert x["example_ids"][row].tolist()[: a + b] == [1] * a + [2] * b and not x["example_ids"][row, a + b :].any()
        assert x["position_ids"][row].tolist()[: a + b] == [*range(a), *range(b)]
        assert x["head_positions"][row].tolist() == [0, a]
        assert (y[row], w[row]) == (pair, float(first != second))
    empty = rows[-1]
    assert (y[empty], w[empty]) == (-1, 0.0) and not x["example_ids"][empty].any()
    assert batches.report()["unpaired"] == 1 and batches.report()["real_tokens"] == 3 + 5 + 4 + 3 + 2 + 2
    flat = batches.dataset().element_spec
    assert flat[1].shape == (4,) and flat[0]["head_positions"].shape == (4, 2)


def test_partners():
    groups = np.random.default_rng(0).integers(0, 6, 200)
    pairs = partners(groups, seed=3)
    assert (pairs[:, 0] == np.arange(200)).all() and sorted(pairs[:, 1]) == list(range(200))
    assert (groups[pairs[:, 0]] == groups[pairs[:, 1]]).all() and (pairs[:, 0] != pairs[:, 1]).all()
    assert (partners(groups, seed=3) == pairs).all() and (partners(groups, seed=4) != pairs).any()
    assert partners(np.array([5, 2]), 0).tolist() == [[0, 0], [1, 1]]


def test_errors():
    alone = match(TEXTS, np.array([[0, 0], [1, 1]]), np.array([0, 1]))
    with pytest.raises(UserError, match="nothing to learn from"):
        MatchedBatches(alone, batch_size=2, shuffle=False).dataset()
    for options in ({"replicas": 2}, {"shard": (0, 2)}):
        with pytest.raises(UserError, match="cannot be divided"):
            MatchedBatches(alone, batch_size=2, shuffle=False, **options)
    with pytest.raises(UserError, match="a row of its own"):
        MatchedBatches(alone, batch_size=2, shuffle=False, layout="packed")
