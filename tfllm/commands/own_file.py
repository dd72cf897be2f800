"""A file of the user's own as a task, for `tfllm evaluate --input` and `tfllm predict --input`.

What it holds is told by flags; what they leave open is taken from the run that the model is of, which is said on stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfllm.errors import UserError

if TYPE_CHECKING:
    from tfllm.tasks.task import Task

KINDS = ("classification", "regression", "tagging", "span", "translation", "generation")
# What a run of `tfllm finetune` was told of its files, and of texts to be written.
_COLUMNS = ("kind", "text_columns", "label_column", "data_format")
_TEXTS = {"prompt": "prompt", "max_target_length": "max_target", "num_beams": "num_beams", "language": "language"}


def own_task(
    path: str,
    split: str,
    model_path: str,
    given: dict[str, Any],
    targets: Sequence[str] = (),
    skip_bad_rows: bool = False,
    load=None,
    metrics: Sequence[str] = (),
    target_language: str = "",
):
    """The task of a file, and its model.

    Args:
        path: the file: a table, CoNLL, TMX, or plain text, a line an example.
        split: `"validation"`, whose rows have labels, or `"test"`, which may be without.
        model_path: of the run, or of the model.
        given: flags: `kind`, `text_columns`, `label_column`, `data_format`, and those of texts; what is not given is `None` or
            empty.
        targets: files of targets beside a plain one of sources.
        skip_bad_rows: leave damaged rows out, and count them.
        load: loads the model, given a path and a head; `None`: there is none.
        metrics, target_language: of texts that are written; see `tfllm.metrics.text_scores`.

    Returns:
        `(task, model)`.

    Raises:
        UserError: flags that are missing or contradict each other, a model without the head that is needed.
    """
    from tfllm.commands.fine_tuned import label_names

    if not os.path.isfile(path):
        raise UserError(f"input must be a file. Received: {path}, which there is not.")
    known = _of_run(model_path, given, path, split)
    kind = known.get("kind")
    model = None if load is None else load(model_path, _head(kind))
    labels = None
    if model is not None and kind in (None, "classification", "regression", "tagging"):
        labels = label_names(model)
        kind = kind or ("regression" if labels is None else "classification")
    kind = kind or "classification"
    texts = {option: known[flag] for flag, option in _TEXTS.items() if known.get(flag) is not None}
    if texts and kind not in ("translation", "generation"):
        flag = next(flag for flag in _TEXTS if known.get(flag) is not None)
        raise UserError(f"{flag} is for texts to be written (--kind=translation or generation). Received: kind={kind}.")
    for name, value in (("metrics", ",".join(metrics)), ("target_language", target_language)):
        if value and kind not in ("translation", "generation"):
            raise UserError(f"{name} is for texts (--kind=translation or generation). Received: {name}={value!r}.")
    if target_language:
        texts["target_language"] = target_language
    return _task(path, split, kind, labels, known, texts, targets, skip_bad_rows, tuple(metrics) or None), model


def _task(path, split, kind, labels, known, texts, targets, skip_bad_rows, metrics) -> Task:
    from tfllm import tasks
    from tfllm.data.lines import decoded_lines

    plain = path.removesuffix(".gz").endswith(".txt") and not known.get("data_format")
    if targets or (plain and kind in ("translation", "generation")):
        metrics = metrics or (None if kind == "translation" else ("bleu", "chrf", "exact_match"))
        if not targets and split == "validation":
            raise UserError(f"{path} holds sources alone: give --target=FILE, its targets, a line each.")
        return tasks.from_parallel(**{split: (path, *targets)}, metrics=metrics, skip_bad_rows=skip_bad_rows, **texts)
    if plain and kind in ("classification", "regression") and split == "test":
        lines = [line for _, line in decoded_lines(path)]
        return tasks.from_memory(test={"text": lines}, kind=kind, labels=labels, label=None)
    columns = tuple(known.get("text_columns") or ())
    if len(columns) not in (1, 2):
        raise UserError(
            f"an input with columns needs one or two text_columns. Received: text_columns={','.join(columns)!r}."
        )
    label = known.get("label_column")
    if split == "test" and label is None and kind in ("classification", "regression"):
        return tasks.from_files(
            test=path, text=columns, label=None, kind=kind, labels=labels, format=known.get("data_format"),
            skip_bad_rows=skip_bad_rows,
        )  # fmt: skip
    return tasks.from_files(
        **{split: path},
        text=columns,
        label=label or ("label" if kind in ("classification", "regression") else None),
        kind=kind,
        labels=labels,
        format=known.get("data_format"),
        metrics=metrics,
        skip_bad_rows=skip_bad_rows,
        text_options=texts,
    )


def _head(kind: str | None) -> str:
    heads = {
        "tagging": "token_classifier",
        "span": "span_predictor",
        "translation": "generator",
        "generation": "generator",
    }
    return heads.get(kind, "classifier")


def _of_run(model_path: str, given: dict[str, Any], path: str, split: str) -> dict[str, Any]:
    """The flags, and what a run says where they say nothing."""
    from tfllm.commands.trained_options import run_config

    flags = {name: value for name, value in given.items() if value not in (None, ())}
    found = run_config(model_path)
    if found is None:
        return flags
    where, config = found
    if config.get("regression"):
        config = {**config, "kind": "regression"}
    wanted = [*_TEXTS]
    if config.get("train_file"):
        wanted = [*_COLUMNS, *_TEXTS]
    elif config.get("source"):
        config, wanted = {**config, "kind": "translation"}, ["kind", *_TEXTS]
    told = {name: config[name] for name in wanted if config.get(name) not in (None, (), []) and name not in flags}
    if "data_format" in told and os.path.splitext(path)[1] != os.path.splitext(config["train_file"])[1]:
        del told["data_format"]  # it says nothing of a file with another ending
    kind = flags.get("kind", config.get("kind"))
    if split == "test" and kind in ("classification", "regression"):
        told.pop("label_column", None)  # labels are not needed, and those that there are need not be the model's
    said = {name: value for name, value in told.items() if (name, value) != ("kind", "classification")}
    if said:
        shown = ", ".join(f"{name}={','.join(v) if isinstance(v, (list, tuple)) else v}" for name, v in said.items())
        print(f"{where}: {os.path.basename(path)} is read as the run's own data, with {shown}.", file=sys.stderr)
    return {**told, **flags}
