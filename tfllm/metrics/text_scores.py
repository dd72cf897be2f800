"""Scores of generated texts as sums over examples and a formula of the sums: so that intervals and comparisons are cheap.

`text_metric(name)` knows them by name:

| name | what it is |
| --- | --- |
| `bleu`, `chrf`, `ter` | sacrebleu's, with its signature |
| `smoothed_bleu` | CodeXGLUE's corpus BLEU of whitespace tokens, 1 added to each count (`smoothed_corpus_bleu`) |
| `sentence_bleu` | CodeXGLUE's mean of smoothed sentence BLEUs (`mean_sentence_bleu`) |
| `exact_match` | percent of texts that are a reference, white space around them apart |
| `token_exact_match` | the same of their tokens, split at white space (CONCODE) |
| `code_bleu` | CodeBLEU of Java or C# (`tfllm.metrics.code_bleu_scores`), against the first reference |
| `line_exact_match`, `edit_similarity` | of lines of code with their literals restored (`line_scores`) |

All are from 0 to 100 but TER, which is an error rate: from 0, the lower the better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics.bootstrap import Interval, bootstrap_of_sums
from tfllm.metrics.code_bleu import sentence_bleu, smoothed_bleu_of_sums, smoothed_bleu_sums
from tfllm.metrics.code_completion import edit_similarity, restore_literals

References = Sequence[Sequence[str]]
ERROR_RATES = ("ter",)  # the lower the better; of all others, the higher


@dataclass(frozen=True)
class TextMetric:
    """A score of N texts against one or more references each.

    Attributes:
        sums: `(texts, references of each) -> (N, S)`, what each text adds.
        score: sums `(R, S)` to scores `(R,)`.
        signature: its `str` says how the score was computed, where there is a form for saying so (sacrebleu's).
        parts: sums `(S,)` to what the score is made of, by name, where it is made of several; counts are whole numbers.

    Example:
        >>> text_metric("exact_match").compute(["a b ", "c"], [["a b"], ["d"]])
        50.0
    """

    sums: Callable[[Sequence[str], References], np.ndarray]
    score: Callable[[np.ndarray], np.ndarray]
    signature: object | None = None
    parts: Callable[[np.ndarray], dict[str, float]] | None = None

    def sums_of(self, texts: Sequence[str], references: References) -> np.ndarray:
        """What each text adds to the sums, `(N, S)` float64.

        Raises:
            UserError: no texts, or not a list of references for each.
        """
        if isinstance(texts, str) or any(isinstance(group, str) for group in references):
            raise UserError("Expected a list of texts, and a list of references for each. Received: a string.")
        if not len(texts) or len(texts) != len(references) or not all(map(len, references)):
            raise UserError(
                "Expected at least one text, and at least one reference for each. "
                f"Received: {len(texts)} texts and {len(references)} lists of references."
            )
        return np.asarray(self.sums(texts, references), np.float64)

    def compute(self, texts: Sequence[str], references: References) -> float:
        """The score; arguments and errors as `sums_of`."""
        return float(self.score(self.sums_of(texts, references).sum(axis=0)[None])[0])

    def bootstrap_ci(self, sums: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> Interval:
        """Percentile bootstrap interval over the texts, of what `sums_of` gave."""
        return bootstrap_of_sums(sums, self.score, "texts drawn", resamples=resamples, seed=seed)


def text_metric(name: str, target_language: str = "") -> TextMetric:
    """The metric of that name.

    Args:
        name: see the head of this module.
        target_language: code of the language that BLEU's tokenizer is chosen by: `"zh"`, `"ja"` and `"ko"` have one of
            their own in sacrebleu. Of `code_bleu`: the programming language, `"java"` or `"c_sharp"`.

    Raises:
        UserError: no such metric, or no such programming language.
    """
    if name == "code_bleu":
        return _code_bleu(target_language)
    if name in _SACREBLEU:
        return _sacrebleu(name, target_language)
    if name not in _METRICS:
        raise UserError(
            f"The metrics of texts are {', '.join([*_SACREBLEU, *_METRICS, 'code_bleu'])}. Received: {name!r}."
        )
    return _METRICS[name]


def _mean(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def _mean_metric(value: Callable[[str, Sequence[str]], float]) -> TextMetric:
    return TextMetric(
        lambda texts, references: [[value(text, group), 1.0] for text, group in zip(texts, references)], _mean
    )


def _exact(text: str, references: Sequence[str]) -> float:
    return 100.0 * any(text.strip() == reference.strip() for reference in references)


def _exact_tokens(text: str, references: Sequence[str]) -> float:
    return 100.0 * any(text.split() == reference.split() for reference in references)


def _line(value: Callable[[str, str], float]) -> Callable[[str, Sequence[str]], float]:
    return lambda text, references: max(
        value(restore_literals(text.strip()), restore_literals(reference)) for reference in references
    )


def _smoothed_sums(texts: Sequence[str], references: References) -> list:
    # The official script knows one reference; of several, a text is held against the first.
    return [smoothed_bleu_sums(text, group[0]) for text, group in zip(texts, references)]


_METRICS = {
    "smoothed_bleu": TextMetric(_smoothed_sums, smoothed_bleu_of_sums),
    "sentence_bleu": _mean_metric(sentence_bleu),
    "exact_match": _mean_metric(_exact),
    "token_exact_match": _mean_metric(_exact_tokens),
    "line_exact_match": _mean_metric(_line(lambda text, true: 100.0 * (text.split() == true.split()))),
    "edit_similarity": _mean_metric(_line(edit_similarity)),
}


def _code_bleu(language: str) -> TextMetric:
    from tfllm.metrics import code_structure
    from tfllm.metrics.code_languages import code_language

    known = code_language(language)

    def sums(texts, references):
        return [code_structure.code_bleu_sums(text, group[0], known) for text, group in zip(texts, references)]

    def parts(totals):
        values = {name: float(score[0]) for name, score in code_structure.code_bleu_parts(totals[None]).items()}
        return {**values, "without_dataflow": int(totals[-1])}

    return TextMetric(sums, code_structure.code_bleu_of_sums, parts=parts)


_SACREBLEU = {"bleu": "BLEU", "chrf": "CHRF", "ter": "TER"}


def _sacrebleu(name: str, target_language: str) -> TextMetric:
    try:
        import sacrebleu.metrics
    except ImportError:
        raise UserError("BLEU, chrF and TER need sacrebleu. Install it: pip install sacrebleu.") from None
    options = {"trg_lang": target_language} if name == "bleu" else {}
    scorer = getattr(sacrebleu.metrics, _SACREBLEU[name])(**options)

    def sums(texts, references):
        most = max(map(len, references))
        streams = [[group[i] if i < len(group) else None for group in references] for i in range(most)]
        return scorer._extract_corpus_statistics(list(texts), streams)

    def score(totals):
        return np.array([scorer._compute_score_from_stats(list(row)).score for row in np.asarray(totals)])

    return TextMetric(sums, score, _Signature(scorer))


class _Signature:
    """sacrebleu's signature, which knows the number of references only after scoring: text when it is asked for."""

    def __init__(self, scorer):
        self._scorer = scorer

    def __str__(self) -> str:
        return str(self._scorer.get_signature())
