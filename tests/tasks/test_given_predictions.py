"""Prediction files of others, in the forms that the official scorers take, are scored as those score them."""

import gzip
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from tfllm import tasks
from tfllm.cli import main
from tfllm.data import Examples
from tfllm.errors import DataError, UserError
from tfllm.tasks.cloze import ClozeAnswers, ClozeKind
from tfllm.tasks.codexglue.common import PlainLines
from tfllm.tasks.completion import CompletionKind
from tfllm.tasks.retrieval import RankedAnswers, RetrievalKind
from tfllm.tasks.task import Task
from tfllm.training.comparison import compare_files


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def json_lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def scores_of(task, path, split="validation", **options):
    return task.score_split(task.read_predictions(path, split, **options).outputs, split)


def made(examples, kind, fields, metrics, **more):
    return Task(
        name="made", kind=kind, text_fields=fields, read=lambda split: examples, metrics=metrics, main_metric=metrics[0],
        splits={"validation": "made"}, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        "index\tprediction\n0\t1\n1\t1\n",
        "index\tprediction\r\n1\tpositive\r\n0\tPositive\r\n",
        "\ufeffid\tlabel\tprediction\tprobability\n0\tnegative\tpositive\t0.9\n1\tpositive\tpositive\t1\n",
        "0\t1\n1\t1",
    ],
)
def test_glue_classes(content, glue_dir, tmp_path):
    task = tasks.get("glue/sst2", data_dir=glue_dir)
    scores = scores_of(task, write(tmp_path / "SST-2.tsv", content))
    assert scores["accuracy"] == 0.5 and scores["n"] == 2 and scores["ci95"]["accuracy"] == [0.0, 1.0]


def test_glue_numbers_and_names(glue_dir, tmp_path):
    stsb = tasks.get("glue/stsb", data_dir=glue_dir)
    path = write(tmp_path / "STS-B.tsv", "index\tprediction\n2\t0.5\n0\t4.000\n1\t4.5\n")
    assert scores_of(stsb, path, "train")["spearman"] == pytest.approx(0.5)
    mnli = tasks.get("glue/mnli", data_dir=glue_dir)
    path = write(tmp_path / "MNLI-m.tsv.gz", gzip.compress(b"index\tprediction\n0\tneutral\n1\tentailment\n"))
    assert scores_of(mnli, path)["accuracy"] == 0.5
    with pytest.raises(
        DataError, match=r"MNLI.tsv:2: expected one of entailment, neutral, contradiction. Received: '2'"
    ):
        mnli.read_predictions(write(tmp_path / "MNLI.tsv", "index\tprediction\n0\t2\n1\t1\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "index\tprediction\n0\t1\n",
            "Received: 1 predictions, none for 1 of them, such as '1'. Are they of this split?",
        ),
        ("index\tprediction\n0\t1\n1\t1\n2\t0\n", "1 of examples that there are not, such as '2'"),
        ("index\tprediction\n0\t1\n0\t1\n", r"p.tsv:3: a second prediction for '0'"),
        ("index\tprediction\n0\t1\n1 1\n", r"p.tsv:3: expected 2 fields, with tabs between them. Received: 1."),
        ("index\tscore\n0\t1\n", "expected the columns index and prediction. Received: index, score"),
        (b"index\tprediction\n0\t1\n1\t\xe9\n", "p.tsv:3: expected UTF-8"),
        ("", "the file is empty"),
    ],
)
def test_damaged_tables(content, message, glue_dir, tmp_path):
    task = tasks.get("glue/sst2", data_dir=glue_dir)
    with pytest.raises(DataError, match=message):
        task.read_predictions(write(tmp_path / "p.tsv", content))


@pytest.fixture(scope="module")
def superglue_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("superglue")
    plain = [{"premise": "a", "hypothesis": "b", "idx": i, "label": y} for i, y in enumerate(("entailment", "neutral"))]
    write(root / "CB/val.jsonl", json_lines(*plain, {**plain[0], "idx": 2, "label": "contradiction"}))
    write(
        root / "BoolQ/val.jsonl",
        json_lines(*({"question": "q", "passage": "p", "idx": i, "label": True} for i in (0, 1))),
    )
    write(
        root / "COPA/val.jsonl",
        json_lines(
            *(
                {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": 1, "idx": i}
                for i in (0, 1)
            )
        ),
    )
    answers = [{"text": str(i), "idx": i, "label": y} for i, y in enumerate((1, 0, 1, 1))]
    questions = [
        {"question": "q", "answers": answers[:2], "idx": 0},
        {"question": "r", "answers": answers[2:], "idx": 1},
    ]
    write(root / "MultiRC/val.jsonl", json_lines({"idx": 3, "passage": {"text": "t", "questions": questions}}))
    passage = {"text": "The U.S. and Bob.", "entities": [{"start": 4, "end": 7}, {"start": 13, "end": 15}]}
    qas = [{"query": "@placeholder", "idx": 5 + i, "answers": [{"start": 4, "end": 7, "text": "U.S."}]} for i in (0, 1)]
    write(root / "ReCoRD/val.jsonl", json_lines({"idx": 0, "passage": passage, "qas": qas}))
    return root


def multirc(*labels):
    answers = [{"idx": i, "label": label} for i, label in enumerate(labels)]
    return {
        "idx": 3,
        "passage": {"questions": [{"idx": 0, "answers": answers[:2]}, {"idx": 1, "answers": answers[2:]}]},
    }


@pytest.mark.parametrize(
    ("name", "records", "expected"),
    [
        # Of three classes with one F1 each: 1, 0 (never right) and 2/3 - worked out by hand.
        ("cb", [{"idx": 0, "label": "entailment"}, {"idx": 2, "label": "entailment"}, {"idx": 1, "label": "neutral"}],
         {"accuracy": 2 / 3, "macro_f1": (2 / 3 + 0 + 1) / 3}),
        ("boolq", [{"idx": 0, "label": True}, {"idx": 1, "label": "false"}], {"accuracy": 0.5}),
        ("boolq", [{"idx": "0", "label": "True"}, {"idx": 1, "label": 1}], {"accuracy": 1.0}),
        ("copa", [{"idx": 1, "label": 0}, {"idx": 0, "label": 1}], {"accuracy": 0.5}),
        ("multirc", [multirc(1, 0, 0, 1)], {"f1a": 0.8, "exact_match": 0.5}),
        ("multirc", [multirc("1", False, True, "true")], {"f1a": 1.0, "exact_match": 1.0}),
        ("record", [{"idx": 5, "label": "The US"}, {"idx": 6, "label": "Bob"}], {"f1": 0.5, "exact_match": 0.5}),
    ],
)  # fmt: skip
def test_superglue(name, records, expected, superglue_dir, tmp_path):
    task = tasks.get(f"superglue/{name}", data_dir=superglue_dir)
    scores = scores_of(task, write(tmp_path / "p.jsonl", json_lines(*records)))
    assert {metric: scores[metric] for metric in expected} == pytest.approx(expected, abs=1e-12)
    assert set(scores["ci95"]) == set(task.metrics)


def test_what_superglue_refuses(superglue_dir, tmp_path):
    for name, record, message in (
        ("copa", {"idx": 0, "label": 2}, "p.jsonl:1: expected one of 0, 1. Received: 2"),
        ("copa", {"idx": 0, "label": True}, "expected one of 0, 1. Received: True"),
        ("record", {"idx": 5, "label": "Ann"}, "expected one of Bob, U.S.. Received: 'Ann'"),
        ("cb", {"idx": 0}, "p.jsonl:1: no 'label'"),
        (
            "multirc",
            {"idx": 3, "passage": {"questions": [{"answers": []}]}},
            "'questions' must hold objects with an 'idx'",
        ),
    ):
        rest = {"copa": {"idx": 1, "label": 0}, "record": {"idx": 6, "label": "Bob"}}.get(name, record)
        with pytest.raises(DataError, match=message):
            task = tasks.get(f"superglue/{name}", data_dir=superglue_dir)
            task.read_predictions(write(tmp_path / "p.jsonl", json_lines(record, rest)))


def squad(root, version, answers):
    context = "The red barn stood."
    qas = [
        {"id": id_, "question": "?", "answers": [{"text": t, "answer_start": context.index(t)} for t in texts]}
        for id_, texts in answers.items()
    ]
    content = {"version": version, "data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas}]}]}
    write(root / f"dev-{version}.json", json.dumps(content))
    return tasks.get(f"squad/{version}", data_dir=root)


def test_squad_1(tmp_path):
    task = squad(tmp_path, "v1.1", {"a": ["The red barn", "barn"], "b": ["The"], "c": ["stood"]})
    given = task.read_predictions(write(tmp_path / "p.json", json.dumps({"a": "barn, red", "c": "stood", "x": "y"})))
    assert given.notes == (
        "1 of 3 questions have no answer and count 0",
        "1 of its 3 answers are for questions that there are not",
    )
    scores = task.score_split(given.outputs, "validation")
    # "The" has no words to the scorer: an empty answer would match it, one that was not given counts 0.
    assert (
        scores["exact_match"] == pytest.approx(100 / 3) and scores["f1"] == pytest.approx(200 / 3) and scores["n"] == 3
    )
    flat = json.dumps([{"id": i, "prediction_text": ""} for i in "abc"])
    assert scores_of(task, write(tmp_path / "q.json", flat))["exact_match"] == pytest.approx(100 / 3)
    with pytest.raises(DataError, match="none for 3 of them, such as 'a'. Are they of this split?"):
        task.read_predictions(write(tmp_path / "p.json", '{"z": "y"}'))
    with pytest.raises(DataError, match="expected texts as answers. Received: '5' for question 'a'"):
        task.read_predictions(write(tmp_path / "p.json", '{"a": 5}'))
    with pytest.raises(UserError, match="every question has an answer, so there are no null_odds"):
        task.read_predictions(write(tmp_path / "p.json", '{"a": ""}'), null_odds="n.json")


def test_squad_2_as_the_official_scorer(tmp_path):
    task = squad(tmp_path, "v2.0", {"a": ["barn"], "b": [], "c": ["red"], "d": []})
    path = write(tmp_path / "predictions.json", json.dumps({"a": "barn", "b": "red", "c": "", "d": ""}))
    scores = scores_of(task, path)
    assert scores["exact_match"] == scores["f1"] == 50.0 and "best_f1" not in scores["official"]
    assert scores["official"]["HasAns_exact"] == 50.0 and scores["official"]["NoAns_f1"] == 50.0
    odds = write(tmp_path / "na_prob.json", json.dumps({"a": 0.1, "b": 0.8, "c": 0.2, "d": 3}))
    scores = scores_of(task, path, null_odds=odds)  # above 1.0: d alone, which is "" anyway
    assert scores["exact_match"] == 50.0 and scores["null_threshold"] == 1.0
    assert scores["official"]["best_exact"] == 75.0 and scores["official"]["best_exact_thresh"] == 0.1
    scores = scores_of(task, path, null_odds=odds, null_threshold=0.5)
    assert scores["exact_match"] == scores["official"]["exact"] == 75.0
    with pytest.raises(DataError, match="expected an answer for each of the 4 questions. Received: 1, none for 3"):
        task.read_predictions(write(tmp_path / "p.json", '{"a": "y"}'))
    with pytest.raises(UserError, match="null_threshold needs null_odds"):
        task.read_predictions(path, null_threshold=0.5)


def test_an_answer_without_words_and_a_threshold(tmp_path):
    """Above the threshold a question that has answers counts 0, even where "" would match the answer "The"."""
    task = squad(tmp_path, "v2.0", {"a": ["The"], "b": []})
    path = write(tmp_path / "predictions.json", '{"a": "barn", "b": ""}')
    odds = write(tmp_path / "na_prob.json", '{"a": 2.0, "b": 0}')
    scores = scores_of(task, path, null_odds=odds)
    assert scores["exact_match"] == scores["official"]["exact"] == 50.0


def test_texts(tmp_path):
    one, other = (
        write(tmp_path / "a.de", "Das alte Haus .\nEin \u2028 Hund .\n"),
        write(tmp_path / "b.de", "Das alte Heim .\nHund ."),
    )
    task = tasks.from_references([one, other])
    scores = scores_of(task, write(tmp_path / "s.de", "\ufeffDas alte Heim .\r\nEin \u2028 Hund .\r\n"))
    assert (
        scores["bleu"] == pytest.approx(100)
        and scores["ter"] == 0
        and scores["signature"]["bleu"].startswith("nrefs:2|")
    )
    sgm = '<tstset><doc><seg id="1">Das alte Heim .</seg>\n<seg id="2">Ein Hund .</seg></doc></tstset>'
    assert scores_of(task, write(tmp_path / "s.sgm", sgm))["ter"] == 0
    with pytest.raises(
        DataError, match=r"expected a line for each of the 2 examples of .*a.de, .*b.de. Received: 3 lines"
    ):
        task.read_predictions(write(tmp_path / "s.de", "a\nb\n\n"))
    task = tasks.from_references([one], metrics=["sentence_bleu", "exact_match"])
    assert scores_of(task, other)["exact_match"] == 0 and set(scores_of(task, one)["ci95"]) == {
        "sentence_bleu",
        "exact_match",
    }


def test_codexglue_lines(tmp_path):
    examples = Examples(
        (["a", "b"], ["c", "d"]), np.array([1, 0]), ids=["x", "y"], columns={"first": ["1", "1"], "second": ["2", "3"]}
    )
    for columns, content in ((("first", "second"), "1\t3\t1\n1\t2\t1\n1\t2\t1\n"), ((), "y 1\nx\t1\n")):
        task = made(
            examples, "classification", ("p", "q"), ("f1",), labels=("0", "1"), submission=PlainLines({}, columns)
        )
        assert scores_of(task, write(tmp_path / "p.txt", content))["f1"] == pytest.approx(2 / 3)
    with pytest.raises(DataError, match="p.txt:1: expected 2 fields"):
        task.read_predictions(write(tmp_path / "p.txt", "x\n"))
    words = Examples((["d", "d"], ["<mask>"] * 2), np.array([0, 1]), ids=["p-1", "p-2"], label_names=("max", "min"))
    task = made(words, "cloze", ("doc", "code"), ("accuracy",), strategy=ClozeKind(), submission=ClozeAnswers({}))
    scores = scores_of(task, write(tmp_path / "p.txt", "p-2<CODESPLIT>max\np-1<CODESPLIT>max\n"))
    assert scores["accuracy"] == 0.5 and scores["candidates_without_token"] == 0
    code = Examples((["<s> a = b <EOL> </s>", "<s> c </s>"],))
    task = made(code, "completion", ("code",), ("token_accuracy",), strategy=CompletionKind())
    scores = scores_of(task, write(tmp_path / "p.txt", "<s> a = c x x\n<s> c x\n"))
    assert scores["token_accuracy"] == 0.75 and scores["n"] == 4
    with pytest.raises(DataError, match="p.txt:2: expected 3 tokens, as in the example. Received: 2."):
        task.read_predictions(write(tmp_path / "p.txt", "<s> a = c x x\n<s> c\n"))


def test_codexglue_rankings(tmp_path):
    code = Examples((list("abcde"),), ids=list("01234"), columns={"group": list("xxxyy")})
    task = made(code, "retrieval", ("code",), ("map_at_r",), strategy=RetrievalKind(), submission=RankedAnswers({}))
    best = {"0": ["3", "1", "2"], "1": ["0", "2"], "2": ["3", "4"], "3": ["4"], "4": ["1", "3"]}
    content = json_lines(*({"index": int(q), "answers": [int(a) for a in found]} for q, found in best.items()))
    # R is 2 of x and 1 of y: (0 + 1/2) / 2, 1, 0, 1, 0.
    assert scores_of(task, write(tmp_path / "p.jsonl", content))["map_at_r"] == pytest.approx(
        (0.25 + 1 + 0 + 1 + 0) / 5
    )
    pairs = Examples((["q", "r", "s"], list("abc")), ids=["7", "8", "9"], columns={"url": ["u", "v", "w"]})
    task = made(
        pairs, "retrieval", ("doc", "code"), ("mrr",), strategy=RetrievalKind(), submission=RankedAnswers({}, "url")
    )
    records = [{"url": "u", "answers": [9, 7]}, {"url": "w", "answers": [9]}, {"url": "v", "answers": []}]
    assert scores_of(task, write(tmp_path / "p.jsonl", json_lines(*records)))["mrr"] == 0.5
    with pytest.raises(DataError, match="p.jsonl:1: 'answers' must be ids of examples, each once. Received: '5'"):
        task.read_predictions(write(tmp_path / "p.jsonl", json_lines({"url": "u", "answers": [5]})))


def test_tags(tmp_path):
    write(
        tmp_path / "dev.jsonl",
        json_lines({"words": ["Ann", "met"], "tags": ["B-PER", "O"]}, {"words": ["Bob"], "tags": ["B-PER"]}),
    )
    task = tasks.from_files(validation=tmp_path / "dev.jsonl", text="words", label="tags", kind="tagging")
    scores = scores_of(task, write(tmp_path / "p.conll", "Ann\tB-PER\nmet\tO\n\nBob\tB-PER\tO\n\n"))
    assert scores["entity_f1"] == pytest.approx(2 / 3) and scores["entity_precision"] == 1.0
    with pytest.raises(
        DataError, match=r"p.conll:4: expected the words of .*: here 'Bob' \(word 1 of sentence 2\). Received: 'Rob'"
    ):
        task.read_predictions(write(tmp_path / "p.conll", "Ann O\nmet O\n\nRob O\n"))
    with pytest.raises(DataError, match="expected a tag for each word of 2 sentences"):
        task.read_predictions(write(tmp_path / "p.conll", "Ann O\nmet O\n"))


def test_what_is_written_is_read_back(glue_dir, superglue_dir, tmp_path):
    rng = np.random.default_rng(zlib.crc32(b"predictions"))
    for name, root in (("glue/rte", glue_dir), ("glue/cola", glue_dir), ("glue/stsb", glue_dir), ("superglue/cb", superglue_dir),
                       ("superglue/copa", superglue_dir), ("superglue/multirc", superglue_dir), ("superglue/record", superglue_dir)):  # fmt: skip
        task = tasks.get(name, data_dir=root)
        split = "train" if root is glue_dir else "validation"
        outputs = rng.random((len(task.examples(split)), task.num_outputs))
        task.write_predictions(outputs, split, tmp_path / "p", overwrite=True)
        given, own = scores_of(task, tmp_path / "p", split), task.score_split(outputs, split)
        assert [given[m] for m in task.metrics] == pytest.approx([own[m] for m in task.metrics], abs=1e-3), name


def test_no_file_for_a_judgement_by_likelihoods():
    with pytest.raises(UserError, match="is judged by likelihoods: there are no prediction files"):
        tasks.get("lambada/openai").read_predictions("p.txt")


def test_evaluate_and_compare(glue_dir, tmp_path, capsys):
    good, bad = (
        write(tmp_path / f"{n}.tsv", f"index\tprediction\n0\t{y}\n1\t0\n") for n, y in (("good", 1), ("bad", 0))
    )
    of = ["--task=glue/sst2", f"--data_dir={glue_dir}"]
    assert main(["evaluate", f"--predictions={good}", *of, "--format=json", f"--out={tmp_path}/s.json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["accuracy"] == 1.0 and scores["n"] == 2 and scores["ci95"]["accuracy"] == [1.0, 1.0]
    assert json.loads((tmp_path / "s.json").read_text()) == scores
    assert main(["evaluate", f"--predictions={bad}", *of]) == 0
    out = capsys.readouterr().out
    assert (
        "validation  accuracy  0.5000  0.0000 to 1.0000  2" in out
        and "percentile bootstrap" in out
        and "rows read: 2" in out
    )
    assert main(["compare", str(bad), str(good), *of]) == 0
    out = capsys.readouterr().out
    assert "McNemar" in out and "accuracy: no difference that could be told from chance" in out
    for argv, message in (
        (["evaluate", f"--predictions={good}", *of, "--model=demo"], "--model is not for a file of predictions"),
        (["evaluate", f"--predictions={good}"], "Predictions are scored by a task's data"),
        (["evaluate", f"--predictions={good}", *of, "--split=test"], "the split 'test' has no labels"),
        (["evaluate", f"--predictions={good}", *of, "--metrics=bleu"], "metrics is for texts with --references"),
        (["evaluate", *of, "--references=a"], "references goes with --predictions=FILE"),
        (["evaluate", "--suite=glue", f"--predictions={good}"], "predictions is for a single task, not for a suite"),
        (["compare", str(good), str(bad)], "say what they are of: --task=NAME"),
    ):
        assert main(argv) == 2
        assert message in capsys.readouterr().err


def test_a_lower_error_rate_is_better(tmp_path, capsys):
    lines = [f"sentence number {i} of the text ." for i in range(30)]
    reference, worse = (
        write(tmp_path / "r", "\n".join(lines) + "\n"),
        [line.replace("number", "count") for line in lines],
    )
    system = write(tmp_path / "s", "\n".join(worse) + "\n")
    assert main(["compare", str(reference), str(system), f"--references={reference}", "--metrics=bleu,ter"]) == 0
    out = capsys.readouterr().out
    assert "bleu: A is better" in out and "ter: A is better" in out


@pytest.mark.filterwarnings("ignore:.* is not defined where all predictions are equal")
def test_a_score_that_is_not_defined_is_null(glue_dir, tmp_path, capsys):
    path = write(tmp_path / "STS-B.tsv", "index\tprediction\n0\t2\n1\t2\n2\t2\n")
    command = ["evaluate", f"--predictions={path}", "--task=glue/stsb", f"--data_dir={glue_dir}", "--split=train"]
    assert main([*command, "--format=json"]) == 0
    out = capsys.readouterr().out
    assert (
        "NaN" not in out and json.loads(out)["pearson"] is None and json.loads(out)["ci95"]["spearman"] == [None, None]
    )
    assert main(command) == 0
    assert "pearson   undefined  -" in capsys.readouterr().out


def test_numbered_references(tmp_path):
    """CodeXGLUE's summaries have ids before a tab: they are no words."""
    task = tasks.from_references([write(tmp_path / "r", "0\tsorts a list\n1\tadds numbers\n")], metrics=["exact_match"])
    assert task.examples("validation").columns["references"] == [("sorts a list",), ("adds numbers",)]
    for content in ("1\tadds numbers\n0\tsorts\n", "sorts\nadds numbers\n"):
        assert scores_of(task, write(tmp_path / "p", content))["exact_match"] == 50.0
    task = tasks.from_references([write(tmp_path / "r", "0\ta\nb\tc\n")], metrics=["exact_match"])
    assert scores_of(task, write(tmp_path / "p", "0\ta\nb\tx\n"))["exact_match"] == 50.0  # a tab inside of a text


@pytest.mark.skipif("TFLLM_DATA" not in os.environ, reason="TFLLM_DATA is not set")
def test_the_evaluators_own_examples(capsys):
    """CodeXGLUE's evaluators print these figures for the files beside them."""
    root = Path(os.environ["TFLLM_DATA"])
    code = root / "codexglue"
    sample, answers = code / "code-to-text/evaluator", code / "text-to-code"
    for argv, expected in (
        ([f"--predictions={sample}/predictions.txt", f"--references={sample}/reference.txt", "--metrics=sentence_bleu"],
         {"sentence_bleu": 9.554726113590661, "n": 5}),
        ([f"--predictions={answers}/predictions.txt", f"--input={answers}/answers.json", "--kind=generation", "--text_columns=nl",
          "--label_column=code", "--metrics=smoothed_bleu,token_exact_match"], {"token_exact_match": 17.0, "n": 100}),
    ):  # fmt: skip
        assert main(["evaluate", *argv, "--format=json"]) == 0
        scores = json.loads(capsys.readouterr().out)
        assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_mcnemar_counts_questions(superglue_dir, tmp_path):
    """A question of COPA is two rows, one of MultiRC as many as it has answers: each is one trial."""
    copa = tasks.get("superglue/copa", data_dir=superglue_dir)
    first, second = (
        write(tmp_path / str(n), json_lines(*({"idx": i, "label": label} for i in (0, 1))))
        for n, label in ((1, 1), (2, 0))
    )
    found = compare_files(copa, first, second)
    assert (found.n, found.only_first, found.only_second, found.mcnemar) == (2, 2, 0, 0.5)
    task = tasks.get("superglue/multirc", data_dir=superglue_dir)
    first, second = (
        write(tmp_path / str(n), json_lines(multirc(*y))) for n, y in enumerate([(1, 0, 0, 0), (0, 1, 1, 1)])
    )
    found = compare_files(task, first, second)
    assert (found.n, found.only_first, found.only_second) == (2, 1, 1)
