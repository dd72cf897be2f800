"""The task that needs no download, and the trivial methods that its scores are held against."""

import numpy as np
import pytest

from tfllm import tasks
from tfllm.data import Examples
from tfllm.errors import UserError
from tfllm.tasks.baselines import WordOverlap, majority


@pytest.fixture(scope="module")
def task():
    return tasks.get("stdlib/docstrings")


def test_it_is_a_task_like_any_other(task):
    assert "stdlib/docstrings" in tasks.names()
    assert (task.kind, task.labels, task.num_outputs) == ("classification", ("no_match", "match"), 2)
    assert task.text_fields == ("docstring", "code") and task.main_metric == "accuracy" and task.licence == "PSF-2.0"
    for split, size in task.sizes.items():
        examples = task.examples(split)
        assert len(examples) == size and len(examples.texts) == 2
        assert not [note for note in examples.report.notes if "official" in note]  # the declared sizes hold


def test_did_you_mean():
    with pytest.raises(UserError, match="did you mean stdlib/docstrings"):
        tasks.get("stdlib/docstring")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_word_overlap_is_above_chance_and_leaves_room(task, split):
    baseline = task.baseline(split)
    assert baseline["name"] == "word overlap" and baseline["n"] == task.sizes[split] and baseline["split"] == split
    assert 0.65 < baseline["accuracy"] < 0.8
    assert baseline["ci95"]["accuracy"][0] > 0.6
    assert baseline["majority"]["accuracy"] == 0.5


def test_word_overlap_finds_the_best_threshold():
    first = ["read the file", "read the file", "close file", "open it"]
    second = ["def read(file)", "def read(self)", "def other(file)", "def close(self)"]
    method = WordOverlap.fit(Examples((first, second), np.array([1, 0, 0, 0])))
    assert method.threshold == 1.0
    assert method.predict(Examples((["write a line"] * 2, ["def write_line(x)", "def write(x)"]))).tolist() == [1, 0]


def test_word_overlap_needs_pairs_and_two_classes():
    with pytest.raises(UserError, match="two texts an example and labels 0 and 1"):
        WordOverlap.fit(Examples((["a"],), np.array([1])))
    with pytest.raises(UserError, match="two texts an example and labels 0 and 1"):
        WordOverlap.fit(Examples((["a"], ["b"]), np.array([2])))


def test_majority():
    train = Examples((["a"] * 3,), np.array([2, 2, 1]))
    assert majority(train, Examples((["b"] * 2,))).tolist() == [2, 2]
