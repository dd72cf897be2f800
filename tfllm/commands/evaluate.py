"""`tfllm evaluate`."""

from __future__ import annotations

import dataclasses

from tfllm.commands.own_file import KINDS
from tfllm.errors import UserError
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm evaluate`."""

    model: str = option("", "Directory of a fine-tuned classifier, or of a run; with --shots, of a language model.")
    task: str = option("", "Name of the task, as `tfllm tasks` lists them.")
    data_dir: str | None = option(None, "Directory with the task's original files.")
    input: str | None = option(
        None,
        "In place of a task, a file of your own with labels: .tsv, .csv, .jsonl, .conll, .tmx, or .txt of sources.",
    )
    kind: str | None = option(
        None,
        "What the input file is to be scored for. Default of this and the next three: as of the data that the run was trained on "
        "that the model is of, which is said on stderr.",
        choices=KINDS,
    )
    text_columns: tuple[str, ...] = option((), "One or two text columns of the input file; see `tfllm finetune`.")
    label_column: str | None = option(None, "Its column with the label, the tags, the answer, or the target.")
    data_format: str | None = option(
        None, "Its format; default: by its ending.", choices=("tsv", "csv", "jsonl", "conll", "tmx")
    )
    target: tuple[str, ...] = option(
        (), "Beside an input of sources, a text a line: the file of targets, or several of references."
    )
    text_file: str | None = option(None, "The text of the task lm/text.")
    split: str = option("validation", "Split to score.")
    batch_size: int = option(64, "Examples a step.", minimum=1)
    max_length: int = option(128, "Tokens an example; longer ones are cut, counted and reported.", minimum=3)
    layout: str | None = option(
        None, "How examples become rows; default: as suits the model best.", choices=("packed", "bucketed", "padded")
    )
    shots: int | None = option(
        None,
        "Judge a language model as it is, by the likelihood of answers, after so many solved examples; 0: zero-shot. "
        "Tasks that have no other way (LAMBADA, BLiMP, perplexity, bias sets) are judged so without this flag.",
        minimum=0,
    )
    shots_seed: int = option(1234, "Seed of the draw of solved examples; 1234 draws lm-evaluation-harness' own.")
    limit: int | None = option(None, "Judge by the first so many examples only.", minimum=1)
    window: int | None = option(
        None, "Tokens that the model reads at a time, for perplexities; default: all that it can.", minimum=2
    )
    stride: int | None = option(
        None, "Tokens by which windows move; default: a window. Smaller ones leave more context.", minimum=1
    )
    batch_tokens: int = option(4096, "Tokens a step, when judging by likelihoods.", minimum=1)
    prompt: str | None = option(
        None,
        "What a model that writes text reads, with {source} in it; tasks of texts only. Default of this and the next three: as the "
        "run was trained that the model is of, which is said on stderr.",
    )
    max_target_length: int | None = option(None, "Tokens of a text that the model writes.", minimum=2)
    num_beams: int | None = option(None, "Beams to write texts with; default: greedily.", minimum=1)
    language: str | None = option(None, "Token of the target's language in a multilingual model, such as de_DE.")
    predictions: str | None = option(
        None,
        "In place of a model, a file of predictions to score, yours or others': SQuAD's predictions.json, GLUE's .tsv and SuperGLUE's "
        ".jsonl of a submission for a split with labels, what CodeXGLUE's evaluators take, a text a line (WMT's system outputs), "
        "words and tags. With n and 95 % intervals.",
    )
    null_odds: str | None = option(
        None, "With predictions of SQuAD 2.0: the official scorer's na_prob.json, question id to score of 'no answer'."
    )
    null_threshold: float | None = option(None, "The score above which 'no answer' counts; default: the official 1.0.")
    references: tuple[str, ...] = option(
        (), "With predictions of texts, in place of a task: one or more files of references, a line a text."
    )
    metrics: tuple[str, ...] = option(
        (),
        "With references, or an input file of texts: such as bleu,chrf,ter (the default), sentence_bleu, smoothed_bleu, code_bleu, exact_match.",
    )
    target_language: str = option(
        "", "With these: code that BLEU's tokenizer is chosen by (zh, ja, ko), or CodeBLEU's language (java, c_sharp)."
    )
    skip_bad_rows: bool = option(False, "Leave damaged rows out, and count them, rather than stop at the first.")
    out: str | None = option(None, "Also write the scores of a judgement by likelihoods to this JSON file.")
    rows_out: str | None = option(None, "Also write a JSON line an example, of such a judgement, to this file.")
    overwrite: bool = option(False, "Replace these files if they exist.")
    format: str = option(
        "text",
        "What to print; markdown and latex: a suite's table.",
        choices=("text", "json", "markdown", "latex"),
    )
    suite: str = option(
        "",
        "In place of task: all tasks of glue, superglue, squad, codexglue, bias or lm, with the official average. The model is "
        "fine-tuned for each; with --shots, and for tasks that have no other way, it is judged as it is.",
    )
    only: tuple[str, ...] = option((), "Of the suite: these tasks alone, such as boolq,rte.")
    run_dir: str | None = option(
        None,
        "Of the suite: where results are kept; the same command again goes on there. Default runs/<suite>-<model>-<how>.",
    )
    finetune: str = option(
        "",
        "Of the suite: options of `tfllm finetune`, such as `learning_rate=2e-5;epochs=3;batch_size=16`; with `seeds=3` means over "
        "as many runs, and how far they spread.",
    )


def run(config: Config) -> None:
    """Prints the scores, with 95 % intervals."""
    from tfllm import tasks
    from tfllm.commands.fine_tuned import load_fine_tuned
    from tfllm.commands.trained_options import with_trained_options

    if config.suite:
        from tfllm.commands.suite import evaluate_suite

        evaluate_suite(config)
        return
    _check_no_suite(config)
    _check_given(config)
    if config.predictions is not None:
        _score_predictions(config)
        return
    if config.input is not None:
        task, model = _own(config, load_fine_tuned)
        _evaluate(config, task, "validation", model)
        return
    if not config.task:
        raise UserError("task is missing: give --task=NAME (`tfllm tasks` lists them).")
    wanted = {
        "text_file": config.text_file,
        "skip_bad_rows": config.skip_bad_rows or None,
        "prompt": config.prompt,
        "max_target": config.max_target_length,
        "num_beams": config.num_beams,
        "language": config.language,
    }
    options = {name: value for name, value in wanted.items() if value is not None}
    task = tasks.get(config.task, data_dir=config.data_dir, **options)
    split = task.split(config.split)
    if config.shots is not None or not task.strategy.trained:
        _judge(config, task, split)
        return
    _check_flags(config)
    task = with_trained_options(task, config.model, config.data_dir, options)
    _evaluate(config, task, split, load_fine_tuned(config.model, task.strategy.head))


def _evaluate(config: Config, task, split: str, model) -> None:
    from tfllm.commands.fine_tuned import check_labels
    from tfllm.commands.report import print_scores
    from tfllm.metrics.json_scores import json_scores

    check_labels(model, task)
    scores = task.evaluate(
        model, split, batch_size=config.batch_size, max_length=config.max_length, layout=config.layout
    )
    if config.format == "json":
        print(json_scores({"task": task.name, "split": split, **scores}))
        return
    print_scores({split: scores}, {split: task.baseline(split)} if task.baseline else {}, task.name)
    for name, value in scores.get("official", {}).items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    if scores["truncated"]:
        print(f"{scores['truncated']} examples were longer than {config.max_length} tokens and were cut.")
    if scores["skipped"]:
        print(f"{scores['skipped']} rows could not be read and were left out.")


# What goes with an input file alone.
_OF_INPUT = ("kind", "text_columns", "label_column", "data_format", "target")
# What is told of texts to be written, of an input file too.
_TEXTS = ("prompt", "max_target_length", "num_beams", "language")


def _own(config: Config, load):
    """The task of the input file, and its model if there is one to load."""
    from tfllm.commands.own_file import own_task

    for name in ("task", "data_dir", "text_file", "shots", "limit", "window", "stride", "rows_out"):
        if getattr(config, name) != getattr(Config, name):
            raise UserError(f"{name} does not go with an input file. Received: {name}={getattr(config, name)!r}.")
    if config.split != Config.split:
        raise UserError(f"an input file has no splits. Received: split={config.split!r}.")
    given = {name: getattr(config, name) for name in (*_OF_INPUT, *_TEXTS) if name != "target"}
    return own_task(
        config.input, "validation", config.model, given, config.target, config.skip_bad_rows, load, config.metrics,
        config.target_language,
    )  # fmt: skip


# What goes with a file of predictions alone, and the flags that go with it.
_OF_PREDICTIONS = ("null_odds", "null_threshold", "references", "metrics", "target_language")
_WITH_PREDICTIONS = (
    "predictions", "task", "data_dir", "split", "skip_bad_rows", "out", "overwrite", "format", "input", *_OF_INPUT,
    *_OF_PREDICTIONS,
)  # fmt: skip


def _check_given(config: Config) -> None:
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        if value == field.default:
            continue
        if config.input is None and field.name in _OF_INPUT:
            raise UserError(f"{field.name} goes with --input=FILE. Received: {field.name}={value!r} without it.")
        if config.input is not None and field.name in ("metrics", "target_language"):
            continue
        if config.predictions is None and field.name in _OF_PREDICTIONS:
            raise UserError(f"{field.name} goes with --predictions=FILE. Received: {field.name}={value!r} without it.")
        if config.predictions is not None and field.name not in _WITH_PREDICTIONS:
            raise UserError(
                f"--{field.name} is not for a file of predictions, which needs no model: leave it out. Received: {value!r}."
            )


def _score_predictions(config: Config) -> None:
    from tfllm.commands.given_predictions import report_file, score_file, scored_task

    if config.input is not None:
        task, _ = _own(config, None)
    else:
        task = scored_task(
            config.task, config.data_dir, config.references, config.metrics, config.target_language,
            skip_bad_rows=config.skip_bad_rows or None,
        )  # fmt: skip
    scores = score_file(task, config.split, config.predictions, config.null_odds, config.null_threshold)
    report_file(scores, config.format, config.out, config.overwrite)


# Flags of a judgement by likelihoods, which mean nothing for a fine-tuned head.
_JUDGING = ("limit", "window", "stride", "out", "rows_out", "overwrite")


def _judge(config: Config, task, split: str) -> None:
    from tfllm.commands.judged import judge, load_language_model, print_judgement
    from tfllm.metrics.json_scores import json_scores

    options = {
        "shots": config.shots or 0,
        "seed": config.shots_seed,
        **{name: getattr(config, name) for name in ("limit", "window", "stride", "batch_tokens")},
    }
    if task.prompt is None:
        raise UserError(f"{task.name} has no prompt that a language model could be asked with: leave --shots out.")
    model = load_language_model(config.model)
    scores = judge(model, task, split, options, out=config.out, rows_out=config.rows_out, overwrite=config.overwrite)
    if config.format == "json":
        print(json_scores(scores))
    else:
        print_judgement(scores)


def _check_no_suite(config: Config) -> None:
    for name in ("only", "run_dir", "finetune"):
        if getattr(config, name):
            raise UserError(f"{name} is for a suite: add --suite=NAME. Received: {name}={getattr(config, name)!r}.")
    if config.format in ("markdown", "latex"):
        raise UserError(f"format={config.format} is for a suite: add --suite=NAME, or give --format=json.")


def _check_flags(config: Config) -> None:
    for name in _JUDGING:
        if getattr(config, name) != getattr(Config, name, None):
            raise UserError(
                f"{name} is for a judgement by likelihoods: add --shots=0 for one. "
                f"Received: {name}={getattr(config, name)!r} for a fine-tuned model."
            )
