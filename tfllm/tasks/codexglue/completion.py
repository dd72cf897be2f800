"""CodeXGLUE's code completion: the next token, and the rest of a line, of Python (py150) and Java (JavaCorpus).

Token level reads `token_completion/train.txt`, `dev.txt` and `test.txt`, one file of code tokens a line, as the repository's
`preprocess.py` writes them (Python sources have to go through it first), and JavaCorpus' `java_training_pre` as it is downloaded.
Line level has a test set alone: a model is trained on the token level.
"""

from __future__ import annotations

from functools import partial

from tfllm.data.examples import Examples
from tfllm.data.parallel import parallel_examples
from tfllm.errors import DataError
from tfllm.tasks.codexglue.common import Source, codexglue_task, text_of
from tfllm.tasks.completion import CompletionKind
from tfllm.tasks.text_kind import GeneratedTextKind, TextLines, with_options

_DATASETS = {
    "py150": ("Python", {"train": 100000, "validation": 5000, "test": 50000}, 10000, ("<EOL>",)),
    "javaCorpus": ("Java", {"train": 12934, "validation": 7189, "test": 8268}, 3000, (";", "{", "}")),
}
_FILES = {"train": "train.txt", "validation": "dev.txt", "test": "test.txt"}
_DOWNLOADED = {
    "javaCorpus": {"train": "java_training_pre", "validation": "java_validation_pre", "test": "java_test_pre"}
}


def _read_tokens(dataset: str, source: Source, split: str) -> Examples:
    path = source.path(split, _FILES[split], *(files[split] for files in [_DOWNLOADED.get(dataset)] if files))
    reader = source.reader(path)

    def parse(line: int, text: str) -> str:
        tokens = text.split()
        if tokens[:1] != ["<s>"] or tokens[-1:] != ["</s>"]:
            raise DataError(path, line, f"expected code tokens from <s> to </s>. Received: {text[:60]!r}.")
        return " ".join(tokens)

    return Examples((reader.text_lines(parse),), None, None, path, reader.report())


def _read_lines(source: Source, split: str) -> Examples:
    path = source.path(split, "test.json")
    reader = source.reader(path)
    rows = reader.json_lines(
        lambda line, record: (
            str(record.get("id", line - 1)),
            text_of(path, line, record, "input"),
            text_of(path, line, record, "gt") if "gt" in record else "",
        )
    )
    known = any(row[2] for row in rows)
    ids, sources, targets = zip(*rows)
    return parallel_examples(sources, [(text,) for text in targets] if known else None, reader, path, ids)


def _line_kind(stop: tuple[str, ...], **options) -> GeneratedTextKind:
    # Java's line ends at the first of these, but ; and } belong to it: generation stops behind the line end alone there.
    generation = {"stop": stop} if stop == ("<EOL>",) else {}
    return with_options(
        GeneratedTextKind(prompt="{source}", keep_end=True, max_target=100, generation=generation), **options
    )


for _dataset, (_language, _sizes, _lines, _stop) in _DATASETS.items():
    codexglue_task(
        f"codexglue/completion_token_{_dataset.lower()}",
        partial(_read_tokens, _dataset),
        [f"Code-Code/CodeCompletion-token/dataset/{_dataset}/token_completion"],
        {
            "kind": "completion",
            "strategy": CompletionKind(),
            "text_fields": ("code",),
            "metrics": ("token_accuracy",),
            "main_metric": "token_accuracy",
            "splits": {split: "files of code tokens" for split in _sizes},
            "sizes": _sizes,
            "description": f"Code completion: the next token of {_language} ({_dataset})",
        },
    )
    codexglue_task(
        f"codexglue/completion_line_{_dataset.lower()}",
        _read_lines,
        [
            f"Code-Code/CodeCompletion-line/dataset/{_dataset}/line_completion",
            "Code-Code/CodeCompletion-line/evaluator",
        ],
        {
            "kind": "text",
            "text_fields": ("source",),
            "metrics": ("line_exact_match", "edit_similarity"),
            "main_metric": "line_exact_match",
            "splits": {"test": "labelled"},
            "split_aliases": {"validation": "test"},
            "sizes": {"test": _lines},
            "description": f"Code completion: the rest of a line of {_language} ({_dataset})",
            "submission": TextLines({"test": "predictions_line.txt"}),
        },
        strategy=partial(_line_kind, _stop),
    )
