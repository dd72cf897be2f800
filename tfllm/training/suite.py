"""A suite's tasks, one after another: fine-tuned, or judged as the model is; what is finished is kept."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfllm import tasks
from tfllm.errors import UserError
from tfllm.metrics.json_scores import json_scores
from tfllm.tasks.predictions_file import write_new
from tfllm.tasks.suites import CI_METHOD, Suite, average, averages_over_seeds, scored_splits, task_score
from tfllm.tasks.task import Task
from tfllm.training.finetune_config import FinetuneConfig
from tfllm.training.seeds import seed_statistics
from tfllm.training.suite_tables import to_latex, to_markdown
from tfllm.training.sweep import check_finished, finished, prepared, run_in_process


def _fits(task: Task) -> None:
    """There is nothing against the task."""


@dataclasses.dataclass(frozen=True)
class Way:
    """How a task of a suite is scored.

    Attributes:
        name: for people, such as `"fine-tuned"`.
        run: the task and where its results are kept to `{"scores": {split: scores}, "seconds": ...}`.
        check: raises `UserError` where what is kept there was made otherwise.
        unfit: why the task cannot be scored so at all, or `None`.
    """

    name: str
    run: Callable[[Task, Path], dict]
    check: Callable[[Task, Path], None]
    unfit: Callable[[Task], str | None] = _fits


def run_suite(
    suite: Suite,
    directory: str | os.PathLike,
    way_of: Callable[[Task], Way],
    *,
    only: tuple[str, ...] = (),
    settings: Mapping[str, Any],
    task_options: Mapping[str, Any] | None = None,
) -> dict:
    """Scores the tasks, one after another, and writes `results.json`, `table.md` and `table.tex` after each.

    The same call again keeps what is finished and goes on with what is not. A task that fails is a row that says why; the others
    are scored all the same.

    Args:
        suite: the suite.
        directory: where results are kept: below it `<task>/` (fine-tuned) or `<task>.json`.
        way_of: how a task is scored.
        only: names of tasks; default: all.
        settings: what determines the scores. A directory with scores of other settings is refused.
        task_options: options of `tfllm.tasks.get` for all tasks, such as `data_dir`.

    Returns:
        What `results.json` holds: `suite`, `status` (`"ok"`, `"failed"`: a task failed; `"interrupted"`), `settings`, `average`
        (`value`, `ci95`, `ci_method`, `reason`, and with several seeds a run `over_seeds`: `values`, `mean`, `std`, `ci95`) and `rows`, each with `task`, `how`, `status`, `metrics`, `scores` by split, `score`
        (its part of the average) and, where it has none, `error`. And `run_dir`.

    Raises:
        UserError: a name that is not one of the suite's tasks, or the directory holds something else.
    """
    directory, settings = Path(directory), {name: value for name, value in settings.items() if value is not None}
    chosen = suite.chosen(only)
    _check_directory(directory, suite, settings)
    found = {name: _task(name, task_options or {}) for name in chosen}
    ways = {name: way_of(task) for name, task in found.items() if isinstance(task, Task)}
    for name, way in ways.items():
        way.check(found[name], directory / suite.short(name))
    directory.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    if not (directory / "results.json").exists():  # so that a suite that is killed in its first task is known again
        _write(directory, "running", suite, settings, rows)
    status = "interrupted"
    try:
        for number, name in enumerate(chosen):
            print(f"task {number + 1} of {len(chosen)}: {name}", file=sys.stderr, flush=True)
            rows.append(_row(name, found[name], ways.get(name), directory / suite.short(name), suite))
            _write(directory, "running", suite, settings, rows)
        status = "failed" if any(row["status"] == "failed" for row in rows) else "ok"
    finally:
        result = _write(directory, status, suite, settings, rows)
    return {**result, "run_dir": str(directory)}


def fine_tuned(config: FinetuneConfig, run: Callable[[FinetuneConfig], str | None] = run_in_process) -> Way:
    """A run of `finetune` in a process of its own, in `<task>/`; an unfinished one is gone on with.

    Args:
        config: the options; `task` and `run_dir` are set for each task.
        run: carries a configuration out, and returns what went wrong, or `None`.
    """

    def of(task: Task, path: Path) -> FinetuneConfig:
        return config.replace(task=task.name, run_dir=str(path), overwrite=False)

    def carry_out(task: Task, path: Path) -> dict:
        one, error = of(task, path), None
        if finished(one) is None:
            error = run(prepared(one))
        results = finished(one)
        if results is None:
            raise UserError(error or "it left no results")
        return _of_run(results)

    return Way("fine-tuned", carry_out, lambda task, path: check_finished(of(task, path)))


def kept(
    name: str,
    score: Callable[[Task, str], dict],
    settings: Mapping[str, Any],
    unfit: Callable[[Task], str | None] = _fits,
) -> Way:
    """Scores of `score(task, split)`, kept in `<task>.json`.

    Args:
        name: of this way, for people.
        score: gives a split's scores.
        settings: what determines them: kept scores of other settings are refused.
        unfit: see `Way`.
    """
    settings = {"how": name, **{key: value for key, value in settings.items() if value is not None}}

    def file(path: Path) -> Path:
        return path.with_name(f"{path.name}.json")

    def check(task: Task, path: Path) -> dict | None:
        if not file(path).exists():
            return None
        before = _read(file(path))
        if before.get("task") != task.name or before.get("version") != task.version:
            raise UserError(f"{file(path)} is not of {task.name}, version {task.version}. Give another --run_dir.")
        _check_settings(file(path), before.get("settings"), settings)
        return before

    def run(task: Task, path: Path) -> dict:
        before = check(task, path)
        if before is not None:
            return before
        started = time.perf_counter()
        result = {
            "task": task.name,
            "version": task.version,
            "settings": settings,
            "scores": {split: score(task, split) for split in scored_splits(task)},
            "seconds": time.perf_counter() - started,
        }
        write_new(file(path), (json_scores(result, indent=2) + "\n").encode(), overwrite=False)
        return result

    return Way(name, run, check, unfit)


def _task(name: str, options: Mapping[str, Any]) -> Task | UserError:
    try:
        return tasks.get(name, **options)
    except UserError as error:
        return error


def _row(name: str, task: Task | UserError, way: Way | None, path: Path, suite: Suite) -> dict:
    row = {"task": name, "how": way and way.name, "metrics": [], "scores": {}, "score": None, "seconds": None}
    if way is None:
        return {**row, "status": "failed", "error": str(task)}
    row["metrics"] = list(task.metrics)
    unfit = way.unfit(task)
    if unfit:
        return {**row, "status": "left out", "error": unfit}
    try:
        results = way.run(task, path)
    except Exception as error:  # noqa: BLE001 - whatever ends a task, the others are scored and this row says so
        if isinstance(error, UserError):
            return {**row, "status": "failed", "error": str(error)}
        traceback.print_exc()
        return {**row, "status": "failed", "error": f"{type(error).__name__}: {error}"}
    score = task_score(task.metrics, results["scores"]) if suite.averaged else None
    return {**row, "status": "ok", "scores": results["scores"], "score": score, "seconds": results["seconds"]}


def _of_run(results: dict) -> dict:
    """Scores by validation split of a fine-tuning run, or the means over its seeds."""
    over_seeds = results.get("scores_over_seeds")
    if over_seeds is None:
        scores, seconds = results["scores"], results["seconds"]["total"]
    else:
        first = results["runs"][0]["scores"]
        scores = {
            split: {name: value["mean"] for name, value in metrics.items()}
            | {"ci95": {name: value["ci95"] for name, value in metrics.items()}, "n": first[split]["n"]}
            | {"std": {name: value["std"] for name, value in metrics.items()}, "seeds": len(results["runs"])}
            | {"values": {name: value["values"] for name, value in metrics.items()}}
            for split, metrics in over_seeds.items()
        }
        seconds = sum(one["seconds"]["total"] for one in results["runs"])
    counts = {"truncated": results.get("truncated", {}), "skipped": results.get("skipped_rows", {})}
    return {
        "scores": {
            split: {**values, **{name: count[split] for name, count in counts.items() if split in count}}
            for split, values in scores.items()
            if split.split("_")[0] == "validation"
        },
        "seconds": seconds,
    }


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged ({error}): remove it, or give another --run_dir.") from None


def _check_directory(directory: Path, suite: Suite, settings: Mapping[str, Any]) -> None:
    if directory.exists() and not directory.is_dir():
        raise UserError(f"run_dir must be a directory. Received: {directory}, which is a file.")
    path = directory / "results.json"
    if not path.exists():
        if directory.exists() and any(directory.iterdir()):
            raise UserError(f"run_dir must be new, empty or a suite's. Received: {directory}. Give another --run_dir.")
        return
    before = _read(path)
    if before.get("suite") != suite.name:
        what = f"the suite {before['suite']}" if "suite" in before else "no suite"
        raise UserError(f"run_dir holds {what}. Received: {directory} for {suite.name}. Give another --run_dir.")
    if any(row["status"] == "ok" for row in before["rows"]):
        _check_settings(directory, before["settings"], settings)


def _check_settings(path: Path, then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    then, now = then or {}, json.loads(json.dumps(now))
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            raise UserError(
                f"{path} was made with another {name}: {then.get(name)!r}. Received: {now.get(name)!r}. "
                "Give the options of then, or another --run_dir."
            )


def _write(directory: Path, status: str, suite: Suite, settings: Mapping[str, Any], rows: list[dict]) -> dict:
    done = {row["task"]: row for row in rows if row["status"] == "ok"}
    scores, metrics = ({name: row[key] for name, row in done.items()} for key in ("scores", "metrics"))
    found = average(suite, scores, metrics)
    value, reason, interval, method, seeds = found.value, found.reason, found.ci95, CI_METHOD, None
    by_seed = averages_over_seeds(suite, scores, metrics) if value is not None else None
    if by_seed is not None:
        seeds = seed_statistics(by_seed)
        interval, method = seeds["ci95"], f"Student's t over the averages of {len(by_seed)} seeds"
    if value is not None and settings.get("limit"):
        value, interval, seeds = None, None, None
        reason = f"only the first {settings['limit']} examples of each task were scored"
    result = {
        "suite": suite.name,
        "status": status,
        "settings": dict(settings),
        "average": {
            "value": value,
            "reason": reason,
            "ci95": interval and list(interval),
            "ci_method": interval and method,
            "over_seeds": seeds,
        },
        "rows": [{**row, "name": suite.short(row["task"])} for row in rows],
        "written": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }
    for name, text in (
        ("results.json", json_scores(result, indent=2) + "\n"),
        ("table.md", to_markdown(result)),
        ("table.tex", to_latex(result)),
    ):
        write_new(directory / name, text.encode("utf-8"), overwrite=True)
    return result
