r"""LAMBADA (Paperno et al. 2016): the last word of a passage, which can be guessed from the whole passage only.

Two forms of the test set are in use, and their scores differ:

- `lambada/openai`: OpenAI's file with its line breaks and quotation marks, `lambada_test.jsonl`, a `{"text": ...}` a line.
- `lambada/standard`: the original, lower case and tokenized, `lambada_test_plain_text.txt`, a passage a line; splits `validation`
  (`lambada_development_plain_text.txt`) and `test`. TFDS has this one (`lambada`), and without `data_dir` it is read from there:
  the same passages, in TFDS' own order.

As in lm-evaluation-harness (`lm_eval/tasks/lambada/`), the context is all but the last word (words are cut at single blanks), and
the continuation is a blank and that word. `accuracy`: each token of the word is the most probable one. `perplexity`: exp of the
mean negative log-probability of a word, over passages.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial

import numpy as np

from tfllm.data.examples import Examples
from tfllm.data.json_records import member
from tfllm.errors import DataError
from tfllm.tasks.benchmark_files import pick_source
from tfllm.tasks.judging import Asking, Judgement, Measure, Prompt, first, mean_of, measured
from tfllm.tasks.record_rows import Rows, data_files, json_lines, some, text_lines
from tfllm.tasks.registry import register
from tfllm.tasks.task import Task

_FILES = {
    "openai": {"test": ("lambada_test.jsonl", "lambada_test_en.jsonl")},
    "standard": {
        "validation": ("lambada_development_plain_text.txt",),
        "test": ("lambada_test_plain_text.txt",),
    },
}
_SIZES = {"openai": {"test": 5153}, "standard": {"validation": 4869, "test": 5153}}


@dataclass(frozen=True)
class ContinuationPrompt(Prompt):
    """Asks for the second text of an example after its first."""

    def judge(self, task: Task, model, split: str, asking: Asking) -> Judgement:
        from tfllm.tasks.likelihood import continuations

        examples = first(task.examples(split), asking.limit)
        found = continuations(model, list(zip(*examples.texts)), **asking.reading())
        log_probs, greedy = [one.log_prob for one in found], [one.greedy for one in found]
        measures = {
            "accuracy": mean_of(greedy, "passages drawn"),
            "perplexity": perplexity_of(log_probs, "passages drawn"),
        }
        scores = measured(measures, len(examples), asking.confidence_interval)
        scores["truncated"] = sum(one.truncated for one in found)
        rows = [
            {"id": id_, "context": context, "continuation": target, "log_prob": one.log_prob, "greedy": one.greedy}
            for id_, context, target, one in zip(examples.ids, *examples.texts, found)
        ]
        return Judgement(scores, rows)


def perplexity_of(log_probs, items: str) -> Measure:
    """exp of the mean of the negated `log_probs` `(G,)`."""
    mean = mean_of(log_probs, items)
    return Measure(mean.sums, lambda sums: np.exp(-mean.formula(sums)), items)


def make(
    key: str, data_dir: str | os.PathLike | None = None, skip_bad_rows: bool = False, source: str = "auto"
) -> Task:
    """The task `lambada/<key>`.

    Args:
        key: `"openai"` or `"standard"`.
        data_dir: directory with the files (or with `lambada/` in it), or the file itself; for `standard` also a TFDS directory.
        skip_bad_rows: leave damaged rows out and count them.
        source: `"files"`, `"tfds"` (`standard` only), or `"auto"`.
    """
    name, files = f"lambada/{key}", _FILES[key]
    if key == "standard":
        if source == "auto" and data_dir is not None and _has_files(os.fspath(data_dir), files):
            source = "files"
        data_dir, source = pick_source(name, data_dir, source, None, files, "lambada", "lambada")
    read = _read_tfds if source == "tfds" else partial(_read, key)
    return Task(
        name=name,
        kind="continuation",
        text_fields=("context", "word"),
        read=partial(read, data_dir, skip_bad_rows),
        metrics=("accuracy", "perplexity"),
        main_metric="accuracy",
        splits={split: "judged" for split in files},
        split_aliases={} if "validation" in files else {"validation": "test"},
        sizes=_SIZES[key],
        licence="unstated (passages of books; research)" if key == "standard" else "MIT (OpenAI's release); books",
        source_url="https://zenodo.org/record/2630551",
        description="The last word of a passage that needs all of it",
        citation="Paperno et al. 2016, The LAMBADA dataset, ACL",
        prompt=ContinuationPrompt(),
    )


def _has_files(data_dir: str, files) -> bool:
    directories = (data_dir, os.path.join(data_dir, "lambada"))
    names = [name for group in files.values() for name in group]
    return os.path.isfile(data_dir) or any(os.path.isfile(os.path.join(d, name)) for d in directories for name in names)


def _read(key: str, data_dir: str | None, skip_bad_rows: bool, split: str) -> Examples:
    path = data_files(
        f"lambada/{key}", data_dir, _FILES[key][split], ("lambada",), f"LAMBADA's file {_FILES[key][split][0]}"
    )
    rows = Rows(skip_bad_rows)
    if path.removesuffix(".gz").endswith(".jsonl"):
        read = json_lines(rows, path, lambda line, record: _pair(path, line, member(path, line, record, "text", str)))
    else:
        read = rows.parsed(text_lines(path), lambda line, text: _pair(path, line, text))
    return _examples(list(read), path, rows)


def _read_tfds(data_dir: str | None, skip_bad_rows: bool, split: str) -> Examples:
    from tfllm.data.sources_tfds import tfds_records

    # TFDS calls the development set "train", and has no numbers to put passages back into the file's order by.
    where, _, records = tfds_records("lambada", "train" if split == "validation" else split, data_dir)
    rows = Rows(skip_bad_rows)
    read = rows.parsed(enumerate(records, 1), lambda row, record: _pair(where, row, record["passage"]))
    return _examples(list(read), where, rows)


def _pair(path: str, line: int, text: str) -> tuple[str, str]:
    context, blank, word = text.rstrip("\n").rpartition(" ")
    if not blank or not word or not context.strip():
        raise DataError(path, line, f"expected a passage of two words at least. Received: {text[:80]!r}.")
    return context, " " + word


def _examples(pairs: list[tuple[str, str]], where: str, rows: Rows) -> Examples:
    some(pairs, where)
    contexts, words = (list(column) for column in zip(*pairs))
    return Examples((contexts, words), None, None, where, rows.report())


for _key in _FILES:
    register(f"lambada/{_key}", partial(make, _key))
