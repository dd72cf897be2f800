"""The kind of tasks whose answer is a span of a context: windows, the best spans, and SQuAD's scores."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfllm.data.row_reader import json_value
from tfllm.errors import DataError, UserError
from tfllm.metrics.bootstrap import bootstrap_of_sums
from tfllm.metrics.squad import above_threshold, best_threshold, squad_v1_by_question, squad_v2, squad_v2_by_question
from tfllm.tasks.given_predictions import GivenPredictions, number_of
from tfllm.tasks.kinds import Kind
from tfllm.tasks.submission_file import SubmissionFile
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
        candidates: for each question its best spans, the best first; none where the context has no tokens. `None` for a question
            that was not answered at all, which a prediction file may leave out.
        null_odds: for each question the score of "no answer" less that of its best span; of a prediction file what goes with
            it, and `None` where nothing does.
        threshold: the null odds above which "no answer" is said, where that is settled; `None`: as the kind's options say.
    """

    candidates: Sequence[Sequence[Candidate] | None]
    null_odds: np.ndarray | None
    threshold: float | None = None

    def __len__(self) -> int:
        return len(self.candidates)

    def texts(self, threshold: float | None) -> list[str]:
        """The best span's text, or "" where the null odds are above `threshold` (`None`: never)."""
        said = [found[0].text if found else "" for found in self.candidates]
        if threshold is None or self.null_odds is None:
            return said
        return [text if odds <= threshold else "" for text, odds in zip(said, self.null_odds)]


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
        said = zip(examples.ids, outputs.texts(None), outputs.candidates)
        predictions = {id_: text for id_, text, found in said if found is not None}
        if not self.unanswerable:
            exact, f1 = squad_v1_by_question(predictions, answers)
            return np.array(list(exact.values())), np.array(list(f1.values())), {}
        threshold, scores = self.threshold(outputs, examples), squad_v2_by_question(predictions, answers)
        if outputs.null_odds is None:
            more = {"official": squad_v2(predictions, answers)}
        else:
            odds = dict(zip(examples.ids, map(float, outputs.null_odds)))
            more = {"null_threshold": threshold, "official": squad_v2(predictions, answers, odds, threshold)}
            has_answer = {id_: bool(texts) for id_, texts in answers.items()}
            scores = [above_threshold(raw, odds, has_answer, threshold) for raw in scores]
        exact, f1 = (np.array(list(by_question.values())) for by_question in scores)
        return exact, f1, more

    def threshold(self, outputs: Answers, examples) -> float | None:
        """The null odds above which "no answer" is said: the best F1's, 0 where there is nothing to search by."""
        if not self.unanswerable or outputs.null_odds is None:
            return None
        if outputs.threshold is not None or self.null_threshold is not None:
            return self.null_threshold if outputs.threshold is None else outputs.threshold
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

    def plain_file(self):
        return PredictionsJson({})

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


@dataclass(frozen=True)
class PredictionsJson(SubmissionFile):
    """`{question id: answer}`, as the official scorer reads it."""

    def content(self, task, outputs, examples):
        return task.strategy.files(task, outputs, examples)["predictions.json"]

    def read(
        self, task, path, examples, null_odds: str | os.PathLike | None = None, null_threshold: float | None = None
    ):
        """What a file of answers says. As the official scorers have it, questions of SQuAD 1.1 may be left out, and count 0.

        Args:
            task, path, examples: as in `SubmissionFile.read`.
            null_odds: file of question id to the score of "no answer", the higher the surer (`na_prob.json`); for questions
                that may have none.
            null_threshold: above this score a question counts as predicted to have no answer; default: the official 1.0.

        Raises:
            DataError: a damaged file, or one without answers to these questions.
            UserError: `null_odds` where all questions have an answer, or a threshold without them.
        """
        unanswerable = task.strategy.unanswerable
        if null_odds is not None and not unanswerable:
            raise UserError(
                f"{task.name}: every question has an answer, so there are no null_odds. Received: {null_odds}."
            )
        if null_threshold is not None and null_odds is None:
            raise UserError(f"null_threshold needs null_odds, to which it applies. Received: {null_threshold}.")
        answers = _by_question(path, "prediction_text", "prediction")
        for id_, text in answers.items():
            if not isinstance(text, str):
                raise DataError(
                    path, None, f"expected texts as answers. Received: {str(text)[:60]!r} for question {id_!r}."
                )
        notes = _left_out(path, answers, examples.ids, "answer", required=unanswerable)
        candidates = [
            None if id_ not in answers else [Candidate(answers[id_], -1, 0.0)] if answers[id_] else []
            for id_ in examples.ids
        ]
        odds = None
        if null_odds is not None:
            given = _by_question(null_odds, "no_answer_probability", "null_odds")
            notes += _left_out(null_odds, given, examples.ids, "score", required=True)
            odds = np.array([number_of(null_odds, None, given[id_]) for id_ in examples.ids])
        threshold = None if odds is None else 1.0 if null_threshold is None else null_threshold
        return GivenPredictions(Answers(candidates, odds, threshold), tuple(notes))


def _by_question(path: str | os.PathLike, *names: str) -> dict:
    """Question id to value: of an object of them, or of a list of objects with `id` and one of the names."""
    content = json_value(path)
    if isinstance(content, dict):
        return content
    records = content if isinstance(content, list) else [content]
    found = {}
    for record in records:
        name = next((name for name in names if isinstance(record, dict) and name in record), None)
        if name is None or "id" not in record:
            raise DataError(
                path, None, f"expected an object of question ids, or records with id and {names[0]}. "
                f"Received: {str(record)[:60]}."
            )  # fmt: skip
        found[str(record["id"])] = record[name]
    return found


def _left_out(path, given: dict, ids: Sequence[str], what: str, required: bool) -> list[str]:
    """Notes on questions that a file leaves out, and on those of it that there are not."""
    known = set(ids)
    missing, unknown = [id_ for id_ in ids if id_ not in given], sum(id_ not in known for id_ in given)
    if missing and (required or len(missing) == len(ids)):
        raise DataError(
            path,
            None,
            f"expected an {what} for each of the {len(ids)} questions. Received: {len(given)}, "
            f"none for {len(missing)} of them, such as {missing[0]!r}. Are they of this split?",
        )
    notes = [f"{len(missing)} of {len(ids)} questions have no {what} and count 0"] if missing else []
    return notes + ([f"{unknown} of its {len(given)} {what}s are for questions that there are not"] if unknown else [])


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
