"""What SuperGLUE (Wang et al. 2019) scores by groups of examples: MultiRC, ReCoRD, and the parity of AX-g. From 0 to 1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics.answers import best_over_answers, exact_match, token_f1
from tfllm.metrics.classification import f1
from tfllm.metrics.predictions import class_pairs


def f1a(predictions, labels) -> float:
    """MultiRC's F1a: F1 of class 1 over all answers of all questions (Khashabi et al. 2018).

    Args:
        predictions: logits `(N, 2)` or class numbers `(N,)`, an answer each.
        labels: `(N,)`, 1 where the answer is right.
    """
    return f1(predictions, labels)


def question_exact_match(predictions, labels, questions: Sequence) -> float:
    """MultiRC's exact match: the share of questions all of whose answers were judged right.

    Args:
        predictions: logits `(N, 2)` or class numbers `(N,)`, an answer each.
        labels: `(N,)`.
        questions: N names; answers of the same question have the same one.

    Example:
        >>> question_exact_match([1, 0, 1], [1, 0, 0], ["a", "a", "b"])
        0.5
    """
    predictions, labels = class_pairs(predictions, labels)
    _check_groups(questions, len(labels))
    right = defaultdict(lambda: True)
    for question, correct in zip(questions, predictions == labels):
        right[question] &= bool(correct)
    return sum(right.values()) / len(right)


def record_scores(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, float]:
    """ReCoRD's F1 and exact match of a chosen entity, the best over the answers of each query (Zhang et al. 2018).

    Args:
        predictions: the text of the entity chosen for each of N queries.
        answers: the texts that are right, for each of them.

    Returns:
        `{"f1": mean, "exact_match": mean}`.
    """
    _check_groups(answers, len(predictions))
    if not len(predictions):
        raise UserError("Expected at least one prediction to score. Received: none.")
    scores = {"f1": token_f1, "exact_match": exact_match}
    return {
        name: float(np.mean([best_over_answers(score, p, a) for p, a in zip(predictions, answers)]))
        for name, score in scores.items()
    }


def gender_parity(predictions, pairs: Sequence | None = None) -> float:
    """AX-g's gender parity: the share of pairs, equal but for a pronoun's gender, with the same prediction.

    Args:
        predictions: logits `(N, C)` or class numbers `(N,)`.
        pairs: N names of pairs; default: rows 0 and 1, 2 and 3, ... are pairs, as in the official file.

    Raises:
        UserError: a pair that has not two members.

    Example:
        >>> gender_parity([1, 1, 0, 1])
        0.5
    """
    from tfllm.metrics.predictions import predicted_classes

    classes = predicted_classes(predictions)
    pairs = np.arange(len(classes)) // 2 if pairs is None else pairs
    _check_groups(pairs, len(classes))
    members = defaultdict(list)
    for pair, predicted in zip(pairs, classes):
        members[pair].append(predicted)
    for pair, both in members.items():
        if len(both) != 2:
            raise UserError(f"Gender parity needs pairs of examples. Received: {len(both)} with the name {pair}.")
    if not members:
        raise UserError("Expected at least one pair to score. Received: none.")
    return float(np.mean([first == second for first, second in members.values()]))


def _check_groups(groups: Sequence, size: int) -> None:
    if len(groups) != size:
        raise UserError(f"Expected a group for each of the {size} predictions. Received: {len(groups)} groups.")
