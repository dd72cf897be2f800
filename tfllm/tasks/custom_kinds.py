"""The user's own data of other kinds than classes and numbers: tags, spans, translations, and texts to be generated."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfllm.data.conll import read_tagged
from tfllm.data.examples import Examples
from tfllm.data.parallel import read_parallel, read_text_table
from tfllm.data.spans import read_spans
from tfllm.errors import UserError
from tfllm.tasks.task import Task
from tfllm.tasks.text_kind import GeneratedTextKind, TextLines, with_options

Paths = Mapping[str, str]
Read = Callable[[str], Examples]


def make(
    kind: str, paths: Paths, text: Sequence, label: str | int | None, name: str, options: dict, details: dict
) -> Task:
    """A task of one of `KINDS` from tables; see `tfllm.tasks.from_files`.

    Args:
        kind: a key of `KINDS`.
        paths: split to file.
        text: the text columns.
        label: the column of tags, answers or targets; `None`: `"tags"`, `"answers"` or `"target"`.
        name: of the task.
        options: of the readers (`id`, `format`, `header`, `skip_bad_rows`), and of texts.
        details: further fields of `Task`, `metrics` and `labels` among them.
    """
    needed = 2 if kind == "span" else 1
    if len(text) != needed:
        raise UserError(f"{name}: kind={kind!r} takes {_COLUMNS[kind]} as text columns. Received: {list(text)}.")
    return KINDS[kind](paths, tuple(text), label, name, options, details)


def from_parallel(
    train: Sequence[str | os.PathLike] | None = None,
    validation: Sequence[str | os.PathLike] | None = None,
    test: Sequence[str | os.PathLike] | None = None,
    *,
    name: str = "custom",
    skip_bad_rows: bool = False,
    target_language: str = "",
    metrics: Sequence[str] | None = None,
    main_metric: str | None = None,
    **options,
) -> Task:
    """A translation task from plain parallel files: line i of one belongs to line i of the others.

    Args:
        train, validation, test: the file of sources, then those of one or more references. They may be compressed (`.gz`).
        name: of the task.
        skip_bad_rows: leave damaged lines out, and count them.
        target_language: code that BLEU's tokenizer is chosen by.
        metrics, main_metric: default: sacrebleu's BLEU, chrF and TER.
        **options: of `tfllm.tasks.text_kind.GeneratedTextKind`, and `num_beams`.

    Example:
        >>> from_parallel(("train.en", "train.de"), ("dev.en", "dev.de"))  # doctest: +SKIP
    """
    given = {"train": train, "validation": validation, "test": test}
    paths = {split: [os.path.expanduser(os.fspath(p)) for p in files] for split, files in given.items() if files}
    if not paths:
        raise UserError(f"{name}: give at least one of train, validation and test.")
    alone = [split for split, files in paths.items() if len(files) < 2 and split != "test"]
    if alone:
        raise UserError(f"{name}: the {alone[0]} split needs a file of targets beside {paths[alone[0]][0]}.")
    return _text_task(
        name,
        lambda split: read_parallel(paths[split][0], paths[split][1:], skip_bad_rows),
        {split: ", ".join(files) for split, files in paths.items()},
        {"target_language": target_language, **options},
        {"metrics": metrics, "main_metric": main_metric},
        ("bleu", "chrf", "ter"),
    )


def from_references(
    files: Sequence[str | os.PathLike],
    *,
    name: str = "references",
    target_language: str = "",
    metrics: Sequence[str] | None = None,
    skip_bad_rows: bool = False,
) -> Task:
    """A task of texts of which the references alone are known: to score the texts that a system gave.

    Args:
        files: one or more files of references, line i of each for text i. They may be compressed (`.gz`). Where all lines of all
            files begin with a number and a tab, these are ids (CodeXGLUE's summaries), and predictions may have them too.
        name: of the task; its one split is `"validation"`.
        target_language: code that BLEU's tokenizer is chosen by; of CodeBLEU the programming language.
        metrics: default: sacrebleu's BLEU, chrF and TER; see `tfllm.metrics.text_scores`.
        skip_bad_rows: leave damaged lines out, and count them.

    Example:
        >>> task = from_references(["ref.A.de", "ref.C.de"])  # doctest: +SKIP
        >>> task.score_split(task.read_predictions("system.de").outputs, "validation")["bleu"]  # doctest: +SKIP
        55.1
    """
    from dataclasses import replace

    paths = [os.path.expanduser(os.fspath(path)) for path in files]
    if not paths:
        raise UserError(f"{name}: give at least one file of references.")

    examples = read_parallel(paths[0], paths, skip_bad_rows)
    groups, ids = examples.columns["references"], examples.ids
    fields = [[text.partition("\t") for text in group] for group in groups]
    own = [group[0][0].strip() for group in fields]
    numbered = all(id_.isdecimal() for id_ in own) and all(
        tab and other.strip() == id_ for id_, group in zip(own, fields) for other, tab, _ in group
    )
    if numbered:
        ids, groups = own, [tuple(text for *_, text in group) for group in fields]
    read = replace(
        examples,
        texts=([""] * len(groups),),
        ids=ids,
        source=", ".join(paths),
        report=replace(examples.report, notes=()),
        columns={"references": groups},
    )
    task = _text_task(
        name,
        lambda split: read,
        {"validation": ", ".join(paths)},
        {"target_language": target_language},
        {"metrics": metrics},
        ("bleu", "chrf", "ter"),
    )
    return replace(task, submission=TextLines({}, numbered))


def _text_task(
    name: str, read: Read, splits, options: Mapping, details: Mapping[str, Any], default: Sequence[str]
) -> Task:
    metrics = tuple(details.get("metrics") or default)
    rest = {key: value for key, value in details.items() if key not in ("metrics", "main_metric", "labels")}
    return Task(
        name=name,
        kind="text",
        strategy=with_options(GeneratedTextKind(), **options),
        text_fields=("source",),
        read=read,
        metrics=metrics,
        main_metric=details.get("main_metric") or metrics[0],
        splits=splits,
        submission=TextLines({}),
        **rest,
    )


def _texts(default: tuple[str, ...]) -> Callable[..., Task]:
    def make_texts(paths: Paths, text, label, name: str, options: dict, details: dict) -> Task:
        reading, rest = _split_options(options)
        target = "target" if label is None else label
        targets = [part for part in target.split(",")] if isinstance(target, str) else target
        return _text_task(
            name,
            lambda split: read_text_table(paths[split], text[0], targets, target_optional=split == "test", **reading),
            dict(paths),
            rest,
            details,
            default,
        )

    return make_texts


def _tagging(paths: Paths, text, label, name: str, options: dict, details: dict) -> Task:
    from tfllm.tasks.tagging import metrics_of

    reading, rest = _split_options(options)
    _refuse(name, "tagging", rest)
    read = _once(
        lambda split: read_tagged(
            paths[split], text[0], "tags" if label is None else label, tags_optional=split == "test", **reading
        )
    )
    labels = details.get("labels")
    if labels is None:
        first = read(next(iter(paths)))
        found = {tag for tags in first.columns.get("tags", ()) for tag in tags}
        if not found:
            raise UserError(f"{name}: labels= must list the tags: {first.source} has none to take them from.")
        # "O" first: what a word without a prediction gets.
        labels = tuple(sorted(found, key=lambda tag: (tag != "O", tag)))
    metrics = tuple(details.get("metrics") or metrics_of(labels))
    rest = {key: value for key, value in details.items() if key not in ("metrics", "main_metric", "labels")}
    return Task(
        name=name, kind="tagging", text_fields=("words",), read=read, labels=tuple(labels), metrics=metrics,
        main_metric=details.get("main_metric") or metrics[0], splits=dict(paths), **rest,
    )  # fmt: skip


def _span(paths: Paths, text, label, name: str, options: dict, details: dict) -> Task:
    from tfllm.tasks.span import SpanKind

    reading, rest = _split_options(options)
    _refuse(name, "span", rest)
    read = _once(
        lambda split: read_spans(
            paths[split], *text, "answers" if label is None else label, answer_optional=split == "test", **reading
        )
    )
    unanswerable = any(not answers for answers in read(next(iter(paths))).columns.get("answers", ()))
    rest = {key: value for key, value in details.items() if key not in ("metrics", "main_metric", "labels")}
    return Task(
        name=name, kind="span", strategy=SpanKind(unanswerable=unanswerable), text_fields=("question", "context"), read=read,
        metrics=("f1", "exact_match"), main_metric=details.get("main_metric") or "f1", splits=dict(paths), **rest,
    )  # fmt: skip


def _once(read: Read) -> Read:
    """What was read to learn the labels is not read again."""
    kept: dict[str, Examples] = {}

    def read_once(split: str) -> Examples:
        if split not in kept:
            kept[split] = read(split)
        return kept[split]

    return read_once


def _split_options(options: dict) -> tuple[dict, dict]:
    names = ("id", "format", "header", "skip_bad_rows")
    return (
        {name: value for name, value in options.items() if name in names},
        {name: value for name, value in options.items() if name not in names and value is not None},
    )


def _refuse(name: str, kind: str, options: Mapping) -> None:
    if options:
        option = next(iter(options))
        raise UserError(f"{name}: kind={kind!r} has no option {option!r}. Received: {option}={options[option]!r}.")


_COLUMNS = {
    "tagging": "one column of words",
    "span": "two columns, question and context,",
    "translation": "one column of sources",
    "generation": "one column of sources",
}
KINDS: dict[str, Callable[..., Task]] = {
    "tagging": _tagging,
    "span": _span,
    "translation": _texts(("bleu", "chrf", "ter")),
    "generation": _texts(("bleu", "chrf", "exact_match")),
}
