"""Which of some sentences a language model finds most likely: causal models by likelihood, masked ones by pseudo-likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfllm.tasks.judging import Asking, Measure, mean_of, measured


def sentence_likelihoods(model, sentences: Sequence[str], asking: Asking, delimiter: str = "") -> tuple[list, str]:
    """A `Likelihood` of each sentence, and how it was computed.

    Args:
        model: a `CausalLM` or a `MaskedLM`, with its tokenizer.
        sentences: the texts.
        asking: options.
        delimiter: what a causal model reads before a sentence, after its bos (or eos) token.
    """
    from tfllm.models import MaskedLM
    from tfllm.tasks.likelihood import continuations
    from tfllm.tasks.pseudo_likelihood import masked_sentences

    if isinstance(model, MaskedLM):
        return masked_sentences(
            model, sentences, **asking.reading()
        ), "pseudo-log-likelihood, each token masked in turn"
    pairs = [("", delimiter + sentence) for sentence in sentences]
    return continuations(model, pairs, **asking.reading()), "log-likelihood"


def by_value(values: Sequence, names: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """Rows of each value of some columns: `{"field=syntax": rows}`, in the order of first occurrence.

    Example:
        >>> by_value(range(3), {"term": ["a", "b", "a"]})
        {'term=a': array([0, 2]), 'term=b': array([1])}
    """
    result: dict[str, list[int]] = {}
    for name, column in names.items():
        for row, value in zip(range(len(values)), column):
            result.setdefault(f"{name}={value}", []).append(row)
    return {name: np.array(rows) for name, rows in result.items()}


def grouped_means(
    metric: str, values: np.ndarray, names: Mapping[str, Sequence[str]], asking: Asking, items: str
) -> dict:
    """`measured` means of `values` for each value of some columns."""
    return {
        name: measured({metric: mean_of(values[rows], items)}, len(rows), asking.confidence_interval)
        for name, rows in by_value(values, names).items()
    }


def measures_of(sums: np.ndarray, formulas: Mapping, items: str) -> dict[str, Measure]:
    """A `Measure` for each formula of the same sums."""
    return {name: Measure(sums, formula, items) for name, formula in formulas.items()}
