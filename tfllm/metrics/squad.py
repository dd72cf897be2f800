"""The official scores of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018), in percent, from answer texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tfllm.errors import UserError
from tfllm.metrics.answers import best_over_answers, exact_match, normalize_answer, token_f1

Answers = Mapping[str, Sequence[str]]

_f1_with_empty = partial(token_f1, empty_matches=True)


def squad_v1(predictions: Mapping[str, str], answers: Answers) -> dict[str, float]:
    """Scores of SQuAD 1.1: the mean over all questions; a question without a prediction scores 0.

    Args:
        predictions: question id to answer text.
        answers: question id to the texts that annotators gave, at least one.

    Returns:
        `{"exact_match": percent, "f1": percent}`.

    Raises:
        UserError: no questions, or a question without answers.

    Example:
        >>> squad_v1({"q": "the red barn"}, {"q": ["Red barn", "barn"]})
        {'exact_match': 100.0, 'f1': 100.0}
    """
    exact, f1 = squad_v1_by_question(predictions, answers)
    return {"exact_match": 100.0 * sum(exact.values()) / len(exact), "f1": 100.0 * sum(f1.values()) / len(f1)}


def squad_v1_by_question(predictions: Mapping[str, str], answers: Answers) -> tuple[dict[str, float], dict[str, float]]:
    """Exact match and F1, 0 to 1, of each question by its id; see `squad_v1`."""
    _check(answers)
    exact, f1 = {}, {}
    for question, texts in answers.items():
        if not texts:
            raise UserError(
                f"SQuAD 1.1 has an answer for every question. Received: none for {question!r}; is it SQuAD 2.0?"
            )
        prediction = predictions.get(question)
        exact[question] = 0.0 if prediction is None else best_over_answers(exact_match, prediction, texts)
        f1[question] = 0.0 if prediction is None else best_over_answers(token_f1, prediction, texts)
    return exact, f1


def squad_v2(
    predictions: Mapping[str, str],
    answers: Answers,
    na_probs: Mapping[str, float] | None = None,
    na_prob_threshold: float = 1.0,
) -> dict[str, float]:
    """Scores of SQuAD 2.0, whose questions may have no answer.

    Args:
        predictions: question id to answer text, `""` for "no answer".
        answers: question id to the texts that annotators gave; none: the question has no answer.
        na_probs: question id to the score of "no answer", the higher the surer. With it the best thresholds are
            searched.
        na_prob_threshold: above this score a question counts as predicted to have no answer, whatever its text.

    Returns:
        The official scorer's keys: `exact`, `f1`, `total`; `HasAns_*` and `NoAns_*` where there are such questions;
        with `na_probs` also `best_exact`, `best_exact_thresh`, `best_f1`, `best_f1_thresh`.

    Raises:
        UserError: no questions, a question without a prediction or without `na_probs`.

    Example:
        >>> squad_v2({"q": "", "r": "barn"}, {"q": [], "r": ["a barn"]})["exact"]
        100.0
    """
    exact_raw, f1_raw = squad_v2_by_question(predictions, answers)
    has_answer = {question: bool(texts) for question, texts in answers.items()}
    scores = {"exact": exact_raw, "f1": f1_raw}
    if na_probs is not None:
        _check_all(na_probs, answers, "no-answer score")
        scores = {name: above_threshold(raw, na_probs, has_answer, na_prob_threshold) for name, raw in scores.items()}
    result = {}
    for prefix, wanted in (("", (True, False)), ("HasAns_", (True,)), ("NoAns_", (False,))):
        questions = [question for question, has in has_answer.items() if has in wanted]
        if questions:
            for name, by_question in scores.items():
                result[prefix + name] = 100.0 * sum(by_question[q] for q in questions) / len(questions)
            result[f"{prefix}total"] = len(questions)
    if na_probs is not None:
        for name, raw in (("exact", exact_raw), ("f1", f1_raw)):
            best, threshold = best_threshold(predictions, raw, na_probs, has_answer)
            result[f"best_{name}"], result[f"best_{name}_thresh"] = best, threshold
    return result


def squad_v2_by_question(predictions: Mapping[str, str], answers: Answers) -> tuple[dict[str, float], dict[str, float]]:
    """Exact match and F1, 0 to 1, of each question by its id; see `squad_v2`."""
    _check(answers)
    _check_all(predictions, answers, "prediction")
    exact, f1 = {}, {}
    for question, texts in answers.items():
        # An answer of articles and punctuation alone is none; a question without answers wants the empty one.
        texts = [text for text in texts if normalize_answer(text)] or [""]
        exact[question] = best_over_answers(exact_match, predictions[question], texts)
        f1[question] = best_over_answers(_f1_with_empty, predictions[question], texts)
    return exact, f1


def best_threshold(
    predictions: Mapping[str, str],
    scores: Mapping[str, float],
    na_probs: Mapping[str, float],
    has_answer: Mapping[str, bool],
) -> tuple[float, float]:
    """The best score over all thresholds of `na_probs`, and the threshold that first reaches it.

    Questions whose score of "no answer" is at most the threshold are answered. Beginning with none, the question that
    is the least unsure is answered next: it gains its own score if it has an answer, and loses the point of a question
    that has none.

    Returns:
        `(percent, threshold)`; a threshold of 0.0 where answering nothing is best.
    """
    current = best = float(sum(not has for has in has_answer.values()))
    threshold = 0.0
    for question in sorted(na_probs, key=lambda q: na_probs[q]):
        if question not in scores:
            continue
        current += scores[question] if has_answer[question] else -1 if predictions[question] else 0
        if current > best:
            best, threshold = current, na_probs[question]
    return 100.0 * best / len(scores), threshold


def above_threshold(
    scores: Mapping[str, float], na_probs: Mapping[str, float], has_answer: Mapping[str, bool], threshold: float
) -> dict[str, float]:
    """Scores of each question where "no answer" is said above a threshold: there, 1 if it has none and 0 if it has one."""
    return {
        question: float(not has_answer[question]) if na_probs[question] > threshold else score
        for question, score in scores.items()
    }


def _check(answers: Answers) -> None:
    if not answers:
        raise UserError("Expected at least one question to score. Received: none.")


def _check_all(given: Mapping, answers: Answers, what: str) -> None:
    missing = [question for question in answers if question not in given]
    if missing:
        raise UserError(
            f"Expected a {what} for each of the {len(answers)} questions. "
            f"Received: none for {len(missing)} of them, such as {missing[0]!r}."
        )
