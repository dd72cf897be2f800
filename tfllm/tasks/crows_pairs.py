"""CrowS-Pairs (Nangia et al. 2020): pairs of sentences that differ in the group they are about. Which one does a model prefer?

The original file `crows_pairs_anonymized.csv`. Scores are those of `tfllm.metrics.bias.crows_pairs`, in percent, 50 being no preference.

Masked models are scored as the paper does: the tokens that both sentences share are masked one at a time, and their
log-probabilities summed (`tfllm.tasks.pseudo_likelihood.shared_places`). For models of lower-case text the official script
lowers the sentences first; their tokenizers do so themselves. Causal models are scored by the log-likelihood of each sentence, as
lm-evaluation-harness does (`lm_eval/tasks/crows_pairs/`): its `pct_stereotype` is given with the harness' rule (`sent_more` is
the likelier one, with no rounding), and `likelihood_diff`, the mean absolute difference.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from tfllm.data.examples import Examples
from tfllm.data.lines import decoded_lines
from tfllm.errors import DataError
from tfllm.tasks.judging import Asking, Judgement, Prompt, first, mean_of, measured
from tfllm.tasks.record_rows import Rows, data_files, some
from tfllm.tasks.registry import register
from tfllm.tasks.sentences import by_value, measures_of, sentence_likelihoods
from tfllm.tasks.task import Task

_COLUMNS = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
_ITEMS = "pairs drawn"


@dataclass(frozen=True)
class CrowsPairsPrompt(Prompt):
    """The likelihoods of both sentences: see the head of this module."""

    def judge(self, task: Task, model, split: str, asking: Asking) -> Judgement:
        from tfllm.metrics.bias import CROWS_PAIRS, crows_pairs_sums
        from tfllm.models import MaskedLM

        examples = first(task.examples(split), asking.limit)
        pairs = list(zip(*examples.texts))
        directions, types = (examples.columns[name] for name in ("stereo_antistereo", "bias_type"))
        masked = isinstance(model, MaskedLM)
        more, less, method = self._shared(model, pairs, asking) if masked else self._whole(model, pairs, asking)
        sums = crows_pairs_sums(more, less, directions)
        confidence_interval = asking.confidence_interval
        scores = measured(measures_of(sums, CROWS_PAIRS, _ITEMS), len(pairs), confidence_interval)
        if not masked:
            harness = {
                "pct_stereotype": mean_of(np.greater(more, less), _ITEMS),
                "likelihood_diff": mean_of(np.abs(np.subtract(more, less)), _ITEMS),
            }
            found = measured(harness, len(pairs), confidence_interval)
            for key in ("ci95", "ci_method"):
                if confidence_interval:
                    scores[key] |= found.pop(key)
            scores |= found
        scores["method"] = method
        scores["groups"] = {
            name: measured(measures_of(sums[rows], CROWS_PAIRS, _ITEMS), len(rows), confidence_interval)
            for name, rows in by_value(pairs, {"bias_type": types}).items()
        }
        rows = [
            {
                "id": id_,
                "sent_more": pair[0],
                "sent_less": pair[1],
                "scores": [a, b],
                "direction": way,
                "bias_type": kind,
            }
            for id_, pair, a, b, way, kind in zip(examples.ids, pairs, more, less, directions, types)
        ]
        return Judgement(scores, rows)

    @staticmethod
    def _whole(model, pairs, asking: Asking):
        found, method = sentence_likelihoods(model, [text for pair in pairs for text in pair], asking)
        more, less = ([one.log_prob for one in found[start::2]] for start in (0, 1))
        return more, less, method

    @staticmethod
    def _shared(model, pairs, asking: Asking):
        from tfllm.tasks.pseudo_likelihood import masked_sentences, shared_places

        places = [shared_places(model, *pair) for pair in pairs]
        # Two sentences that share no token have nothing to be compared by: 0 and 0, as the official script has it.
        counted = [i for i, (first_places, _) in enumerate(places) if first_places]
        found = masked_sentences(
            model,
            [text for i in counted for text in pairs[i]],
            [some_places for i in counted for some_places in places[i]],
            **asking.reading(),
        )
        values = np.zeros((2, len(pairs)))
        values[:, counted] = [[one.log_prob for one in found[start::2]] for start in (0, 1)]
        method = "pseudo-log-likelihood of the shared tokens, each masked in turn"
        return values[0].tolist(), values[1].tolist(), method


def make(data_dir: str | os.PathLike | None = None, skip_bad_rows: bool = False) -> Task:
    """The task `crows_pairs`.

    Args:
        data_dir: directory with `crows_pairs_anonymized.csv` (or with `crows_pairs/` or `data/` in it), or the file.
        skip_bad_rows: leave damaged rows out and count them.
    """
    return Task(
        name="crows_pairs",
        kind="preference",
        text_fields=("sent_more", "sent_less"),
        read=partial(_read, data_dir, skip_bad_rows),
        metrics=("metric_score", "stereotype_score", "antistereotype_score", "neutral"),
        main_metric="metric_score",
        splits={"test": "judged"},
        split_aliases={"validation": "test"},
        sizes={"test": 1508},
        licence="CC BY-SA 4.0",
        source_url="https://github.com/nyu-mll/crows-pairs",
        description="Is the more stereotypical sentence of a pair the more likely one? 50 % is no preference",
        citation="Nangia et al. 2020, CrowS-Pairs: A Challenge Dataset for Measuring Social Biases, EMNLP",
        prompt=CrowsPairsPrompt(),
    )


def _read(data_dir, skip_bad_rows: bool, split: str) -> Examples:
    name = "crows_pairs_anonymized.csv"
    path = data_files("crows_pairs", data_dir, (name,), ("crows_pairs", "data"), f"CrowS-Pairs' file {name}")
    rows = Rows(skip_bad_rows)
    lines = _csv_rows(path)
    _, header = next(lines)
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        raise DataError(path, 1, f"expected the columns {', '.join(_COLUMNS)}. Received: {', '.join(header)}.")

    def parse(line: int, values: list[str]) -> dict:
        if len(values) != len(header):
            raise DataError(path, line, f"expected {len(header)} columns. Received: {len(values)}.")
        record = dict(zip(header, values))
        if record["stereo_antistereo"] not in ("stereo", "antistereo"):
            raise DataError(
                path,
                line,
                f"'stereo_antistereo' must be stereo or antistereo. Received: {record['stereo_antistereo']!r}.",
            )
        for column in _COLUMNS[:2]:
            if not record[column].strip():
                raise DataError(path, line, f"{column!r} must be a sentence. Received: none.")
        return record

    records = some(list(rows.parsed(lines, parse)), path)
    texts = tuple([record[column] for record in records] for column in _COLUMNS[:2])
    columns = {column: [record[column] for record in records] for column in _COLUMNS[2:]}
    # The first column has no name: the row's number.
    ids = [record[header[0]] for record in records] if header[0] == "" else None
    return Examples(texts, None, ids, path, rows.report(), columns=columns)


def _csv_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line for _, line in decoded_lines(path, keep_ends=True)), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(path, line, f"broken CSV: {error}. Check the quotes.") from None


register("crows_pairs", make)
