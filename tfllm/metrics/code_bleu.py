"""The three BLEUs of CodeXGLUE (Lu et al. 2021), which differ in tokens, smoothing and averaging. From 0 to 100."""

from __future__ import annotations

import math
import re
import sys
import xml.sax.saxutils
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from tfllm.errors import UserError

ORDERS = (1, 2, 3, 4)

_Ngrams = Counter[tuple[str, ...]]


def smoothed_corpus_bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of whitespace tokens over the whole corpus, with 1 added to matches and possible matches of every order.

    That of code translation, code refinement, CONCODE and documentation translation. The official scripts round it to two
    digits.

    Args:
        predictions, references: N texts each.

    Raises:
        UserError: lists of different lengths, or empty ones.
    """
    _check(predictions, references)
    totals = np.sum([smoothed_bleu_sums(*pair) for pair in zip(predictions, references)], axis=0)
    return float(smoothed_bleu_of_sums(totals[None])[0])


def smoothed_bleu_sums(prediction: str, reference: str) -> list[int]:
    """What a text adds to `smoothed_corpus_bleu`: matches and possible matches of four orders, and both lengths."""
    predicted, true = prediction.split(), reference.split()
    matches = [sum((_ngrams(predicted, order) & _ngrams(true, order)).values()) for order in ORDERS]
    possible = [max(0, len(predicted) - order + 1) for order in ORDERS]
    return [*matches, *possible, len(predicted), len(true)]


def smoothed_bleu_of_sums(sums) -> np.ndarray:
    """Sums `(R, 10)` of `smoothed_bleu_sums` to scores `(R,)`."""
    sums = np.asarray(sums, np.float64)
    mean_log = np.log((sums[:, :4] + 1.0) / (sums[:, 4:8] + 1.0)).mean(axis=1)
    predicted, true = sums[:, 8], sums[:, 9]
    with np.errstate(divide="ignore", over="ignore"):
        penalty = np.where(predicted > true, 0.0, 1 - true / np.maximum(predicted, 1e-300))
    return np.where(predicted > 0, 100.0 * np.exp(mean_log + penalty), 0.0)


def sentence_bleu(prediction: str, reference: str | Sequence[str]) -> float:
    """Smoothed BLEU-4 of a sentence in lower case, with punctuation split off: that of code summarisation.

    1 is added to matches and possible matches from bigrams on, and 1 to both lengths of the brevity penalty
    (Lin and Och 2004, in the form of Moses' old script).

    Args:
        prediction: a text.
        reference: a text, or several of them.
    """
    references = [reference] if isinstance(reference, str) else list(reference)
    predicted = _summary_tokens(prediction)
    true = [_summary_tokens(text) for text in references]
    log_bleu = 0.0
    for order in ORDERS:
        most = Counter()
        for tokens in true:
            most |= _ngrams(tokens, order)
        matches = (_ngrams(predicted, order) & most).total()
        possible = max(0, len(predicted) - order + 1)
        added = int(order > 1) + sys.float_info.min
        log_bleu += (math.log(matches + added) - math.log(possible + added)) / len(ORDERS)
    shortest = min(map(len, true))
    return 100.0 * math.exp(log_bleu + min(0.0, 1 - (shortest + 1) / (len(predicted) + 1)))


def mean_sentence_bleu(predictions: Sequence[str], references: Sequence[str | Sequence[str]]) -> float:
    """Mean of `sentence_bleu` over N sentences.

    Raises:
        UserError: lists of different lengths, or empty ones.
    """
    _check(predictions, references)
    return sum(map(sentence_bleu, predictions, references)) / len(predictions)


def code_bleu_ngrams(
    predictions: Sequence[str], references: Sequence[str], keywords: Iterable[str]
) -> dict[str, float]:
    """The two n-gram parts of CodeBLEU (Ren et al. 2020); all four are in `tfllm.metrics.code_bleu_scores`.

    `ngram` is corpus BLEU on whitespace tokens in which an order without any match counts 0.1 matches. `weighted_ngram`
    counts the reference's n-grams that are matched (a recall), a keyword 1 and another token 0.2. As in the official
    script, the latter's brevity penalty takes every reference for two tokens long, so that it is hardly ever below 1.

    Args:
        predictions, references: N texts each.
        keywords: the reserved words of the programming language.

    Raises:
        UserError: lists of different lengths, or empty ones.
    """
    _check(predictions, references)
    keywords = frozenset(keywords)
    sums = np.sum([code_bleu_ngram_sums(*pair, keywords) for pair in zip(predictions, references)], axis=0)
    return {name: float(scores[0]) for name, scores in code_bleu_ngrams_of_sums(sums[None]).items()}


def code_bleu_ngram_sums(prediction: str, reference: str, keywords: frozenset[str]) -> list[float]:
    """What a text adds to `code_bleu_ngrams`: 19 numbers.

    Matches, possible matches, recalled and wanted weights of four orders each, both lengths, and the second length as the
    official script takes it.
    """
    predicted, true = prediction.split(), reference.split()
    matches, possible, recalled, wanted = [], [], [], []
    for order in ORDERS:
        found, expected = _ngrams(predicted, order), _ngrams(true, order)
        common = found & expected
        matches.append(common.total())
        possible.append(max(1, found.total()))
        weigh = (lambda counts: _weight(counts, keywords)) if order == 1 else Counter.total
        recalled.append(weigh(common))
        wanted.append(max(1, weigh(expected)))
    return [*matches, *possible, *recalled, *wanted, len(predicted), len(true), 2]


def code_bleu_ngrams_of_sums(sums) -> dict[str, np.ndarray]:
    """Sums `(R, 19)` of `code_bleu_ngram_sums` to the two parts, `(R,)` each."""
    sums = np.asarray(sums, np.float64)
    matches, possible, recalled, wanted = (sums[:, begin : begin + 4] for begin in range(0, 16, 4))
    return {
        "ngram": _geometric(matches, possible, sums[:, 16], sums[:, 17]),
        "weighted_ngram": _geometric(recalled, wanted, sums[:, 16], sums[:, 18]),
    }


def _weight(counts: _Ngrams, keywords: frozenset[str]) -> float:
    return sum(count * (1 if token in keywords else 0.2) for (token,), count in counts.items())


def _geometric(found: np.ndarray, of: np.ndarray, predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    mean_log = np.log(np.where(found > 0, found, 0.1) / of).mean(axis=1)
    penalty = np.where(predicted > reference, 0.0, 1 - reference / np.maximum(predicted, 1))
    return np.where(found[:, 0] > 0, 100.0 * np.exp(mean_log + penalty), 0.0)


# The tokenizer of NIST's mteval-v11a, after the summarisation script's own splitting at punctuation.
_WORD_OR_PUNCTUATION = re.compile(r"\w+|[^\s\w]")
_NIST = [
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
]


def _summary_tokens(text: str) -> list[str]:
    text = " ".join(_WORD_OR_PUNCTUATION.findall(text.strip().lower()))
    text = f" {xml.sax.saxutils.unescape(text.replace('<skipped>', ''), {'&quot;': chr(34)})} ".lower()
    for pattern, replacement in _NIST:
        text = pattern.sub(replacement, text)
    return text.split()


def _ngrams(tokens: Sequence[str], order: int) -> _Ngrams:
    return Counter(zip(*(tokens[start:] for start in range(order))))


def _check(predictions: Sequence, references: Sequence) -> None:
    if len(predictions) != len(references) or not len(predictions):
        raise UserError(
            "Expected a reference for each prediction, and at least one. "
            f"Received: {len(predictions)} predictions and {len(references)} references."
        )
