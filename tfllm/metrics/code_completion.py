"""CodeXGLUE's scores of code completion: token accuracy, and of lines exact match and edit similarity."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tfllm.errors import UserError

SKIPPED_TOKENS = frozenset(("<s>", "</s>", "<EOL>", "<pad>"))

_LITERAL = re.compile(r"<(STR|NUM|CHAR)_LIT:(.*?)>", re.S)


def token_accuracy(predictions: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> float:
    """Share of the answers' tokens that are predicted, from 0 to 1, without those of `SKIPPED_TOKENS`.

    Args:
        predictions, answers: N sequences of tokens; those of a pair have the same length.

    Raises:
        UserError: another number or length, or no token that counts.

    Example:
        >>> token_accuracy([["a", "=", "c"]], [["a", "=", "<EOL>"]])
        1.0
    """
    _check(predictions, answers)
    right = total = 0
    for row, (predicted, true) in enumerate(zip(predictions, answers)):
        if len(predicted) != len(true):
            raise UserError(
                f"Expected a predicted token for each of the {len(true)} tokens of answer {row}. "
                f"Received: {len(predicted)}."
            )
        counted = [(p, t) for p, t in zip(predicted, true) if t not in SKIPPED_TOKENS]
        total += len(counted)
        right += sum(p == t for p, t in counted)
    if not total:
        raise UserError("Expected at least one token that counts. Received: none.")
    return right / total


def line_scores(predictions: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
    """Exact match and mean edit similarity of lines of code, in percent, after `restore_literals`.

    Args:
        predictions, answers: N lines each.

    Returns:
        `{"exact_match": percent of lines with the same whitespace tokens, "edit_similarity": mean}`.

    Raises:
        UserError: another number of them, or none.
    """
    _check(predictions, answers)
    pairs = [(restore_literals(p.strip()), restore_literals(a)) for p, a in zip(predictions, answers)]
    return {
        "exact_match": 100.0 * sum(p.split() == a.split() for p, a in pairs) / len(pairs),
        "edit_similarity": sum(edit_similarity(p, a) for p, a in pairs) / len(pairs),
    }


def restore_literals(code: str) -> str:
    """Code with the literals in place of their placeholders.

    Example:
        >>> restore_literals('f ( <STR_LIT:a b> , <NUM_LIT> )')
        'f ( a b , 0 )'
    """
    code = code.replace("<NUM_LIT>", "0").replace("<STR_LIT>", "").replace("<CHAR_LIT>", "")
    for kind, literal in _LITERAL.findall(code):
        code = code.replace(f"<{kind}_LIT:{literal}>", literal)
    return code


def edit_similarity(first: str, second: str) -> int:
    """Whole percent of characters in common: twice those that keep their order over all of both, 0 if one is empty.

    This is `fuzz.ratio` of fuzzywuzzy with its Levenshtein library, and of rapidfuzz, rounded. Without that library
    fuzzywuzzy takes difflib's matching blocks, which can be fewer.

    Example:
        >>> edit_similarity("return a", "return b")
        88
    """
    if first == second:
        return 100
    if not first or not second:
        return 0
    # Longest common subsequence, a row of the table at a time.
    row = [0] * (len(second) + 1)
    for character in first:
        diagonal = 0
        for place, other in enumerate(second, 1):
            above = row[place]
            row[place] = diagonal + 1 if character == other else max(above, row[place - 1])
            diagonal = above
    return round(100 * (2 * row[-1] / (len(first) + len(second))))


def _check(predictions: Sequence, answers: Sequence) -> None:
    if len(predictions) != len(answers) or not len(predictions):
        raise UserError(
            "Expected an answer for each prediction, and at least one. "
            f"Received: {len(predictions)} predictions and {len(answers)} answers."
        )
