"""CodeXGLUE's cloze tests: the word behind a mask in a function, among 930 words (all) or max and min (maxmin)."""

from __future__ import annotations

from functools import partial

import numpy as np

from tfllm.data.examples import Examples
from tfllm.errors import DataError
from tfllm.tasks.cloze import ClozeAnswers
from tfllm.tasks.codexglue.common import LANGUAGES, Source, codexglue_task, json_items

_SIZES = {
    "all": {"go": 25282, "java": 40492, "javascript": 13837, "php": 51930, "python": 40137, "ruby": 4437},
    "maxmin": {"go": 152, "java": 482, "javascript": 272, "php": 407, "python": 1264, "ruby": 38},
}
_SPLIT = "<CODESPLIT>"


def _read(mode: str, language: str, source: Source, split: str) -> Examples:
    """`<language>/clozeTest.json`, the words, and `answers/<language>/answers.txt` where they are there."""
    path = source.path(split, f"{language}/clozeTest.json", "clozeTest.json")
    words = _words(mode, source)
    reader = source.reader(path)

    def parse(number: int, record: dict):
        lists = [record.get(key) for key in ("nl_tokens", "pl_tokens")]
        if not all(isinstance(tokens, list) and all(isinstance(t, str) for t in tokens) for tokens in lists):
            raise DataError(path, number, "expected lists of texts 'nl_tokens' and 'pl_tokens'.")
        return str(record.get("idx", number)), *(" ".join(tokens) for tokens in lists)

    ids, texts, codes = zip(*reader.read(json_items(path), parse))
    answers_path = source.has(f"answers/{language}/answers.txt", f"{language}/answers.txt", "answers.txt")
    labels = None if answers_path is None else _labels(answers_path, source, ids, words)
    return Examples((list(texts), list(codes)), labels, list(ids), path, reader.report(), words)


def _words(mode: str, source: Source) -> tuple[str, ...]:
    if mode == "maxmin":
        return ("max", "min")
    path = source.path("test", "cloze_test_words.txt")
    return tuple(source.reader(path).text_lines(lambda line, text: text.strip()))


def _labels(path: str, source: Source, ids, words: tuple[str, ...]) -> np.ndarray:
    numbers = {word: number for number, word in enumerate(words)}

    def parse(line: int, text: str) -> tuple[str, int]:
        id_, separator, word = text.partition(_SPLIT)
        if not separator or word.strip() not in numbers:
            raise DataError(
                path, line, f"expected id{_SPLIT}word, with one of the {len(words)} words. Received: {text[:60]!r}."
            )
        return id_.strip(), numbers[word.strip()]

    known = dict(source.reader(path).text_lines(parse))
    missing = [id_ for id_ in ids if id_ not in known]
    if missing:
        raise DataError(path, None, f"no answer for {len(missing)} of {len(ids)} examples, the first {missing[0]!r}.")
    return np.array([known[id_] for id_ in ids])


for _mode, _sizes in _SIZES.items():
    for _language in LANGUAGES:
        _folder = f"Code-Code/ClozeTesting-{_mode}"
        codexglue_task(
            f"codexglue/cloze_{_mode}_{_language}",
            partial(_read, _mode, _language),
            [
                f"{_folder}/data/cloze-{_mode}",
                f"{_folder}/evaluator",
                f"{_folder}/data",
                f"{_folder}/{_language}",
                _folder,
            ],
            {
                "kind": "cloze",
                "text_fields": ("documentation", "code"),
                "metrics": ("accuracy",),
                "main_metric": "accuracy",
                "splits": {"test": "with labels where answers.txt is there"},
                "split_aliases": {"validation": "test"},
                "sizes": {"test": _sizes[_language]},
                "description": f"Cloze test: the masked word of a function in {_language}, "
                + ("among 930" if _mode == "all" else "max or min"),
                "submission": ClozeAnswers({"test": "predictions.txt"}),
            },
        )
