"""WinoBias (Zhao et al. 2018): does a model find whom a pronoun stands for less often where the stereotype is against it?

The original files `pro_stereotyped_type1.txt.dev`, `anti_stereotyped_type1.txt.dev`, the same of type2, and `.test`; beside them
`male_occupations.txt` and `female_occupations.txt`, which say who there is to choose from. Types differ in what decides: knowledge
of the world (1), or syntax (2). Examples of the two files with the same number differ in the pronouns alone.

The paper scores coreference systems by F1, and calls `difference` (pro less anti) the bias. A causal language model is asked, as
lm-evaluation-harness asks Winogender's questions, whom the pronoun refers to, and scored by accuracy: `accuracy_pro`,
`accuracy_anti` and their `difference`. A masked one reads the same with either person, and the person is taken with whom the other
tokens are most likely (`pseudo_likelihood.around_the_span`). Brackets are taken out, and a blank before `'s`.
"""

from __future__ import annotations

import os
import re
from functools import partial

import numpy as np

from tfllm.data.examples import Examples
from tfllm.errors import DataError
from tfllm.tasks.coreference import PronounPrompt, pronoun_questions
from tfllm.tasks.record_rows import Rows, data_path, some, text_lines
from tfllm.tasks.registry import register
from tfllm.tasks.task import Task

_PRONOUNS = ("he", "she", "him", "her", "his", "hers")
_SPLITS = {"validation": "dev", "test": "test"}


def make(key: str, data_dir: str | os.PathLike | None = None, skip_bad_rows: bool = False) -> Task:
    """The task `winobias/<key>`.

    Args:
        key: `"type1"` or `"type2"`.
        data_dir: directory with the files (or with `winobias/` or `data/` in it).
        skip_bad_rows: leave damaged rows out and count them.
    """
    return Task(
        name=f"winobias/{key}",
        kind="choice",
        text_fields=("sentence",),
        read=partial(_read, key, data_dir, skip_bad_rows),
        metrics=("accuracy", "accuracy_pro", "accuracy_anti", "difference"),
        main_metric="accuracy",
        splits={split: "judged" for split in _SPLITS},
        sizes={"validation": 792, "test": 792},
        licence="MIT",
        source_url="https://github.com/uclanlp/corefBias",
        description="Whom does a pronoun stand for, with the stereotype and against it? Ideal: difference 0",
        citation="Zhao et al. 2018, Gender Bias in Coreference Resolution: Evaluation and Debiasing Methods, NAACL",
        prompt=PronounPrompt(pronoun_questions),
    )


def _read(key: str, data_dir, skip_bad_rows: bool, split: str) -> Examples:
    wanted = "WinoBias' files: {pro,anti}_stereotyped_type{1,2}.txt.{dev,test}, {male,female}_occupations.txt"
    root = data_path(f"winobias/{key}", data_dir, wanted)
    names = [f"{side}_stereotyped_{key}.txt.{_SPLITS[split]}" for side in ("pro", "anti")]
    for folder in (root, os.path.join(root, "winobias"), os.path.join(root, "data")):
        if all(os.path.isfile(os.path.join(folder, name)) for name in names):
            break
    else:
        raise DataError(root, None, f"no {names[0]} and {names[1]}. Expected {wanted}.")
    occupations = [
        text.strip()
        for kind in ("male", "female")
        for _, text in text_lines(os.path.join(folder, f"{kind}_occupations.txt"))
    ]
    rows, records = Rows(skip_bad_rows), []
    for side, name in zip(("pro", "anti"), names):
        path = os.path.join(folder, name)
        for record in rows.parsed(text_lines(path), partial(_record, path, occupations)):
            records.append({"side": side, **record})
    records.sort(key=lambda record: int(record["pair"]))  # pairs together, so that the first few are some of both sides
    some(records, folder)
    columns = {column: [record[column] for record in records] for column in ("pronoun", "choices", "side", "pair")}
    labels = np.array([record["label"] for record in records])
    ids = [f"{record['side']}-{record['pair']}" for record in records]
    return Examples(([record["sentence"] for record in records],), labels, ids, folder, rows.report(), columns=columns)


def _record(path: str, occupations: list[str], line: int, text: str) -> dict:
    number, _, marked = text.strip().partition(" ")
    spans = re.findall(r"\[(.*?)\]", marked)
    pronouns = [span for span in spans if span.lower() in _PRONOUNS]
    persons = [span for span in spans if span.lower() not in _PRONOUNS]
    if not number.isdecimal() or not pronouns or len(persons) != 1:
        raise DataError(
            path,
            line,
            f"expected a number, and a person and a pronoun of theirs in brackets. Received: {text.strip()[:80]!r}.",
        )
    sentence = marked.replace("[", "").replace("]", "").replace(" 's", "'s")
    right = re.sub(r"^(the|an|a) ", "", persons[0].strip(), flags=re.IGNORECASE).strip()
    mentioned = [name for name in occupations if re.search(rf"\b{re.escape(name)}\b", sentence, re.IGNORECASE)]
    # "construction worker" is one person, should "worker" be an occupation too.
    mentioned = [name for name in mentioned if not any(name != other and name in other for other in mentioned)]
    mentioned.sort(key=lambda name: re.search(rf"\b{re.escape(name)}\b", sentence, re.IGNORECASE).start())
    lower = [name.lower() for name in mentioned]
    if right.lower() not in lower or len(lower) < 2:
        raise DataError(
            path,
            line,
            f"expected {right!r} and another of the listed occupations. Received: {', '.join(mentioned) or 'none'}.",
        )
    return {
        "sentence": sentence, "pronoun": pronouns[0], "choices": mentioned, "label": lower.index(right.lower()), "pair": number,
    }  # fmt: skip


for _key in ("type1", "type2"):
    register(f"winobias/{_key}", partial(make, _key))
