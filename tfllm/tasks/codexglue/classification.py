"""CodeXGLUE's classifications: Devign (defects), BigCloneBench (clones), WebQueryTest (code search)."""

from __future__ import annotations

import numpy as np

from tfllm.data.examples import Examples
from tfllm.data.row_reader import RowReader
from tfllm.errors import DataError
from tfllm.tasks.codexglue.common import SPLIT_FILES, PlainLines, Source, codexglue_task, json_items, label_of, text_of

_BITS = ("0", "1")


def _read_devign(source: Source, split: str) -> Examples:
    """`function.json` and the split's row numbers in it; or the preprocessed `train.jsonl`."""
    ready = source.has(f"{SPLIT_FILES[split]}.jsonl")
    if ready:
        reader = source.reader(ready)

        def parse(line: int, record: dict):
            return str(record.get("idx", line - 1)), text_of(ready, line, record, "func"), _target(ready, line, record)

        return _labelled(reader.json_lines(parse), reader, ready)
    functions_path = source.path(split, "function.json")
    functions = [record for _, record in json_items(functions_path)]
    path = source.path(split, f"{SPLIT_FILES[split]}.txt")
    reader = source.reader(path)

    def pick(line: int, text: str):
        if not text.strip().isdigit() or int(text) >= len(functions):
            raise DataError(path, line, f"expected a row number of {functions_path}, 0 to {len(functions) - 1}. "
                                        f"Received: {text[:40]!r}.")  # fmt: skip
        record = functions[int(text)]
        row = int(text) + 1
        return str(int(text)), text_of(functions_path, row, record, "func"), _target(functions_path, row, record)

    return _labelled(reader.text_lines(pick), reader, path)


def _target(path: str, line: int, record: dict) -> int:
    if "target" not in record:
        raise DataError(path, line, f"no 'target'. Received: {', '.join(map(str, record))}.")
    return label_of(path, line, record["target"])


def _labelled(rows: list, reader: RowReader, source: str) -> Examples:
    ids, texts, labels = zip(*rows)
    return Examples((list(texts),), np.array(labels), list(ids), source, reader.report(), _BITS)


def _read_bigclonebench(source: Source, split: str) -> Examples:
    """`data.jsonl` holds the functions, the split's lines are `id<TAB>id<TAB>label`."""
    functions_path = source.path(split, "data.jsonl")
    functions: dict[str, str] = {}

    def add(line: int, record: dict) -> None:
        if "idx" not in record:
            raise DataError(functions_path, line, f"no 'idx'. Received: {', '.join(map(str, record))}.")
        functions[str(record["idx"])] = text_of(functions_path, line, record, "func")

    source.reader(functions_path).json_lines(add)
    path = source.path(split, f"{SPLIT_FILES[split]}.txt")
    reader = source.reader(path)

    def parse(line: int, text: str):
        fields = text.split("\t")
        if len(fields) != 3:
            raise DataError(path, line, f"expected 3 fields (two ids and a label). Received: {len(fields)}.")
        unknown = [id_ for id_ in fields[:2] if id_ not in functions]
        if unknown:
            raise DataError(path, line, f"{functions_path} has no function {unknown[0]!r}.")
        return fields[0], fields[1], label_of(path, line, fields[2])

    first, second, labels = zip(*reader.text_lines(parse))
    texts = [functions[id_] for id_ in first], [functions[id_] for id_ in second]
    columns = {"first": list(first), "second": list(second)}
    return Examples(texts, np.array(labels), None, path, reader.report(), _BITS, columns)


_WEBQUERY_FILES = {
    "train": ("cosqa-train.json", "train_codesearchnet_7.json", "train_codesearchnet_31.json"),
    "validation": ("cosqa-dev.json", "dev_codesearchnet.json"),
    "test": ("test_webquery.json",),
}


def _read_webquery(source: Source, split: str) -> Examples:
    """Lists of `{"idx", "doc", "code", "label"}`; the test set has no labels."""
    path = source.path(split, *_WEBQUERY_FILES[split])
    reader = source.reader(path)

    def parse(line: int, record: dict):
        label = record.get("label")
        return (
            str(record.get("idx", line - 1)),
            text_of(path, line, record, "doc"),
            text_of(path, line, record, "code"),
            None if label is None else label_of(path, line, label),
        )

    ids, queries, codes, labels = zip(*reader.read(json_items(path), parse))
    if None in labels and any(label is not None for label in labels):
        raise DataError(path, labels.index(None) + 1, "this example has no label, but others have.")
    known = None if None in labels else np.array(labels)
    return Examples((list(queries), list(codes)), known, list(ids), path, reader.report(), _BITS)


_COMMON = {"kind": "classification", "labels": _BITS}

codexglue_task(
    "codexglue/devign",
    _read_devign,
    ["Code-Code/Defect-detection/dataset"],
    {
        **_COMMON,
        "text_fields": ("func",),
        "metrics": ("accuracy",),
        "main_metric": "accuracy",
        "splits": {split: "C functions of FFmpeg and QEMU" for split in SPLIT_FILES},
        "sizes": {"train": 21854, "validation": 2732, "test": 2732},
        "description": "Defect detection: is this C function vulnerable? (Devign, Zhou et al. 2019)",
        "submission": PlainLines({"test": "predictions.txt"}),
    },
)
codexglue_task(
    "codexglue/bigclonebench",
    _read_bigclonebench,
    ["Code-Code/Clone-detection-BigCloneBench/dataset"],
    {
        **_COMMON,
        "text_fields": ("first", "second"),
        "metrics": ("f1", "accuracy"),
        "main_metric": "f1",
        "splits": {split: "pairs of Java functions" for split in SPLIT_FILES},
        "sizes": {"train": 901028, "validation": 415416, "test": 415416},
        "description": "Clone detection: do two Java functions do the same? (BigCloneBench, Svajlenko et al. 2014)",
        "submission": PlainLines({"test": "predictions.txt"}, ("first", "second")),
    },
)
codexglue_task(
    "codexglue/webquery",
    _read_webquery,
    ["Text-Code/NL-code-search-WebQuery/data", "Text-Code/NL-code-search-WebQuery"],
    {
        **_COMMON,
        "text_fields": ("query", "code"),
        "metrics": ("accuracy", "f1"),
        "main_metric": "accuracy",
        "splits": {"train": "CoSQA", "validation": "CoSQA", "test": "WebQueryTest, without labels"},
        "sizes": {"train": 20000, "validation": 604, "test": 1046},
        "description": "Code search: does this Python function answer a web query? (WebQueryTest; trained on CoSQA)",
        "submission": PlainLines({"test": "webquery_predictions.txt"}),
    },
)
