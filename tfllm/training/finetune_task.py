"""The task that a `FinetuneConfig` describes. Cheap to import, so that a typo is answered at once."""

from __future__ import annotations

from tfllm import tasks
from tfllm.errors import UserError
from tfllm.training.finetune_config import FinetuneConfig


def make_task(config: FinetuneConfig) -> tasks.Task:
    """The task that a configuration describes: a registered one, or files of the user's own."""
    texts = {
        "prompt": config.prompt,
        "max_target": config.max_target_length,
        "num_beams": config.num_beams,
        "language": config.language,
    }
    texts = {name: value for name, value in texts.items() if value is not None}
    if config.source:
        test = (config.test_source, *config.test_target) if config.test_source else None
        return tasks.from_parallel(
            (config.source, *config.target),
            (config.validation_source, *config.validation_target),
            test,
            skip_bad_rows=config.skip_bad_rows,
            **texts,
        )
    if config.train_file:
        return tasks.from_files(
            config.train_file,
            config.validation_file,
            config.test_file,
            text=config.text_columns,
            label=config.label_column,
            kind="regression" if config.regression else config.kind,
            format=config.data_format,
            skip_bad_rows=config.skip_bad_rows,
            text_options=texts,
        )
    if not config.task:
        raise UserError(
            "task is missing: give --task=NAME (`tfllm tasks` lists them), or --train_file and --validation_file."
        )
    if config.skip_bad_rows:
        texts["skip_bad_rows"] = True
    return tasks.get(config.task, data_dir=config.data_dir, **texts)
