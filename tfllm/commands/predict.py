"""`tfllm predict`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys

from tfllm.commands.own_file import KINDS
from tfllm.errors import UserError
from tfllm.training.options import Options, option

_OF_INPUT = ("kind", "text_columns", "label_column", "data_format")


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm predict`."""

    model: str = option("", "Directory of a fine-tuned classifier, or of a run.")
    task: str = option("", "Task whose split is predicted.")
    data_dir: str | None = option(None, "Directory with the task's original files.")
    split: str = option("test", "Split of the task.")
    input: str | None = option(
        None,
        "In place of a task, a file: .txt (a text a line), .tsv, .csv, .jsonl, .conll or .tmx. It may be without labels.",
    )
    kind: str | None = option(
        None,
        "What is predicted for the input file. Default of this and the next three: as of the data that the run was trained on that "
        "the model is of, which is said on stderr.",
        choices=KINDS,
    )
    text_columns: tuple[str, ...] = option((), "One or two text columns of the input file; see `tfllm finetune`.")
    label_column: str | None = option(
        None, "Its column with the label, the tags, the answer, or the target, if it has one."
    )
    data_format: str | None = option(
        None, "Its format; default: by its ending.", choices=("tsv", "csv", "jsonl", "conll", "tmx")
    )
    output: str | None = option(None, "File to write; default: standard output.")
    overwrite: bool = option(False, "Replace the output file.")
    format: str | None = option(None, "Default: by the output's ending, else tsv.", choices=("tsv", "jsonl"))
    submission: bool = option(
        False, "Write the benchmark's own submission file (index and prediction) for the task's split."
    )
    batch_size: int = option(64, "Examples a step.", minimum=1)
    max_length: int = option(128, "Tokens an example; longer ones are cut, counted and reported.", minimum=3)
    skip_bad_rows: bool = option(
        False, "Leave damaged rows of a task out, and count them, rather than stop at the first."
    )

    def __post_init__(self):
        super().__post_init__()
        if bool(self.task) == bool(self.input):
            raise UserError(f"give either task or input. Received: task={self.task!r}, input={self.input!r}.")
        for name in _OF_INPUT:
            if self.task and getattr(self, name) not in (None, ()):
                raise UserError(f"{name} is for an input file. Received: {name}={getattr(self, name)!r} with a task.")
        if self.submission and not (self.task and self.output):
            raise UserError(
                f"submission needs a task and an output. Received: task={self.task!r}, output={self.output!r}."
            )
        if self.output and os.path.exists(self.output) and not self.overwrite:
            raise UserError(f"output must not exist. Received: {self.output}. Use --overwrite or another --output.")


def run(config: Config) -> None:
    """Writes a line an example: id, prediction, probability, and the label where it is known."""
    from tfllm import tasks
    from tfllm.commands.fine_tuned import check_labels, load_fine_tuned
    from tfllm.commands.own_file import own_task
    from tfllm.commands.trained_options import with_trained_options
    from tfllm.tasks.prediction_rows import to_tsv
    from tfllm.tasks.predictions_file import write_new
    from tfllm.tasks.task import model_length

    options = {"skip_bad_rows": True} if config.skip_bad_rows else {}
    task = tasks.get(config.task, data_dir=config.data_dir, **options) if config.task else None
    task = task and with_trained_options(task, config.model, config.data_dir, options)
    split = task.split(config.split) if task else "test"
    if task is None:
        given = {name: getattr(config, name) for name in _OF_INPUT}
        task, model = own_task(
            config.input, split, config.model, given, skip_bad_rows=config.skip_bad_rows, load=load_fine_tuned
        )
    else:
        model = load_fine_tuned(config.model, task.strategy.head)
    check_labels(model, task)
    examples = task.examples(split)
    if examples.report.skipped:
        print(f"{examples.report.skipped} damaged rows were left out.", file=sys.stderr)
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
