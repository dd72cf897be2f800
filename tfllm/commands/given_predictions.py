"""Scoring a prediction file, for `tfllm evaluate --predictions` and `tfllm compare`: no model is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfllm.errors import UserError

if TYPE_CHECKING:
    from tfllm.tasks.task import Task


def scored_task(
    name: str, data_dir: str | None, references: Sequence[str], metrics: Sequence[str], target_language: str, **options
) -> Task:
    """The task that predictions are of: a benchmark's, or texts that are held against files of references.

    Args:
        name: of the benchmark's task, or empty.
        data_dir: of the task.
        references: files of references, a line an example, or empty.
        metrics, target_language: of texts with references; see `tfllm.metrics.text_scores`.
        **options: further ones of `tfllm.tasks.get`; `None` where they are not given.

    Raises:
        UserError: neither or both are given, or flags that do not go with it.
    """
    from tfllm import tasks

    if bool(name) == bool(references):
        raise UserError(
            "Predictions are scored by a task's data (--task=NAME --data_dir=DIR) or, for texts, by files of references "
            f"(--references=FILE,FILE). Received: task={name!r}, references={','.join(references)!r}."
        )
    if references:
        return tasks.from_references(references, metrics=metrics or None, target_language=target_language)
    for flag, value in (("metrics", ",".join(metrics)), ("target_language", target_language)):
        if value:
            raise UserError(f"{flag} is for texts with --references; {name} has its own. Received: {flag}={value!r}.")
    return tasks.get(name, data_dir=data_dir, **{key: value for key, value in options.items() if value is not None})


def score_file(
    task: Task, split: str, path: str, null_odds: str | None = None, null_threshold: float | None = None
) -> dict:
    """The scores of a prediction file, with `n`, 95 % intervals and notes on what of it was not used.

    Raises:
        UserError: the split has no labels, or as `Task.read_predictions`.
    """
    split = task.split(split)
    if not task.strategy.trained or not task.labelled(split):
        raise UserError(
            f"{task.name}: predictions cannot be scored here: "
            + ("it is judged by likelihoods." if not task.strategy.trained else f"the split {split!r} has no labels.")
        )
    given = task.read_predictions(path, split, null_odds=null_odds, null_threshold=null_threshold)
    examples = task.examples(split)
    return {
        "task": task.name,
        "split": split,
        "predictions": os.fspath(path),
        **task.score_split(given.outputs, split),
        "rows_read": examples.report.rows_read,
        "skipped": examples.report.skipped,
        "notes": [*given.notes, *(f"data: {note}" for note in examples.report.notes)],
    }


def print_file_scores(scores: dict) -> None:
    """Prints what `score_file` gave."""
    from tfllm.commands.report import print_scores

    print_scores({scores["split"]: scores}, {}, f"{scores['task']}: {scores['predictions']}")
    for name, value in scores.get("official", {}).items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    if scores.get("null_threshold") is not None:
        print(f"null_threshold: {scores['null_threshold']}")
    print(f"intervals: {'; '.join(dict.fromkeys(scores['ci_method'].values()))}")
    print(f"rows read: {scores['rows_read']}, skipped: {scores['skipped']}")
    for note in scores["notes"]:
        print(note)


def report_file(scores: dict, form: str, out: str | None, overwrite: bool) -> None:
    """Prints scores as text or JSON, and writes them to a file where that is wanted."""
    from tfllm.metrics.json_scores import json_scores
    from tfllm.tasks.predictions_file import write_new

    if out is not None:
        write_new(out, (json_scores(scores, indent=2) + "\n").encode(), overwrite)
    if form == "json":
        print(json_scores(scores))
    else:
        print_file_scores(scores)
