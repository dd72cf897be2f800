"""Tags, spans and texts of the user's own, from tables, and metrics of tags."""

import json

import numpy as np
import pytest
import toy_finetuning

import tfllm
from tfllm import tasks, training
from tfllm.errors import DataError, UserError
from tfllm.metrics.entities import entities, entity_f1, tag_accuracy, tag_sums
from tfllm.tasks.tagging import tag_tokens


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    "tags, found",
    [
        ("B-A I-A O B-B", [("A", 0, 1), ("B", 3, 3)]),
        ("I-A I-A B-A I-B", [("A", 0, 1), ("A", 2, 2), ("B", 3, 3)]),  # a new one of the same type; another type
        ("O I-A O", [("A", 1, 1)]),  # conlleval takes this for an entity
        ("S-A B-B I-B E-B E-B", [("A", 0, 0), ("B", 1, 3), ("B", 4, 4)]),
        ("O O", []),
        ("B-A B-A", [("A", 0, 0), ("A", 1, 1)]),
    ],
)
def test_entities_by_the_rules_of_conlleval(tags, found):
    assert entities(tags.split()) == found


def test_entity_scores():
    sums = np.array(
        [tag_sums(["B-A", "I-A", "O", "B-B"], ["B-A", "I-A", "O", "O"]), tag_sums(["O", "B-A"], ["B-A", "I-A"])]
    )
    assert sums.tolist() == [[1, 2, 1, 3, 4], [0, 1, 1, 0, 2]]
    assert entity_f1(sums.sum(axis=0)) == pytest.approx(2 * 1 / (3 + 2)) and tag_accuracy(sums.sum(axis=0)) == 0.5
    assert entity_f1(np.zeros((2, 5))).tolist() == [0, 0]
    with pytest.raises(UserError, match="a tag for each of the 2 tokens. Received: 1"):
        tag_sums(["O"], ["O", "O"])


@pytest.fixture
def tagged(tmp_path):
    """The same sentences in three formats: good words are entities, of one or two words."""
    sentences = [("a good film", "O B-G O"), ("fine great story", "B-G I-G O"), ("the plot", "O O")] * 12
    write(
        tmp_path / "a.conll",
        *("\n".join(f"{w} x {t}" for w, t in zip(s.split(), tags.split())) + "\n" for s, tags in sentences),
    )
    write(tmp_path / "a.tsv", "words\ttags", *("\t".join(row) for row in sentences))
    write(tmp_path / "a.jsonl", *(json.dumps({"words": s.split(), "tags": tags.split()}) for s, tags in sentences))
    write(tmp_path / "test.jsonl", json.dumps({"words": ["a", "good", "end"]}))
    return tmp_path


def test_tags_from_three_formats(tagged):
    made = [
        tasks.from_files(tagged / f"a.{ending}", text=text, label=label, kind="tagging")
        for ending, text, label in (("conll", 0, 2), ("tsv", "words", "tags"), ("jsonl", "words", "tags"))
    ]
    assert len({task.examples("train").fingerprint for task in made}) == 1
    assert made[0].labels == ("O", "B-G", "I-G") and made[0].main_metric == "entity_f1"
    assert made[0].examples("train").texts[0][:2] == ["a good film", "fine great story"]
    speech = write(tagged / "pos.tsv", "words\ttags", "a film\tDET NOUN")
    assert tasks.from_files(speech, text="words", label="tags", kind="tagging").metrics == ("token_accuracy",)


def test_damaged_tags(tagged):
    write(tagged / "b.conll", "a O", "film O", "", "good", "", "x O")
    with pytest.raises(DataError, match="b.conll:4: expected a word and its tag in columns. Received: 'good'"):
        tasks.from_files(tagged / "b.conll", text=0, label=-1, kind="tagging", labels=("O", "X")).examples("train")
    write(tagged / "b.tsv", "words\ttags", "a film\tO O", "a film\tO")
    with pytest.raises(DataError, match="b.tsv:3: expected a tag for each of 2 words. Received: 1"):
        tasks.from_files(tagged / "b.tsv", text="words", label="tags", kind="tagging", labels=("O", "X")).examples(
            "train"
        )
    task = tasks.from_files(
        tagged / "b.tsv", text="words", label="tags", kind="tagging", labels=("O", "X"), skip_bad_rows=True
    )
    assert len(task.examples("train")) == 1 and task.examples("train").report.skipped_lines == (3,)
    other = tasks.from_files(tagged / "a.tsv", text="words", label="tags", kind="tagging", labels=("O", "X"))
    with pytest.raises(UserError, match="expected one of the tags O, X. Received: 'B-G' in example 0"):
        other.examples("train")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return toy_finetuning.save_toy_checkpoint(tmp_path_factory.mktemp("checkpoint"), dropout=0.0)


def test_the_first_token_of_each_word_is_labelled(checkpoint):
    tokenizer = tfllm.text.load(checkpoint)
    tokens = tag_tokens([["goodx", "film", "a-the"], ["a"]], [[1, 0, 2], [0]], tokenizer, 16)
    pieces = [tokenizer.id_to_token(int(i)) for i in tokens.token_ids]
    assert [p for p, label in zip(pieces, tokens.token_labels) if label >= 0] == [pieces[1], "film", "a", "a"]
    assert tokens.token_labels[tokens.token_labels >= 0].tolist() == [1, 0, 2, 0]
    assert tokens.token_ids[tokens.firsts].tolist() == [
        i for i, label in zip(tokens.token_ids, tokens.token_labels) if label >= 0
    ]
    cut = tag_tokens([["a", "film", "plot"]], [[0, 1, 2]], tokenizer, 4)
    assert cut.truncated == 1 and cut.firsts.tolist() == [1, 2, -1]


def test_a_tagger_learns_and_packing_changes_nothing(tagged, checkpoint, tmp_path):
    config = training.FinetuneConfig(
        model=str(checkpoint), train_file=str(tagged / "a.tsv"), validation_file=str(tagged / "a.jsonl"),
        test_file=str(tagged / "test.jsonl"), text_columns=("words",), label_column="tags", kind="tagging", epochs=6,
        learning_rate=1e-2, batch_size=6, max_length=12, predict_test=True, run_dir=str(tmp_path / "run"),
    )  # fmt: skip
    results = training.Trainer(config).run()
    scores = results["scores"]["validation"]
    assert scores["entity_f1"] > 0.9 and scores["token_accuracy"] > 0.9 and scores["n"] == 36
    assert len(scores["ci95"]["entity_f1"]) == 2
    assert (tmp_path / "run/test_predictions.conll").read_text().split()[::2] == ["a", "good", "end"]
    from tfllm.training.finetune_task import make_task

    model, task = tfllm.load(tmp_path / "run/model"), make_task(config)
    outputs = [
        task.predict(model, "validation", batch_size=7, layout=layout) for layout in ("packed", "bucketed", "padded")
    ]
    assert outputs[0] == outputs[1] == outputs[2]
    assert model.checkpoint["hf_config"]["id2label"]["1"] == "B-G"
    from tfllm.training.comparison import compare_runs

    same = compare_runs(tmp_path / "run", tmp_path / "run")
    assert same.differences["entity_f1"].difference == 0 and same.differences["entity_f1"].first == scores["entity_f1"]


def test_spans_from_tables(tmp_path):
    write(tmp_path / "a.csv", "q,c,a,answer_start", "Who?,Ann saw Ann,Ann,8", "What?,He saw it,it,")
    write(tmp_path / "a.jsonl", json.dumps({"q": "Who?", "c": "Ann saw Ann", "a": {"text": ["Ann"], "answer_start": [8]}}),
          json.dumps({"q": "What?", "c": "He saw it", "a": "it"}))  # fmt: skip
    csv, jsonl = (
        tasks.from_files(tmp_path / f"a.{e}", text=("q", "c"), label="a", kind="span") for e in ("csv", "jsonl")
    )
    assert csv.examples("train").columns["answers"] == [(("Ann", 8),), (("it", 7),)]
    assert csv.examples("train").fingerprint == jsonl.examples("train").fingerprint and not csv.strategy.unanswerable
    write(tmp_path / "b.csv", "q,c,a", "Who?,Ann saw,", "What?,He saw it,it")
    assert tasks.from_files(tmp_path / "b.csv", text=("q", "c"), label="a", kind="span").strategy.unanswerable
    write(tmp_path / "c.csv", "q,c,a", "Who?,Ann saw,Bob")
    with pytest.raises(DataError, match="c.csv:2: the context must hold the answer 'Bob'"):
        tasks.from_files(tmp_path / "c.csv", text=("q", "c"), label="a", kind="span")
    with pytest.raises(UserError, match="kind='span' takes two columns, question and context, as text columns"):
        tasks.from_files(tmp_path / "c.csv", text="q", label="a", kind="span")


def test_texts_from_tables(tmp_path):
    write(tmp_path / "a.tsv", "en\tde\tde2", "x\tX\tXX")
    write(tmp_path / "test.tsv", "en", "y")
    task = tasks.from_files(
        tmp_path / "a.tsv", test=tmp_path / "test.tsv", text="en", label="de,de2", kind="translation",
        text_options={"num_beams": 3, "prompt": "to German: {source}"},
    )  # fmt: skip
    assert task.examples("train").columns["references"] == [("X", "XX")] and not task.labelled("test")
    assert task.metrics == ("bleu", "chrf", "ter") and task.strategy.prompt == "to German: {source}"
    task = tasks.from_files(tmp_path / "a.tsv", text="en", label="de", kind="generation")
    assert task.metrics == ("bleu", "chrf", "exact_match")
    with pytest.raises(UserError, match="kind='tagging' has no option 'num_beams'"):
        tasks.from_files(tmp_path / "a.tsv", text="en", label="de", kind="tagging", text_options={"num_beams": 3})


def test_damaged_rows_of_classes_are_skipped_where_told(tmp_path):
    write(
        tmp_path / "a.jsonl",
        '{"text": "fine", "label": 1}',
        '{"text": "cut',
        '{"text": 3, "label": 0}',
        '{"text": "bad", "label": 0}',
    )
    with pytest.raises(DataError, match="a.jsonl:2"):
        tasks.from_files(tmp_path / "a.jsonl", text="text", label="label")
    examples = tasks.from_files(tmp_path / "a.jsonl", text="text", label="label", skip_bad_rows=True).examples("train")
    assert examples.texts == (["fine", "bad"],) and examples.labels.tolist() == [1, 0]
    assert examples.report.skipped_lines == (2, 3) and examples.report.rows_read == 4


def test_flags_that_contradict_each_other():
    for flags, message in (
        ({"kind": "tagging"}, "give train_file"),
        ({"kind": "tagging", "regression": True, "train_file": "a", "validation_file": "b"}, "contradict each other"),
        ({"source": "a"}, "source needs target, validation_source and validation_target"),
        ({"target": ("a",)}, "go with source. Received: no source"),
        ({"source": "a", "task": "glue/rte"}, "give one of task, train_file and source"),
    ):
        with pytest.raises(UserError, match=message):
            training.FinetuneConfig(model="x", **flags)
