"""The kind of tasks whose answer is a span of a context: windows, the best spans, and SQuAD's scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics.bootstrap import bootstrap_of_sums
from tfllm.metrics.squad import best_threshold, squad_v1_by_question, squad_v2, squad_v2_by_question
from tfllm.tasks.kinds import Kind
from tfllm.tasks.windows import NO_ANSWER, Windows, make_windows


@dataclass(frozen=True)
class Candidate:
    """A span that may be the answer: its text, exactly as in the context, where it begins, and its score."""

    text: str
    start: int
    score: float


@dataclass(frozen=True)
class Answers:
    """What a model answers to N questions.

    Attributes:
        candidates: for each question its best spans, the best first; none where the context has no tokens.
        null_odds: for each question the score of "no answer" less that of its best span.
    """

    candidates: Sequence[Sequence[Candidate]]
    null_odds: np.ndarray

    def __len__(self) -> int:
        return len(self.candidates)

    def texts(self, threshold: float | None) -> list[str]:
        """The best span's text, or "" where the null odds are above `threshold` (`None`: never)."""
        return [
            found[0].text if found and (threshold is None or odds <= threshold) else ""
            for found, odds in zip(self.candidates, self.null_odds)
        ]


@dataclass(frozen=True)
class SpanKind(Kind):
    """Questions about a context whose answer is a span of it.

    Attributes:
        unanswerable: questions may have no answer (SQuAD 2.0). The threshold above which "no answer" is said is then
            searched on the split that is scored, for the best F1; where there are no answers to search by it is 0.
        null_threshold: take this one in place of a searched one.
        stride: see `make_windows`.
        max_question: tokens that a question is cut to.
        max_answer: tokens that an answer may have.
        n_best: candidates that are kept for a question.
    """

    unanswerable: bool = False
    null_threshold: float | None = None
    stride: int | None = None
    max_question: int = 64
    max_answer: int = 30
    n_best: int = 20

    head = "span_predictor"
    layouts = ("bucketed", "padded")

    def check(self, task):
        if task.labels is not None:
            raise UserError(f"{task.name}: spans have no labels. Received: labels={task.labels}.")

    def num_outputs(self, task):
        return 2

    def head_options(self, task):
        return {}

    def labelled(self, examples):
        return "answers" in examples.columns

    def checked(self, task, examples):
        return examples

    def tokenize(self, examples, tokenizer, max_length, cache_dir):
        answers = None
        if self.labelled(examples):
            answers = [
                (given[0][1], given[0][1] + len(given[0][0])) if given else None
                for given in examples.columns["answers"]
            ]
        return make_windows(
            *examples.texts,
            tokenizer,
            max_length=max_length,
            stride=self.stride,
            max_question=self.max_question,
            answers=answers,
        )

    def predict(self, task, model, split, batches, progress):
        from tfllm.tasks.prediction import predict_token_logits

        logits = predict_token_logits(model, batches, task.name, progress)
        if logits.shape[1] != 2:
            raise UserError(f"{task.name} needs a model with two outputs a token. Received: {logits.shape[1]}.")
        return self.extract(logits, batches.tokenized, task.examples(split).texts[1])

    def extract(self, logits: np.ndarray, windows: Windows, contexts: Sequence[str]) -> Answers:
        """The best spans of each question over all of its windows.

        Args:
            logits: `(tokens, 2)` of start and end, in the order of `windows.token_ids`.
            windows: the windows, of N questions.
            contexts: N texts.
        """
        found: list[dict[str, Candidate]] = [{} for _ in contexts]
        null = np.full(len(contexts), np.inf)
        for window, question in enumerate(windows.questions):
            begin, end = windows.offsets[window], windows.offsets[window + 1]
            null[question] = min(null[question], float(logits[begin + NO_ANSWER].sum()))
            spans = windows.spans[begin:end]
            places = np.flatnonzero(spans[:, 0] >= 0)
            starts = places[windows.widest[begin:end][places]]
            for first, last, score in self._best(logits[begin:end], starts, places):
                start, stop = int(spans[first, 0]), int(spans[last, 1])
                text = contexts[question][start:stop]
                start, text = (
                    start + len(text) - len(text.lstrip()),
                    text.strip(),
                )  # byte-level tokens begin with a space
                known = found[question].get(text)
                if text and (known is None or score > known.score):
                    found[question][text] = Candidate(text, start, score)
        candidates = [sorted(by_text.values(), key=lambda c: -c.score)[: self.n_best] for by_text in found]
        best = np.array([spans[0].score if spans else -np.inf for spans in candidates])
        return Answers(candidates, null - best)

    def _best(self, logits: np.ndarray, starts: np.ndarray, ends: np.ndarray):
        """`(first, last, score)` of the best spans of a window, at places among `starts` and `ends`."""
        if not len(starts):
            return
        starts = starts[np.argsort(-logits[starts, 0], kind="stable")[: self.n_best]]
        ends = ends[np.argsort(-logits[ends, 1], kind="stable")[: self.n_best]]
        lengths = ends[None] - starts[:, None] + 1
        scores = logits[starts, 0][:, None].astype(np.float64) + logits[ends, 1][None]
        scores = np.where((lengths >= 1) & (lengths <= self.max_answer), scores, -np.inf).ravel()
        for place in np.argsort(-scores, kind="stable")[: self.n_best]:
            if scores[place] == -np.inf:
                return
            first, last = divmod(int(place), len(ends))
            yield int(starts[first]), int(ends[last]), float(scores[place])

    def score(self, task, outputs, examples, confidence_interval):
        exact, f1, more = self._by_question(outputs, examples)
        scores = {
            "f1": 100.0 * float(np.mean(f1)),
            "exact_match": 100.0 * float(np.mean(exact)),
            "n": len(examples),
            **more,
        }
        if confidence_interval:
            values = {"f1": f1, "exact_match": exact}
            intervals = {
                name: bootstrap_of_sums(
                    np.stack([100.0 * values[name], np.ones(len(examples))], 1),
                    lambda sums: sums[..., 0] / sums[..., 1],
                    "questions drawn",
                )
                for name in task.metrics
            }
            scores["ci95"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
            scores["ci_method"] = {name: interval.method for name, interval in intervals.items()}
        return scores

    def _by_question(self, outputs: Answers, examples) -> tuple[np.ndarray, np.ndarray, dict]:
        """Exact match and F1 of each question, and what else is known of all of them."""
        answers = _texts_of(examples)
        if not self.unanswerable:
            exact, f1 = squad_v1_by_question(dict(zip(examples.ids, outputs.texts(None))), answers)
            return np.array(list(exact.values())), np.array(list(f1.values())), {}
        threshold = self.threshold(outputs, examples)
        exact, f1 = squad_v2_by_question(dict(zip(examples.ids, outputs.texts(threshold))), answers)
        odds = dict(zip(examples.ids, map(float, outputs.null_odds)))
        official = squad_v2(dict(zip(examples.ids, outputs.texts(None))), answers, odds, threshold)
        more = {"null_threshold": threshold, "official": official}
        return np.array(list(exact.values())), np.array(list(f1.values())), more

    def threshold(self, outputs: Answers, examples) -> float | None:
        """The null odds above which "no answer" is said: the best F1's, 0 where there is nothing to search by."""
        if not self.unanswerable or self.null_threshold is not None:
            return self.null_threshold
        if not self.labelled(examples):
            return 0.0
        answers = _texts_of(examples)
        predictions = dict(zip(examples.ids, outputs.texts(None)))
        _, f1 = squad_v2_by_question(predictions, answers)
        odds = dict(zip(examples.ids, map(float, outputs.null_odds)))
        best, found = best_threshold(predictions, f1, odds, {id_: bool(texts) for id_, texts in answers.items()})
        unanswered = 100.0 * sum(not texts for texts in answers.values()) / len(answers)
        # The official search says 0 where answering nothing is best: below all odds it says just that.
        return found if best > unanswered else float(np.min(outputs.null_odds)) - 1.0

    def rows(self, task, outputs, examples):
        texts = outputs.texts(self.threshold(outputs, examples))
        rows = [{"id": id_, "prediction": text} for id_, text in zip(examples.ids, texts)]
        if self.labelled(examples):
            exact, f1, _ = self._by_question(outputs, examples)
            for row, e, f in zip(rows, exact, f1):
                row |= {"exact_match": 100.0 * float(e), "f1": 100.0 * float(f)}
        return rows

    def files(self, task, outputs, examples):
        texts = outputs.texts(self.threshold(outputs, examples))
        files = {
            "predictions.json": _json(dict(zip(examples.ids, texts, strict=True))),
            "nbest.json": _json(
                {id_: [_record(c, found) for c in found] for id_, found in zip(examples.ids, outputs.candidates)}
            ),
        }
        if self.unanswerable:
            odds = outputs.null_odds.tolist()
            files["null_odds.json"] = _json(dict(zip(examples.ids, odds)))
        return files


def with_options(kind: SpanKind, **options) -> SpanKind:
    """The kind with other options; those that are `None` stay."""
    return replace(kind, **{name: value for name, value in options.items() if value is not None})


def _texts_of(examples) -> dict[str, list[str]]:
    return {id_: [text for text, _ in given] for id_, given in zip(examples.ids, examples.columns["answers"])}


def _record(candidate: Candidate, among: Sequence[Candidate]) -> dict:
    total = sum(np.exp(other.score - among[0].score) for other in among)
    return {
        "text": candidate.text,
        "start": candidate.start,
        "score": candidate.score,
        "probability": float(np.exp(candidate.score - among[0].score) / total),
    }


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
