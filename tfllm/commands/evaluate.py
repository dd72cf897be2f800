"""`tfllm evaluate`."""

from __future__ import annotations

import dataclasses
import json

from tfllm.errors import UserError
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm evaluate`."""

    model: str = option("", "Directory of a fine-tuned classifier, or of a run.")
    task: str = option("", "Name of the task, as `tfllm tasks` lists them.")
    data_dir: str | None = option(None, "Directory with the task's original files.")
    split: str = option("validation", "Split to score.")
    batch_size: int = option(64, "Examples a step.", minimum=1)
    max_length: int = option(128, "Tokens an example; longer ones are cut, counted and reported.", minimum=3)
    layout: str | None = option(
        None, "How examples become rows; default: as suits the model best.", choices=("packed", "bucketed", "padded")
    )
    format: str = option("text", "What to print.", choices=("text", "json"))


def run(config: Config) -> None:
    """Prints the scores, with 95 % intervals."""
    from tfllm import tasks
    from tfllm.commands.fine_tuned import check_labels, load_fine_tuned
    from tfllm.commands.report import print_scores

    if not config.task:
        raise UserError("task is missing: give --task=NAME (`tfllm tasks` lists them).")
    task = tasks.get(config.task, data_dir=config.data_dir)
    split = task.split(config.split)
    model = load_fine_tuned(config.model, task.strategy.head)
    check_labels(model, task)
    scores = task.evaluate(
        model, split, batch_size=config.batch_size, max_length=config.max_length, layout=config.layout
    )
    if config.format == "json":
        print(json.dumps({"task": task.name, "split": split, **scores}))
        return
    print_scores({split: scores}, {split: task.baseline(split)} if task.baseline else {}, task.name)
    for name, value in scores.get("official", {}).items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    if scores["truncated"]:
        print(f"{scores['truncated']} examples were longer than {config.max_length} tokens and were cut.")
