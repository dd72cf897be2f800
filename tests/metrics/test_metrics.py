"""Metrics against values worked out by hand, against each other, and their intervals against plain resampling."""

import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from tfllm import metrics
from tfllm.errors import UserError

# true class in rows, predicted in columns: 20 5 / 10 15
LABELS = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
PREDICTED = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])


def one_hot_logits(classes, width):
    return np.eye(width, dtype=np.float32)[classes] - 3.0


@pytest.mark.parametrize("predictions", [PREDICTED, one_hot_logits(PREDICTED, 2)], ids=["classes", "logits"])
def test_classification_goldens(predictions):
    assert metrics.compute("accuracy", predictions, LABELS) == pytest.approx(35 / 50)
    assert metrics.compute("f1", predictions, LABELS) == pytest.approx(2 * 15 / (2 * 15 + 5 + 10))
    f1_of_zero = 2 * 20 / (2 * 20 + 10 + 5)
    assert metrics.compute("macro_f1", predictions, LABELS) == pytest.approx((2 / 3 + f1_of_zero) / 2)
    assert metrics.compute("matthews_corrcoef", predictions, LABELS) == pytest.approx(
        (15 * 20 - 5 * 10) / np.sqrt(20 * 25 * 25 * 30)
    )


def test_correlation_goldens():
    # deviations -1.5 -0.5 0.5 1.5 and -1 0 -1 2: sum of products 4, spreads 5 and 6
    assert metrics.pearson([1, 2, 3, 4], [1, 2, 1, 4]) == pytest.approx(4 / np.sqrt(5 * 6))
    # ranks 1 2 3 4 and 1.5 3 1.5 4: sum of products of deviations 3, spreads 5 and 4.5
    assert metrics.spearman([1, 2, 3, 4], [1, 2, 1, 4]) == pytest.approx(3 / np.sqrt(5 * 4.5))
    assert metrics.spearman([[0.1], [0.2], [5.0]], [10.0, 20.0, 21.0]) == pytest.approx(1.0)


def test_values_at_the_edges():
    ones = np.ones(4, np.int64)
    assert metrics.f1(0 * ones, 0 * ones) == 0.0
    assert metrics.matthews_corrcoef(ones, [0, 1, 0, 1]) == 0.0
    assert metrics.accuracy(ones, ones) == 1.0
    # equal logits: the first class, as argmax has it
    assert metrics.accuracy([[1.0, 1.0]], [0]) == 1.0


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize(
    "predictions, labels", [([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0, 2.0], [3.0, 3.0]), ([1.0], [2.0])]
)
def test_correlation_of_constants_is_nan_with_a_warning(name, predictions, labels):
    with pytest.warns(RuntimeWarning, match=f"{name} is not defined where all"):
        assert np.isnan(metrics.compute(name, predictions, labels))
    low, high, method = metrics.bootstrap_ci(name, predictions, labels, resamples=10)
    assert np.isnan(low) and np.isnan(high) and "not defined in 10 resamples" in method


classes = st.integers(2, 4).flatmap(
    lambda c: st.lists(st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=1, max_size=60)
)


@settings(deadline=None, max_examples=60)
@given(classes, st.randoms(use_true_random=False))
def test_class_metrics_do_not_depend_on_the_order_and_are_perfect_for_the_truth(pairs, random):
    predictions, labels = np.array(pairs).T
    order = list(range(len(pairs)))
    random.shuffle(order)
    for name in ("accuracy", "macro_f1", "matthews_corrcoef"):
        score = metrics.compute(name, predictions, labels)
        assert metrics.compute(name, predictions[order], labels[order]) == pytest.approx(score)
        assert -1 <= score <= 1
        perfect = metrics.compute(name, labels, labels)
        assert perfect == pytest.approx(1.0) or (
            name == "matthews_corrcoef" and len(set(labels.tolist())) == 1 and perfect == 0
        )
    swapped = metrics.compute("matthews_corrcoef", labels, predictions)
    assert swapped == pytest.approx(metrics.compute("matthews_corrcoef", predictions, labels))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=3, max_size=40),
    st.floats(0.1, 9),
    st.floats(-9, 9),
)
def test_correlations_under_a_change_of_scale(pairs, scale, shift):
    x, y = np.array(pairs, np.float64).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return
    for name in ("pearson", "spearman"):
        score = metrics.compute(name, x, y)
        assert metrics.compute(name, scale * x + shift, y) == pytest.approx(score, abs=1e-9)
        assert metrics.compute(name, -x, y) == pytest.approx(-score, abs=1e-9)
        assert metrics.compute(name, y, x) == pytest.approx(score, abs=1e-9)
    assert metrics.spearman(x**3, y) == pytest.approx(metrics.spearman(x, y))


@pytest.mark.parametrize("name", ["accuracy", "f1", "macro_f1", "matthews_corrcoef", "pearson", "spearman"])
def test_interval_is_the_one_of_plain_resampling(name):
    rng = np.random.default_rng(3)
    if name in ("pearson", "spearman"):
        labels = np.round(rng.uniform(0, 5, 150), 1)
        predictions = labels + rng.normal(0, 1.5, 150)
        reference = {"pearson": scipy.stats.pearsonr, "spearman": scipy.stats.spearmanr}[name]
        score = lambda p, y: reference(p, y).statistic  # noqa: E731
    else:
        width = 2 if name == "f1" else 3
        labels = rng.integers(0, width, 150)
        predictions = np.where(rng.random(150) < 0.7, labels, rng.integers(0, width, 150))
        score = {
            "accuracy": lambda p, y: sklearn.metrics.accuracy_score(y, p),
            "f1": lambda p, y: sklearn.metrics.f1_score(y, p),
            "macro_f1": lambda p, y: sklearn.metrics.f1_score(y, p, average="macro"),
            "matthews_corrcoef": lambda p, y: sklearn.metrics.matthews_corrcoef(y, p),
        }[name]
    draws = [rng.integers(0, 150, 150) for _ in range(700)]
    expected = np.percentile([score(predictions[d], labels[d]) for d in draws], [2.5, 97.5])
    low, high, method = metrics.bootstrap_ci(name, predictions, labels, resamples=4000, seed=1)
    assert low < score(predictions, labels) < high
    # two independent sets of draws: their ends differ by a few percent of the width
    assert [low, high] == pytest.approx(expected, abs=0.1 * (high - low))
    assert "4000 resamples" in method and "seed 1" in method


@pytest.mark.parametrize("name, reference", [("pearson", scipy.stats.pearsonr), ("spearman", scipy.stats.spearmanr)])
def test_each_resample_is_scored_exactly(name, reference):
    """With the same draws, the ends are those of SciPy on the drawn examples: ranks are never reused from the full
    sample."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 40).astype(float), rng.integers(0, 6, 40).astype(float)
    draws = np.random.default_rng(7)
    scores = []
    for _ in range(50):
        draw = draws.integers(0, 40, 40)
        scores.append(reference(x[draw], y[draw]).statistic)
    interval = metrics.bootstrap_ci(name, x, y, confidence=0.9, resamples=50, seed=7)
    assert interval[:2] == pytest.approx(np.percentile(scores, [5, 95]), abs=1e-12)


def test_interval_depends_on_the_seed_alone_and_narrows_with_the_size():
    first = metrics.bootstrap_ci("accuracy", PREDICTED, LABELS, seed=4)
    assert first == metrics.bootstrap_ci("accuracy", PREDICTED, LABELS, seed=4)
    assert first != metrics.bootstrap_ci("accuracy", PREDICTED, LABELS, seed=5)
    wide = first.high - first.low
    large = metrics.bootstrap_ci("accuracy", np.tile(PREDICTED, 100), np.tile(LABELS, 100))
    assert (large.high - large.low) == pytest.approx(wide / 10, rel=0.2)
    half = metrics.bootstrap_ci("accuracy", PREDICTED, LABELS, confidence=0.5, seed=4)
    assert half.high - half.low < wide


def test_many_classes_take_the_same_interval():
    """Above 64 classes examples are drawn, not counts: the same distribution."""
    labels = np.arange(400) % 80
    predictions = np.where(np.arange(400) % 3 == 0, (labels + 1) % 80, labels)
    low, high, method = metrics.bootstrap_ci("accuracy", predictions, labels, resamples=2000)
    error = 1.96 * np.sqrt(2 / 9 / 400)
    assert [low, high] == pytest.approx([2 / 3 - error, 2 / 3 + error], abs=0.01)
    assert "computed anew on each" in method


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: metrics.accuracy([0.2, 0.9], [0, 1]), r"class numbers of shape \(N,\). Received: float64"),
        (lambda: metrics.accuracy(np.zeros((2, 1)), [0, 1]), "at least 2 classes"),
        (
            lambda: metrics.accuracy([[0.0, np.nan], [0.0, 1.0]], [0, 1]),
            "NaN or infinity for 1 of 2 examples, first for number 0",
        ),
        (lambda: metrics.accuracy([0, 1], [0, 1, 1]), "a label for each of the 2 predictions"),
        (lambda: metrics.accuracy(np.zeros(0, int), np.zeros(0, int)), "at least one prediction"),
        (lambda: metrics.f1([0, 2], [0, 1]), "two classes"),
        (lambda: metrics.pearson(np.zeros((2, 3)), [0.0, 1.0]), "real values of shape"),
        (lambda: metrics.compute("f2", [0], [0]), "No metric is called 'f2'. The metrics are: accuracy"),
        (lambda: metrics.bootstrap_ci("accuracy", [0], [0], confidence=95), "between 0 and 1"),
        (lambda: metrics.bootstrap_ci("accuracy", [0], [0], resamples=1), "at least 2"),
        (lambda: metrics.bootstrap_ci("accuracy", [0, 1], [0, -1]), "class numbers from 0"),
        (lambda: metrics.bootstrap_ci("f1", [0, 2], [0, 1]), "two classes"),
        (lambda: metrics.register("accuracy", lambda p, y: 0.0), "already called 'accuracy'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_own_metric_by_name():
    def share_of_ones(predictions, labels):
        return float(np.mean(predictions))

    metrics.register("share_of_ones", share_of_ones)
    assert "share_of_ones" in metrics.names()
    assert metrics.compute("share_of_ones", np.array([1, 0, 1, 1]), np.zeros(4)) == 0.75
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high, _ = metrics.bootstrap_ci("share_of_ones", np.array([1, 0, 1, 1]), np.zeros(4))
    assert 0 <= low < 0.75 < high <= 1
