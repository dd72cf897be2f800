"""CodeXGLUE's retrieval: POJ-104 (programs that solve the same problem) and AdvTest (code for a docstring)."""

from __future__ import annotations

import os

from tfllm.data.examples import Examples
from tfllm.data.row_reader import as_text
from tfllm.errors import DataError
from tfllm.tasks.codexglue.common import SPLIT_FILES, Source, codexglue_task, text_of
from tfllm.tasks.codexglue.text import joined, read_codesearchnet
from tfllm.tasks.retrieval import RankedAnswers, RetrievalKind

_PROBLEMS = {"train": (1, 64), "validation": (65, 80), "test": (81, 104)}


def _read_poj104(source: Source, split: str) -> Examples:
    """`ProgramData/<problem>/<n>.txt`, as it is downloaded; or the preprocessed `train.jsonl`."""
    ready = source.has(f"{SPLIT_FILES[split]}.jsonl")
    if ready:
        reader = source.reader(ready)
        rows = reader.json_lines(
            lambda line, record: (
                str(record.get("index", line - 1)),
                str(record.get("label", "")),
                text_of(ready, line, record, "code"),
            )
        )
        where = ready
    else:
        where = next(
            (path for folder in source.folders
             if os.path.isdir(path := os.path.join(source.data_dir, folder, "ProgramData"))), None
        )  # fmt: skip
        if where is None:
            raise DataError(
                source.data_dir, None, f"no {SPLIT_FILES[split]}.jsonl and no ProgramData/ for {source.name}."
            )
        first, last = _PROBLEMS[split]
        files = [
            (problem, os.path.join(where, str(problem), name))
            for problem in range(first, last + 1)
            for name in sorted(_files(os.path.join(where, str(problem))), key=_number)
        ]
        reader = source.reader(where)
        before = _before(where, first)

        def parse(number: int, item):
            problem, path = item
            with open(path, "rb") as file:
                # The programs came in the encodings of their authors; the repository reads them as latin-1.
                raw = file.read()
            try:
                code = as_text(path, 1, raw)
            except DataError:
                code = raw.decode("latin-1")
            return str(before + number - 1), str(problem), code

        rows = reader.read(enumerate(files, 1), parse)
    ids, groups, texts = zip(*rows)
    return Examples((list(texts),), None, list(ids), where, reader.report(), None, {"group": list(groups)})


def _files(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        raise DataError(folder, None, "there is no such directory. Expected the programs of one problem.")
    return os.listdir(folder)


def _before(where: str, first: int) -> int:
    """Programs of the splits before: the numbers of examples run through all of them."""
    return sum(len(_files(os.path.join(where, str(problem)))) for problem in range(1, first)
               if os.path.isdir(os.path.join(where, str(problem))))  # fmt: skip


def _number(name: str) -> tuple[int, str]:
    stem = os.path.splitext(name)[0]
    return (int(stem) if stem.isdigit() else 1 << 60, name)


def _read_advtest(source: Source, split: str) -> Examples:
    """Docstrings and functions; in validation and test, names are replaced (`test_code.jsonl`)."""
    codes: dict[str, list[str]] = {}
    path = source.has("test_code.jsonl")
    if split != "train" and path:
        source.reader(path).json_lines(
            lambda line, record: codes.setdefault(text_of(path, line, record, "url"), record.get("function_tokens"))
        )
    where, reader, records = read_codesearchnet(source, split, "python")
    queries, functions, ids, urls = [], [], [], []
    for number, record in enumerate(records):
        tokens = codes.get(record.get("url", "")) or record.get("function_tokens") or record["code_tokens"]
        queries.append(joined(record["docstring_tokens"]))
        functions.append(joined(tokens))
        ids.append(str(record.get("idx", number)))
        urls.append(str(record.get("url", number)))
    return Examples((queries, functions), None, ids, where, reader.report(), None, {"url": urls})


codexglue_task(
    "codexglue/poj104",
    _read_poj104,
    ["Code-Code/Clone-detection-POJ-104/dataset"],
    {
        "kind": "retrieval",
        "strategy": RetrievalKind(keep=499),
        "text_fields": ("code",),
        "metrics": ("map_at_r",),
        "main_metric": "map_at_r",
        "splits": {split: f"problems {first} to {last}" for split, (first, last) in _PROBLEMS.items()},
        "sizes": {"train": 32000, "validation": 8000, "test": 12000},
        "description": "Clone detection: find the C programs that solve the same problem (POJ-104, Mou et al. 2016)",
        "submission": RankedAnswers({"test": "predictions.jsonl"}),
    },
)
codexglue_task(
    "codexglue/advtest",
    _read_advtest,
    ["Text-Code/NL-code-search-Adv/dataset"],
    {
        "kind": "retrieval",
        "strategy": RetrievalKind(keep=1000),
        "text_fields": ("docstring", "code"),
        "metrics": ("mrr",),
        "main_metric": "mrr",
        "splits": {
            split: "Python functions" + ("" if split == "train" else ", names replaced") for split in SPLIT_FILES
        },
        "sizes": {"train": 251820, "validation": 9604, "test": 19210},
        "description": "Code search: find the Python function of a docstring, its names replaced (AdvTest)",
        "submission": RankedAnswers({"test": "predictions.jsonl"}, "url"),
    },
)
