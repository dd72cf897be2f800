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
    text_columns: tuple[str, ...] = option(
        (),
        "One or two column names of your own data: the texts to classify, the words to tag, question and context, or sources.",
    )
    label_column: str = option(
        "label", "Column of your own data with the label, the tags, the answer, or the target (several: references)."
    )
    regression: bool = option(False, "The labels of your own data are numbers to predict, not classes.")
    kind: str = option(
        "classification",
        "What is to be learned from your own data.",
        choices=("classification", "regression", "tagging", "span", "translation", "generation"),
    )
    data_format: str | None = option(
        None, "Format of your own files; default: by their endings.", choices=("tsv", "csv", "jsonl", "conll", "tmx")
    )
    source: str | None = option(None, "Parallel text of your own, to train on: the file of sources, a text a line.")
    target: tuple[str, ...] = option((), "Beside source: the file of targets, or several of references.")
    validation_source: str | None = option(None, "The validation set's sources.")
    validation_target: tuple[str, ...] = option((), "The validation set's targets.")
    test_source: str | None = option(None, "The test set's sources.")
    test_target: tuple[str, ...] = option((), "The test set's targets; they may be missing.")
    skip_bad_rows: bool = option(False, "Leave damaged rows of the data out, and count them, in place of an error.")

    prompt: str | None = option(
        None,
        "What a model that writes text reads, with {source} in it, such as `translate English to German: {source}`.",
    )
    max_target_length: int | None = option(None, "Tokens of a text that the model writes.", minimum=2)
    num_beams: int | None = option(None, "Beams to write texts with; default: greedily.", minimum=1)
    language: str | None = option(None, "Token of the target's language in a multilingual model, such as de_DE.")

    batch_size: int = option(16, "Examples an optimizer step.", minimum=1)
    epochs: int = option(3, "Passes over the training data.", minimum=1)
    max_steps: int | None = option(
        None, "Stop after this many optimizer steps, also when epochs would go on.", minimum=1
    )
    optimizer: str = option(
        "adamw",
        "Optimizer. Lion wants a learning rate 3 to 10 times smaller than adamw's and as much more weight decay, sgd and adafactor a larger rate.",
        choices=("adamw", "adafactor", "lion", "muon", "sgd"),
    )
    momentum: float | None = option(None, "Momentum of sgd (default 0.9) and muon (default 0.95).", minimum=0, below=1)
    ema: float | None = option(
        None,
        "Score, keep and save the exponential moving average of the weights, of which this much stays in a step, such as 0.999.",
        above=0,
        below=1,
    )
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
    micro_batches: int = option(
        1, "Parts that a replica's rows go through the model in, one after the other, to save memory.", minimum=1
    )
    steps_per_call: int = option(
        1,
        "Optimizer steps that TensorFlow makes in one call. What is due in between (an evaluation, a checkpoint, a line of the log) comes "
        "with the call's end.",
        minimum=1,
    )
    jit: str = option(
        "auto",
        "Compile forward and backward by XLA. auto: on one GPU only, as on a CPU it is slower.",
        choices=("auto", "on", "off"),
    )
    remat: bool = option(
        False, "Compute blocks again in the backward pass in place of keeping them, to save memory (`tfllm plan --remat=full`)."
    )
    max_skipped_steps: int = option(
        10, "Steps with a loss or gradient that is not finite change nothing; stop after more than this many.", minimum=0
    )
    debug_nan: bool = option(False, "Stop at the first such step; its batch is then in the run's nan_batch/.")
    strategy: str = option(
        "auto",
        "Where to train: auto, cpu (no GPU), gpu, mirrored over the visible devices, multi_worker over TF_CONFIG's, tpu, model_parallel "
        "(weights split over devices, on JAX).",
        choices=("auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu", "model_parallel"),
    )
    tensor_parallel: int | None = option(
        None, "Devices that share a copy of the model under strategy=model_parallel; default: all.", minimum=1
    )
    tpu: str | None = option(None, "Name or address of the TPU; local on its own VM.")

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
    checkpoint_every: int | None = option(
        500, "Steps from one checkpoint to the next, from which the same command goes on; none for none.", minimum=1
    )
    keep_checkpoints: int = option(2, "How many of the newest checkpoints stay.", minimum=1)
    log_every: int = option(10, "Steps from one line of metrics.jsonl to the next.", minimum=1)
    wandb_project: str | None = option(None, "Also log to this Weights & Biases project (extra `wandb`).")
    mlflow_experiment: str | None = option(None, "Also log to this MLflow experiment (extra `mlflow`).")

    lora_rank: int | None = option(
        None,
        "Train low-rank updates of this rank (LoRA) and the head, and nothing else; adapter/ keeps them.",
        minimum=1,
    )
    lora_alpha: float = option(16.0, "The updates are scaled by lora_alpha / lora_rank.", above=0)
    lora_targets: str | None = option(
        None, "Regular expression over the projections that get updates; default: queries and values."
    )
    lora_dropout: float = option(0.0, "Rate on what enters the updates.", minimum=0, below=1)
    quantize: str | None = option(
        None, "Keep the kernels below the updates in 8 or 4 bits (QLoRA).", choices=("int8", "int4")
    )
    freeze: str | None = option(None, "Regular expression over paths of weights that are not trained.")
    label_smoothing: float | None = option(None, "Spread this much of a label over all classes.", above=0, below=1)
    rdrop: float | None = option(None, "Weight alpha of R-Drop: two passes with other dropout are to agree.", above=0)
    fgm: float | None = option(None, "Norm of FGM's adversarial step in embedding space.", above=0)
    freelb_steps: int | None = option(None, "Ascent steps of FreeLB in embedding space.", minimum=1)
    smart: float | None = option(None, "Weight of SMART's smoothness-inducing term.", above=0)
    teacher: str | None = option(None, "Fine-tuned model of this task to learn from too (distillation).")
    distill_temperature: float = option(2.0, "Softens the outputs of teacher and student.", above=0)
    distill_weight: float = option(0.5, "Share of the teacher in the loss.", above=0, maximum=1)

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
        if self.regression and self.kind not in ("classification", "regression"):
            raise UserError(f"regression and kind contradict each other. Received: regression=True, kind={self.kind}.")
        if self.kind != "classification" and not self.train_file:
            raise UserError(f"kind is for files of your own: give train_file. Received: kind={self.kind}.")
        if self.source and (self.train_file or self.task):
            raise UserError(f"give one of task, train_file and source. Received: source={self.source!r} and another.")
        if self.source and not (self.target and self.validation_source and self.validation_target):
            raise UserError(
                "source needs target, validation_source and validation_target beside it. Received: not all of them."
            )
        if not self.source and (self.target or self.validation_source or self.validation_target or self.test_source):
            raise UserError(
                "target, validation_source, validation_target and test_source go with source. Received: no source."
            )
        if self.lora_rank is None and (self.quantize or self.lora_targets or self.lora_dropout):
            raise UserError(
                "quantize, lora_targets and lora_dropout go with lora_rank: give --lora_rank=8, say. Received: lora_rank=None."
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
