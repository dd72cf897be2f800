"""Scores of answers, translations, code and rankings against values worked out by hand."""

import math

import numpy as np
import pytest

from tfllm import metrics
from tfllm.errors import UserError
from tfllm.metrics.code_bleu import code_bleu_ngrams


def test_normalized_answers():
    assert metrics.normalize_answer("The  U.S. Army's\tan a «the» anthem!") == "us armys « » anthem"
    assert metrics.exact_match("A cat.", "the Cat") == 1.0 and metrics.exact_match("cats", "cat") == 0.0
    # tokens old red barn / red barn: precision 2/3, recall 1
    assert metrics.token_f1("the old red barn", "a red barn") == pytest.approx(0.8, abs=1e-12)
    assert metrics.token_f1("a a b b", "b b b") == pytest.approx(2 * (2 / 2) * (2 / 3) / (2 / 2 + 2 / 3))
    assert metrics.token_f1("the", "a") == 0.0
    assert metrics.token_f1("the", "a", empty_matches=True) == 1.0
    assert metrics.token_f1("the", "x", empty_matches=True) == 0.0


def test_squad_v1():
    answers = {"1": ["Denver Broncos", "the Broncos"], "2": ["1976"], "3": ["gold"]}
    scores = metrics.squad_v1({"1": "Broncos", "2": "in 1976"}, answers)  # no prediction for 3
    assert scores == {"exact_match": pytest.approx(100 / 3), "f1": pytest.approx(100 * (1 + 2 / 3) / 3)}
    with pytest.raises(UserError, match="is it SQuAD 2.0"):
        metrics.squad_v1({"1": "x"}, {"1": []})


def test_squad_v2_with_and_without_threshold():
    answers = {"a": ["red barn"], "b": [], "c": [], "d": ["The"]}  # an answer of articles alone is no answer
    predictions = {"a": "barn", "b": "", "c": "something", "d": "the"}
    scores = metrics.squad_v2(predictions, answers)
    assert scores == {
        "exact": 50.0,
        "f1": pytest.approx(100 * (2 / 3 + 1 + 0 + 1) / 4),
        "total": 4,
        "HasAns_exact": 50.0,
        "HasAns_f1": pytest.approx(100 * (2 / 3 + 1) / 2),
        "HasAns_total": 2,
        "NoAns_exact": 50.0,
        "NoAns_f1": 50.0,
        "NoAns_total": 2,
    }
    na_probs = {"a": 0.2, "b": 0.9, "c": 0.8, "d": 0.1}
    scores = metrics.squad_v2(predictions, answers, na_probs, na_prob_threshold=0.5)
    assert scores["NoAns_exact"] == 100.0 and scores["exact"] == 75.0
    # Answering nothing: 2 points (b, c). Then d: 3; a: exact 3, F1 3.67; c: -1; b predicts nothing, 0.
    assert (scores["best_exact"], scores["best_exact_thresh"]) == (75.0, 0.1)
    assert (scores["best_f1"], scores["best_f1_thresh"]) == (pytest.approx(100 * (3 + 2 / 3) / 4), 0.2)
    with pytest.raises(UserError, match="prediction for each of the 4 questions. Received: none for 1 .*'d'"):
        metrics.squad_v2({"a": "", "b": "", "c": ""}, answers)


def test_multirc_record_and_parity():
    predictions, labels = [1, 0, 1, 1, 0], [1, 0, 0, 1, 1]
    assert metrics.f1a(predictions, labels) == pytest.approx(2 * 2 / (3 + 3))
    assert metrics.question_exact_match(predictions, labels, ["0-0", "0-0", "0-1", "0-1", "1-0"]) == pytest.approx(
        1 / 3
    )
    scores = metrics.record_scores(["the U.S.", "Nuria Smith"], [["US", "America"], ["Nuria"]])
    assert scores == {"f1": pytest.approx((1 + 2 / 3) / 2), "exact_match": 0.5}
    assert metrics.gender_parity([[2.0, 1.0], [3.0, 0.0], [0.0, 1.0], [1.0, 0.0]]) == 0.5
    assert metrics.gender_parity([0, 1, 0, 1], ["x", "y", "x", "y"]) == 1.0
    with pytest.raises(UserError, match="needs pairs of examples. Received: 1"):
        metrics.gender_parity([0, 1, 1])


def test_perplexity():
    scores = metrics.perplexity(-6 * math.log(2), 3, ["zwei Wörter", "x"])  # 3 tokens, 3 words, 13 bytes
    assert scores["token_perplexity"] == scores["word_perplexity"] == pytest.approx(4.0)
    assert scores["bits_per_byte"] == pytest.approx(6 / 13)
    assert scores["byte_perplexity"] == pytest.approx(2 ** (6 / 13))
    with pytest.raises(UserError, match="at most 0"):
        metrics.perplexity(1.0, 1, ["a"])


def test_corpus_scores_carry_their_signature():
    scores = metrics.corpus_scores(["the cat sat on a mat"], [["the cat sat on the mat"]], metrics=("bleu", "ter"))
    # 1-grams 5/6, 2-grams 3/5, 3-grams 2/4, 4-grams 1/3
    assert scores["bleu"].value == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    assert scores["bleu"].signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert scores["ter"].value == pytest.approx(100 / 6)
    with pytest.raises(UserError, match="2 translations, references of lengths \\[1\\]"):
        metrics.corpus_scores(["a", "b"], [["a"]])
    with pytest.raises(UserError, match="Received: 'rouge'"):
        metrics.corpus_scores(["a"], [["a"]], metrics=("rouge",))


def test_paired_bootstrap_of_translations():
    references = [f"the cat number {i} sat on the mat" for i in range(40)]
    worse = [text.replace("sat on", "lay at") for text in references]
    result = metrics.paired_bootstrap({"good": references, "worse": worse}, [references], resamples=200)["bleu"]
    assert result["good"]["p_value"] is None and result["worse"]["p_value"] < 0.05
    assert result["good"]["score"] == pytest.approx(100.0) and result["worse"]["score"] < 60


def test_smoothed_corpus_bleu():
    # 1-grams 3 of 4, 2-grams 2 of 3, 3-grams 1 of 2, 4-grams 0 of 1, each plus one; as long as the reference
    expected = 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert metrics.smoothed_corpus_bleu(["a b c d"], ["a b c e"]) == pytest.approx(expected)
    short = metrics.smoothed_corpus_bleu(["a b"], ["a b c d"])  # brevity exp(1 - 4/2)
    assert short == pytest.approx(100 * math.exp(-1) * (3 / 3 * 2 / 2 * 1 / 1 * 1 / 1) ** 0.25)
    assert metrics.smoothed_corpus_bleu([""], ["a"]) == 0.0


def test_sentence_bleu():
    # "return , it": 1-grams 3 of 3, 2-grams 2+1 of 2+1, 3-grams 1+1 of 1+1, 4-grams 0+1 of 0+1
    assert metrics.sentence_bleu("Return, it", "return , IT") == pytest.approx(100.0)
    # brevity 1 - (4 + 1) / (3 + 1)
    assert metrics.sentence_bleu("return , it", "return , it .") == pytest.approx(100 * math.exp(1 - 5 / 4))
    assert metrics.sentence_bleu("x", "y") < 1e-60
    assert metrics.mean_sentence_bleu(["a b", "zz"], ["a b", "yy"]) == pytest.approx(50.0)


def test_code_bleu_ngrams():
    scores = code_bleu_ngrams(["return a ;"], ["return b ;"], ["return"])
    # BLEU: 1-grams 2/3, 2-grams 0.1/2, 3-grams 0.1/1, 4-grams 0.1/1
    assert scores["ngram"] == pytest.approx(100 * (2 / 3 * 0.1 / 2 * 0.1 * 0.1) ** 0.25)
    # keyword 1, others 0.2: 1.2 of 1.4
    assert scores["weighted_ngram"] == pytest.approx(100 * (1.2 / 1.4 * 0.1 / 2 * 0.1 * 0.1) ** 0.25)
    assert code_bleu_ngrams(["x"], ["y"], []) == {"ngram": 0.0, "weighted_ngram": 0.0}


def test_code_completion():
    assert metrics.token_accuracy([["a", "b", "<EOL>"], ["c"]], [["a", "x", "<EOL>"], ["c"]]) == pytest.approx(2 / 3)
    with pytest.raises(UserError, match="each of the 2 tokens of answer 0. Received: 1"):
        metrics.token_accuracy([["a"]], [["a", "b"]])
    assert metrics.restore_literals("x = <STR_LIT:a <b> + <NUM_LIT> + <CHAR_LIT>") == "x = a <b + 0 + "
    assert metrics.edit_similarity("", "a") == 0 and metrics.edit_similarity("", "") == 100
    assert metrics.edit_similarity("abcd", "acbd") == 75  # 3 of 4 keep their order
    scores = metrics.line_scores(["f ( <NUM_LIT:1> )\n", "x"], ["f  ( 1 )", "y"])
    assert scores["exact_match"] == 50.0 and scores["edit_similarity"] == (93 + 0) / 2


def test_rankings():
    assert metrics.mean_reciprocal_rank([["b", "a"], ["c"], ["d"]], ["a", "c", "x"]) == pytest.approx(0.5)
    scores = np.array([[9, 1, 3, 2], [1, 9, 3, 2], [3, 2, 9, 1], [3, 2, 1, 9]])
    labels = ["x", "x", "x", "x"]
    assert metrics.map_at_r(scores, labels) == metrics.precision_at_r(scores, labels) == 1.0
    labels = np.array([0, 0, 1, 1])  # R = 1: best of 0 is 2, of 1 is 2, of 2 is 0, of 3 is 0
    assert metrics.map_at_r(scores, labels) == 0.0
    # R = 2 for the three of class 0; query 0 ranks 2 3 1: hits 1 0; 1: 2 3 0: 1 0; 2: 0 1 3: 1 1; of 3, R = 0: an error
    with pytest.raises(UserError, match="needs two members"):
        metrics.map_at_r(scores, [0, 0, 0, 1])
    five = np.array([[0, 3, 2, 1, 0.5], [3, 0, 2, 1, 0], [1, 2, 0, 9, 8], [1, 2, 9, 0, 3], [2, 1, 0, 9, 0]])
    # class 0 = rows 0 1 2 (R = 2): 1 2 -> 1; 0 2 -> 1; 3 4 -> 0. Class 1 = rows 3 4 (R = 1): 2 -> 0; 3 -> 1
    assert metrics.map_at_r(five, [0, 0, 0, 1, 1]) == pytest.approx(3 / 5)
    second = np.array([[0, 1, 2, 3], [3, 0, 1, 2], [3, 2, 0, 1], [1, 1, 1, 0]])
    # R = 3 where all are alike but one class of two: row 0: 3 2 1
    assert metrics.precision_at_r(second, [0, 1, 1, 0]) == pytest.approx((1 + 0 + 0 + 1) / 4)


@pytest.mark.parametrize("function", [metrics.smoothed_corpus_bleu, metrics.mean_sentence_bleu, metrics.line_scores])
def test_lists_of_other_lengths(function):
    with pytest.raises(UserError, match="at least one. Received: 2 predictions and 1"):
        function(["a", "b"], ["a"])
