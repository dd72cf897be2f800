r"""Perplexity of texts: `lm/text` for any file, `lm/wikitext-2` and `lm/wikitext-103` for WikiText (Merity et al. 2016).

Perplexities are lm-evaluation-harness' (`lm_eval/api/metrics.py`, `lm_eval/tasks/wikitext/`): exp of the negative log-probability
of all texts over the number of their words, bytes or tokens. Words are what `re.split(r"\s+", text)` gives, which counts
the empty piece before or after blanks at a text's end too; bytes are of UTF-8. Of WikiText both are counted in the page as it is in the
file, before its tokenization is undone. Per-word and per-byte perplexities do not depend on the tokenizer, and can be compared.

WikiText's files are read as pages: a page begins at a line ` = Title = ` (not at one of a section, ` = = Title = = `). Its raw files
(`wiki.valid.raw`) are those that others' figures are of; in the others rare words are `<unk>`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from tfllm.data.examples import Examples
from tfllm.data.lines import decoded_lines
from tfllm.errors import DataError, UserError
from tfllm.tasks.judging import Asking, Judgement, Measure, Prompt, first, measured
from tfllm.tasks.record_rows import Rows, data_files, data_path, some
from tfllm.tasks.registry import register
from tfllm.tasks.task import Task

_BLOCK = 128  # tokens that are drawn together: neighbours are not independent
_METRICS = ("word_perplexity", "byte_perplexity", "bits_per_byte", "token_perplexity")


@dataclass(frozen=True)
class RollingPrompt(Prompt):
    """Scores every token of every text. Columns `words` and `bytes` say by how many each text counts."""

    def judge(self, task: Task, model, split: str, asking: Asking) -> Judgement:
        from tfllm.tasks.likelihood import whole_texts
        from tfllm.tasks.token_likelihoods import longest_row

        examples = first(task.examples(split), asking.limit)
        texts = examples.texts[0]
        found = whole_texts(model, texts, window=asking.window, stride=asking.stride, **asking.reading())
        words, size = (sum(examples.columns[name]) for name in ("words", "bytes"))
        tokens = sum(one.tokens for one in found)
        if not tokens:
            raise UserError(f"{task.name}: the texts have no token to score ({examples.source}).")
        sums = _sums([one.token_log_probs for one in found])
        measures = {
            "word_perplexity": _perplexity(sums, tokens / words),
            "byte_perplexity": _perplexity(sums, tokens / size),
            "bits_per_byte": Measure(sums, lambda s: -s[..., 0] / s[..., 1] * tokens / size / np.log(2), _ITEMS),
            "token_perplexity": _perplexity(sums, 1.0),
        }
        window = asking.window or longest_row(model)
        scores = {
            **measured(measures, tokens, asking.confidence_interval),
            "texts": len(texts),
            "words": words,
            "bytes": size,
            "log_likelihood": sum(one.log_prob for one in found),
            "window": window,
            "stride": asking.stride or window,
        }
        rows = [
            {"id": id_, "log_prob": one.log_prob, "tokens": one.tokens, "words": words, "bytes": size}
            for id_, one, words, size in zip(examples.ids, found, examples.columns["words"], examples.columns["bytes"])
        ]
        return Judgement(scores, rows)


_ITEMS = f"blocks of {_BLOCK} neighbouring tokens drawn"


def _perplexity(sums: np.ndarray, tokens_a_unit: float) -> Measure:
    return Measure(sums, lambda s: np.exp(-s[..., 0] / s[..., 1] * tokens_a_unit), _ITEMS)


def _sums(log_probs: list[np.ndarray]) -> np.ndarray:
    """Log-probability and number of tokens of each block, `(G, 2)`: of single tokens where there are few."""
    size = _BLOCK if sum(map(len, log_probs)) > 8 * _BLOCK else 1
    blocks = [values[begin : begin + size] for values in log_probs for begin in range(0, len(values), size)]
    return np.array([[block.astype(float).sum(), len(block)] for block in blocks])


def count_words(text: str) -> int:
    r"""Pieces of `re.split(r"\s+", text)`: the harness' words.

    Example:
        >>> count_words("two words"), count_words(" two words\n")
        (2, 4)
    """
    return len(re.split(r"\s+", text))


def detokenized(page: str) -> str:
    """A WikiText page with its tokenization undone: the rules of lm-evaluation-harness' `wikitext_detokenizer`, in their order.

    Example:
        >>> detokenized("It was @-@ so , 5 @.@ 5 ( or 6 ) .\\n")
        'It was-so, 5.5 (or 6) .\\n'
    """
    text = page.replace("s '", "s'")
    text = re.sub(r"/' [0-9]/", r"/'[0-9]/", text)
    for mark in ("-", ",", "."):
        text = text.replace(f" @{mark}@ ", mark)
    for mark in ":;.!?,":
        text = text.replace(f" {mark} ", f"{mark} ")
    for begin, end in (("(", ")"), ("[", "]"), ("{", "}")):
        inside = rf"{re.escape(begin)}\s*([^{re.escape(end)}]*?)\s*{re.escape(end)}"
        text = re.sub(inside, lambda found, begin=begin, end=end: f"{begin}{found[1]}{end}", text)
    for quote in "\"'":
        text = re.sub(
            rf"{quote}\s*([^{quote}]*?)\s*{quote}", lambda found, quote=quote: f"{quote}{found[1]}{quote}", text
        )
    for old, new in (("= = = =", "===="), ("= = =", "==="), ("= =", "=="), (" ° ", "°"), (" \n", "\n"), ("\n ", "\n")):
        text = text.replace(old, new)
    return text.replace(" N ", " 1 ").replace(" 's", "'s")


def pages(lines: Iterator[str]) -> Iterator[str]:
    """WikiText's lines to its pages."""
    page: list[str] = []
    for line in lines:
        heading = line.replace("= = =", "===").replace("= =", "==").strip()
        if heading.startswith("= ") and heading.endswith(" ="):
            text = "\n".join(page)
            if text.strip():
                yield text
            page = []
        page.append(line)
    yield "\n".join(page)


def make_text(data_dir: str | os.PathLike | None = None, text_file: str | os.PathLike | None = None) -> Task:
    """The task `lm/text`: each file is one text.

    Args:
        data_dir: a directory, all of whose `.txt` files are read, in the order of their names; or one file.
        text_file: one file, of any name.
    """
    if (data_dir is None) == (text_file is None) and data_dir is not None:
        raise UserError(f"lm/text: give data_dir= or text_file=, not both. Received: {data_dir} and {text_file}.")
    return Task(
        name="lm/text",
        kind="perplexity",
        text_fields=("text",),
        read=partial(_read_texts, text_file if data_dir is None else data_dir),
        metrics=_METRICS,
        main_metric="word_perplexity",
        splits={"test": "judged"},
        split_aliases={"validation": "test"},
        description="Perplexity of any text file",
        licence="that of the file",
        prompt=RollingPrompt(),
    )


def _read_texts(place: str | os.PathLike | None, split: str) -> Examples:
    path = data_path("lm/text", place, "or text_file=, a text file in UTF-8 or a directory of .txt files")
    files = [path]
    if os.path.isdir(path):
        files = sorted(os.path.join(path, name) for name in os.listdir(path) if name.endswith(".txt"))
        if not files:
            raise DataError(path, None, "expected .txt files in this directory. Received: none.")
    texts = ["".join(line for _, line in decoded_lines(file, keep_ends=True)) for file in files]
    return _examples(texts, texts, [os.path.basename(file) for file in files], path, Rows(read=len(files)))


_FOLDERS = {
    "wikitext-2": ("wikitext-2-raw", "wikitext-2"),
    "wikitext-103": ("wikitext-103-raw", "wikitext-103"),
}
_FILES = {
    split: (f"wiki.{short}.raw", f"wiki.{short}.tokens", f"{short}.txt")
    for split, short in {"train": "train", "validation": "valid", "test": "test"}.items()
}


def make_wikitext(key: str, data_dir: str | os.PathLike | None = None) -> Task:
    """The task `lm/<key>`.

    Args:
        key: `"wikitext-2"` or `"wikitext-103"`.
        data_dir: directory with WikiText's files (or with `wikitext-2-raw/` or the like in it), or one file.
    """
    return Task(
        name=f"lm/{key}",
        kind="perplexity",
        text_fields=("page",),
        read=partial(_read_wikitext, key, data_dir),
        metrics=_METRICS,
        main_metric="word_perplexity",
        splits={split: "judged" for split in _FILES},
        licence="CC BY-SA 3.0",
        source_url="https://huggingface.co/datasets/Salesforce/wikitext",
        description="Perplexity of good and featured articles of Wikipedia",
        citation="Merity et al. 2016, Pointer Sentinel Mixture Models, arXiv:1609.07843",
        prompt=RollingPrompt(),
    )


def _read_wikitext(key: str, data_dir: str | os.PathLike | None, split: str) -> Examples:
    names = _FILES[split]
    path = data_files(f"lm/{key}", data_dir, names, _FOLDERS[key], f"WikiText's file {names[0]}")
    rows = Rows()
    # The line end of the last line makes one more, empty line, as `read().split("\n")` has it.
    text = "".join(line for _, line in decoded_lines(path, keep_ends=True)).replace("\r\n", "\n")
    found = list(pages(iter(text.split("\n"))))
    rows.read = len(found)
    some(found, path)
    return _examples([detokenized(page) for page in found], found, None, path, rows)


def _examples(texts: list[str], counted: list[str], ids: list[str] | None, where: str, rows: Rows) -> Examples:
    columns = {
        "words": [count_words(text) for text in counted],
        "bytes": [len(text.encode()) for text in counted],
    }
    return Examples((texts,), None, ids, where, rows.report(), columns=columns)


register("lm/text", make_text)
for _key in _FOLDERS:
    register(f"lm/{_key}", partial(make_wikitext, _key))
