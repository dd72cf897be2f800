"""Suites: their tasks and their official averages."""

from __future__ import annotations

import pytest

from tfllm import tasks
from tfllm.errors import UserError
from tfllm.tasks.suites import SUITES, average, scored_splits, suite, task_score

# Made-up results, in percent: one number or two a task. The averages below are worked out by hand.
SUPERGLUE = {
    "boolq": {"accuracy": 87.1},
    "cb": {"accuracy": 95.2, "macro_f1": 90.5},
    "copa": {"accuracy": 90.6},
    "multirc": {"f1a": 84.4, "exact_match": 52.5},
    "record": {"f1": 90.6, "exact_match": 90.0},
    "rte": {"accuracy": 88.2},
    "wic": {"accuracy": 69.9},
    "wsc": {"accuracy": 89.0},
}
GLUE = {
    "cola": {"matthews_corrcoef": 52.1},
    "sst2": {"accuracy": 93.5},
    "mrpc": {"f1": 88.9, "accuracy": 84.8},
    "stsb": {"pearson": 87.1, "spearman": 85.8},
    "qqp": {"f1": 71.2, "accuracy": 89.2},
    "qnli": {"accuracy": 90.5},
    "rte": {"accuracy": 66.4},
    "wnli": {"accuracy": 65.1},
}


def metrics_of(name: str) -> dict:
    return {task: tasks.get(task).metrics for task in suite(name).tasks}


def scores_of(name: str, table: dict) -> dict:
    return {f"{name}/{task}": {"validation": {**values, "n": 9}} for task, values in table.items()}


def test_superglue_average_is_the_official_one():
    found = average(suite("superglue"), scores_of("superglue", SUPERGLUE), metrics_of("superglue"))
    # By hand: CB (95.2 + 90.5) / 2 = 92.85, MultiRC 68.45, ReCoRD 90.3.
    assert found.value == pytest.approx((87.1 + 92.85 + 90.6 + 68.45 + 90.3 + 88.2 + 69.9 + 89.0) / 8, abs=1e-12)
    assert found.value == pytest.approx(84.55, abs=1e-12) and found.reason is None and found.ci95 is None


def test_glue_average_counts_mnli_once_and_ax_not_at_all():
    scores = scores_of("glue", GLUE)
    scores["glue/mnli"] = {"validation_matched": {"accuracy": 84.6}, "validation_mismatched": {"accuracy": 83.4}}
    scores["glue/ax"] = {"diagnostic": {"matthews_corrcoef": 1.0}}
    found = average(suite("glue"), scores, metrics_of("glue"))
    by_hand = (52.1 + 93.5 + 86.85 + 86.45 + 80.2 + 84.0 + 90.5 + 66.4 + 65.1) / 9
    assert found.value == pytest.approx(by_hand, abs=1e-12)
    assert task_score(["accuracy"], scores["glue/mnli"]) == pytest.approx(84.0)


def test_no_average_where_a_task_or_a_metric_is_missing():
    scores = scores_of("superglue", SUPERGLUE)
    del scores["superglue/wic"]
    del scores["superglue/cb"]["validation"]["macro_f1"]
    found = average(suite("superglue"), scores, metrics_of("superglue"))
    assert (found.value, found.reason) == (None, "no scores of cb, wic")
    assert average(suite("squad"), {}, {}).reason == "squad has no official average"


def test_interval_of_the_average():
    scores = scores_of("superglue", SUPERGLUE)
    for task in scores.values():
        names = [name for name in task["validation"] if name != "n"]
        task["validation"]["ci95"] = {name: [-3.0, 3.0] for name in names}
    found = average(suite("superglue"), scores, metrics_of("superglue"))
    half = 3.0 / 8**0.5  # eight independent tasks of one half-width
    assert found.ci95 == pytest.approx((found.value - half, found.value + half))


def test_every_suite_names_tasks_that_there_are_and_can_be_scored():
    for one in SUITES.values():
        assert len(set(map(one.short, one.tasks))) == len(one.tasks)
        for name in one.tasks:
            assert scored_splits(tasks.get(name)), name
    codexglue = {name for name in tasks.names() if name.startswith("codexglue/")}
    assert set(suite("codexglue").tasks) == codexglue
    assert scored_splits(tasks.get("bbq")) == ["test"]


def test_names_that_there_are_not():
    with pytest.raises(UserError, match="Did you mean superglue"):
        suite("supergleu")
    with pytest.raises(UserError, match="squad has no task 'v3'. Its tasks are: v1.1, v2.0"):
        suite("squad").chosen(["v3"])


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_score_that_is_not_defined(nothing):
    """A correlation of constants, fresh (NaN) or read again from a file of results (null)."""
    from tfllm.tasks import suites
    from tfllm.training.suite_tables import suite_table

    pair = suites.Suite("pair", ("pair/a", "pair/b"), averaged=True)
    undefined = {
        "pearson": nothing,
        "n": 8,
        "ci95": {"pearson": [nothing, nothing]},
        "values": {"pearson": [nothing, 0.5]},
    }
    defined = {"pearson": 0.5, "n": 8, "ci95": {"pearson": [0.25, 0.75]}, "values": {"pearson": [0.5, 0.5]}}
    scores = {"pair/a": {"validation": undefined}, "pair/b": {"validation": defined}}
    metrics = {"pair/a": ["pearson"], "pair/b": ["pearson"]}
    assert suites.average(pair, scores, metrics).reason == "no scores of a"
    assert suites.averages_over_seeds(pair, scores, metrics) is None
    without_ends = {"pair/a": {"validation": {**defined, "ci95": undefined["ci95"]}}, "pair/b": scores["pair/b"]}
    assert suites.average(pair, without_ends, metrics) == suites.Average(0.5)
    row = {
        "name": "a",
        "how": "fine-tuned",
        "status": "ok",
        "metrics": ["pearson"],
        "scores": scores["pair/a"],
        "score": None,
    }
    result = {"suite": "pair", "rows": [row], "average": {"value": None, "reason": "no scores of a", "ci95": None}}
    assert suite_table(result)[1][0][:7] == ["a", "fine-tuned", "validation", "pearson", "-", "-", "8"]
