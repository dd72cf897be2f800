"""SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018): `squad/v1.1` and `squad/v2.0`.

Read from the official JSON (`train-v1.1.json`, `dev-v1.1.json`, ...), from Hugging Face's flat form of it, or from TFDS. The
official test sets are hidden, so `validation` is the dev set.

Options of `tfllm.tasks.get("squad/...", data_dir=..., **options)`: `source` and `files` as in `tfllm.tasks.glue`; `stride`,
`skip_bad_rows`: leave questions out that are damaged, and count them; `max_question`, `max_answer`, `n_best`, `null_threshold`: see `tfllm.tasks.span.SpanKind`. Give `max_length=384` to training and evaluation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial

from tfllm.data.examples import Examples
from tfllm.data.json_records import member
from tfllm.data.lines import decoded_lines
from tfllm.data.row_reader import RowReader
from tfllm.errors import DataError, UserError
from tfllm.tasks.benchmark_files import find_file, pick_source
from tfllm.tasks.registry import register
from tfllm.tasks.span import PredictionsJson, SpanKind, with_options
from tfllm.tasks.task import Task

_SIZES = {"v1.1": {"train": 87599, "validation": 10570}, "v2.0": {"train": 130319, "validation": 11873}}
_CITATIONS = {
    "v1.1": "Rajpurkar et al. 2016, SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP",
    "v2.0": "Rajpurkar, Jia and Liang 2018, Know What You Don't Know: Unanswerable Questions for SQuAD, ACL",
}
_FOLDERS = ("squad", "SQuAD")


def make(
    version: str,
    data_dir: str | os.PathLike | None = None,
    source: str = "auto",
    files: Mapping[str, str] | None = None,
    stride: int | None = None,
    max_question: int | None = None,
    max_answer: int | None = None,
    n_best: int | None = None,
    null_threshold: float | None = None,
    skip_bad_rows: bool = False,
) -> Task:
    """The task `squad/<version>`. See the head of this module for the options."""
    name, sizes = f"squad/{version}", _SIZES[version]
    data_dir, source = pick_source(name, data_dir, source, files, sizes, "squad", os.path.join("squad", version))
    unanswerable = version == "v2.0"
    if null_threshold is not None and not unanswerable:
        raise UserError(
            f"{name}: every question has an answer, so there is no null_threshold. Received: {null_threshold}."
        )
    kind = SpanKind(unanswerable=unanswerable)
    return Task(
        name=name,
        kind="span",
        strategy=with_options(
            kind,
            stride=stride,
            max_question=max_question,
            max_answer=max_answer,
            n_best=n_best,
            null_threshold=null_threshold,
        ),
        text_fields=("question", "context"),
        read=partial(_read, version, data_dir, source, dict(files or {}), skip_bad_rows),
        metrics=("f1", "exact_match"),
        main_metric="f1",
        splits={split: "labelled" for split in sizes},
        sizes=sizes,
        licence="CC BY-SA 4.0",
        source_url="https://rajpurkar.github.io/SQuAD-explorer/",
        description="Answer a question by a span of a Wikipedia paragraph"
        + (", or say that it has no answer" if unanswerable else ""),
        citation=_CITATIONS[version],
        submission=PredictionsJson({"validation": "predictions.json"}),
    )


def _read(
    version: str, data_dir: str | None, source: str, files: Mapping[str, str], skip_bad_rows: bool, split: str
) -> Examples:
    if source == "tfds":
        from tfllm.data.sources_tfds import tfds_records

        where, _, questions = tfds_records(f"squad/{version}", split, data_dir)
    else:
        official = {"train": f"train-{version}.json", "validation": f"dev-{version}.json"}
        where = find_file(
            "SQuAD", f"squad/{version}", data_dir, _FOLDERS, (official[split],), files.get(split), split, {}
        )
        questions = read_questions(where)
    reader = RowReader(where, skip_bad_rows)  # a file of JSON has one line, often: its rows are the questions

    def parse(number: int, question: dict) -> tuple[str, str, str, tuple | None]:
        id_, context = member(where, None, question, "id", str), member(where, None, question, "context", str)
        return id_, member(where, None, question, "question", str), context, _answers(where, question, context, id_)

    ids, *texts, answers = map(list, zip(*reader.read(enumerate(questions, 1), parse)))
    labelled = all(given is not None and (given or version == "v2.0") for given in answers)
    if not labelled and any(answers):
        row = next(row for row, given in enumerate(answers) if not given)
        raise DataError(
            where, None, f"question {ids[row]!r} has no answer, but others have. Is it SQuAD 2.0 (--task=squad/v2.0)?"
        )
    return Examples(texts, None, ids, where, reader.report(), None, {"answers": answers} if labelled else {})


def read_questions(path: str | os.PathLike) -> Iterator[dict]:
    """The questions of a SQuAD file, each with its `context`: official (articles, paragraphs) or flat.

    Raises:
        DataError: broken JSON, or what is missing and where.
    """
    text = "\n".join(line for _, line in decoded_lines(path))
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(path, getattr(error, "lineno", None), f"broken JSON: {error}. Is the file cut short?") from None
    if not isinstance(content, dict):
        raise DataError(path, None, f"expected an object with 'data'. Received: {type(content).__name__}.")
    for article in _objects(path, content, "data"):
        if "paragraphs" not in article:
            yield article
            continue
        for paragraph in _objects(path, article, "paragraphs"):
            for question in _objects(path, paragraph, "qas"):
                yield {**question, "context": member(path, None, paragraph, "context", str)}


def _objects(path: str | os.PathLike, record: dict, key: str) -> Iterator[dict]:
    for value in member(path, None, record, key, list):
        if not isinstance(value, dict):
            raise DataError(path, None, f"{key!r} must hold objects. Received: {str(value)[:80]!r}.")
        yield value


def _answers(where: str, question: dict, context: str, id_: str) -> tuple[tuple[str, int], ...] | None:
    """The answers, as text and first character; none for an unanswerable question; `None` where they are not told."""
    given = question.get("answers")
    if given is None:
        return None
    if isinstance(given, dict):  # the flat form: a list of texts, and one of places
        texts, starts = (member(where, None, given, key, list) for key in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise DataError(
                where,
                None,
                f"question {id_!r}: expected a place for each of {len(texts)} answers. Received: {len(starts)}.",
            )
        given = [{"text": text, "answer_start": start} for text, start in zip(texts, starts)]
    given = list(_objects(where, {"answers": given}, "answers"))
    answers = []
    for answer in given:
        text, start = member(where, None, answer, "text", str), member(where, None, answer, "answer_start", int)
        if context[start : start + len(text)] != text:
            raise DataError(
                where,
                None,
                f"question {id_!r}: the context must hold the answer {text[:60]!r} at character {start}. "
                f"Received: {context[start : start + len(text)][:60]!r}. Is answer_start counted in bytes?",
            )
        answers.append((text, start))
    return tuple(answers)


for _version in _SIZES:
    register(f"squad/{_version}", partial(make, _version))
