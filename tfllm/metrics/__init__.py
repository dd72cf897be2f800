"""What the benchmarks' official scorers compute, from logits, predictions or texts, with bootstrap intervals.

tfllm.metrics.compute("f1", logits, labels)
tfllm.metrics.bootstrap_ci("f1", logits, labels)
tfllm.metrics.squad_v2(predictions, answers, na_probs)
"""

from __future__ import annotations

from tfllm.metrics.answers import exact_match, normalize_answer, token_f1
from tfllm.metrics.bias import bbq, crows_pairs, stereoset
from tfllm.metrics.bootstrap import Interval, bootstrap_ci
from tfllm.metrics.classification import accuracy, f1, macro_f1, matthews_corrcoef
from tfllm.metrics.code_bleu import code_bleu_ngrams, mean_sentence_bleu, sentence_bleu, smoothed_corpus_bleu
from tfllm.metrics.code_completion import edit_similarity, line_scores, restore_literals, token_accuracy
from tfllm.metrics.code_structure import code_bleu_scores
from tfllm.metrics.comparison import Difference, compare_metric, mcnemar
from tfllm.metrics.correlation import pearson, spearman
from tfllm.metrics.perplexity import perplexity
from tfllm.metrics.predictions import predicted_classes, predicted_values
from tfllm.metrics.ranking import map_at_r, mean_reciprocal_rank, precision_at_r
from tfllm.metrics.registry import compute, names, register
from tfllm.metrics.squad import squad_v1, squad_v2
from tfllm.metrics.superglue import f1a, gender_parity, question_exact_match, record_scores
from tfllm.metrics.translation import CorpusScore, corpus_scores, paired_bootstrap

__all__ = [
    "CorpusScore",
    "Difference",
    "Interval",
    "accuracy",
    "bbq",
    "bootstrap_ci",
    "code_bleu_ngrams",
    "code_bleu_scores",
    "compare_metric",
    "compute",
    "corpus_scores",
    "crows_pairs",
    "edit_similarity",
    "exact_match",
    "f1",
    "f1a",
    "gender_parity",
    "line_scores",
    "macro_f1",
    "map_at_r",
    "matthews_corrcoef",
    "mcnemar",
    "mean_reciprocal_rank",
    "mean_sentence_bleu",
    "names",
    "normalize_answer",
    "paired_bootstrap",
    "pearson",
    "perplexity",
    "precision_at_r",
    "predicted_classes",
    "predicted_values",
    "question_exact_match",
    "record_scores",
    "register",
    "restore_literals",
    "sentence_bleu",
    "smoothed_corpus_bleu",
    "spearman",
    "squad_v1",
    "squad_v2",
    "stereoset",
    "token_accuracy",
    "token_f1",
]
