"""CodeXGLUE's texts that are generated: refinement, translation and generation of code, its summaries, translated manuals.

Lines are stripped and runs of white space in CodeSearchNet's tokens become one space, as the repository's scripts do.
"""

from __future__ import annotations

import glob
import os
from functools import partial

from tfllm.data.examples import Examples
from tfllm.data.parallel import parallel_examples, read_parallel
from tfllm.data.row_reader import RowReader
from tfllm.errors import DataError
from tfllm.tasks.codexglue.common import LANGUAGES, SPLIT_FILES, Source, codexglue_task, text_of
from tfllm.tasks.text_kind import GeneratedTextKind, TextLines, with_options

CODE_METRICS = ("smoothed_bleu", "exact_match", "code_bleu")
_NAMES = {"da": "Danish", "lv": "Latvian", "no": "Norwegian", "zh": "Chinese", "en": "English"}
_DEV = {"train": "train", "validation": "dev", "test": "test"}


def _strategy(target_language: str, **options) -> GeneratedTextKind:
    return with_options(GeneratedTextKind(target_language=target_language), **options)


def _text_task(
    name: str, read, folders, metrics, sizes, description: str, submission: TextLines, main=None, language: str = ""
) -> None:
    codexglue_task(
        name,
        read,
        folders,
        {
            "kind": "text",
            "text_fields": ("source",),
            "metrics": metrics,
            "main_metric": main or metrics[0],
            "splits": {split: "labelled" for split in SPLIT_FILES},
            "sizes": sizes,
            "description": description,
            "submission": submission,
        },
        strategy=partial(_strategy, language),
    )


def _read_lines(names, source: Source, split: str) -> Examples:
    """Two files, line by line. `names` gives them for a split."""
    paths = [source.path(split, *options) for options in names(split)]
    examples = read_parallel(paths[0], paths[1:], source.skip_bad_rows)
    columns = {"references": [tuple(text.strip() for text in group) for group in examples.columns["references"]]}
    texts = [text.strip() for text in examples.texts[0]]
    return Examples((texts,), None, None, examples.source, examples.report, None, columns)


def _refinement_names(size: str, split: str):
    return [
        [f"{size}/{SPLIT_FILES[split]}.buggy-fixed.{side}", f"{SPLIT_FILES[split]}.buggy-fixed.{side}"]
        for side in ("buggy", "fixed")
    ]


def _translation_names(source: str, target: str, split: str):
    return [[f"{SPLIT_FILES[split]}.java-cs.txt.{side}"] for side in (source, target)]


def _documentation_names(pair: str, source: str, target: str, split: str):
    names = [f"{pair}.{_DEV[split]}.{side}" for side in (source, target)]
    return [[f"{_DEV[split]}/{name}", name] for name in names]


def _read_concode(source: Source, split: str) -> Examples:
    """Lines of `{"nl", "code"}`; the test set's code is empty."""
    path = source.path(split, f"{_DEV[split]}.json")
    reader = source.reader(path)
    rows = reader.json_lines(
        lambda line, record: (text_of(path, line, record, "nl").strip(), text_of(path, line, record, "code").strip())
    )
    empty = [number for number, (_, code) in enumerate(rows, 1) if not code]
    if empty and len(empty) != len(rows):
        raise DataError(path, empty[0], "this example has no code, but others have.")
    references = None if empty else [(code,) for _, code in rows]
    return parallel_examples([text for text, _ in rows], references, reader, path)


def read_codesearchnet(source: Source, split: str, language: str) -> tuple[str, RowReader, list[dict]]:
    """The functions of a split: of the preprocessed `train.jsonl`, or of CodeSearchNet's own files by the split's URLs.

    Returns:
        Where they are from, what read them, and the records.

    Raises:
        DataError: files are missing or damaged, or a URL is in none of CodeSearchNet's files.
    """
    name = SPLIT_FILES[split]
    ready = source.has(f"{language}/{name}.jsonl", f"{name}.jsonl")
    if ready:
        reader = source.reader(ready)
        return ready, reader, reader.json_lines(lambda line, record: _checked_function(ready, line, record))
    urls_path = source.path(split, f"{language}/{name}.txt", f"{name}.txt")
    folders = [os.path.join(source.data_dir, folder, *below) for folder in source.folders
               for below in ((language, "final", "jsonl"), (language, language, "final", "jsonl"))]  # fmt: skip
    archives = sorted({p for folder in folders for p in glob.glob(os.path.join(glob.escape(folder), "*", "*.jsonl*"))})
    if not archives:
        raise DataError(
            source.data_dir, None, f"no CodeSearchNet files {language}/final/jsonl/*/*.jsonl.gz for {source.name}."
        )
    functions: dict[str, dict] = {}
    for path in archives:

        def add(line: int, record: dict, path: str = path) -> None:
            functions.setdefault(text_of(path, line, record, "url"), record)

        source.reader(path).json_lines(add)
    reader = source.reader(urls_path)

    def pick(line: int, text: str) -> dict:
        if text.strip() not in functions:
            raise DataError(urls_path, line, f"none of {len(archives)} files of CodeSearchNet has {text.strip()!r}.")
        return _checked_function(urls_path, line, functions[text.strip()])

    return urls_path, reader, reader.text_lines(pick)


def _checked_function(path: str, line: int, record: dict) -> dict:
    for names in (("code_tokens", "function_tokens"), ("docstring_tokens",)):
        value = next((record[name] for name in names if name in record), None)
        if not isinstance(value, list) or not all(isinstance(token, str) for token in value):
            raise DataError(path, line, f"{names[0]!r} must be a list of texts. Received: {str(value)[:60]!r}.")
    return record


def _read_summaries(language: str, source: Source, split: str) -> Examples:
    path, reader, records = read_codesearchnet(source, split, language)
    sources = [joined(record.get("code_tokens", record.get("function_tokens"))) for record in records]
    targets = [(" ".join(" ".join(record["docstring_tokens"]).replace("\n", "").split()),) for record in records]
    return parallel_examples(sources, targets, reader, path)


def joined(tokens: list[str]) -> str:
    """Code tokens as one line."""
    return " ".join(" ".join(tokens).split())


_LINES = TextLines({"test": "predictions.txt"})

for _size, _rows in (("small", (46680, 5835, 5835)), ("medium", (52364, 6545, 6545))):
    _text_task(
        f"codexglue/refinement_{_size}",
        partial(_read_lines, partial(_refinement_names, _size)),
        ["Code-Code/code-refinement/data"],
        CODE_METRICS,
        dict(zip(SPLIT_FILES, _rows)),
        f"Code refinement: fix the bug of a {_size} Java function (Bugs2Fix, Tufano et al. 2019)",
        _LINES,
        "exact_match",
        language="java",
    )
for _source, _target in (("java", "cs"), ("cs", "java")):
    _text_task(
        f"codexglue/translation_{_source}_{_target}",
        partial(_read_lines, partial(_translation_names, _source, _target)),
        ["Code-Code/code-to-code-trans/data"],
        CODE_METRICS,
        {"train": 10295, "validation": 499, "test": 1000},  # of the repository's files; its README says 10,300 and 500
        f"Code translation: {'Java to C#' if _source == 'java' else 'C# to Java'}",
        _LINES,
        language={"java": "java", "cs": "c_sharp"}[_target],
    )
_text_task(
    "codexglue/concode",
    _read_concode,
    ["Text-Code/text-to-code/dataset/concode", "Text-Code/text-to-code/dataset"],
    ("smoothed_bleu", "token_exact_match", "code_bleu"),
    {"train": 100000, "validation": 2000, "test": 2000},
    "Code generation: a Java method from its documentation and class (CONCODE, Iyer et al. 2018)",
    _LINES,
    "token_exact_match",
    language="java",
)
_SUMMARY_SIZES = {
    "go": (167288, 7325, 8122), "java": (164923, 5183, 10955), "javascript": (58025, 3885, 3291),
    "php": (241241, 12982, 14014), "python": (251820, 13914, 14918), "ruby": (24927, 1400, 1261),
}  # fmt: skip
for _language in LANGUAGES:
    _text_task(
        f"codexglue/summarization_{_language}",
        partial(_read_summaries, _language),
        [f"Code-Text/code-to-text/dataset/{_language}", "Code-Text/code-to-text/dataset"],
        ("sentence_bleu",),
        dict(zip(SPLIT_FILES, _SUMMARY_SIZES[_language])),
        f"Code summarisation: the comment of a function in {_language} (CodeSearchNet, Husain et al. 2019)",
        TextLines({"test": "test_1.output"}, numbered=True),
    )
_TRAIN_SIZES = {"lv": 18749}
for _code in ("da", "lv", "no", "zh"):
    for _source, _target in ((_code, "en"), ("en", _code)):
        _text_task(
            f"codexglue/documentation_{_source}_{_target}",
            partial(_read_lines, partial(_documentation_names, f"{_code}-en", _source, _target)),
            ["Text-Text/text-to-text/data"],
            ("smoothed_bleu", "exact_match"),
            {**({"train": _TRAIN_SIZES[_code]} if _code in _TRAIN_SIZES else {}), "validation": 1000, "test": 1000},
            f"Documentation translation: Microsoft Docs, {_NAMES[_source]} to {_NAMES[_target]}",
            _LINES,
        )
