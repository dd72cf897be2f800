"""Tasks from files and lists of the user's own."""

import numpy as np
import pytest

from tfllm import tasks
from tfllm.data import from_memory as examples_from_memory
from tfllm.errors import DataError, UserError


@pytest.fixture
def files(tmp_path):
    (tmp_path / "train.csv").write_text('question,answer,good\n"a, b",c,yes\nd,e,no\nf,g,maybe\n')
    (tmp_path / "dev.tsv").write_text('question\tanswer\tgood\n"x\ty\tno\n')
    (tmp_path / "test.jsonl").write_text('{"question": "t", "answer": "u"}\n')
    return tmp_path


def test_from_files_of_three_formats(files):
    task = tasks.from_files(
        files / "train.csv", files / "dev.tsv", files / "test.jsonl", text=("question", "answer"), label="good"
    )
    assert task.labels == ("maybe", "no", "yes") and task.num_outputs == 3
    assert task.text_fields == ("question", "answer")
    assert task.examples("train").texts == (["a, b", "d", "f"], ["c", "e", "g"])
    assert task.examples("train").labels.tolist() == [2, 1, 0]
    assert task.examples("validation").texts == (['"x'], ["y"]) and task.examples("validation").labels.tolist() == [1]
    assert task.examples("test").labels is None
    assert task.metrics == ("accuracy", "macro_f1") and task.main_metric == "accuracy"
    assert task.describe()["kind"] == "classification (3)"


def test_a_label_that_train_does_not_have(files):
    (files / "dev.tsv").write_text("question\tanswer\tgood\nx\ty\tperhaps\n")
    task = tasks.from_files(files / "train.csv", files / "dev.tsv", text="question", label="good")
    with pytest.raises(
        DataError,
        match="dev.tsv:2: unknown label in column 'good'. Expected one of: maybe, no, yes. Received: 'perhaps'.",
    ):
        task.examples("validation")


def test_labels_given_set_the_order(files):
    task = tasks.from_files(files / "train.csv", text="question", label="good", labels=("yes", "no", "maybe"))
    assert task.examples("train").labels.tolist() == [0, 1, 2]
    assert list(task.splits) == ["train"]
    with pytest.raises(UserError, match="custom has no split 'validation'. Its splits are: train."):
        task.examples("validation")


def test_regression_without_header(tmp_path):
    (tmp_path / "train.tsv").write_text("1.5\ta\n4\tb\n")
    task = tasks.from_files(
        tmp_path / "train.tsv",
        text=1,
        label=0,
        kind="regression",
        label_range=(0, 5),
        header=False,
        licence="CC0",
        name="mine",
    )
    assert task.num_outputs == 1 and task.labels is None and task.metrics == ("pearson", "spearman")
    assert task.examples("train").labels.tolist() == [1.5, 4]
    assert task.describe()["licence"] == "CC0" and task.name == "mine"
    with pytest.raises(DataError, match="Expected 0 to 3"):
        tasks.from_files(
            tmp_path / "train.tsv", text=1, label=0, kind="regression", label_range=(0, 3), header=False
        ).examples("train")


def test_format_is_taken_over_the_ending(tmp_path):
    (tmp_path / "data.txt").write_text("text\tlabel\na\t1\nb\t0\n")
    with pytest.raises(UserError, match="give format=, one of tsv, csv, jsonl"):
        tasks.from_files(tmp_path / "data.txt", text="text", label="label")
    assert len(tasks.from_files(tmp_path / "data.txt", text="text", label="label", format="tsv").examples("train")) == 2


def test_from_memory():
    task = tasks.from_memory(
        {"a": ["x", "y", "z"], "b": ["1", "2", "3"], "l": [3, 10, 3]},
        test={"a": ["q"], "b": ["r"]},
        text=("a", "b"),
        label="l",
    )
    assert task.labels == ("3", "10")
    assert task.examples("train").labels.tolist() == [0, 1, 0]
    assert task.examples("test").labels is None and task.examples("test").texts == (["q"], ["r"])
    examples = examples_from_memory(["a", "b"], ["n", "p"])
    assert tasks.from_memory(examples).labels == ("n", "p")
    other = tasks.from_memory(examples, examples_from_memory(["c"], ["p"]))
    with pytest.raises(UserError, match="in the validation examples, class numbers stand for p. Expected: n, p."):
        other.examples("validation")
    scores = tasks.from_memory({"text": ["a", "b"], "label": np.array([1, 2])}, kind="regression")
    assert scores.examples("train").labels.dtype == np.float32


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((), {}, "give at least one of train, validation and test"),
        (({"text": ["a"]},), {}, "the train split has no column 'label'. Its columns are: text."),
        (({"text": ["a"], "label": [1]},), {}, r"at least two labels. Received: \['1'\]"),
        (({"text": ["a"], "label": [1]},), {"labels": ("1", "1")}, "labels must differ"),
        (({"text": ["a"], "label": [1]},), {"kind": "ranking"}, "kind must be one of"),
        (({"text": ["a"], "label": [1]},), {"label": None}, "labels= must list the classes"),
        (
            ({"text": ["a", "b"], "label": [0, 1]},),
            {"main_metric": "f1"},
            "main_metric must be one of accuracy, macro_f1. Received: 'f1'",
        ),
        (
            ({"text": ["a", "b"], "label": [0, 1]},),
            {"kind": "regression", "labels": ("0", "1")},
            "a regression has none",
        ),
    ],
)
def test_from_memory_errors(arguments, options, message):
    with pytest.raises(UserError, match=message):
        tasks.from_memory(*arguments, **options)
