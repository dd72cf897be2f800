"""Two runs compared by their prediction files."""

import json

import numpy as np
import pytest

from tfllm.cli import main
from tfllm.errors import DataError, UserError
from tfllm.metrics.comparison import compare_metric, compare_sums, mcnemar
from tfllm.training.comparison import compare_runs

LABELS = ("bad", "good")


def write_run(path, predictions, labels, *, task="custom", metrics=("accuracy", "f1"), names=LABELS, columns=None):
    """A run directory with what `compare` reads."""
    path.mkdir()
    facts = {"name": task, "main_metric": metrics[0], "metrics": metrics, "labels": names}
    (path / "results.json").write_text(json.dumps({"status": "ok", "task": facts}))
    header = ["id", *(columns or {}), *([] if labels is None else ["label"]), "prediction"]
    header += ["probability"] if names else []
    rows = []
    for number, predicted in enumerate(predictions):
        row = [f"e{number}", *(values[number] for values in (columns or {}).values())]
        row += [] if labels is None else [names[labels[number]] if names else labels[number]]
        row += [names[predicted], "0.9"] if names else [predicted]
        rows.append(row)
    text = "".join("\t".join(map(str, row)) + "\n" for row in [header, *rows])
    (path / "validation_predictions.tsv").write_text(text)
    return path


def test_mcnemar():
    # 9 and 1 of 10 on which they differ: 2 * (1 + 10) / 1024
    first = [1] * 9 + [0] + [1, 0] * 20
    second = [0] * 9 + [1] + [1, 0] * 20
    assert mcnemar(first, second) == pytest.approx(22 / 1024)
    assert mcnemar(first, first) == 1.0


def test_paired_bootstrap_is_that_of_the_examples():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    first, second = (np.where(rng.random(300) < right, labels, 1 - labels) for right in (0.7, 0.85))
    result = compare_metric("accuracy", first, second, labels)
    difference = np.mean(second == labels) - np.mean(first == labels)
    assert result.difference == pytest.approx(difference) and result.low < difference < result.high
    # by the normal approximation of the paired differences
    spread = 1.96 * np.std((second == labels).astype(int) - (first == labels)) / np.sqrt(300)
    assert result.high - result.low == pytest.approx(2 * spread, rel=0.1)
    assert result.significant and result.p_value < 0.05
    f1 = compare_metric("f1", first, second, labels)
    by_hand = [2 * np.sum(p & labels) / (np.sum(p) + np.sum(labels)) for p in (first, second)]
    assert (f1.first, f1.second) == pytest.approx(tuple(by_hand))
    values = labels + rng.normal(size=300)
    same = compare_metric("spearman", values, values * 2 + 1, labels.astype(float), resamples=50)
    assert same.difference == 0.0 and same.p_value == 1.0 and not same.significant
    with pytest.raises(UserError, match="the same examples of both systems"):
        compare_sums(np.ones((3, 2)), np.ones((2, 2)), lambda sums: sums[..., 0])


def test_no_difference_is_said_plainly(tmp_path, capsys):
    labels = [0, 1] * 30
    same = [0, 1] * 25 + [1, 0] * 5
    other = [1, 0] * 5 + [0, 1] * 25
    a, b = write_run(tmp_path / "a", same, labels), write_run(tmp_path / "b", other, labels)
    assert main(["compare", str(a), str(b)]) == 0
    out = capsys.readouterr().out
    assert "accuracy: no difference that could be told from chance (p = 1.000)." in out
    assert "Right in A alone: 10, in B alone: 10; McNemar's exact test p = 1.000." in out
    assert "0.8333" in out and "+0.0000" in out


def test_a_better_run_is_named(tmp_path, capsys):
    labels = [0, 1] * 50
    a = write_run(tmp_path / "a", labels, labels)
    b = write_run(tmp_path / "b", [0] * 100, labels)
    assert main(["compare", str(a), "--split", "validation", str(b)]) == 0
    assert "accuracy: A is better by 0.5000 (p = 0.00" in capsys.readouterr().out
    assert main(["compare", str(a), str(b), "--format=json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["differences"]["f1"]["first"] == 1.0 and result["only_first"] == 50


def test_groups_numbers_and_spans(tmp_path):
    # COPA: of each pair of choices the one that is surer
    labels, groups = [1, 0] * 10, [str(i // 2) for i in range(20)]
    options = {
        "task": "superglue/copa",
        "metrics": ("accuracy",),
        "names": ("wrong", "right"),
        "columns": {"group": groups},
    }
    a = write_run(tmp_path / "a", labels, labels, **options)
    b = write_run(tmp_path / "b", [0, 1] * 5 + [1, 0] * 5, labels, **options)
    result = compare_runs(a, b).differences["accuracy"]
    assert (result.first, result.second) == (1.0, 0.5)

    values = [float(i) for i in range(20)]
    options = {"metrics": ("pearson",), "names": None}
    c = write_run(tmp_path / "c", values, values, **options)
    d = write_run(tmp_path / "d", values[::-1], values, **options)
    result = compare_runs(c, d)
    assert result.mcnemar is None and result.differences["pearson"].difference == pytest.approx(-2.0)

    spans = {"metrics": ("f1",), "names": None}
    e = write_run(tmp_path / "e", ["x"] * 20, None, columns={"f1": [1.0] * 20}, **spans)
    f = write_run(tmp_path / "f", ["y"] * 20, None, columns={"f1": [0.5] * 10 + [1.0] * 10}, **spans)
    assert compare_runs(e, f).differences["f1"].difference == pytest.approx(-0.25)


def test_what_cannot_be_compared(tmp_path, capsys):
    labels = [0, 1, 1]
    a = write_run(tmp_path / "a", labels, labels)
    with pytest.raises(UserError, match="Expected the directory of a run"):
        compare_runs(a, tmp_path / "none")
    other = write_run(tmp_path / "b", labels, labels, task="other")
    with pytest.raises(UserError, match="Runs of one task can be compared. Received: .* on custom, .* on other"):
        compare_runs(a, other)
    shorter = write_run(tmp_path / "c", labels[:2], labels[:2])
    with pytest.raises(UserError, match="validation predictions whose ids differ"):
        compare_runs(a, shorter)
    relabelled = write_run(tmp_path / "d", labels, [1, 1, 1])
    with pytest.raises(UserError, match="whose labels differ"):
        compare_runs(a, relabelled)
    with pytest.raises(UserError, match="no predictions of 'test'. It has: validation"):
        compare_runs(a, a, "test")
    (relabelled / "validation_predictions.tsv").write_text("id\tlabel\nx\n")
    with pytest.raises(DataError, match="validation_predictions.tsv:2: expected 2 fields. Received: 1"):
        compare_runs(relabelled, relabelled)
    assert main(["compare", str(a)]) == 2 and "compare needs two runs. Received" in capsys.readouterr().err
    assert main(["compare"]) == 2 and "tfllm compare RUN_A RUN_B" in capsys.readouterr().err
