"""`tfllm predict`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys

from tfllm.errors import UserError
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm predict`."""

    model: str = option("", "Directory of a fine-tuned classifier, or of a run.")
    task: str = option("", "Task whose split is predicted.")
    data_dir: str | None = option(None, "Directory with the task's original files.")
    split: str = option("test", "Split of the task.")
    input: str | None = option(None, "In place of a task, a file: .txt (a text a line), .tsv, .csv or .jsonl.")
    text_columns: tuple[str, ...] = option((), "One or two text columns of the input file.")
    output: str | None = option(None, "File to write; default: standard output.")
    overwrite: bool = option(False, "Replace the output file.")
    format: str | None = option(None, "Default: by the output's ending, else tsv.", choices=("tsv", "jsonl"))
    submission: bool = option(
        False, "Write the benchmark's own submission file (index and prediction) for the task's split."
    )
    batch_size: int = option(64, "Examples a step.", minimum=1)
    max_length: int = option(128, "Tokens an example; longer ones are cut, counted and reported.", minimum=3)

    def __post_init__(self):
        super().__post_init__()
        if bool(self.task) == bool(self.input):
            raise UserError(f"give either task or input. Received: task={self.task!r}, input={self.input!r}.")
        if self.submission and not (self.task and self.output):
            raise UserError(
                f"submission needs a task and an output. Received: task={self.task!r}, output={self.output!r}."
            )
        if self.output and os.path.exists(self.output) and not self.overwrite:
            raise UserError(f"output must not exist. Received: {self.output}. Use --overwrite or another --output.")


def run(config: Config) -> None:
    """Writes a line an example: id, prediction, probability, and the label where it is known."""
    from tfllm import tasks
    from tfllm.commands.fine_tuned import check_labels, label_names, load_fine_tuned
    from tfllm.tasks.prediction_rows import to_tsv
    from tfllm.tasks.predictions_file import write_new
    from tfllm.tasks.task import model_length

    task = tasks.get(config.task, data_dir=config.data_dir) if config.task else None
    split = task.split(config.split) if task else "test"
    model = load_fine_tuned(config.model, task.strategy.head if task else "classifier")
    if task is None:
        task = _task_of_file(config, label_names(model))
    check_labels(model, task)
    examples = task.examples(split)
    outputs = task.predict(model, split, batch_size=config.batch_size, max_length=config.max_length)
    truncated = task.tokenized(split, model.tokenizer, model_length(model, config.max_length)).truncated
    if truncated:
        print(
            f"{truncated} of {len(examples)} examples were longer than {config.max_length} tokens and were cut.",
            file=sys.stderr,
        )
    if config.submission:
        task.write_predictions(outputs, split, config.output, overwrite=config.overwrite)
        return
    rows = task.strategy.rows(task, outputs, examples)
    format = config.format or ("jsonl" if (config.output or "").endswith(".jsonl") else "tsv")
    text = to_tsv(rows) if format == "tsv" else "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if config.output:
        write_new(config.output, text.encode("utf-8"), overwrite=config.overwrite)
    else:
        print(text, end="")


def _task_of_file(config: Config, names: tuple[str, ...] | None):
    from tfllm import tasks
    from tfllm.data.lines import decoded_lines

    described = {"kind": "regression" if names is None else "classification", "labels": names, "label": None}
    if config.input.endswith(".txt"):
        return tasks.from_memory(test={"text": [line for _, line in decoded_lines(config.input)]}, **described)
    if len(config.text_columns) not in (1, 2):
        raise UserError(
            "an input with columns needs one or two text_columns. "
            f"Received: text_columns={','.join(config.text_columns)!r}."
        )
    return tasks.from_files(test=config.input, text=config.text_columns, **described)
