"""Metrics over groups against the plain functions, and their intervals against plain resampling of groups."""

import numpy as np
import pytest

from tfllm import metrics
from tfllm.errors import UserError
from tfllm.metrics import grouped


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), rng.integers(2, 6, 60))
    return rng.normal(size=(len(groups), 2)), rng.integers(0, 2, len(groups)), [f"g{i}" for i in groups]


def test_values_are_those_of_the_plain_functions(answers):
    logits, labels, groups = answers
    columns = {"group": groups}
    assert grouped.F1A.compute(logits, labels, columns) == pytest.approx(metrics.f1a(logits, labels), abs=1e-12)
    plain = metrics.question_exact_match(logits, labels, groups)
    assert grouped.QUESTION_EXACT_MATCH.compute(logits, labels, columns) == pytest.approx(plain, abs=1e-12)
    pairs = [str(i // 2) for i in range(100)]
    parity = grouped.GENDER_PARITY.compute(logits[:100], labels[:100], {"group": pairs})
    assert parity == pytest.approx(metrics.gender_parity(logits[:100], pairs), abs=1e-12)


def test_choices():
    logits = np.array([[0, 1.0], [0, 3], [5, 4], [0, 2], [0, 2]])
    groups = np.array([0, 0, 1, 1, 1])
    assert grouped.chosen(logits, groups).tolist() == [1, 3]  # of equal ones the first
    columns = {"group": ["a", "a", "b", "b", "b"], "f1": [0, 1, 0, 0.5, 1]}
    assert grouped.CHOICE_ACCURACY.compute(logits, [0, 1, 0, 0, 1], columns) == 0.5
    assert grouped.mean_of_chosen("f1").compute(logits, [0, 1, 0, 0, 1], columns) == 0.75
    with pytest.raises(UserError, match="has one right one. Received: 2"):
        grouped.CHOICE_ACCURACY.compute(logits, [1, 1, 0, 0, 1], columns)
    with pytest.raises(UserError, match="values of column 'f1', as there are labels. Received: 5 and 4"):
        grouped.CHOICE_ACCURACY.compute(logits, [0, 1, 0, 0, 1], {**columns, "f1": [0] * 4})


def test_interval_is_that_of_drawn_groups(answers):
    logits, labels, groups = answers
    interval = grouped.F1A.bootstrap_ci(logits, labels, {"group": groups})
    assert "whole groups drawn" in interval.method
    numbers = np.array([int(name[1:]) for name in groups])
    rows = [np.flatnonzero(numbers == group) for group in range(60)]
    rng, scores = np.random.default_rng(7), []
    for _ in range(400):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, 60, 60)])
        scores.append(metrics.f1a(logits[drawn], labels[drawn]))
    assert [interval.low, interval.high] == pytest.approx(np.percentile(scores, [2.5, 97.5]), abs=0.03)
