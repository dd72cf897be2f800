"""SuperGLUE (Wang et al. 2019): its eight tasks and two diagnostic sets, as a table, and their readers.

The original JSON lines and TFDS give the same examples in the same order with the same ids. Every task is one of texts
or pairs of texts and a class:

- COPA and ReCoRD are ranked by pairs: a row for each choice, class 1 for the right one. The choice with the highest logit of
  class 1 over class 0 is the answer, and scores are over questions.
- MultiRC has a row for each answer of a question; F1a is over answers, exact match over questions.
- WiC's word stands before the first sentence. WSC, in this first version, is a pair too: the text with its pronoun in
  asterisks, and the noun phrase that it may stand for (no pooling over the two spans).
- AX-b and AX-g are scored with a model that was trained on RTE; they have one split, `test`, with labels.

Options of `tfllm.tasks.get("superglue/...", data_dir=..., **options)` are those of `tfllm.tasks.glue`: `source`, `files`,
`skip_bad_rows` (a damaged line of MultiRC or ReCoRD is a whole passage).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from tfllm.data.examples import Examples
from tfllm.data.row_reader import RowReader
from tfllm.errors import DataError
from tfllm.metrics.answers import best_over_answers, exact_match, token_f1
from tfllm.metrics.grouped import (
    CHOICE_ACCURACY,
    F1A,
    GENDER_PARITY,
    QUESTION_EXACT_MATCH,
    GroupedMetric,
    mean_of_chosen,
)
from tfllm.tasks import prompt_templates
from tfllm.tasks.benchmark_files import find_file, pick_source
from tfllm.tasks.registry import register
from tfllm.tasks.submission_file import JsonlFile, SubmissionFile
from tfllm.tasks.superglue_files import ChoiceFile, MultiRCFile
from tfllm.tasks.superglue_rows import SourceRow, multirc_rows, plain_rows, record_rows, rows_of_tfds
from tfllm.tasks.task import Task

_SUPERGLUE = (
    "Wang et al. 2019, SuperGLUE: A Stickier Benchmark for General-Purpose Language Understanding Systems, NeurIPS"
)
_BOOLEAN = ("false", "true")
_ENTAILMENT = ("entailment", "not_entailment")
_FILES = {"train": ("train.jsonl",), "validation": ("val.jsonl", "dev.jsonl"), "test": ("test.jsonl",)}


@dataclass(frozen=True)
class Entry:
    """An example before it is one: its texts, its label as the file has it, its id, further columns."""

    texts: tuple[str, ...]
    label: str | None
    id: str
    columns: dict = field(default_factory=dict)


@dataclass(frozen=True)
class SuperGlueTask:
    """A line of the table.

    Attributes:
        folder: directory of the task in the SuperGLUE download.
        tfds: name of the TFDS config.
        text_fields: names of the texts.
        entries: a source's row to examples.
        labels: class names.
        file_labels: what files say for these, in lower case, more than one way for some; default: the names.
        metrics: the official ones, the main one first.
        group_metrics: those of them that are over groups.
        sizes: official number of examples of each split, as rows of texts.
        submission: how test predictions are handed in.
        rows: the rows of a record of the original file.
        files: split to the names its file may have.
    """

    folder: str
    tfds: str
    text_fields: tuple[str, ...]
    entries: Callable[[SourceRow], Iterator[Entry]]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    sizes: Mapping[str, int]
    submission: SubmissionFile
    description: str
    licence: str
    source_url: str
    citation: str
    file_labels: Mapping[str, int] = field(default_factory=dict)
    group_metrics: Mapping[str, GroupedMetric] = field(default_factory=dict)
    rows: Callable[[str, int, dict], Iterable[SourceRow]] = plain_rows
    files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _FILES)


def _pair(first: str, second: str) -> Callable[[SourceRow], Iterator[Entry]]:
    def entries(row: SourceRow):
        yield Entry((row.text(first), row.text(second)), row.label, str(row.idx[0]))

    return entries


def _copa(row: SourceRow):
    asked = {"cause": "What was the cause?", "effect": "What happened as a result?"}
    question = row.text("question")
    if question not in asked:
        raise DataError(row.path, row.line, f"'question' must be cause or effect. Received: {question!r}.")
    if row.label not in (None, "0", "1", "choice1", "choice2"):
        raise DataError(row.path, row.line, f"'label' must be 0 or 1. Received: {row.label!r}.")
    right = {"0": 0, "choice1": 0, "1": 1, "choice2": 1}.get(row.label)
    group = str(row.idx[0])
    for number in (0, 1):
        label = None if right is None else str(int(number == right))
        texts = (f"{row.text('premise')} {asked[question]}", row.text(f"choice{number + 1}"))
        yield Entry(texts, label, f"{group}-{number}", {"group": group, "choice": number})


def _multirc(row: SourceRow):
    passage, question, answer = row.idx
    texts = (row.text("paragraph"), f"{row.text('question')} {row.text('answer')}")
    yield Entry(texts, row.label, f"{passage}-{question}-{answer}", {"group": f"{passage}-{question}"})


def _record(row: SourceRow):
    passage = re.sub(r"([.?!\"'])\n@highlight\n", r"\1 ", row.text("passage")).replace("\n@highlight\n", ". ")
    group, answers = "-".join(map(str, row.idx)), row.fields.get("answers")
    if not row.texts("entities"):
        raise DataError(row.path, row.line, "'entities' must name at least one to choose from. Received: none.")
    for number, entity in enumerate(row.texts("entities")):
        columns = {"group": group, "entity": entity}
        label = None
        if answers is not None:
            columns["f1"] = best_over_answers(token_f1, entity, answers)
            columns["exact_match"] = best_over_answers(exact_match, entity, answers)
            label = str(int(columns["exact_match"]))
        yield Entry((passage, row.text("query").replace("@placeholder", entity)), label, f"{group}-{number}", columns)


def _wic(row: SourceRow):
    yield Entry((f"{row.text('word')}: {row.text('sentence1')}", row.text("sentence2")), row.label, str(row.idx[0]))


def _wsc(row: SourceRow):
    text = _in_asterisks(row.text("text"), row.text("span2_text"), row.number("span2_index"))
    yield Entry((text, row.text("span1_text")), row.label, str(row.idx[0]))


def _in_asterisks(text: str, span: str, index: int) -> str:
    """`text` with asterisks around the span at word `index`. Some of the official indices are off: the nearest place counts.

    Example:
        >>> _in_asterisks("He said he would.", "he", 2)
        'He said *he* would.'
    """
    places = [match.span() for match in re.finditer(r"(?<!\w)" + re.escape(span) + r"(?!\w)", text)]
    if not places:
        places = [match.span() for match in re.finditer(re.escape(span), text, re.IGNORECASE)]
    if not places:
        return text
    start, end = min(places, key=lambda place: abs(len(text[: place[0]].split()) - index))
    return f"{text[:start]}*{text[start:end]}*{text[end:]}"


def _axg(row: SourceRow):
    # The official file has the two of a pair one after the other.
    yield Entry(
        (row.text("premise"), row.text("hypothesis")), row.label, str(row.idx[0]), {"group": str(row.idx[0] // 2)}
    )


def _sizes(train: int, validation: int, test: int) -> dict[str, int]:
    return {"train": train, "validation": validation, "test": test}


_FALSE_TRUE = {"false": 0, "true": 1, "0": 0, "1": 1}

TASKS: dict[str, SuperGlueTask] = {
    "boolq": SuperGlueTask(
        "BoolQ",
        "boolq",
        ("question", "passage"),
        _pair("question", "passage"),
        _BOOLEAN,
        ("accuracy",),
        _sizes(9427, 3270, 3245),
        JsonlFile({"test": "BoolQ.jsonl"}, _BOOLEAN),
        "Is the answer to the question, by the passage, yes?",
        "CC BY-SA 3.0",
        "https://github.com/google-research-datasets/boolean-questions",
        "Clark et al. 2019, BoolQ, NAACL",
        file_labels=_FALSE_TRUE,
    ),
    "cb": SuperGlueTask(
        "CB",
        "cb",
        ("premise", "hypothesis"),
        _pair("premise", "hypothesis"),
        ("entailment", "contradiction", "neutral"),
        ("accuracy", "macro_f1"),
        _sizes(250, 56, 250),
        JsonlFile({"test": "CB.jsonl"}, ("entailment", "contradiction", "neutral")),
        "Is the speaker of the premise committed to the clause in it?",
        "CC BY-SA 4.0",
        "https://github.com/mcdm/CommitmentBank",
        "De Marneffe, Simons and Tonhauser 2019, The CommitmentBank",
    ),
    "copa": SuperGlueTask(
        "COPA",
        "copa",
        ("premise", "choice"),
        _copa,
        ("wrong", "right"),
        ("accuracy",),
        _sizes(800, 200, 1000),
        ChoiceFile({"test": "COPA.jsonl"}, "choice"),
        "Which of two sentences is the cause or effect of the premise? (a row a choice)",
        "BSD 2-Clause",
        "https://people.ict.usc.edu/~gordon/copa.html",
        "Roemmele, Bejan and Gordon 2011, Choice of Plausible Alternatives, AAAI Spring Symposium",
        file_labels={"0": 0, "1": 1},
        group_metrics={"accuracy": CHOICE_ACCURACY},
    ),
    "multirc": SuperGlueTask(
        "MultiRC",
        "multirc",
        ("paragraph", "answer"),
        _multirc,
        _BOOLEAN,
        ("f1a", "exact_match"),
        _sizes(27243, 4848, 9693),
        MultiRCFile({"test": "MultiRC.jsonl"}),
        "Which answers to the question are right, by the paragraph? (a row an answer)",
        "research use",
        "https://cogcomp.seas.upenn.edu/multirc/",
        "Khashabi et al. 2018, Looking Beyond the Surface, NAACL",
        file_labels=_FALSE_TRUE,
        group_metrics={"f1a": F1A, "exact_match": QUESTION_EXACT_MATCH},
        rows=multirc_rows,
    ),
    "record": SuperGlueTask(
        "ReCoRD",
        "record",
        ("passage", "query"),
        _record,
        ("wrong", "right"),
        ("f1", "exact_match"),
        {},
        ChoiceFile({"test": "ReCoRD.jsonl"}, "entity"),
        "Which entity of the news article is missing in the query? (a row an entity)",
        "Apache 2.0 (questions); texts of CNN and the Daily Mail",
        "https://sheng-z.github.io/ReCoRD-explorer/",
        "Zhang et al. 2018, ReCoRD, arXiv:1810.12885",
        file_labels={"0": 0, "1": 1},
        group_metrics={"f1": mean_of_chosen("f1"), "exact_match": mean_of_chosen("exact_match")},
        rows=record_rows,
    ),
    "rte": SuperGlueTask(
        "RTE",
        "rte",
        ("premise", "hypothesis"),
        _pair("premise", "hypothesis"),
        _ENTAILMENT,
        ("accuracy",),
        _sizes(2490, 277, 3000),
        JsonlFile({"test": "RTE.jsonl"}, _ENTAILMENT),
        "Does the premise entail the hypothesis?",
        "unstated (PASCAL and TAC challenges, research)",
        "https://aclweb.org/aclwiki/Recognizing_Textual_Entailment",
        "Dagan et al. 2006; Bar Haim et al. 2006; Giampiccolo et al. 2007; Bentivogli et al. 2009",
    ),
    "wic": SuperGlueTask(
        "WiC",
        "wic",
        ("sentence1", "sentence2"),
        _wic,
        _BOOLEAN,
        ("accuracy",),
        _sizes(5428, 638, 1400),
        JsonlFile({"test": "WiC.jsonl"}, _BOOLEAN),
        "Has the word the same sense in both sentences?",
        "CC BY-NC 4.0",
        "https://pilehvar.github.io/wic/",
        "Pilehvar and Camacho-Collados 2019, WiC, NAACL",
        file_labels=_FALSE_TRUE,
    ),
    "wsc": SuperGlueTask(
        "WSC",
        "wsc",
        ("text", "noun"),
        _wsc,
        _BOOLEAN,
        ("accuracy",),
        _sizes(554, 104, 146),
        JsonlFile({"test": "WSC.jsonl"}, ("False", "True")),
        "Does the pronoun in asterisks stand for the noun?",
        "CC BY 4.0",
        "https://cs.nyu.edu/~davise/papers/WinogradSchemas/WS.html",
        "Levesque, Davis and Morgenstern 2012, The Winograd Schema Challenge, KR",
        file_labels=_FALSE_TRUE,
    ),
    "axb": SuperGlueTask(
        "AX-b",
        "axb",
        ("sentence1", "sentence2"),
        _pair("sentence1", "sentence2"),
        _ENTAILMENT,
        ("matthews_corrcoef",),
        {"test": 1104},
        JsonlFile({"test": "AX-b.jsonl"}, _ENTAILMENT),
        "Broad diagnostic set, for models trained on RTE",
        "unstated (GLUE)",
        "https://super.gluebenchmark.com/diagnostics",
        _SUPERGLUE,
        files={"test": ("AX-b.jsonl",)},
    ),
    "axg": SuperGlueTask(
        "AX-g",
        "axg",
        ("premise", "hypothesis"),
        _axg,
        _ENTAILMENT,
        ("accuracy", "gender_parity"),
        {"test": 356},
        JsonlFile({"test": "AX-g.jsonl"}, _ENTAILMENT),
        "Winogender schemas, for models trained on RTE: pairs that differ in a pronoun's gender",
        "MIT",
        "https://github.com/rudinger/winogender-schemas",
        "Rudinger et al. 2018, Gender Bias in Coreference Resolution, NAACL",
        group_metrics={"gender_parity": GENDER_PARITY},
        files={"test": ("AX-g.jsonl",)},
    ),
}


def make(
    key: str,
    data_dir: str | os.PathLike | None = None,
    source: str = "auto",
    files: Mapping[str, str] | None = None,
    skip_bad_rows: bool = False,
) -> Task:
    """The task `superglue/<key>`. See the head of this module for the options."""
    entry, name = TASKS[key], f"superglue/{key}"
    prepared = os.path.join("super_glue", entry.tfds)
    data_dir, source = pick_source(name, data_dir, source, files, entry.files, entry.folder, prepared)
    read = partial(_read, key, data_dir, source, dict(files or {}), skip_bad_rows)
    diagnostic = "train" not in entry.files
    return Task(
        name=name,
        kind="classification",
        text_fields=entry.text_fields,
        read=read,
        metrics=entry.metrics,
        main_metric=entry.metrics[0],
        group_metrics=entry.group_metrics,
        labels=entry.labels,
        splits={split: "labelled" if diagnostic or split != "test" else "no labels" for split in entry.files},
        sizes=entry.sizes,
        split_aliases={"validation": "test"} if diagnostic else {},
        licence=entry.licence,
        source_url=entry.source_url,
        description=entry.description,
        citation=f"{entry.citation}; {_SUPERGLUE}" if entry.citation != _SUPERGLUE else _SUPERGLUE,
        submission=entry.submission,
        prompt=prompt_templates.SUPERGLUE[key],
    )


def _read(
    key: str, data_dir: str | None, source: str, files: Mapping[str, str], skip_bad_rows: bool, split: str
) -> Examples:
    entry = TASKS[key]
    if source == "tfds":
        rows = rows_of_tfds(f"super_glue/{entry.tfds}", split, data_dir)
        where = f"tfds:super_glue/{entry.tfds}/{split}"
        reader = RowReader(where, skip_bad_rows)
        made = reader.read(((row.line, row) for row in rows), lambda _, row: [_entries(entry, row)])
    else:
        folders = {other.folder: (other.folder,) for other in TASKS.values()}
        where = find_file(
            "SuperGLUE",
            f"superglue/{key}",
            data_dir,
            (entry.folder,),
            entry.files[split],
            files.get(split),
            split,
            folders,
        )
        reader = RowReader(where, skip_bad_rows)
        made = reader.json_lines(lambda line, record: [_entries(entry, row) for row in entry.rows(where, line, record)])
    return _examples(entry, reader, where, [one for of_line in made for one in of_line])


def _entries(entry: SuperGlueTask, row: SourceRow) -> tuple[SourceRow, list[Entry]]:
    """A row and its examples, whose labels are checked."""
    numbers, made = _numbers(entry), list(entry.entries(row))
    for one in made:
        if one.label is not None and one.label not in numbers:
            raise DataError(
                row.path, row.line, f"unknown label. Expected one of: {', '.join(numbers)}. Received: {one.label!r}."
            )
    return row, made


def _numbers(entry: SuperGlueTask) -> Mapping[str, int]:
    return entry.file_labels or {name: number for number, name in enumerate(entry.labels)}


def _examples(
    entry: SuperGlueTask, reader: RowReader, where: str, rows: list[tuple[SourceRow, list[Entry]]]
) -> Examples:
    unlabelled = [row for row, made in rows for one in made if one.label is None]
    if unlabelled and any(one.label is not None for _, made in rows for one in made):
        error = DataError(
            where,
            unlabelled[0].line,
            "this row has no label, but others have. Expected a label in every row, or in none.",
        )
        if not reader.skip_bad_rows:
            raise error
        lines = sorted({row.line for row in unlabelled})
        reader.skipped += lines
        reader.first_error = reader.first_error or str(error)
        rows = [(row, made) for row, made in rows if row.line not in lines]
    numbers, texts, ids, labels, columns = _numbers(entry), ([], []), [], [], {}
    for _, made in rows:
        for one in made:
            for column, text in zip(texts, one.texts):
                column.append(text)
            ids.append(one.id)
            for column, value in one.columns.items():
                columns.setdefault(column, []).append(value)
            if one.label is not None:
                labels.append(numbers[one.label])
    if not ids:
        raise DataError(where, None, "expected rows of data. Received: none.")
    blank = sum(not text for column in texts for text in column)
    report = reader.report((f"{blank} empty texts, kept",) if blank else ())
    return Examples(
        texts,
        np.array(labels, np.int32) if labels else None,
        ids,
        where,
        replace(report, rows_read=len(rows) + report.skipped),
        entry.labels,
        columns,
    )


for _key in TASKS:
    register(f"superglue/{_key}", partial(make, _key))
