"""The kind of tasks that retrieve by likeness of embeddings: code for code (MAP@R), or code for a text (MRR).

An embedding is the mean of a text's last hidden states, and likeness the cosine. A model is judged as it is, or trained to tell
what belongs to a text from what belongs to the others of its batch (`tfllm.models.losses.InBatchContrast`). CodeXGLUE's scripts
train the dot products of poolers' outputs in the same way; that of POJ-104 adds one drawn negative to those of the batch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

import numpy as np

from tfllm.data.json_records import member
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import DataError, UserError
from tfllm.metrics.bootstrap import bootstrap_of_sums
from tfllm.metrics.ranking import average_precisions
from tfllm.tasks.given_predictions import ById, GivenPredictions
from tfllm.tasks.kinds import Kind
from tfllm.tasks.submission_file import SubmissionFile, prediction_records

_BLOCK = 256  # queries whose likenesses to all are in memory at a time


@dataclass(frozen=True)
class Rankings:
    """What was retrieved for N queries.

    Attributes:
        scores: `(N,)`, of each query: its average precision, or one over the rank of its answer.
        best: for each query the numbers of the examples most like it, the best first.
    """

    scores: np.ndarray
    best: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class _Texts(TokenizedExamples):
    """Every text of a split: queries, then answers; or all of one kind. `groups` says which examples are alike."""

    groups: np.ndarray | None = None


@dataclass(frozen=True)
class RetrievalKind(Kind):
    """Retrieval among the examples of a split.

    With one text an example, each retrieves the others of its class (`examples.columns["group"]`): the metric is `map_at_r`.
    With two, the first is a query whose answer is the second, among the second ones of all: the metric is `mrr`.

    In training, a row holds two texts: query and answer (queries of the same words are not told from each other), or a text and
    another one of its class, the same one in all epochs, which the seed chooses.

    Attributes:
        keep: how many of the best are kept for prediction files.
    """

    keep: int = 499

    head = "embedder"
    layouts = ("bucketed", "padded")

    def check(self, task):
        wanted = ("map_at_r",) if len(task.text_fields) == 1 else ("mrr",)
        if task.metrics != wanted or task.labels is not None:
            raise UserError(f"{task.name}: the metric must be {wanted[0]}, without labels. Received: {task.metrics}.")

    def num_outputs(self, task):
        return 0

    def head_options(self, task):
        return {}

    def labelled(self, examples):
        return len(examples.texts) == 2 or "group" in examples.columns

    def checked(self, task, examples):
        return examples

    def tokenize(self, examples, tokenizer, max_length, cache_dir):
        from tfllm.data.examples import Examples
        from tfllm.data.tokenized import tokenize

        every = [text for column in examples.texts for text in column]
        tokenized = tokenize(
            Examples((every,), source=examples.source), tokenizer, max_length=max_length, cache_dir=cache_dir
        )
        alike = examples.texts[0] if len(examples.texts) == 2 else examples.columns.get("group", range(len(examples)))
        groups = np.unique(np.asarray(alike), return_inverse=True)[1].reshape(-1)
        return _Texts(**{f.name: getattr(tokenized, f.name) for f in fields(tokenized)}, groups=groups)

    def batches(self, tokenized, **options):
        from tfllm.data.matched_texts import MatchedBatches, match, partners

        groups, size = tokenized.groups, len(tokenized.groups)
        if len(tokenized) > size:  # queries, then answers
            pairs = np.stack([np.arange(size), np.arange(size) + size], axis=1)
        else:
            pairs = partners(groups, options.get("seed", 0))
        return MatchedBatches(match(tokenized, pairs, groups), **options)

    def predict(self, task, model, split, batches, progress):
        from tfllm.data.batches import Batches

        examples = task.examples(split)
        batches = Batches(
            batches.tokenized.texts,
            batch_size=batches.batch_size,
            layout=batches.layout,
            max_length=None if batches.max_length is None else batches.max_length // 2,
            shuffle=False,
            pad_id=batches.pad_id,
        )
        vectors, size = embeddings(model, batches, progress), len(examples)
        if len(examples.texts) == 2:
            return self._answers(vectors[:size], vectors[size:])
        return self._others(vectors, examples.columns["group"])

    def _others(self, vectors: np.ndarray, groups) -> Rankings:
        classes = np.unique(np.asarray(groups), return_inverse=True)[1]
        scores, best = [], []
        for begin in range(0, len(vectors), _BLOCK):
            own = np.arange(begin, min(begin + _BLOCK, len(vectors)))
            likeness = vectors[own] @ vectors.T
            scores.append(average_precisions(likeness, classes[own], own, classes))
            likeness[np.arange(len(own)), own] = -np.inf
            best.append(np.argsort(-likeness, axis=1, kind="stable")[:, : min(self.keep, len(vectors) - 1)])
        return Rankings(np.concatenate(scores), np.concatenate(best))

    def _answers(self, queries: np.ndarray, answers: np.ndarray) -> Rankings:
        scores, best = [], []
        for begin in range(0, len(queries), _BLOCK):
            likeness = queries[begin : begin + _BLOCK] @ answers.T
            order = np.argsort(-likeness, axis=1, kind="stable")
            own = np.arange(begin, begin + len(likeness))
            scores.append(1.0 / ((order == own[:, None]).argmax(axis=1) + 1))
            best.append(order[:, : self.keep])
        return Rankings(np.concatenate(scores), np.concatenate(best))

    def score(self, task, outputs, examples, confidence_interval):
        name, values = task.main_metric, outputs.scores
        scores = {name: float(values.mean()), "n": len(values)}
        if confidence_interval:
            pairs = np.stack([values, np.ones(len(values))], axis=1)
            interval = bootstrap_of_sums(pairs, lambda sums: sums[..., 0] / sums[..., 1], "queries drawn")
            scores["ci95"] = {name: [interval.low, interval.high]}
            scores["ci_method"] = {name: interval.method}
        return scores

    def rows(self, task, outputs, examples):
        return [
            {
                "id": id_,
                "prediction": examples.ids[best[0]] if len(best) else "",
                task.main_metric: float(score),
            }
            for id_, best, score in zip(examples.ids, outputs.best, outputs.scores)
        ]

    def plain_file(self):
        return RankedAnswers({})

    def files(self, task, outputs, examples):
        return {"predictions.jsonl": (task.submission or self.plain_file()).content(task, outputs, examples)}


@dataclass(frozen=True)
class RankedAnswers(SubmissionFile):
    """`{"index": id, "answers": [ids]}` lines, the best first.

    Attributes:
        files: split to file name.
        key: what the id is called.
    """

    key: str = "index"

    def content(self, task, outputs, examples):
        ids = examples.ids
        queries = examples.columns.get("url", ids)
        numbers = all(id_.isdigit() for id_ in ids)
        named = [int(id_) for id_ in ids] if numbers and self.key == "url" else ids
        return "".join(
            json.dumps({self.key: query, "answers": [named[number] for number in best]}, ensure_ascii=False) + "\n"
            for query, best in zip(queries, outputs.best)
        )

    def read(self, task, path, examples):
        """As CodeXGLUE's evaluators: only what a query's list holds was retrieved."""
        found, numbers = ById(path), {id_: number for number, id_ in enumerate(examples.ids)}
        for line, record in prediction_records(path, self.key, "answers"):
            answers = [str(answer) for answer in member(path, line, record, "answers", list)]
            unknown = next((answer for answer in answers if answer not in numbers), None)
            if unknown is not None or len(set(answers)) < len(answers):
                what = "one of them twice" if unknown is None else repr(unknown)
                raise DataError(path, line, f"'answers' must be ids of examples, each once. Received: {what}.")
            found.add(line, record[self.key], np.array([numbers[answer] for answer in answers], np.int64))
        best, notes = found.of([str(query) for query in examples.columns.get("url", examples.ids)])
        if len(examples.texts) == 2:
            scores = [_reciprocal_rank(row, own) for own, row in enumerate(best)]
        else:
            groups = np.unique(np.asarray(examples.columns["group"]), return_inverse=True)[1].reshape(-1)
            scores = [_average_precision(row, own, groups) for own, row in enumerate(best)]
        return GivenPredictions(Rankings(np.array(scores), best), notes)


def _reciprocal_rank(best: np.ndarray, own: int) -> float:
    places = np.flatnonzero(best == own)
    return 1.0 / (places[0] + 1) if len(places) else 0.0


def _average_precision(best: np.ndarray, own: int, groups: np.ndarray) -> float:
    relevant = int((groups == groups[own]).sum()) - 1
    if not relevant:
        raise UserError("Every class needs two members to retrieve one by the other. Received: one of a single member.")
    hits = (groups[best] == groups[own])[:relevant] & (best != own)[:relevant]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits).sum() / relevant)


def embeddings(model, batches, progress=None) -> np.ndarray:
    """Vectors of length 1, `(N, D)` float32, on batches with one example a row.

    Args:
        model: a `TextEmbedder`, or a backbone, of whose hidden states the mean is taken.
        batches: of the texts.
        progress: called with (steps done, steps in all).
    """
    from keras import ops

    from tfllm.models import TextEmbedder
    from tfllm.tasks.prediction import compiled_call

    call, found = compiled_call(model), None
    for step in range(batches.steps_per_epoch):
        x, _, _ = batches.batch(step)
        if getattr(model.config, "is_encoder_decoder", False):
            raise UserError(
                "Retrieval takes the hidden states of an encoder or a decoder alone. Received: an encoder-decoder."
            )
        means = ops.convert_to_numpy(call(x))
        if isinstance(model, TextEmbedder):
            means = means[:, 0]
        else:
            real = (x["example_ids"] > 0)[..., None]
            means = (means * real).sum(axis=1) / np.maximum(real.sum(axis=1), 1)
        if found is None:
            found = np.zeros((len(batches.tokenized), means.shape[-1]), np.float32)
        rows = batches.example_indices(step)[:, 0]
        found[rows[rows >= 0]] = means[rows >= 0]
        if progress is not None:
            progress(step + 1, batches.steps_per_epoch)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
