"""`tfllm sweep`, and `experiments/sweep.py`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfllm.commands.flags import parse
from tfllm.errors import UserError
from tfllm.training.finetune_config import FinetuneConfig
from tfllm.training.options import option


@dataclasses.dataclass(frozen=True)
class Config(FinetuneConfig):
    """Flags of `tfllm sweep`: the grid, and those of `tfllm finetune`, which all runs share; `run_dir` holds the runs."""

    grid: str = option("", "Options and their values: `learning_rate=1e-5,3e-5;batch_size=16,32`.")

    def common(self) -> FinetuneConfig:
        """What all runs share."""
        return FinetuneConfig(**{field.name: getattr(self, field.name) for field in dataclasses.fields(FinetuneConfig)})


def parse_grid(text: str) -> dict[str, list]:
    """`"learning_rate=1e-5,3e-5;seed=0,1"` to typed values by option.

    Raises:
        UserError: not of that form, an option that there is not, or a value of another type or out of range.

    Example:
        >>> parse_grid("learning_rate=1e-5,3e-5; seed=0,1")
        {'learning_rate': [1e-05, 3e-05], 'seed': [0, 1]}
    """
    grid: dict[str, list] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, values = part.partition("=")
        name = name.strip()
        if not equals or not name or name in grid:
            raise UserError(f"grid must be option=value,value;option=... with each option once. Received: {part!r}.")
        flags = ([f"--{name}={value.strip()}"] for value in values.split(","))
        grid[name] = [getattr(parse(FinetuneConfig, flag, program="sweep", summary=""), name) for flag in flags]
    return grid


def run(config: Config) -> None:
    """Runs the sweep and prints its table; status 2 where a run failed."""
    from tfllm.commands.tables import print_table
    from tfllm.training.demo_checkpoint import resolve_model
    from tfllm.training.finetune_task import make_task
    from tfllm.training.model_card import base_name
    from tfllm.training.run_directory import default_run_dir
    from tfllm.training.sweep import combinations, sweep

    if config.overwrite:
        raise UserError("a sweep keeps what is finished: give another --run_dir. Received: overwrite=True.")
    common, grid = config.common(), parse_grid(config.grid)
    directory = Path(config.run_dir or default_run_dir("sweep", base_name(config.model or "model")))
    for one in combinations(common, grid, directory).values():  # what can be checked at once, before the first run
        make_task(one)
        resolve_model(one.model)
    result = sweep(common, grid, directory)
    rows = [
        [
            *row["settings"].values(),
            _number(row["score"]),
            _interval(row["ci95"]),
            row["seconds"] and f"{row['seconds']:.0f}",
        ]
        for row in result["runs"]
    ]
    metric = f"{result['metric']} on {result['split']}" if result["metric"] else "score"
    print_table([*result["grid"], metric, "95 % interval", "seconds"], rows)
    if result["best"]:
        print(f"best: {result['best']} (the best of {len(rows)} on this split leans to the favourable side)")
    print(f"\nrun directory: {directory}")
    failed = [row for row in result["runs"] if row["status"] != "ok"]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(rows)} runs failed. The first, {failed[0]['name']}: {failed[0]['error']}"
        )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _interval(value: list[float] | None) -> str | None:
    return None if value is None else f"{value[0]:.4f} to {value[1]:.4f}"
