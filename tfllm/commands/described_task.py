"""`tfllm tasks --describe`: all that is known of one task, and what is counted in its data."""

from __future__ import annotations

import dataclasses
import json
import os
import textwrap

from tfllm.errors import UserError


def describe(config) -> None:
    """Prints a task: what the literature says of it, and with `data_dir` what its data are like.

    Args:
        config: `tfllm.commands.tasks.Config`.

    Raises:
        UserError: no such task or split, no data in the directory, a plot without data, a plot that is there already.
    """
    from tfllm import tasks
    from tfllm.tasks.task_notes import note_of

    if not config.data_dir:
        for flag in ("plot", "model", "split"):
            if getattr(config, flag):
                raise UserError(
                    f"{flag} is for what is counted in the data: give --data_dir=DIR too. "
                    f"Received: {flag}={getattr(config, flag)} without data_dir."
                )
    if config.plot and os.path.exists(config.plot) and not config.overwrite:
        raise UserError(f"{config.plot} is there already. Give another file, or --overwrite.")
    task = tasks.get(config.describe, config.data_dir)
    note = note_of(task.name)
    result = {
        **task.describe(),
        "main_metric": task.main_metric,
        "splits": dict(task.splits),
        "texts": list(task.text_fields),
        "classes": None if task.labels is None else list(task.labels),
        "citation": task.citation,
        **(dict.fromkeys(("measures", "weaknesses", "choose")) if note is None else dataclasses.asdict(note)),
        "tokenizer": None,
        "unit": None,
        "measured": None,
        "not_read": None,
    }
    if config.data_dir:
        result |= _counted(config, task)
    if config.format == "json":
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        _print(result)
        if config.plot:
            print(f"Lengths are drawn in {config.plot}.")


def _counted(config, task) -> dict:
    from tfllm.tasks.measured_facts import example_lengths, measured_facts

    tokenizer, unit = None, "words"
    if config.model:
        from tfllm import text
        from tfllm.training.demo_checkpoint import resolve_model

        tokenizer, unit = text.load(resolve_model(config.model)), "tokens"
    splits = [task.split(config.split)] if config.split else list(task.splits)
    lengths, measured, not_read, first = {}, {}, {}, None
    for split in splits:
        try:
            lengths[split] = example_lengths(task, split, tokenizer)
            measured[split] = measured_facts(task, split, lengths[split])
        except UserError as error:  # a split without a file: said, as the others can be counted
            not_read[split], first = str(error), first or error
    if not measured:
        raise first
    if config.plot:
        from tfllm.commands.length_plot import plot_lengths

        plot_lengths(lengths, task.name, unit, config.plot, config.overwrite)
    return {"tokenizer": config.model or None, "unit": unit, "measured": measured, "not_read": not_read}


def _print(result: dict) -> None:
    print(f"{result['name']}: {result['description']}\n")
    sizes = result["sizes"]
    splits = [
        f"{split}{f' {sizes[split]:,}' if split in sizes else ''} ({what})" for split, what in result["splits"].items()
    ]
    lines = {
        "measures": result["measures"],
        "kind": result["kind"],
        "texts": ", ".join(result["texts"]),
        "classes": ", ".join(result["classes"] or ()),
        "metrics": result["metric"] + (f" (main: {result['main_metric']})" if "," in result["metric"] else ""),
        "splits": ", ".join(splits),
        "licence": result["licence"],
        "source": result["source"],
        "paper": result["citation"],
        "choose it": result["choose"],
    }
    for label, value in lines.items():
        if value:
            _paragraph(label, value)
    for weakness in result["weaknesses"] or ():
        _paragraph("weakness", weakness)
    if result["measured"] is None:
        print(
            "\nClass balance and lengths are counted in the data: give --data_dir=DIR (and --model=DIR for its tokens)."
        )
    else:
        _print_measured(result)


def _paragraph(label: str, value: str) -> None:
    print(textwrap.fill(value, 110, initial_indent=f"{label:10}", subsequent_indent=" " * 10, break_on_hyphens=False))


def _print_measured(result: dict) -> None:
    from tfllm.commands.tables import print_table

    measured = result["measured"]
    how = (
        f"tokens of {result['tokenizer']}, special ones included"
        if result["unit"] == "tokens"
        else "words cut at white space; --model=DIR counts a model's tokens, which are more"
    )
    rows = []
    for split, facts in measured.items():
        lengths = [f"{value:.0f}" for value in facts["lengths"].values()]
        rows.append(
            [split, f"{facts['examples']:,}", *lengths, *(f"{share:.1%}" for share in facts["longer"].values())]
        )
    one = next(iter(measured.values()))
    longer = [f"> {limit}" for limit in one["longer"]]
    print()
    print_table(["split", "examples", *one["lengths"], *longer], rows, title=f"Length of an example ({how}):")
    for split, facts in measured.items():
        if facts["classes"]:
            total = facts["examples"]
            shares = ", ".join(f"{name} {count:,} ({count / total:.1%})" for name, count in facts["classes"].items())
            print(f"{split}: {shares}; the largest class for all is right in {facts['majority']:.1%}.")
        elif facts["labels"]:
            values = ", ".join(f"{name} {value:.2f}" for name, value in facts["labels"].items())
            print(f"{split}: labels {values}.")
        if facts["skipped"]:
            print(f"{split}: {facts['skipped']:,} rows were skipped.")
        for note in facts["notes"]:
            print(f"{split}: {note}.")
    for split, why in result["not_read"].items():
        print(f"{split} was not read: {why}")
