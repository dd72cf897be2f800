"""`tfllm tasks`."""

from __future__ import annotations

import dataclasses
import json

from tfllm.errors import UserError
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm tasks`."""

    describe: str = option("", "Name of a task: print all that is known of it.")
    data_dir: str | None = option(None, "With describe: the task's data, whose classes and lengths are counted.")
    split: str | None = option(None, "With data_dir: the split to count; default: all that are there.")
    model: str = option("", "With data_dir: directory whose tokenizer counts lengths, or demo; default: words.")
    plot: str = option("", "With data_dir: draw the distribution of lengths into this PNG file.")
    overwrite: bool = option(False, "Replace that file if it exists.")
    format: str = option("text", "What to print.", choices=("text", "json"))


def run(config: Config) -> None:
    """Lists the tasks, or describes one."""
    if config.describe:
        from tfllm.commands.described_task import describe

        describe(config)
        return
    stray = [name for name in ("data_dir", "split", "model", "plot") if getattr(config, name)]
    if stray:
        raise UserError(f"{stray[0]} goes with --describe=NAME. Received: {stray[0]}={getattr(config, stray[0])}.")
    from tfllm import tasks
    from tfllm.commands.tables import print_table

    described = [tasks.get(name).describe() for name in tasks.names()]
    if config.format == "json":
        print(json.dumps(described, indent=2))
        return
    rows = [
        [task["name"], task["kind"], _sizes(task["sizes"]), task["metric"], task["licence"], task["source"]]
        for task in described
    ]
    print_table(["name", "kind", "examples", "metric", "licence", "source"], rows)


def _sizes(sizes: dict[str, int]) -> str | None:
    return " / ".join(f"{size:,}" for size in sizes.values()) or None
