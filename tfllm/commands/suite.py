"""`tfllm evaluate --suite`: a suite's tasks by one command."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tfllm.commands.sweep import parse_grid
from tfllm.errors import UserError
from tfllm.training.finetune_config import FinetuneConfig

if TYPE_CHECKING:
    from tfllm.commands.evaluate import Config

# Options of `tfllm finetune` that are flags of `tfllm evaluate` with the same meaning.
_SHARED = (
    "model", "data_dir", "max_length", "layout", "prompt", "max_target_length", "num_beams", "language", "skip_bad_rows",
)  # fmt: skip
# What a run takes its data from, or is told by the suite.
_NOT_A_SUITES = (
    "task", "run_dir", "overwrite", "train_file", "validation_file", "test_file", "text_columns", "label_column", "regression",
    "kind", "data_format", "source", "target", "validation_source", "validation_target", "test_source", "test_target",
)  # fmt: skip
# What a single task is evaluated with, and a suite is not.
_OF_A_TASK = (
    "task", "text_file", "split", "batch_size", "out", "rows_out", "overwrite", "predictions", "null_odds", "null_threshold",
    "references", "metrics", "target_language", "input", "kind", "text_columns", "label_column", "data_format", "target",
)  # fmt: skip
# What a judgement by likelihoods and nothing else reads.
_JUDGING = ("shots", "shots_seed", "limit", "window", "stride", "batch_tokens")


def evaluate_suite(config: Config) -> None:
    """Scores a suite's tasks and prints the table; status 2 where a task failed.

    Raises:
        UserError: flags that do not go together, or as `tfllm.training.suite.run_suite`.
    """
    from tfllm import tasks
    from tfllm.tasks.suites import suite
    from tfllm.training.suite import run_suite

    found = suite(config.suite)
    trained = [tasks.get(name).strategy.trained for name in found.chosen(config.only)]
    _check_flags(config, trained)
    finetuning = finetune_config(config)
    directory = config.run_dir or _default_run_dir(config)
    settings = {
        **{name: getattr(config, name) for name in _SHARED if getattr(config, name) not in (None, False)},
        **({} if config.shots is None and all(trained) else {name: getattr(config, name) for name in _JUDGING}),
        "finetune": {name: values[0] for name, values in parse_grid(config.finetune).items()} or None,
    }
    options = {"data_dir": config.data_dir} | ({"skip_bad_rows": True} if config.skip_bad_rows else {})
    result = run_suite(
        found,
        directory,
        _ways(config, finetuning, settings),
        only=config.only,
        settings=settings,
        task_options={name: value for name, value in options.items() if value is not None},
    )
    _print(result, config.format)
    failed = [row for row in result["rows"] if row["status"] == "failed"]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(result['rows'])} tasks failed. The first, {failed[0]['task']}: {failed[0]['error']}"
        )


def finetune_config(config: Config) -> FinetuneConfig:
    """What all fine-tuning runs of the suite share.

    Raises:
        UserError: `--finetune` is not of the form name=value;name=value, or names an option that is not for a suite.

    Example:
        >>> from tfllm.commands.evaluate import Config
        >>> finetune_config(Config(suite="glue", model="demo", finetune="learning_rate=2e-5; epochs=2")).learning_rate
        2e-05
    """
    given = parse_grid(config.finetune)
    allowed = {field.name for field in dataclasses.fields(FinetuneConfig)} - {*_NOT_A_SUITES, *_SHARED}
    for name, values in given.items():
        if name in _SHARED:
            raise UserError(f"finetune: {name} is a flag of its own: --{name}={values[0]}.")
        if name not in allowed:
            raise UserError(f"finetune: {name} is not for a suite. What there is: {', '.join(sorted(allowed))}.")
        if len(values) > 1:
            raise UserError(
                f"finetune takes one value an option; `tfllm sweep` takes several. Received: {name}={values}."
            )
    shared = {name: getattr(config, name) for name in _SHARED}
    return FinetuneConfig(**shared, **{name: values[0] for name, values in given.items()})


def _ways(config: Config, finetuning: FinetuneConfig, settings: dict):
    """How each task is scored."""
    from tfllm.commands.fine_tuned import check_labels, load_fine_tuned
    from tfllm.commands.judged import load_language_model
    from tfllm.training.demo_checkpoint import resolve_model
    from tfllm.training.suite import fine_tuned, kept

    path = resolve_model(config.model)
    language_model = functools.cache(load_language_model)
    as_it_is = functools.cache(load_fine_tuned)
    asked = {"seed": config.shots_seed, **{name: getattr(config, name) for name in _JUDGING[2:]}}

    def judge(task, split: str) -> dict:
        return task.judge(language_model(path), split, shots=config.shots or 0, **asked).scores

    def evaluate(task, split: str) -> dict:
        model = as_it_is(path, task.strategy.head)
        check_labels(model, task)
        return task.evaluate(model, split, max_length=config.max_length, layout=config.layout)

    def no_prompt(task) -> str | None:
        return None if task.prompt is not None else "it has no prompt that a language model could be asked with"

    judged = kept(f"{config.shots or 0} shots", judge, settings, no_prompt)
    evaluated = kept("as it is", evaluate, settings)
    trained = fine_tuned(finetuning)

    def way_of(task):
        if config.shots is not None or not task.strategy.trained:
            return judged
        return trained if "train" in task.splits else evaluated

    return way_of


def _print(result: dict, form: str) -> None:
    from tfllm.commands.tables import print_table
    from tfllm.metrics.json_scores import json_scores
    from tfllm.training.suite_tables import suite_table, to_latex, to_markdown

    if form == "json":
        print(json_scores(result))
    elif form == "markdown":
        print(to_markdown(result), end="")
    elif form == "latex":
        print(to_latex(result), end="")
    else:
        columns, rows = suite_table(result)
        print_table(columns, rows, title=f"{result['suite']}: {result['settings']['model']}")
        print(f"\nrun directory: {result['run_dir']} (results.json, table.md, table.tex)")


def _default_run_dir(config: Config) -> str:
    """The same for the same command, so that it goes on."""
    from tfllm.training.model_card import base_name

    how = "fine-tuned" if config.shots is None else f"{config.shots}-shots"
    return str(Path("runs") / re.sub(r"[^\w.-]+", "-", f"{config.suite}-{base_name(config.model or 'model')}-{how}"))


def _check_flags(config: Config, trained: list[bool]) -> None:
    """Refuses flags that would do nothing."""
    given = {name for name in (*_OF_A_TASK, *_JUDGING) if getattr(config, name) != getattr(type(config), name)}
    for name in _OF_A_TASK:
        if name in given:
            hint = f" For training: --finetune={name}={config.batch_size}." if name == "batch_size" else ""
            raise UserError(
                f"{name} is for a single task, not for a suite. Received: {name}={getattr(config, name)!r}.{hint}"
            )
    if config.finetune and (config.shots is not None or not any(trained)):
        raise UserError(
            f"finetune is for tasks that are trained for, and here the model is judged as it is. Received: {config.finetune!r}."
        )
    for name in _JUDGING:
        if name in given and config.shots is None and all(trained):
            raise UserError(
                f"{name} is for a judgement by likelihoods: add --shots=0 for one. Received: {name}={getattr(config, name)!r} "
                "for models that are fine-tuned."
            )
