"""SuperGLUE's records, from the original JSON lines or from TFDS, to the same flat rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tfllm.data.json_records import member
from tfllm.errors import DataError


@dataclass(frozen=True)
class SourceRow:
    """A row: one question with one answer, where a record has several.

    Attributes:
        path, line: where it stands, for messages.
        idx: the record's own number; of MultiRC and ReCoRD those of passage, question (and answer).
        fields: texts and numbers by name.
        label: the label as text in lower case, `None` where there is none.
    """

    path: str
    line: int | None
    idx: tuple[int, ...]
    fields: dict[str, Any] = field(repr=False)
    label: str | None = None

    def text(self, name: str) -> str:
        return member(self.path, self.line, self.fields, name, str)

    def number(self, name: str) -> int:
        return member(self.path, self.line, self.fields, name, int)

    def texts(self, name: str) -> list[str]:
        return member(self.path, self.line, self.fields, name, list)


def label_name(value) -> str | None:
    """A label as text: files say `true`, `"true"`, `"True"` or 1. -1 and null are no label.

    Example:
        >>> label_name(True), label_name("True"), label_name(-1)
        ('true', 'true', None)
    """
    return None if value is None or value == -1 else str(value).lower()


def plain_rows(path: str, line: int, record: dict) -> Iterator[SourceRow]:
    """The row of a record that is flat: of all but MultiRC and ReCoRD. Members of WSC's `target` are fields too."""
    target = record.get("target")
    fields = {**record, **target} if isinstance(target, dict) else record
    yield SourceRow(path, line, (_idx(path, line, record),), fields, label_name(record.get("label")))


def multirc_rows(path: str, line: int, record: dict) -> Iterator[SourceRow]:
    """A row an answer: `paragraph`, `question`, `answer`."""
    passage = member(path, line, record, "passage", dict)
    for question in _objects(path, line, passage, "questions"):
        for answer in _objects(path, line, question, "answers"):
            fields = {
                "paragraph": passage.get("text"),
                "question": question.get("question"),
                "answer": answer.get("text"),
            }
            idx = tuple(_idx(path, line, part) for part in (record, question, answer))
            yield SourceRow(path, line, idx, fields, label_name(answer.get("label")))


def record_rows(path: str, line: int, record: dict) -> Iterator[SourceRow]:
    """A row a query: `passage`, `query`, `entities` (their different texts, sorted) and `answers`, where they are known."""
    passage = member(path, line, record, "passage", dict)
    text = member(path, line, passage, "text", str)
    spans = [
        (member(path, line, entity, "start", int), member(path, line, entity, "end", int))
        for entity in _objects(path, line, passage, "entities")
    ]
    entities = sorted({text[start : end + 1] for start, end in spans})  # the end is the last character itself
    for query in _objects(path, line, record, "qas"):
        fields = {"passage": text, "query": query.get("query"), "entities": entities}
        answers = None
        if query.get("answers"):
            answers = [member(path, line, a, "text", str) for a in _objects(path, line, query, "answers")]
        fields["answers"] = answers
        yield SourceRow(path, line, tuple(_idx(path, line, part) for part in (record, query)), fields)


def rows_of_tfds(builder: str, split: str, data_dir: str | None) -> list[SourceRow]:
    """The rows of a split of a TFDS builder, in the order of their idx.

    Raises:
        UserError: as `tfllm.data.read_tfds`.
    """
    from tfllm.data.sources_tfds import tfds_records

    where, names, records = tfds_records(builder, split, data_dir)
    rows = []
    for record in records:
        idx = record.pop("idx")
        # The members of an idx are passage, question or query, and answer: in this order by their size in the file.
        order = ("paragraph", "passage", "question", "query", "answer")
        numbers = tuple(idx[name] for name in order if name in idx) if isinstance(idx, dict) else (idx,)
        label = record.pop("label", None)
        named = names[label] if names and label is not None and label >= 0 else label
        record["answers"] = record.get("answers") or None
        rows.append(SourceRow(where, None, numbers, record, label_name(named)))
    return sorted(rows, key=lambda row: row.idx)


def _objects(path, line: int, record: dict, key: str) -> Iterable[dict]:
    for value in member(path, line, record, key, list):
        if not isinstance(value, dict):
            raise DataError(path, line, f"{key!r} must hold objects. Received: {str(value)[:80]!r}.")
        yield value


def _idx(path, line: int, record: dict) -> int:
    """AX-b's file has its numbers as text."""
    value = record.get("idx")
    if isinstance(value, bool) or not str(value).isdecimal():
        raise DataError(path, line, f"'idx' must be a whole number from 0. Received: {value!r}.")
    return int(value)
