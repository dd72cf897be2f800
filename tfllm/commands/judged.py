"""Judging a language model without training, for `tfllm evaluate`."""

from __future__ import annotations

import sys

from tfllm.commands.tables import print_table
from tfllm.errors import UserError


def load_language_model(path: str):
    """The language model of a checkpoint, with its own head and a tokenizer.

    Raises:
        UserError: no path, or a checkpoint without a language-model head or a tokenizer.
    """
    import tfllm
    from tfllm.models import CausalLM, MaskedLM

    if not path:
        raise UserError("model is missing: give --model=DIR, a checkpoint with its language-model head.")
    model = tfllm.load(path)
    if not isinstance(model, (CausalLM, MaskedLM)):
        raise UserError(
            f"a language model is judged by likelihoods. Received: {path}, which holds a {type(model).__name__}. Give a "
            "causal or a masked language model."
        )
    if model.tokenizer is None:
        raise UserError(f"a tokenizer is needed beside the weights. Received: {path}, which has none.")
    return model


def judge(model, task, split: str, options: dict, *, out: str | None, rows_out: str | None, overwrite: bool) -> dict:
    """Judges, writes the files that are wanted, and returns the scores.

    Args:
        model: of `load_language_model`.
        task: the task.
        split: its split.
        options: those of `Task.judge`.
        out: file for the scores, as JSON; `None`: none.
        rows_out: file for a JSON line an example; `None`: none.
        overwrite: replace these files if they are there.

    Raises:
        UserError: a file is there, or as `Task.judge`.
    """
    import os

    from tfllm.metrics.json_scores import json_scores
    from tfllm.tasks.predictions_file import write_new

    for path in (out, rows_out):
        if path is not None and os.path.exists(path) and not overwrite:  # said before the work, not after it
            raise UserError(f"{path} is there already. Give another name, or --overwrite.")
    found = task.judge(model, split, progress=_progress if sys.stderr.isatty() else None, **options)
    scores = {"task": task.name, "version": task.version, **found.scores}
    if out is not None:
        write_new(out, (json_scores(scores, indent=2) + "\n").encode(), overwrite)
    if rows_out is not None:
        lines = "".join(json_scores(row) + "\n" for row in found.rows)
        write_new(rows_out, lines.encode(), overwrite)
    return scores


def print_judgement(scores: dict) -> None:
    """Tables of the scores, of those of groups, and what was read, cut and left out."""
    title = f"{scores['task']} ({scores['split']}), {scores['shots']} shots"
    print_table(["metric", "score", "95 % interval", "n"], _rows(scores), title=title)
    if scores.get("groups"):
        names = list(next(iter(scores["groups"].values()))["ci95"])
        table = [
            [group, values["n"], *(_number(values.get(name)) for name in names)]
            for group, values in scores["groups"].items()
        ]
        print()
        print_table(["group", "n", *names], table)
    print()
    for name in ("method", "texts", "words", "bytes", "window", "stride", "terms"):
        if scores.get(name) is not None:
            print(f"{name}: {scores[name]}")
    print(f"intervals: {'; '.join(dict.fromkeys(scores['ci_method'].values()))}")
    limited = f", the first {scores['limit']} examples used" if scores["limit"] is not None else ""
    print(f"rows read: {scores['rows_read']}, skipped: {scores['skipped']}, cut to fit: {scores['truncated']}{limited}")


def _rows(scores: dict) -> list[list]:
    return [
        [name, _number(scores[name]), f"{low:.4f} to {high:.4f}", scores["n"]]
        for name, (low, high) in scores["ci95"].items()
    ]


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _progress(done: int, total: int) -> None:
    print(f"\r{done:,} of {total:,} tokens", end="\n" if done == total else "", file=sys.stderr, flush=True)
