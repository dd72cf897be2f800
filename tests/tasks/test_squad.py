"""SQuAD: readers, windows, answers to the character in any script, the null threshold, and a model that learns it."""

import json

import benchmark_files
import numpy as np
import pytest
import toy_finetuning

import tfllm
from tfllm import tasks
from tfllm.data import Batches
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import DataError, UserError
from tfllm.tasks.span import SpanKind
from tfllm.tasks.windows import make_windows

CONTEXTS = {
    "latin": ("Beyoncé Giselle Knowles-Carter (born September 4, 1981) is naïve.", "September 4, 1981"),
    "accents": ("Das Café Müller öffnete 1985 in Köln.", "Café Müller"),
    "chinese": ("北京是中华人民共和国的首都。", "中华人民共和国"),
    "japanese": ("東京は日本の首都です。", "日本"),
    "arabic": ("القاهرة هي عاصمة مصر.", "عاصمة مصر"),
    "hindi": ("दिल्ली भारत की राजधानी है।", "भारत"),
    "emoji": ("I like 👩‍🚀 and 🍕 best.", "🍕"),
    "combining": ("The cafe\u0301 is open.", "cafe\u0301"),
    "spaces": ("one   two\tthree\u00a0four", "two\tthree"),
}


def squad_file(path, contexts, **more):
    paragraphs = []
    for number, (context, *answers) in enumerate(contexts):
        given = [{"text": text, "answer_start": context.index(text)} for text in answers]
        paragraphs.append(
            {"context": context, "qas": [{"id": f"q{number}", "question": "What is it?", "answers": given}]}
        )
    path.write_text(json.dumps({"version": "x", "data": [{"title": "t", "paragraphs": paragraphs}], **more}))
    return path


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """A cased WordPiece of single characters, and a byte-level BPE without merges: their tokens hold every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    root = tmp_path_factory.mktemp("tokenizers")
    letters = sorted(
        {letter for text, _ in CONTEXTS.values() for letter in text if not letter.isspace()} | set("Whatisit?")
    )
    words = [*letters, *(f"##{letter}" for letter in letters)]
    (root / "wordpiece").mkdir()
    (root / "wordpiece" / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n"
    )
    (root / "wordpiece" / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": False})
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({t: i for i, t in enumerate(["<s>", "</s>", "<pad>", *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "</s>", "<pad>"])
    backend.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=False)
    (root / "bytes").mkdir()
    backend.save(str(root / "bytes" / "tokenizer.json"))
    return {name: tfllm.text.load(root / name) for name in ("wordpiece", "bytes")}


def oracle(windows):
    """Logits that point to the labels."""
    logits = np.full((len(windows.token_ids), 2), -5.0, np.float32)
    for window, (first, last) in enumerate(windows.labels):
        logits[windows.offsets[window] + first, 0] = logits[windows.offsets[window] + last, 1] = 5.0
    return logits


@pytest.mark.parametrize("kind", ["wordpiece", "bytes"])
@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize("max_length", [200, 46])
def test_answers_are_exact_to_the_character(tokenizers, kind, name, max_length):
    context, answer = CONTEXTS[name]
    start = context.index(answer)
    windows = make_windows(
        ["What?"], [context], tokenizers[kind], max_length=max_length, answers=[(start, start + len(answer))]
    )
    if (windows.labels == 0).all():
        assert max_length == 46  # the answer has more tokens than a window
        return
    answers = SpanKind(max_answer=100).extract(oracle(windows), windows, [context])
    best = answers.candidates[0][0]
    assert (best.text, best.start) == (answer, start)


def test_windows_overlap_and_leave_nothing_out(tokenizers):
    context = "abcdefghij"
    tokenizer = tokenizers["bytes"]
    windows = make_windows(
        ["hi", "longer question"], [context, context], tokenizer, max_length=10, stride=2, max_question=2,
        answers=[(5, 8), None],
    )  # fmt: skip
    # <s> h i </s></s> context </s>: room for 4
    assert windows.questions.tolist() == [0] * 4 + [1] * 4 and windows.truncated == 1
    assert windows.lengths.tolist() == [10] * 8
    assert tokenizer.decode(windows.token_ids[:10], skip_special_tokens=False) == "<s>hi</s></s>abcd</s>"
    assert windows.spans[:10].tolist() == [[-1, -1]] * 5 + [[i, i + 1] for i in range(4)] + [[-1, -1]]
    # characters 5, 6 and 7 are whole in the window that begins at 4 only
    assert windows.labels[:4].tolist() == [[0, 0], [0, 0], [5 + 1, 5 + 3], [0, 0]]
    assert not windows.labels[4:].any()
    shown = windows.spans[windows.widest, 0]
    assert sorted(shown.tolist()) == sorted([*range(10), *range(10)])  # every character in one window of each question
    with pytest.raises(UserError, match="room for a context beside a question of 15 tokens"):
        make_windows(["longer question"], [context], tokenizer, max_length=19)


def test_a_context_without_tokens_has_no_answer(tokenizers):
    windows = make_windows(["What?"], [" "], tokenizers["wordpiece"], max_length=32)
    answers = SpanKind(unanswerable=True).extract(np.zeros((len(windows.token_ids), 2)), windows, [" "])
    assert answers.texts(None) == [""] and answers.texts(0.0) == [""] and np.isposinf(answers.null_odds[0])


def test_best_spans_are_those_of_all_pairs(tokenizers):
    context = "abcdefghijklmnop"
    windows = make_windows(["q"], [context], tokenizers["bytes"], max_length=100)
    logits = np.random.default_rng(0).normal(size=(len(windows.token_ids), 2)).astype(np.float32)
    found = SpanKind(max_answer=4, n_best=5).extract(logits, windows, [context]).candidates[0]
    of = {int(span[0]): place for place, span in enumerate(windows.spans) if span[0] >= 0}
    pairs = {
        (context[i : j + 1], logits[of[i], 0] + logits[of[j], 1]) for i in range(16) for j in range(i, min(16, i + 4))
    }
    expected = sorted(pairs, key=lambda pair: -pair[1])[:1]
    assert (found[0].text, found[0].score) == (expected[0][0], pytest.approx(float(expected[0][1]), abs=1e-5))
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True) and len(found) == 5


def test_official_and_flat_files_are_the_same(tmp_path):
    context = "The barn is red. A barn."
    squad_file(tmp_path / "train-v1.1.json", [(context, "red", "The barn")])
    flat = {
        "id": "q0",
        "question": "What is it?",
        "context": context,
        "answers": {"text": ["red", "The barn"], "answer_start": [12, 0]},
    }
    (tmp_path / "flat.json").write_text(json.dumps({"data": [flat]}))
    official = tasks.get("squad/v1.1", data_dir=tmp_path).examples("train")
    other = tasks.get("squad/v1.1", data_dir=tmp_path, files={"train": "flat.json"}).examples("train")
    assert official.columns == {"answers": [(("red", 12), ("The barn", 0))]} == other.columns
    assert official.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "train-v1.1.json:1: broken JSON"),
        ("[]", "expected an object with 'data'. Received: list"),
        (
            '{"data": [{"paragraphs": [{"qas": [{"id": "1"}]}]}]}',
            "no 'context'. Expected text of that name. Received: qas",
        ),
        (
            '{"data": [{"id": "a", "question": "q", "context": "x y", "answers": {"text": ["y"], "answer_start": [1]}}]}',
            "question 'a': the context must hold the answer 'y' at character 1. Received: ' '",
        ),
        (
            '{"data": [{"id": "a", "question": "q", "context": "x", "answers": [{"text": "x", "answer_start": 0}]},'
            '{"id": "b", "question": "q", "context": "x", "answers": []}]}',
            "question 'b' has no answer, but others have. Is it SQuAD 2.0",
        ),
        ('{"data": []}', "expected rows of data. Received: none"),
    ],
)
def test_what_is_wrong_in_a_file(content, message, tmp_path):
    (tmp_path / "train-v1.1.json").write_text(content)
    with pytest.raises(DataError, match=message):
        tasks.get("squad/v1.1", data_dir=tmp_path).examples("train")


def test_null_threshold_is_searched(tmp_path, tokenizers):
    contexts = [("red barn", "red"), ("blue barn", "blue"), ("grey barn",), ("old barn",)]
    squad_file(tmp_path / "dev-v2.0.json", contexts)
    task = tasks.get("squad/v2.0", data_dir=tmp_path)
    examples = task.examples("validation")
    kind = task.strategy
    windows = kind.tokenize(examples, tokenizers["bytes"], 64, None)
    logits = oracle(windows)
    for question, null in enumerate([1.0, 2.0, 8.0, 3.0]):  # what is said for "no answer", against 10 for the spans
        logits[windows.offsets[question]] = null / 2
        if question > 1:  # some span of an unanswerable question
            logits[windows.offsets[question] + 15] = 1.0
    answers = kind.extract(logits, windows, examples.texts[1])
    assert answers.null_odds.tolist() == [1 - 10, 2 - 10, 8 - 2, 3 - 2]
    scores = task.score_split(answers, "validation")
    assert scores["f1"] == scores["exact_match"] == 100.0 and scores["null_threshold"] == -8.0
    assert scores["official"]["NoAns_total"] == 2 and scores["official"]["best_f1"] == 100.0
    rows = kind.rows(task, answers, examples)
    assert [row["prediction"] for row in rows] == ["red", "blue", "", ""]
    files = kind.files(task, answers, examples)
    assert json.loads(files["predictions.json"]) == {"q0": "red", "q1": "blue", "q2": "", "q3": ""}
    assert json.loads(files["null_odds.json"])["q2"] == 6.0
    assert json.loads(files["nbest.json"])["q0"][0]["start"] == 0
    path = tmp_path / "predictions.json"
    task.write_predictions(answers, "validation", path)
    assert path.read_text() == files["predictions.json"]


def test_batches_of_places():
    tokenized = TokenizedExamples(
        np.arange(7, dtype=np.int32), np.array([0, 3, 7]), labels=np.array([[1, 2], [0, 0]], np.int32)
    )
    batches = Batches(tokenized, batch_size=3, layout="bucketed", shuffle=False)
    x, y, w = batches.batch(0)
    assert y.shape == (3, 2) and w.tolist() == [1.0, 1.0, 0.0] and x["token_ids"].shape[0] == 3
    spec = batches.dataset().element_spec
    assert spec[1].shape == (3, 2) and spec[2].shape == (3,)
    with pytest.raises(UserError, match="one example a row: layout='bucketed' or 'padded'"):
        Batches(tokenized, batch_size=2, layout="packed", shuffle=False)


def test_other_layouts_and_tokenizers_are_refused(tmp_path):
    squad_file(tmp_path / "train-v1.1.json", [("red barn", "red")])
    task = tasks.get("squad/v1.1", data_dir=tmp_path)
    from tfllm.tasks.task import model_layout

    with pytest.raises(UserError, match="takes layout=bucketed or padded.*Received: layout='packed'"):
        model_layout(None, "packed", task.strategy.layouts)
    assert model_layout(None, None, task.strategy.layouts) == "bucketed"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`tfllm finetune` on a toy: the answer is the word of praise or blame."""
    from tfllm.cli import main

    root = tmp_path_factory.mktemp("squad")
    checkpoint = toy_finetuning.save_toy_checkpoint(root / "checkpoint", dropout=0.0)
    for name, size, seed in (("train", 160, 0), ("dev", 40, 1)):
        texts = toy_finetuning.sentiment(size, seed)["text"]
        marked = {*toy_finetuning.GOOD, *toy_finetuning.BAD}
        contexts = [(text, next(word for word in text.split() if word in marked)) for text in texts]
        squad_file(root / f"{name}-v1.1.json", contexts)
    arguments = [
        "finetune", f"--model={checkpoint}", "--task=squad/v1.1", f"--data_dir={root}", f"--run_dir={root}/run",
        "--epochs=6", "--learning_rate=1e-2", "--batch_size=16", "--max_length=16", "--log_every=50",
    ]  # fmt: skip
    assert main(arguments) == 0
    return root


def test_a_span_predictor_learns(run, capsys):
    from tfllm.cli import main

    results = json.loads((run / "run" / "results.json").read_text())
    scores = results["scores"]["validation"]
    assert scores["exact_match"] > 60, scores
    predictions = json.loads((run / "run" / "validation_predictions.json").read_text())
    task = tasks.get("squad/v1.1", data_dir=run)
    answers = {
        id_: [text for text, _ in given]
        for id_, given in zip(task.examples("validation").ids, task.examples("validation").columns["answers"])
    }
    assert tfllm.metrics.squad_v1(predictions, answers)["f1"] == pytest.approx(scores["f1"], abs=1e-9)
    header, first = (run / "run" / "validation_predictions.tsv").read_text().splitlines()[:2]
    assert header == "id\tprediction\texact_match\tf1" and first.startswith("q0\t")
    capsys.readouterr()
    arguments = [f"--model={run}/run", "--task=squad/v1.1", f"--data_dir={run}", "--max_length=16"]
    assert main(["evaluate", *arguments]) == 0
    assert f"validation  f1           {scores['f1']:.4f}" in capsys.readouterr().out
    out = run / "submission.json"
    assert main(["predict", *arguments, "--split=validation", "--submission", f"--output={out}"]) == 0
    assert json.loads(out.read_text()) == predictions
    assert main(["evaluate", f"--model={run}/checkpoint/bert", *arguments[1:]]) == 2
    assert "a fine-tuned span predictor is needed" in capsys.readouterr().err


@pytest.mark.real
@pytest.mark.parametrize("tokenizer, least", [("tokenizer-bert-base-uncased", 99.4), ("tokenizer-gpt2", 99.5)])
def test_real_contexts_give_their_answers_back(tokenizer, least):
    """What is missed are annotations that begin or end within a token, such as "gold" of "golden"."""
    folder = benchmark_files.path("squad")
    models = folder.parents[1] / "models"
    directory = models / tokenizer
    if not directory.is_dir():
        pytest.skip(f"needs the vocabulary in {directory}")
    task = tasks.get("squad/v1.1", data_dir=folder, files={"validation": "dev-v1.1.part1-dusplit-dev.json"})
    examples = task.examples("validation")
    windows = task.strategy.tokenize(examples, tfllm.text.load(directory), 384, None)
    answers = task.strategy.extract(oracle(windows), windows, examples.texts[1])
    assert len(examples) == 4961
    assert task.score_split(answers, "validation", False)["exact_match"] > least
