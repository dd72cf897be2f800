"""The task that a `FinetuneConfig` describes. Cheap to import, so that a typo is answered at once."""

from __future__ import annotations

from tfllm import tasks
from tfllm.errors import UserError
from tfllm.training.finetune_config import FinetuneConfig


def make_task(config: FinetuneConfig) -> tasks.Task:
    """The task that a configuration describes: a registered one, or files of the user's own."""
    if config.train_file:
        return tasks.from_files(
            config.train_file,
            config.validation_file,
            config.test_file,
            text=config.text_columns,
            label=config.label_column,
            kind="regression" if config.regression else "classification",
        )
    if not config.task:
        raise UserError(
            "task is missing: give --task=NAME (`tfllm tasks` lists them), or --train_file and --validation_file."
        )
    return tasks.get(config.task, data_dir=config.data_dir)
