"""`finetune`: a configuration's run, or several of them with different seeds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tfllm.errors import UserError
from tfllm.training.demo_checkpoint import resolve_model
from tfllm.training.finetune_config import FinetuneConfig
from tfllm.training.finetune_task import make_task
from tfllm.training.model_parallel.backend import choose_backend
from tfllm.training.preemption import Preempted
from tfllm.training.run_directory import RunDirectory, is_tidy


def finetune(config: FinetuneConfig) -> dict:
    """Runs the configuration; with `config.seeds` > 1 as many times, with `seed`, `seed + 1`, ...

    Every one of these runs is what `seed=<its seed>` alone gives, in a directory `seed-<its seed>` of its own.

    Returns:
        `Trainer.run`'s results, or the summary of several runs: `runs` and, by split and metric, `values`,
        `mean`, `std` (of a sample) and `ci95` (Student's t).

    Raises:
        UserError: see `Trainer`.

    Example:
        >>> finetune(FinetuneConfig(model="demo", task="glue/rte", data_dir="glue", seeds=5))      # doctest: +SKIP
    """
    task = make_task(config)
    resolve_model(config.model)
    if config.run_dir:
        RunDirectory.check(config.run_dir, overwrite=config.overwrite, config=config.to_dict())
    choose_backend(config.strategy)
    # Only now, with what can be checked at once in order, TensorFlow is imported.
    import keras

    from tfllm.training.trainer import Trainer

    trainer = Trainer(config, task=task)
    if config.seeds == 1:
        return trainer.run()
    if trainer.workers > 1:
        raise UserError(
            "several seeds are runs of one process each: with several workers, give --seed and --run_dir for one after the other. "
            f"Received: seeds={config.seeds}, {trainer.workers} workers."
        )
    run = RunDirectory(trainer.run_dir, overwrite=config.overwrite, config=config.to_dict())
    runs: list[dict] = []
    status = {"status": "running"}
    run.write_json("results.json", status)
    run.write_json("config.json", config.to_dict())
    try:
        for seed in range(config.seed, config.seed + config.seeds):
            run.write_json("results.json", {**status, **_summary(runs)})
            one = config.replace(seed=seed, seeds=1, run_dir=str(run / f"seed-{seed}"), overwrite=False)
            finished = _finished(one)
            runs.append({"seed": seed, **(finished or Trainer(one, task=task).run())})
            keras.backend.clear_session()  # the last run's graphs
        status = {"status": "ok"}
    except BaseException as error:
        kind = "interrupted" if isinstance(error, (Preempted, KeyboardInterrupt)) else "failed"
        status = {"status": kind, "error": f"{type(error).__name__}: {error}"}
        raise
    finally:
        results = {**status, **_summary(runs)}
        run.write_json("results.json", results)
    return {**results, "run_dir": str(run.path)}


def _finished(config: FinetuneConfig) -> dict | None:
    """The results of that run, if it was finished before the others were interrupted."""
    path = Path(config.run_dir)
    try:
        results = json.loads((path / "results.json").read_text("utf-8"))
        same = json.loads((path / "config.json").read_text("utf-8")) == config.to_dict()
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if not same or results["status"] != "ok" or not is_tidy(path):
        return None
    return {**results, "run_dir": config.run_dir}


def _summary(runs: list[dict]) -> dict:
    if not runs:
        return {"runs": []}
    first = runs[0]
    scores = {
        split: {
            name: seed_statistics([run["scores"][split][name] for run in runs])
            for name in first["scores"][split]["ci95"]
        }
        for split in first["scores"]
    }
    return {
        "task": first["task"],
        "model": first["model"],
        "baseline": first["baseline"],
        "scores_over_seeds": scores,
        "runs": [{"seed": run["seed"], "scores": run["scores"], "seconds": run["seconds"]} for run in runs],
    }


def seed_statistics(values: list[float]) -> dict:
    """Mean, standard deviation of a sample, and the 95 % interval of the mean by Student's t.

    Example:
        >>> seed_statistics([0.5, 0.7])["mean"]
        0.6
    """
    from scipy import stats

    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return {"values": values, "mean": mean, "std": None, "ci95": None}
    std = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, count - 1)) * std / count**0.5
    return {"values": values, "mean": mean, "std": std, "ci95": [mean - half, mean + half]}
