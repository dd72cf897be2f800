"""`sweep`: a fine-tuning run for every combination of some options."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfllm.errors import UserError
from tfllm.tasks.predictions_file import write_new
from tfllm.training.finetune_config import FinetuneConfig

_NOT_SWEPT = ("run_dir", "overwrite")


def combinations(
    config: FinetuneConfig, grid: Mapping[str, Sequence[Any]], directory: Path
) -> dict[str, FinetuneConfig]:
    """`{name: configuration}` of every combination; each in a directory of its own below `directory`.

    Raises:
        UserError: an option that there is not, a value out of range, an option without values or with one twice.

    Example:
        >>> found = combinations(FinetuneConfig(task="glue/rte"), {"batch_size": [16, 32], "seed": [0]}, Path("runs"))
        >>> list(found)
        ['batch_size-16_seed-0', 'batch_size-32_seed-0']
    """
    if not grid:
        raise UserError(
            'a sweep needs a grid, such as --grid="learning_rate=1e-5,3e-5;batch_size=16,32". Received: none.'
        )
    known = [field.name for field in dataclasses.fields(FinetuneConfig) if field.name not in _NOT_SWEPT]
    for name, values in grid.items():
        if name not in known:
            raise UserError(f"grid must name options of finetune, without {', '.join(_NOT_SWEPT)}. Received: {name!r}.")
        if not values or len(set(values)) < len(values):
            raise UserError(f"grid needs values, each once, for {name}. Received: {name}={','.join(map(str, values))}.")
    result = {}
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values))
        name = "_".join(f"{key}-{_plain(value)}" for key, value in settings.items())
        if name in result:
            raise UserError(f"grid has two values whose directories would have one name. Received: {name}.")
        result[name] = config.replace(**settings, run_dir=str(directory / name), overwrite=False)
    return result


def _plain(value: Any) -> str:
    return re.sub(r"[^\w.+-]+", "-", str(value))


def sweep(
    config: FinetuneConfig,
    grid: Mapping[str, Sequence[Any]],
    directory: Path,
    *,
    run: Callable[[FinetuneConfig], str | None] | None = None,
) -> dict:
    """Runs every combination, one after another, and writes `results.json` and `sweep.png`.

    Each run is a process of its own: one that is killed for want of memory, or that crashes within TensorFlow, takes none of the
    others with it, and none inherits another's graphs, memory or random state; it costs the seconds of an import.
    The same call again keeps what is finished, and goes on with, or runs again, what is not.

    Args:
        config: the options that all runs share.
        grid: options to their values.
        directory: where the runs go.
        run: carries out a configuration, and returns what went wrong, or `None`; default: `tfllm finetune` in a process of its own.

    Returns:
        What `results.json` holds: `status`, `grid`, `metric`, `split`, `best` (a name) and `runs`, each with `name`, `settings`,
        `status`, `score`, `ci95`, `seconds` and, where it failed, `error`.

    Raises:
        UserError: see `combinations`; or a finished run there has another configuration.
    """
    run = run or run_in_process
    configs = combinations(config, grid, directory)
    for one in configs.values():
        check_finished(one)
    directory.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    status = "interrupted"
    try:
        for number, (name, one) in enumerate(configs.items()):
            settings = {option: getattr(one, option) for option in grid}
            results, error = finished(one), None
            if results is None:
                print(f"run {number + 1} of {len(configs)}: {name}", file=sys.stderr, flush=True)
                error = run(prepared(one))
                results = finished(one)
            rows.append({"name": name, "settings": settings, **_outcome(results, error)})
            _write(directory, "running", grid, rows)
        status = "ok" if all(row["status"] == "ok" for row in rows) else "failed"
    finally:
        result = _write(directory, status, grid, rows)
    if any(row["status"] == "ok" for row in rows):
        from tfllm.training.sweep_plot import plot_sweep

        plot_sweep(result, directory / "sweep.png")
    return {**result, "run_dir": str(directory)}


def run_in_process(config: FinetuneConfig) -> str | None:
    """`tfllm finetune` with that configuration in a process of its own; what went wrong, or `None`. Its progress is shown."""
    command = [sys.executable, "-m", "tfllm.cli", "finetune", *to_flags(config)]
    status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if status == 0:
        return None
    try:
        return json.loads((Path(config.run_dir) / "results.json").read_text("utf-8"))["error"]
    except (OSError, json.JSONDecodeError, KeyError):
        return f"it ended with status {status}"


def to_flags(config: FinetuneConfig) -> list[str]:
    """The flags that give that configuration.

    Example:
        >>> to_flags(FinetuneConfig(task="glue/rte", clip_norm=None, overwrite=True))
        ['--task=glue/rte', '--overwrite', '--clip_norm=none']
    """
    flags = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == field.default:
            continue
        if isinstance(value, bool):
            flags.append(f"--{field.name}" if value else f"--no{field.name}")
        elif value is None:
            flags.append(f"--{field.name}=none")
        else:
            text = ",".join(value) if isinstance(value, tuple) else value
            flags.append(f"--{field.name}={text}")
    return flags


def _results(config: FinetuneConfig) -> dict | None:
    try:
        return json.loads((Path(config.run_dir) / "results.json").read_text("utf-8"))
    except (OSError, json.JSONDecodeError):
        return None


def finished(config: FinetuneConfig) -> dict | None:
    """What the `results.json` of that run holds, if it is finished."""
    results = _results(config)
    return results if results is not None and results.get("status") == "ok" else None


def check_finished(config: FinetuneConfig) -> None:
    """Refuses a finished run of another configuration."""
    if finished(config) is None:
        return
    then, now = json.loads((Path(config.run_dir) / "config.json").read_text("utf-8")), config.to_dict()
    # Not by the place: a sweep's directory may have been moved.
    other = [name for name in now if name not in _NOT_SWEPT and then.get(name, now[name]) != now[name]]
    if other:
        raise UserError(
            f"{config.run_dir} is a finished run with another {other[0]}: {then[other[0]]!r}. Received: {now[other[0]]!r}. "
            "Give the options of then, or another --run_dir."
        )


def prepared(config: FinetuneConfig) -> FinetuneConfig:
    """Set to replace a run that failed; one that was killed or interrupted is gone on with by `finetune` itself."""
    results = _results(config)
    return config.replace(overwrite=True) if results is not None and results.get("status") == "failed" else config


def _outcome(results: dict | None, error: str | None) -> dict:
    if results is None:
        return {
            "status": "failed",
            "score": None,
            "ci95": None,
            "seconds": None,
            "error": error or "it left no results",
        }
    metric = results["task"]["main_metric"]
    over_seeds = results.get("scores_over_seeds")
    split = results.get("selection_split") or next(iter(over_seeds or results["scores"]))
    if over_seeds:
        score, interval = (over_seeds[split][metric][name] for name in ("mean", "ci95"))
        seconds = sum(one["seconds"]["total"] for one in results["runs"])
    else:
        score, interval = results["scores"][split][metric], results["scores"][split]["ci95"][metric]
        seconds = results["seconds"]["total"]
    return {"status": "ok", "score": score, "ci95": interval, "seconds": seconds, "metric": metric, "split": split}


def _write(directory: Path, status: str, grid: Mapping[str, Sequence[Any]], rows: list[dict]) -> dict:
    done = [row for row in rows if row["status"] == "ok" and row["score"] is not None]
    result = {
        "status": status,
        "grid": {name: list(values) for name, values in grid.items()},
        "metric": done[0]["metric"] if done else None,
        "split": done[0]["split"] if done else None,
        "best": max(done, key=lambda row: row["score"])["name"] if done else None,
        "runs": rows,
        "written": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }
    write_new(directory / "results.json", (json.dumps(result, indent=2) + "\n").encode("utf-8"), overwrite=True)
    return result
