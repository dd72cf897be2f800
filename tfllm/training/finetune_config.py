"""`FinetuneConfig`: everything that determines a fine-tuning run. The flags of `tfllm finetune` are its fields."""

from __future__ import annotations

import dataclasses

from tfllm.errors import UserError
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(Options):
    """A fine-tuning run, as a value. `tfllm finetune --help` lists the fields with their defaults.

    The data are either a registered `task` (with `data_dir` for the tasks that are read from files), or files of your
    own: `train_file` and `validation_file` with `text_columns` and `label_column`.

    Raises:
        UserError: a value is out of range, or options contradict each other.

    Example:
        >>> config = FinetuneConfig(model="demo", task="glue/mrpc", data_dir="glue", learning_rate=2e-5)
        >>> config.replace(seed=1).seed
        1
    """

    model: str = option(
        "",
        "Hugging Face directory or handle to start from, a KerasHub preset's directory, or kerashub:NAME; `demo` is the packaged MiniLM.",
    )
    task: str = option("", "Name of the task, as `tfllm tasks` lists them.")
    data_dir: str | None = option(None, "Directory with the task's original files.")
    fresh_head: bool = option(False, "Start the classifier anew even if the checkpoint has one.")
    run_dir: str | None = option(None, "Directory to write; default runs/<time>-<task>-<model>.")
    overwrite: bool = option(False, "Replace the run that is in run_dir.")

    train_file: str | None = option(None, "Training data of your own: .tsv, .csv or .jsonl.")
    validation_file: str | None = option(None, "Validation data of your own.")
    test_file: str | None = option(None, "Test data of your own; it may come without labels.")
    text_columns: tuple[str, ...] = option((), "One or two column names of your own data, the texts to classify.")
    label_column: str = option("label", "Column with the label of your own data.")
    regression: bool = option(False, "The labels of your own data are numbers to predict, not classes.")

    batch_size: int = option(16, "Examples an optimizer step.", minimum=1)
    epochs: int = option(3, "Passes over the training data.", minimum=1)
    max_steps: int | None = option(
        None, "Stop after this many optimizer steps, also when epochs would go on.", minimum=1
    )
    optimizer: str = option("adamw", "Name of the optimizer.")
    learning_rate: float = option(3e-5, "Peak of the learning-rate schedule.", above=0)
    schedule: str = option("linear", "What follows the warm-up.", choices=("linear", "cosine", "constant"))
    warmup: float = option(
        0.1, "Warm-up from 0: a fraction of all steps below 1, a number of steps from 1 on.", minimum=0
    )
    weight_decay: float = option(0.01, "Decoupled weight decay; norms and biases are exempt.", minimum=0)
    clip_norm: float | None = option(1.0, "Clip the gradient to this global norm; none switches it off.", above=0)
    layer_decay: float | None = option(
        None, "Each layer learns at this factor of the one above it.", above=0, maximum=1
    )
    dtype: str = option("float32", "Keras dtype policy.", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    strategy: str = option("auto", "Where to train: auto, cpu (no GPU), or mirrored over the visible devices.")

    max_length: int = option(128, "Tokens an example; longer ones are cut, counted and reported.", minimum=3)
    layout: str | None = option(
        None,
        "How examples become rows; default: as suits task and model best.",
        choices=("packed", "bucketed", "padded"),
    )
    cache_dir: str | None = option(None, "Directory where tokenised data are kept between runs.")

    seed: int = option(
        0, "Seed of the fresh weights, of dropout and of the order of the examples.", minimum=0, below=2**32
    )
    seeds: int = option(1, "Repeat with seed, seed+1, ...; report mean, deviation and interval.", minimum=1)
    eval_every: str = option("epoch", "Evaluate at the end of each `epoch`, or every so many steps.")
    early_stopping: int | None = option(None, "Stop after this many evaluations without a better score.", minimum=1)
    predict_test: bool = option(False, "Also write predictions for the test split.")
    log_every: int = option(10, "Steps from one line of metrics.jsonl to the next.", minimum=1)

    def __post_init__(self):
        super().__post_init__()
        if self.warmup >= 1 and self.warmup != int(self.warmup):
            raise UserError(
                f"warmup must be a fraction below 1 or a whole number of steps. Received: warmup={self.warmup}."
            )
        if self.eval_every != "epoch" and not (self.eval_every.isdigit() and int(self.eval_every) > 0):
            raise UserError(
                f"eval_every must be `epoch` or a number of steps. Received: eval_every={self.eval_every!r}."
            )
        if self.train_file and self.task:
            raise UserError(
                "give either task or train_file, not both. "
                f"Received: task={self.task!r}, train_file={self.train_file!r}."
            )
        if self.train_file and not self.validation_file:
            raise UserError(
                "train_file needs a validation_file beside it, to report a score on. Received: validation_file=None."
            )
        if self.train_file and len(self.text_columns) not in (1, 2):
            raise UserError(
                f"train_file needs one or two text_columns. Received: text_columns={','.join(self.text_columns)!r}."
            )

    @property
    def warmup_steps_or_fraction(self) -> int | float:
        """`warmup` as `training.optimizer` takes it: an int is a number of steps, a float a fraction of all steps."""
        return int(self.warmup) if self.warmup >= 1 else self.warmup

    @property
    def evaluation_interval(self) -> int | None:
        """Steps from one evaluation to the next; `None` for once an epoch."""
        return None if self.eval_every == "epoch" else int(self.eval_every)
