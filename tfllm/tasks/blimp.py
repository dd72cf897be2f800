"""BLiMP (Warstadt et al. 2020): pairs of sentences that differ in one point of grammar. Is the good one more likely?

67 files, a paradigm of 1,000 pairs each, `<UID>.jsonl`; as many as there are in `data_dir` are read. `accuracy` is over all pairs, which
with all files is the mean over paradigms that the paper and lm-evaluation-harness report; groups have it by paradigm (`UID`),
phenomenon (`linguistics_term`) and `field`. A causal model reads a blank and the sentence after its bos token, as in the harness
(`lm_eval/tasks/blimp/`). Of masked models every token but the special ones is masked in turn (Salazar et al. 2020).

TFDS has BLiMP too, a config a paradigm (`blimp/<UID>`): `source="tfds"`, with `paradigms=` to name some.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tfllm.data.examples import Examples
from tfllm.data.json_records import member
from tfllm.errors import UserError
from tfllm.tasks.judging import Asking, Judgement, Prompt, first, mean_of, measured
from tfllm.tasks.record_rows import Rows, files_ending, json_lines, some
from tfllm.tasks.registry import register
from tfllm.tasks.sentences import grouped_means, sentence_likelihoods
from tfllm.tasks.task import Task

_GROUPS = ("UID", "linguistics_term", "field")


@dataclass(frozen=True)
class PairPrompt(Prompt):
    """Is the first of two texts at least as likely as the second?"""

    groups: tuple[str, ...] = _GROUPS

    def judge(self, task: Task, model, split: str, asking: Asking) -> Judgement:
        examples = first(task.examples(split), asking.limit)
        pairs = list(zip(*examples.texts))
        found, method = sentence_likelihoods(model, [text for pair in pairs for text in pair], asking, delimiter=" ")
        good, bad = ([one.log_prob for one in found[start::2]] for start in (0, 1))
        right = np.greater_equal(good, bad)
        scores = measured({"accuracy": mean_of(right, "pairs drawn")}, len(pairs), asking.confidence_interval)
        names = {name: examples.columns[name] for name in self.groups}
        scores |= {"method": method, "groups": grouped_means("accuracy", right, names, asking, "pairs drawn")}
        scores["truncated"] = sum(one.truncated for one in found)
        rows = [
            {"id": id_, "good": pair[0], "bad": pair[1], "log_probs": [a, b], "right": bool(flag)}
            for id_, pair, a, b, flag in zip(examples.ids, pairs, good, bad, right)
        ]
        return Judgement(scores, rows)


def make(
    data_dir: str | os.PathLike | None = None,
    skip_bad_rows: bool = False,
    source: str = "auto",
    paradigms: Sequence[str] | None = None,
) -> Task:
    """The task `blimp`.

    Args:
        data_dir: directory with the `.jsonl` files (or with `blimp/` or `data/` in it), or one file; or a TFDS directory.
        skip_bad_rows: leave damaged rows out and count them.
        source: `"files"`, `"tfds"`, or `"auto"`: TFDS without a data_dir.
        paradigms: only these, by UID; needed for TFDS.
    """
    if source not in ("auto", "files", "tfds"):
        raise UserError(f"blimp: source must be auto, files or tfds. Received: {source!r}.")
    is_tfds = source == "tfds" or (source == "auto" and data_dir is None)
    read = _read_tfds if is_tfds else _read
    return Task(
        name="blimp",
        kind="preference",
        text_fields=("good", "bad"),
        read=partial(read, data_dir, skip_bad_rows, None if paradigms is None else tuple(paradigms)),
        metrics=("accuracy",),
        main_metric="accuracy",
        splits={"test": "judged"},
        split_aliases={"validation": "test", "train": "test"},
        sizes={"test": 67000} if paradigms is None else {},
        licence="CC BY 4.0",
        source_url="https://github.com/alexwarstadt/blimp",
        description="Is the grammatical sentence of a minimal pair the more likely one?",
        citation="Warstadt et al. 2020, BLiMP: The Benchmark of Linguistic Minimal Pairs for English, TACL",
        prompt=PairPrompt(),
    )


def _read(data_dir, skip_bad_rows: bool, paradigms: tuple[str, ...] | None, split: str) -> Examples:
    files = files_ending("blimp", data_dir, ".jsonl", ("blimp", "data"), "BLiMP's <paradigm>.jsonl files")
    if paradigms is not None:
        known = {os.path.basename(file)[: -len(".jsonl")]: file for file in files}
        missing = [name for name in paradigms if name not in known]
        if missing:
            raise UserError(f"blimp: no file of the paradigm {missing[0]!r}. There are: {', '.join(known)}.")
        files = [known[name] for name in paradigms]
    rows, records = Rows(skip_bad_rows), []
    for path in files:
        records += json_lines(rows, path, partial(_record, path))
    return _examples(records, os.fspath(data_dir), rows)


def _read_tfds(data_dir, skip_bad_rows: bool, paradigms: tuple[str, ...] | None, split: str) -> Examples:
    from tfllm.data.sources_tfds import tfds_records

    if paradigms is None:
        raise UserError("blimp: TFDS has a config for each paradigm: name some with paradigms=, or give data_dir=.")
    rows, records = Rows(skip_bad_rows), []
    for name in paradigms:
        where, _, found = tfds_records(f"blimp/{name}", "train", data_dir)
        found.sort(key=lambda record: record["pair_id"])
        records += rows.parsed(enumerate(found, 1), partial(_record, where))
    return _examples(records, "tfds:blimp", rows)


def _record(path: str, line: int, record: dict) -> dict:
    names = ("sentence_good", "sentence_bad", *_GROUPS)
    number = record["pair_id"] if "pair_id" in record else member(path, line, record, "pairID", str)
    return {"number": number, **{name: member(path, line, record, name, str) for name in names}}


def _examples(records: list[dict], where: str, rows: Rows) -> Examples:
    some(records, where)
    texts = tuple([record[name] for record in records] for name in ("sentence_good", "sentence_bad"))
    ids = [f"{record['UID']}_{record['number']}" for record in records]
    columns = {name: [record[name] for record in records] for name in _GROUPS}
    return Examples(texts, None, ids, where, rows.report(), columns=columns)


register("blimp", make)
