"""Our metrics on real files, against what the official scorers print for them."""

import json
import zlib

import benchmark_files
import pytest

from tfllm import metrics

pytestmark = pytest.mark.real


# CodeXGLUE's READMEs give these figures for the files that lie beside its evaluators.
@pytest.mark.parametrize(
    "predictions, references, bleu, accuracy",
    [
        ("code-to-code-trans/evaluator/predictions.txt", "code-to-code-trans/evaluator/references.txt", 61.08, 50.0),
        ("code-refinement/evaluator/predictions.txt", "code-refinement/evaluator/references.txt", 79.03, 40.0),
        (
            "code-to-code-trans/saved_models/java-cs-model1.output",
            "code-to-code-trans/saved_models/java-cs-model1.gold",
            77.46,
            56.1,
        ),
        # naive copy
        ("code-refinement/small/test.buggy-fixed.buggy", "code-refinement/small/test.buggy-fixed.fixed", 78.06, 0.0),
    ],
)
def test_codexglue_bleu_and_exact_match(predictions, references, bleu, accuracy):
    predictions, references = (benchmark_files.lines(f"codexglue/{name}") for name in (predictions, references))
    assert round(metrics.smoothed_corpus_bleu(predictions, references), 2) == bleu
    same = sum(p.strip() == r.strip() for p, r in zip(predictions, references, strict=True))
    assert round(100 * same / len(references), 2) == accuracy


def test_codexglue_summarisation_bleu():
    folder = "codexglue/code-to-text/evaluator/"
    predictions, references = (
        [line.split("\t")[1] for line in benchmark_files.lines(folder + name)]
        for name in ("predictions.txt", "reference.txt")
    )
    assert metrics.mean_sentence_bleu(predictions, references) == pytest.approx(9.554726113590661, abs=1e-9)


def test_codexglue_line_completion():
    folder = "codexglue/CodeCompletion-line/evaluator/"
    answers = [json.loads(line)["gt"] for line in benchmark_files.lines(folder + "answers.json")]
    scores = metrics.line_scores(benchmark_files.lines(folder + "predictions.txt"), answers)
    assert scores == {"exact_match": 0.0, "edit_similarity": 43.8}


def test_codexglue_ngrams_of_code_bleu():
    predictions, references = (
        benchmark_files.lines(f"codexglue/code-to-code-trans/saved_models/java-cs-model1.{name}")
        for name in ("output", "gold")
    )
    scores = metrics.code_bleu_ngrams(predictions, references, ["public"])
    assert scores["ngram"] == pytest.approx(77.44630123564446, abs=1e-9)


@pytest.fixture(scope="module")
def squad():
    """Predictions of SQuAD's logistic regression baseline, and the answers of half of the dev set."""
    predictions = json.loads(
        benchmark_files.path("metrics_goldens/squad_v1.1_predictions/Logistic_Regression_Baseline.json").read_text()
    )
    data = json.loads(benchmark_files.path("squad/dev-v1.1.part1-dusplit-dev.json").read_text())["data"]
    questions = [qa for article in data for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    return predictions, {qa["id"]: [answer["text"] for answer in qa["answers"]] for qa in questions}


def test_squad_v1(squad):
    # by evaluate-v1.1.py, written down once more apart from ours
    assert metrics.squad_v1(*squad) == {
        "exact_match": pytest.approx(40.93932674863939, abs=1e-9),
        "f1": pytest.approx(50.888084706234544, abs=1e-9),
    }


def test_squad_v2(squad):
    """Every third question loses its answers, every seventh prediction its text; scores of "no answer" from the ids."""
    predictions, answers = squad
    answers = {id_: [] if row % 3 == 0 else texts for row, (id_, texts) in enumerate(answers.items())}
    hashes = {id_: zlib.crc32(id_.encode()) for id_ in answers}
    predictions = {id_: "" if hashes[id_] % 7 == 0 else predictions.get(id_, "") for id_ in answers}
    na_probs = {id_: value % 1000 / 1000 for id_, value in hashes.items()}
    # by evaluate-v2.0.py, written down once more apart from ours, with no-answer scores and --na-prob-thresh 0.5
    expected = {
        "exact": 30.155210643015522,
        "f1": 33.156998580515804,
        "total": 4961,
        "HasAns_exact": 17.02449349863925,
        "HasAns_f1": 21.527629258523977,
        "HasAns_total": 3307,
        "NoAns_exact": 56.4087061668682,
        "NoAns_f1": 56.4087061668682,
        "NoAns_total": 1654,
        "best_exact": 33.38036686151985,
        "best_exact_thresh": 0.0,
        "best_f1": 34.26302451985133,
        "best_f1_thresh": 0.997,
    }
    assert metrics.squad_v2(predictions, answers, na_probs, 0.5) == pytest.approx(expected, abs=1e-9)


def test_translations_of_wmt():
    folder = "wmt/newstest2021/"
    references = [benchmark_files.lines(f"{folder}newstest2021.en-de.ref.A.de")]
    system = benchmark_files.lines(f"{folder}system-outputs/newstest2021.en-de.hyp.ICL.de")
    # `sacrebleu REFERENCE -i SYSTEM -m bleu chrf -w 6`
    scores = metrics.corpus_scores(system, references, metrics=("bleu", "chrf"))
    assert scores["bleu"].value == pytest.approx(24.539799541013327, abs=1e-9)
    assert scores["chrf"].value == pytest.approx(55.194999693392646, abs=1e-9)
