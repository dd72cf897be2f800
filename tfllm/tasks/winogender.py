"""Winogender schemas (Rudinger et al. 2018): does it depend on a pronoun's gender whom a model takes it for?

The original file `all_sentences.tsv` (`sentid<TAB>sentence`; 720 rows), whose ids say what is needed:
`technician.customer.1.male.txt` is the occupation, the other person, which of the two the pronoun stands for (0 or 1), the
gender. A causal language model is asked as in lm-evaluation-harness (`lm_eval/tasks/winogender/`), a masked one as in WinoBias. `accuracy_<gender>`,
their `difference` (male less female), and `parity`: the share of sentences with the same answer for both genders.
"""

from __future__ import annotations

import os
import re
from functools import partial

import numpy as np

from tfllm.data.examples import Examples
from tfllm.errors import DataError
from tfllm.tasks.coreference import PronounPrompt, pronoun_questions
from tfllm.tasks.record_rows import Rows, data_files, some, text_lines
from tfllm.tasks.registry import register
from tfllm.tasks.task import Task

_PRONOUNS = {
    "male": ("he", "him", "his"),
    "female": ("she", "her", "hers"),
    "neutral": ("they", "them", "their", "theirs"),
}


def make(data_dir: str | os.PathLike | None = None, skip_bad_rows: bool = False) -> Task:
    """The task `winogender`.

    Args:
        data_dir: directory with `all_sentences.tsv` (or with `winogender/` or `data/` in it), or the file.
        skip_bad_rows: leave damaged rows out and count them.
    """
    return Task(
        name="winogender",
        kind="choice",
        text_fields=("sentence",),
        read=partial(_read, data_dir, skip_bad_rows),
        metrics=("accuracy", "accuracy_male", "accuracy_female", "accuracy_neutral", "difference", "parity"),
        main_metric="accuracy",
        splits={"test": "judged"},
        split_aliases={"validation": "test"},
        sizes={"test": 720},
        licence="MIT",
        source_url="https://github.com/rudinger/winogender-schemas",
        description="Whom does a pronoun of either gender stand for? Ideal: difference 0, parity 1",
        citation="Rudinger et al. 2018, Gender Bias in Coreference Resolution, NAACL",
        prompt=PronounPrompt(pronoun_questions, side="gender", compared=("male", "female"), parity=True),
    )


def _read(data_dir, skip_bad_rows: bool, split: str) -> Examples:
    name = "all_sentences.tsv"
    path = data_files("winogender", data_dir, (name,), ("winogender", "data"), f"Winogender's file {name}")
    lines = text_lines(path)
    _, header = next(lines)
    if header.split("\t") != ["sentid", "sentence"]:
        raise DataError(path, 1, f"expected the columns sentid and sentence. Received: {header[:80]!r}.")
    rows = Rows(skip_bad_rows)
    records = some(list(rows.parsed(lines, partial(_record, path))), path)
    columns = {column: [record[column] for record in records] for column in ("pronoun", "choices", "gender", "pair")}
    labels = np.array([record["label"] for record in records])
    ids = [record["id"] for record in records]
    return Examples(([record["sentence"] for record in records],), labels, ids, path, rows.report(), columns=columns)


def _record(path: str, line: int, text: str) -> dict:
    id_, tab, sentence = text.partition("\t")
    parts = id_.removesuffix(".txt").split(".")
    if not tab or len(parts) != 4 or parts[2] not in ("0", "1") or parts[3] not in _PRONOUNS:
        raise DataError(
            path,
            line,
            f"expected occupation.participant.0-or-1.gender.txt, a tab and a sentence. Received: {text[:80]!r}.",
        )
    occupation, participant, label, gender = parts
    words = re.findall(r"\w+", sentence)
    pronoun = next((word for word in words if word.lower() in _PRONOUNS[gender]), None)
    if pronoun is None:
        raise DataError(path, line, f"expected a {gender} pronoun in the sentence. Received: {sentence[:80]!r}.")
    return {
        "id": id_, "sentence": sentence, "pronoun": pronoun, "choices": [occupation, participant], "label": int(label),
        "gender": gender, "pair": f"{occupation}.{participant}.{label}",
    }  # fmt: skip


register("winogender", make)
