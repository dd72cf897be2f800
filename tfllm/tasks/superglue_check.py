"""What a valid SuperGLUE prediction file holds. It shares no code and no table with what writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from tfllm.tasks.problems import Problem

_TRUE_FALSE = ("true", "false", "True", "False", True, False)
_ENTAILMENT = ("entailment", "not_entailment")

# File name to the number of test lines and the labels allowed; `None`: see the checks of these files.
OFFICIAL = {
    "BoolQ.jsonl": (3245, _TRUE_FALSE),
    "CB.jsonl": (250, ("entailment", "contradiction", "neutral")),
    "COPA.jsonl": (500, (0, 1)),
    "MultiRC.jsonl": (166, None),
    "ReCoRD.jsonl": (10000, None),
    "RTE.jsonl": (3000, _ENTAILMENT),
    "WiC.jsonl": (1400, _TRUE_FALSE),
    "WSC.jsonl": (146, _TRUE_FALSE),
    "AX-b.jsonl": (1104, _ENTAILMENT),
    "AX-g.jsonl": (356, _ENTAILMENT),
}
MULTIRC_ANSWERS = 9693

# An answer of MultiRC takes some 30 bytes; an entity of ReCoRD is at most a long name.
LIMITS = {
    name: MULTIRC_ANSWERS * 64 if name == "MultiRC.jsonl" else (rows + 2) * (512 if allowed is None else 80)
    for name, (rows, allowed) in OFFICIAL.items()
}


def check_content(name: str, content: bytes) -> Iterator[Problem]:
    """The problems of a prediction file, one after the other."""
    rows, allowed = OFFICIAL[name]
    problem = partial(Problem, name)
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        yield problem(line, f"expected UTF-8. Received: byte 0x{content[error.start]:02x}.")
        return
    if lines[-1] == "":
        lines.pop()
    if len(lines) != rows:
        yield problem(len(lines), f"expected {rows} lines. Received: {len(lines)}.")
    answers = 0
    for index, text in enumerate(lines):
        line = index + 1
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            yield problem(line, f"expected a JSON object. Received: {text[:60]!r}.")
            continue
        if not isinstance(record, dict):
            yield problem(line, f"expected a JSON object. Received: {text[:60]!r}.")
            continue
        # Lines are numbered from 0: of MultiRC passages, of ReCoRD queries, which go on from passage to passage.
        if not _same(record.get("idx"), index):
            yield problem(line, f"expected idx {index}. Received: {record.get('idx')!r}.")
        if name == "MultiRC.jsonl":
            try:
                answers += _count_answers(record)
            except (KeyError, TypeError, ValueError):
                form = '{"passage": {"questions": [{"idx": .., "answers": [{"idx": .., "label": 0 or 1}]}]}}'
                yield problem(line, f"expected {form}. Received: {text[:60]!r}.")
        elif name == "ReCoRD.jsonl":
            if not isinstance(record.get("label"), str) or not record["label"]:
                yield problem(line, f"expected the text of an entity as label. Received: {record.get('label')!r}.")
        elif not any(_same(record.get("label"), value) for value in allowed):
            shown = ", ".join(dict.fromkeys(str(value) for value in allowed))
            yield problem(line, f"expected a label among {shown}. Received: {record.get('label')!r}.")
    if name == "MultiRC.jsonl" and answers != MULTIRC_ANSWERS:
        yield problem(None, f"expected {MULTIRC_ANSWERS} answers. Received: {answers}.")


def _count_answers(record: dict) -> int:
    count = 0
    for question in record["passage"]["questions"]:
        if not _is_number(question["idx"]):
            raise ValueError
        for answer in question["answers"]:
            if not _is_number(answer["idx"]) or not any(_same(answer["label"], value) for value in (0, 1)):
                raise ValueError
            count += 1
    return count


def _same(value, expected) -> bool:
    return type(value) is type(expected) and value == expected  # True is no 1


def _is_number(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
