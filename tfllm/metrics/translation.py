"""Corpus BLEU, chrF and TER by sacrebleu, always with its signature: without that a score means little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfllm.errors import UserError


@dataclass(frozen=True)
class CorpusScore:
    """A corpus score, and sacrebleu's signature that says how it was computed."""

    value: float
    signature: str


def corpus_scores(
    translations: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = ("bleu", "chrf", "ter"),
    tokenize: str | None = None,
) -> dict[str, CorpusScore]:
    """Scores of a whole test set.

    Args:
        translations: N texts, as they come from the model and detokenised.
        references: one or more lists of N texts.
        metrics: of `bleu`, `chrf`, `ter`.
        tokenize: BLEU's tokenizer; default: sacrebleu's, `13a`.

    Returns:
        Metric name to `CorpusScore`; BLEU and chrF from 0 to 100, TER from 0 (best).

    Raises:
        UserError: an unknown metric, lists of different lengths, or sacrebleu is not installed.

    Example:
        >>> corpus_scores(["the cat sat on it"], [["the cat sat on it"]])["chrf"].value
        100.0
    """
    _check(translations, references)
    scorers = _scorers(metrics, references, tokenize)
    scores = {}
    for name, scorer in scorers.items():
        score = scorer.corpus_score(list(translations), None)
        scores[name] = CorpusScore(float(score.score), str(scorer.get_signature()))
    return scores


def paired_bootstrap(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = ("bleu",),
    resamples: int = 1000,
    tokenize: str | None = None,
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Sacrebleu's paired bootstrap (Koehn 2004): are systems better or worse than the first one?

    Args:
        systems: name to N translations; the first one is the baseline.
        references: one or more lists of N texts.
        metrics: of `bleu`, `chrf`, `ter`.
        resamples: number of resamples.
        tokenize: as in `corpus_scores`.

    Returns:
        `{metric: {system: {"score": s, "mean": m, "ci95": half width, "p_value": p or None for the baseline}}}`.

    Raises:
        UserError: as `corpus_scores`; fewer than two systems.
    """
    if len(systems) < 2:
        raise UserError(f"A comparison needs at least two systems. Received: {len(systems)}.")
    for translations in systems.values():
        _check(translations, references)
    scorers = _scorers(metrics, references, tokenize)
    from sacrebleu.significance import PairedTest

    named = [(name, list(translations)) for name, translations in systems.items()]
    _, results = PairedTest(named, scorers, references=None, test_type="bs", n_samples=resamples)()
    names = results.pop("System")  # what is left has sacrebleu's names of the metrics, in our order
    return {
        metric: {
            name: {
                "score": float(result.score),
                "mean": float(result.mean),
                "ci95": float(result.ci),
                "p_value": None if result.p_value is None else float(result.p_value),
            }
            for name, result in zip(names, scores)
        }
        for metric, scores in zip(scorers, results.values(), strict=True)
    }


def _scorers(metrics: Sequence[str], references: Sequence[Sequence[str]], tokenize: str | None) -> dict:
    try:
        from sacrebleu.metrics import BLEU, CHRF, TER
    except ImportError:
        raise UserError("BLEU, chrF and TER need sacrebleu. Install it: pip install sacrebleu.") from None
    classes = {"bleu": BLEU, "chrf": CHRF, "ter": TER}
    unknown = [name for name in metrics if name not in classes]
    if unknown:
        raise UserError(f"The metrics of a translation are {', '.join(classes)}. Received: {unknown[0]!r}.")
    references = [list(column) for column in references]
    options = {} if tokenize is None else {"tokenize": tokenize}
    return {name: classes[name](references=references, **(options if name == "bleu" else {})) for name in metrics}


def _check(translations: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if isinstance(translations, str) or any(isinstance(column, str) for column in references):
        raise UserError("Expected a list of translations and lists of references. Received: one string in their place.")
    lengths = [len(column) for column in references]
    if not translations or not references or set(lengths) != {len(translations)}:
        raise UserError(
            f"Expected a reference for each translation. Received: {len(translations)} translations, "
            f"references of lengths {lengths}."
        )
