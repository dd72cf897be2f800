"""Two runs on the same task, compared by their prediction files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfllm import tasks
from tfllm.data.lines import decoded_lines
from tfllm.errors import DataError, UserError
from tfllm.metrics.comparison import Difference, compare_metric, compare_sums, mcnemar
from tfllm.metrics.grouped import GroupedMetric
from tfllm.metrics.registry import names as metric_names
from tfllm.tasks import kinds


@dataclass(frozen=True)
class Comparison:
    """What two runs' predictions say.

    Attributes:
        task, split: what they are of.
        n: number of examples; of groups of them (COPA's questions) where all metrics are over groups.
        differences: metric to `Difference`, second run less first.
        mcnemar: p-value of McNemar's test for classes, else `None`.
        only_first, only_second: on how many of these just one of them is right, for classes.
    """

    task: str
    split: str
    n: int
    differences: dict[str, Difference]
    mcnemar: float | None = None
    only_first: int = 0
    only_second: int = 0


@dataclass(frozen=True)
class _Run:
    path: Path
    task: dict
    columns: dict[str, list[str]]


def compare_runs(first: str | os.PathLike, second: str | os.PathLike, split: str = "validation") -> Comparison:
    """Compares two runs on the examples of a split, which must be the same in both.

    Args:
        first, second: run directories.
        split: whose predictions to compare.

    Raises:
        UserError: no such run or split, runs of different tasks or on different examples, predictions without labels.
        DataError: a prediction file that is damaged.

    Example:
        >>> compare_runs("runs/a", "runs/b").differences["accuracy"].p_value  # doctest: +SKIP
        0.31
    """
    runs = [_read(Path(path), split) for path in (first, second)]
    return _compared(runs, None, first, second, split)


def compare_files(
    task: tasks.Task, first: str | os.PathLike, second: str | os.PathLike, split: str = "validation"
) -> Comparison:
    """Compares two files of predictions for a split, such as the outputs of two systems of translation.

    Args:
        task: what they are of.
        first, second: the files, as `Task.read_predictions` takes them.
        split: which they are for.

    Raises:
        UserError: the split has no labels; as `Task.read_predictions`.

    Example:
        >>> task = tasks.from_references(["ref.A.de"])  # doctest: +SKIP
        >>> compare_files(task, "one.de", "other.de").differences["bleu"].p_value  # doctest: +SKIP
        0.001
    """
    split = task.split(split)
    if not task.labelled(split):
        raise UserError(f"{task.name}: the split {split!r} has no labels to compare predictions by.")
    return _compared([_read_file(task, Path(path), split) for path in (first, second)], task, first, second, split)


def _read_file(task: tasks.Task, path: Path, split: str) -> _Run:
    outputs = task.read_predictions(path, split).outputs
    rows = task.strategy.rows(task, outputs, task.examples(split))
    columns = {name: [row[name] if isinstance(row[name], str) else repr(row[name]) for row in rows] for name in rows[0]}
    described = {"name": task.name, "kind": task.kind, "metrics": list(task.metrics), "labels": task.labels}
    return _Run(path, described, columns)


def _compared(runs: Sequence[_Run], known: tasks.Task | None, first, second, split: str) -> Comparison:
    names = [run.task["name"] for run in runs]
    if names[0] != names[1]:
        raise UserError(f"Runs of one task can be compared. Received: {first} on {names[0]}, {second} on {names[1]}.")
    for column in ("id", "label", "reference"):
        a, b = (run.columns.get(column) for run in runs)
        if a != b:
            raise UserError(
                f"Both runs must have predicted the same examples. Received: {split} predictions whose {column}s differ "
                f"in {first} and {second}."
            )
    task, size = runs[0].task, len(runs[0].columns["id"])
    if known is None:
        known = tasks.get(task["name"]) if task["name"] in tasks.names() else None
    grouped = known.group_metrics if known else {}
    strategy = known.strategy if known else kinds.get(task["kind"]) if "kind" in task else None
    differences = {}
    for metric in task.get("metrics") or [task["main_metric"]]:
        found = [strategy.sums_of_rows(known, metric, run.columns) if strategy else None for run in runs]
        if all(found):
            differences[metric] = compare_sums(found[0][0], found[1][0], found[0][1])
        else:
            differences[metric] = _difference(runs, metric, grouped.get(metric), task.get("labels"))
    columns = [run.columns for run in runs]
    if "label" not in columns[0] or "probability" not in columns[0]:  # numbers or spans
        return Comparison(task["name"], split, size, differences)
    if grouped and set(differences) <= set(grouped):
        found = _right_groups(runs, grouped, task.get("labels"))
        if found is None:
            return Comparison(task["name"], split, size, differences)
        right, size = found, len(found[0])
    else:
        right = [np.array([p == y for p, y in zip(c["prediction"], c["label"])]) for c in columns]
    return Comparison(
        task["name"],
        split,
        size,
        differences,
        mcnemar(*right),
        int((right[0] & ~right[1]).sum()),
        int((right[1] & ~right[0]).sum()),
    )


def _difference(
    runs: Sequence[_Run], metric: str, grouped: GroupedMetric | None, labels: Sequence[str] | None
) -> Difference:
    columns = [run.columns for run in runs]
    if grouped is not None:
        return compare_sums(*_group_sums(runs, grouped, labels), grouped.score)
    if "label" not in columns[0]:
        if metric not in columns[0]:
            raise UserError(
                f"{runs[0].path}: these predictions have neither labels nor {metric}: nothing to compare by."
            )
        values = [np.array(_numbers(run, metric)) for run in runs]
        pairs = [np.stack([value, np.ones(len(value))], axis=1) for value in values]
        return compare_sums(*pairs, lambda sums: sums[..., 0] / sums[..., 1])
    if metric not in metric_names():
        raise UserError(f"{runs[0].path}: {metric} cannot be computed from predictions alone.")
    if "probability" in columns[0]:  # classes
        read = lambda run, column: _classes(run, column, labels)  # noqa: E731
    else:
        read = lambda run, column: np.array(_numbers(run, column))  # noqa: E731
    return compare_metric(metric, read(runs[0], "prediction"), read(runs[1], "prediction"), read(runs[0], "label"))


def _group_sums(runs: Sequence[_Run], grouped: GroupedMetric, labels: Sequence[str] | None) -> list[np.ndarray]:
    label_numbers = _classes(runs[0], "label", labels)
    return [grouped.sums_of(_log_probabilities(run, labels), label_numbers, _typed(run.columns)) for run in runs]


def _right_groups(
    runs: Sequence[_Run], grouped: Mapping[str, GroupedMetric], labels: Sequence[str] | None
) -> list[np.ndarray] | None:
    """Which groups each run has right: rows of a group are no examples of their own to McNemar's test.

    By the first metric that is a share of groups; `None` where there is none.
    """
    for metric in grouped.values():
        sums = _group_sums(runs, metric, labels)
        if all(one.shape[1] == 2 and (one[:, 1] == 1).all() and np.isin(one[:, 0], (0, 1)).all() for one in sums):
            return [one[:, 0] == 1 for one in sums]
    return None


def _read(path: Path, split: str) -> _Run:
    if not (path / "results.json").is_file():
        raise UserError(f"Expected the directory of a run, with results.json. Received: {path}.")
    try:
        task = json.loads((path / "results.json").read_text(encoding="utf-8"))["task"]
    except (ValueError, KeyError):
        raise UserError(
            f"Expected a finished run of one seed. Received: {path}, whose results.json tells no task."
        ) from None
    file = path / f"{split}_predictions.tsv"
    if not file.is_file():
        there = [other.name.removesuffix("_predictions.tsv") for other in sorted(path.glob("*_predictions.tsv"))]
        raise UserError(f"{path} has no predictions of {split!r}. It has: {', '.join(there) or 'none'}.")
    lines = decoded_lines(file)
    header = next(lines)[1].split("\t")
    columns: dict[str, list[str]] = {name: [] for name in header}
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(header):
            raise DataError(file, number, f"expected {len(header)} fields. Received: {len(fields)}.")
        for name, value in zip(header, fields):
            columns[name].append(value)
    if "id" not in columns or not columns["id"]:
        raise DataError(file, 1, "expected a column 'id' and rows of predictions. Received: none.")
    return _Run(path, task, columns)


def _classes(run: _Run, column: str, labels: Sequence[str] | None) -> np.ndarray:
    labels = labels or sorted({*run.columns["label"], *run.columns["prediction"]})
    # Tabs and line ends of a label are spaces in the file.
    numbers = {" ".join(name.splitlines()).replace("\t", " "): number for number, name in enumerate(labels)}
    unknown = next((value for value in run.columns[column] if value not in numbers), None)
    if unknown is not None:
        raise UserError(f"{run.path}: expected labels among {', '.join(labels)}. Received: {unknown!r}.")
    return np.array([numbers[value] for value in run.columns[column]])


def _numbers(run: _Run, column: str) -> list[float]:
    try:
        return [float(value) for value in run.columns[column]]
    except ValueError as error:
        raise UserError(f"{run.path}: column {column!r} of the predictions must hold numbers ({error}).") from None


def _log_probabilities(run: _Run, labels: Sequence[str] | None) -> np.ndarray:
    """Logits `(N, 2)` again, from the prediction and its probability."""
    classes, chances = _classes(run, "prediction", labels), np.array(_numbers(run, "probability"))
    logits = np.log(np.clip(np.stack([1 - chances, chances], axis=1), 1e-12, 1.0))
    logits[classes == 0] = logits[classes == 0, ::-1]
    return logits


def _typed(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        name: values for name, values in columns.items() if name not in ("id", "label", "prediction", "probability")
    }
