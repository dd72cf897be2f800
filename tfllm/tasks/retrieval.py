"""The kind of tasks that retrieve by likeness of embeddings: code for code (MAP@R), or code for a text (MRR).

An embedding is the mean of a text's last hidden states, and likeness the cosine. Models are judged as they are, or as they were
fine-tuned elsewhere: there is no training for it here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics.bootstrap import bootstrap_of_sums
from tfllm.metrics.ranking import average_precisions
from tfllm.tasks.kinds import Kind
from tfllm.tasks.submission_file import SubmissionFile

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


@dataclass(frozen=True)
class RetrievalKind(Kind):
    """Retrieval among the examples of a split.

    With one text an example, each retrieves the others of its class (`examples.columns["group"]`): the metric is `map_at_r`.
    With two, the first is a query whose answer is the second, among the second ones of all: the metric is `mrr`.

    Attributes:
        keep: how many of the best are kept for prediction files.
    """

    keep: int = 499

    head = "backbone"
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
        return tokenize(
            Examples((every,), source=examples.source), tokenizer, max_length=max_length, cache_dir=cache_dir
        )

    def predict(self, task, model, split, batches, progress):
        examples = task.examples(split)
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
            {"id": id_, "prediction": examples.ids[best[0]], task.main_metric: float(score)}
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


def embeddings(model, batches, progress=None) -> np.ndarray:
    """Mean hidden states of length 1, `(N, D)` float32, of a backbone on batches with one example a row."""
    import tensorflow as tf

    from tfllm.tasks.prediction import compiled_call

    call, found = compiled_call(model), None
    for step in range(batches.steps_per_epoch):
        x, _, _ = batches.batch(step)
        if getattr(model.config, "is_encoder_decoder", False):
            raise UserError(
                "Retrieval takes the hidden states of an encoder or a decoder alone. Received: an encoder-decoder."
            )
        hidden = call({key: tf.convert_to_tensor(value) for key, value in x.items()}).numpy()
        real = (x["example_ids"] > 0)[..., None]
        means = (hidden * real).sum(axis=1) / np.maximum(real.sum(axis=1), 1)
        if found is None:
            found = np.zeros((len(batches.tokenized), means.shape[-1]), np.float32)
        rows = batches.example_indices(step)[:, 0]
        found[rows[rows >= 0]] = means[rows >= 0]
        if progress is not None:
            progress(step + 1, batches.steps_per_epoch)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
