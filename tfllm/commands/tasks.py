"""`tfllm tasks`."""

from __future__ import annotations

import dataclasses
import json

from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm tasks`."""

    format: str = option("text", "What to print.", choices=("text", "json"))


def run(config: Config) -> None:
    """Lists the tasks."""
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
