"""Token F1 and exact match of answer texts: the common ground of SQuAD's and ReCoRD's official scorers."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, without the articles a, an and the, single spaces.

    Example:
        >>> normalize_answer("The  U.S. Army!")
        'us army'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answer: str) -> float:
    """1.0 where both are the same after `normalize_answer`, else 0.0."""
    return float(normalize_answer(prediction) == normalize_answer(answer))


def token_f1(prediction: str, answer: str, *, empty_matches: bool = False) -> float:
    """F1 of the bags of whitespace tokens after `normalize_answer`.

    Args:
        prediction, answer: texts.
        empty_matches: score two texts without tokens 1, as SQuAD 2.0 does; SQuAD 1.1 and ReCoRD score them 0.

    Example:
        >>> token_f1("the old red barn", "a red barn")
        0.8
    """
    predicted, true = normalize_answer(prediction).split(), normalize_answer(answer).split()
    if empty_matches and not (predicted and true):
        return float(predicted == true)
    same = sum((Counter(predicted) & Counter(true)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(predicted), same / len(true)
    return 2 * precision * recall / (precision + recall)


def best_over_answers(score: Callable[[str, str], float], prediction: str, answers: Iterable[str]) -> float:
    """The best score of a prediction over all answers that annotators gave."""
    return max(score(prediction, answer) for answer in answers)
