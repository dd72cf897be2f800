"""CodeBLEU (Ren et al. 2020): n-grams, n-grams with weighted keywords, syntax trees and data flow, a quarter each.

As CodeXGLUE's script computes it, over the corpus. Its scores depend on the release of tree-sitter's grammars: those of 2020,
that the published ones were made with, are not to be had as packages. See `tfllm.metrics.data_flow` for what is done here as
there, and what is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tfllm.errors import UserError
from tfllm.metrics.code_bleu import code_bleu_ngram_sums, code_bleu_ngrams_of_sums
from tfllm.metrics.code_languages import CodeLanguage, code_language, without_comments
from tfllm.metrics.data_flow import data_flow

PARTS = ("ngram", "weighted_ngram", "syntax", "dataflow")
_NGRAM_SUMS = 19


def code_bleu_scores(predictions: Sequence[str], references: Sequence[str], language: str) -> dict[str, float]:
    """CodeBLEU and its four parts, from 0 to 100.

    Args:
        predictions, references: N programs each, as tokens between blanks.
        language: `"java"` or `"c_sharp"`.

    Returns:
        `code_bleu`, the mean of `ngram`, `weighted_ngram` (see `code_bleu_ngrams`), `syntax` (how many of the references'
        sub-trees occur in the predictions' trees, leaves' texts apart) and `dataflow` (how many edges of the references' data flow
        the predictions have; 0 where no reference has any), and `without_dataflow`, the number of references whose
        data flow is empty and that do not count in that part.

    Raises:
        UserError: another language, lists of different lengths or empty ones, or the grammar is not installed.

    Example:
        >>> code = ["int f ( int x ) { return x ; }"]
        >>> code_bleu_scores(code, code, "java")["code_bleu"]  # doctest: +SKIP
        100.0
    """
    if len(predictions) != len(references) or not len(predictions):
        raise UserError(
            "Expected a reference for each prediction, and at least one. "
            f"Received: {len(predictions)} predictions and {len(references)} references."
        )
    known = code_language(language)
    sums = np.sum([code_bleu_sums(*pair, known) for pair in zip(predictions, references)], axis=0)
    parts = {name: float(score[0]) for name, score in code_bleu_parts(sums[None]).items()}
    return {"code_bleu": sum(parts.values()) / len(PARTS), **parts, "without_dataflow": int(sums[-1])}


def code_bleu_sums(prediction: str, reference: str, language: CodeLanguage) -> list[float]:
    """What a program adds to `code_bleu_scores`: 24 numbers.

    Those of `code_bleu_ngram_sums`, then matched and all sub-trees, matched and all edges, and 1 where there are no edges.
    """
    prediction, reference = prediction.strip(), reference.strip()
    ngrams = code_bleu_ngram_sums(prediction, reference, language.keywords)
    roots = [language.parse(without_comments(code).encode()) for code in (prediction, reference)]
    present, wanted = set(_sub_trees(roots[0])), list(_sub_trees(roots[1]))
    found, expected = (data_flow(root, language) for root in roots)
    edges = expected.total()
    return [*ngrams, sum(tree in present for tree in wanted), len(wanted), (found & expected).total(), edges, not edges]


def code_bleu_parts(sums) -> dict[str, np.ndarray]:
    """Sums `(R, 24)` of `code_bleu_sums` to the four parts, `(R,)` each."""
    sums = np.asarray(sums, np.float64)
    trees, all_trees, edges, all_edges = sums[:, _NGRAM_SUMS : _NGRAM_SUMS + 4].T
    return {
        **code_bleu_ngrams_of_sums(sums[:, :_NGRAM_SUMS]),
        "syntax": 100.0 * trees / all_trees,
        "dataflow": 100.0 * edges / np.maximum(all_edges, 1),
    }


def code_bleu_of_sums(sums) -> np.ndarray:
    """Sums `(R, 24)` of `code_bleu_sums` to scores `(R,)`."""
    return np.mean(list(code_bleu_parts(sums).values()), axis=0)


def _sub_trees(root) -> Iterable[str]:
    """The tree and each one below that has children, as S-expressions: types and fields of named nodes, no texts."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield str(node)
        waiting += [child for child in node.children if child.children]
