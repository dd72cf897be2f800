"""Docstrings and code of the standard library: the same rows everywhere, no leak, no guessing from one side."""

import os
import re
import subprocess
import sys
import sysconfig
from collections import Counter

import numpy as np
import pytest

from tfllm.data import stdlib_docstrings
from tfllm.data.stdlib_docstrings import FUNCTIONS, read_stdlib_docstrings
from tfllm.data.word_stems import overlap, word_stems
from tfllm.errors import DataError, UserError

# Of three CPython releases as they come from python.org. Whatever changes these must raise the task's version.
FINGERPRINTS = {
    (3, 10, 13): ["0f0e558ba6c37120", "13328059769d2bf5", "b0606ea03ec3166d"],
    (3, 11, 7): ["fbd28b278c69b192", "7619f7cc1d8be993", "3f4128f882f42ca3"],
    (3, 12, 1): ["6d18f646a22acffa", "e3e983384e768eb4", "8e093d1075271aa4"],
}


@pytest.fixture(scope="module")
def splits():
    return {split: read_stdlib_docstrings(split) for split in FUNCTIONS}


def groups(examples):
    return {name.partition(":")[0].partition(".")[0] for pair in examples.ids for name in pair.split("|")}


def normalised(text):
    return " ".join(re.findall(r"\w+", text.lower()))


def test_sizes_and_balance(splits):
    for split, examples in splits.items():
        assert len(examples) == 2 * FUNCTIONS[split]
        assert Counter(examples.labels.tolist()) == {0: FUNCTIONS[split], 1: FUNCTIONS[split]}
        assert examples.label_names == ("no_match", "match")
        assert len(set(examples.ids)) == len(examples)
        assert 0.4 < examples.labels[: len(examples) // 4].mean() < 0.6  # mixed, so that a part of them is balanced too


def test_no_module_is_in_two_splits(splits):
    train, validation, test = (groups(splits[split]) for split in ("train", "validation", "test"))
    assert not train & validation and not train & test and not validation & test
    assert min(len(train), len(validation), len(test)) > 15


@pytest.mark.parametrize("column", [0, 1])
def test_no_text_is_in_two_splits(splits, column):
    counts = Counter(text for examples in splits.values() for text in {normalised(t) for t in examples.texts[column]})
    assert max(counts.values()) == 1


@pytest.mark.parametrize("column", [0, 1])
def test_one_side_alone_tells_nothing(splits, column):
    """Every text has one match and one mismatch, so whatever looks at one column only is right half the time."""
    for examples in splits.values():
        labels = {}
        for text, label in zip(examples.texts[column], examples.labels.tolist()):
            labels.setdefault(text, []).append(label)
        assert all(sorted(seen) == [0, 1] for seen in labels.values())


def test_mismatches_are_other_functions_of_the_same_module(splits):
    for examples in splits.values():
        for pair, label in zip(examples.ids, examples.labels):
            sentence, code = pair.split("|")
            assert (sentence == code) == bool(label)
            assert sentence.partition(":")[0].partition(".")[0] == code.partition(":")[0].partition(".")[0]
        same_file = [
            pair.split("|")[0].partition(":")[0] == pair.split("|")[1].partition(":")[0]
            for pair, label in zip(examples.ids, examples.labels)
            if not label
        ]
        assert np.mean(same_file) > 0.9


def test_the_code_does_not_hold_the_docstring(splits):
    for examples in splits.values():
        for sentence, code, label in zip(*examples.texts, examples.labels):
            assert not (label and normalised(sentence) in normalised(code))
            assert '"""' not in code and "#" not in re.sub(r"'.*'|\".*\"", "", code)


def test_texts_are_short_enough_to_train_on_two_cores(splits):
    for examples in splits.values():
        assert max(map(len, examples.texts[1])) <= 120
        assert all("\n" not in sentence for sentence in examples.texts[0])
        assert np.mean([len(f"{a} {b}") for a, b in zip(*examples.texts)]) < 160


def test_same_rows_in_another_process_with_another_hash_seed(splits):
    code = (
        "from tfllm.data.stdlib_docstrings import FUNCTIONS, read_stdlib_docstrings as read\n"
        "print(*[read(split).fingerprint for split in FUNCTIONS])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [splits[split].fingerprint for split in FUNCTIONS]


@pytest.mark.skipif(sys.version_info[:3] not in FINGERPRINTS, reason="no fingerprint is on record for this Python")
def test_same_rows_as_on_record(splits):
    assert [splits[split].fingerprint[:16] for split in FUNCTIONS] == FINGERPRINTS[sys.version_info[:3]]


def test_the_report_counts_what_is_left_out(splits):
    report = splits["train"].report
    kept, total, *left_out = (int(number) for number in re.findall(r"\b\d+\b", report.notes[0]))
    assert kept + sum(left_out) == total == report.rows_read
    assert kept >= sum(FUNCTIONS.values())


# A library of our own ------------------------------------------------------------------------------------------

JSON = '''
def load_file(path, mode="r"):
    """Load all the values
    of a file. And more.

    Even more, e.g. this.
    """
    # A comment.
    def inner(value):
        """Inner docstring of the function."""
    return [inner(value) for value in path]

class Writer:
    """Not a function."""

    async def write_value(self, value):
        "Write a value, e.g. a number, to the file"
        await self.file.write(value)

    @property
    def position(self):
        """Where the next value will be written."""
        return self.file.tell()

if True:
    def flush_all(writers, timeout=None):
        """Flush every writer within the time."""
        for writer in writers:
            writer.flush(timeout)
            first_of_many_statements(writer, timeout, "a line that does not fit into what is kept of the code")

def undocumented(a, b):
    return [a + b for a, b in zip(a, b)]

def not_done_by_this_class(a, b):
    """Is to be done by a subclass."""
    raise NotImplementedError("to be done by a subclass")

def leaking(parser):
    """Says what it does in its code."""
    print("Says what it does in its code.", parser)

def session(a):
    """session(a) -> what it gives."""
    return [a, a, a, a, a, a, a, a]

def again(path, mode="r"):
    """Loads all values of the files."""
    return load_file(path, mode, again=True)
'''


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.setattr(stdlib_docstrings, "FUNCTIONS", {"train": 0, "validation": 0, "test": 4})
    files = {
        "json/__init__.py": "",
        "json/tool.py": JSON,
        "json/tests/cases.py": JSON,
        "test/cases.py": JSON,
        "tkinter/__init__.py": JSON,
        "site-packages/other.py": JSON,
        "_sysconfigdata__linux_.py": JSON,
    }
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


def test_what_is_taken_from_a_file(library):
    examples = read_stdlib_docstrings("test", library)
    rows = {}
    for sentence, code, label, pair in zip(*examples.texts, examples.labels, examples.ids):
        if label:
            rows[pair.split("|")[0]] = sentence, code
    assert rows == {
        "json.tool:load_file": (
            "Load all the values of a file.",
            "def load_file(path, mode='r'):\n\n    def inner(value):\n        pass\n"
            "    return [inner(value) for value in path]",
        ),
        "json.tool:Writer.write_value": (
            "Write a value, e.g. a number, to the file",
            "async def write_value(self, value):\n    await self.file.write(value)",
        ),
        "json.tool:Writer.position": (
            "Where the next value will be written.",
            "@property\ndef position(self):\n    return self.file.tell()",
        ),
        "json.tool:flush_all": (
            "Flush every writer within the time.",
            "def flush_all(writers, timeout=None):\n    for writer in writers:\n        writer.flush(timeout)",
        ),
    }
    mismatches = [pair.split("|") for pair, label in zip(examples.ids, examples.labels) if not label]
    assert sorted(sentence for sentence, _ in mismatches) == sorted(code for _, code in mismatches) == sorted(rows)
    for reason in ("1 without a docstring", "1 without a body", "1 with the sentence", "1 with a signature", "1 like"):
        assert reason in examples.report.notes[0]


def test_a_split_is_cut_to_its_size_and_no_function_stays_alone(library, monkeypatch):
    (library / "textwrap.py").write_text(
        'def wrap_lines(text):\n    """Wrap what is too long."""\n    return text.split(maximum)\n'
        'def indent_lines(text):\n    """Indent it by a prefix."""\n    return prefix + text.strip()\n'
    )
    monkeypatch.setattr(stdlib_docstrings, "FUNCTIONS", {"train": 0, "validation": 0, "test": 5})
    examples = read_stdlib_docstrings("test", library)
    assert len(examples) == 10
    sizes = Counter(pair.partition(":")[0] for pair, label in zip(examples.ids, examples.labels) if label)
    assert sizes == {"json.tool": 3, "textwrap": 2}


def test_sources_that_are_missing_are_one_clear_error(tmp_path):
    with pytest.raises(
        UserError, match=r"expected the source \(\.py\) files .* Received: 0\. Use a Python that is installed"
    ):
        read_stdlib_docstrings("train", tmp_path)
    zipped = tmp_path / "python311.zip"
    zipped.write_bytes(b"PK")
    with pytest.raises(UserError, match="python311.zip: expected the source"):
        read_stdlib_docstrings("train", zipped)


def test_a_file_that_cannot_be_read_is_one_clear_error(library):
    (library / "json" / "tool.py").write_text("def ok():\n    pass\ndef broken(:\n")
    with pytest.raises(DataError, match=r"tool\.py:3: .*Expected a source file of the Python that is running"):
        read_stdlib_docstrings("test", library)
    (library / "json" / "tool.py").write_bytes(b"# \xff\xfe\n")
    with pytest.raises(DataError, match=r"tool\.py: .*encoding.*Expected a source file of the Python that is running"):
        read_stdlib_docstrings("test", library)


def test_a_coding_line_is_heeded(library):
    source = JSON.replace("Where the next value", "Où the next value")
    (library / "json" / "tool.py").write_bytes(("# -*- coding: latin-1 -*-\n" + source).encode("latin-1"))
    assert "Où the next value will be written." in read_stdlib_docstrings("test", library).texts[0]


def test_no_such_split():
    with pytest.raises(UserError, match="The splits are: train, validation, test. Received: 'dev'."):
        read_stdlib_docstrings("dev")


def test_modules_are_parsed_and_not_imported():
    code = (
        "import sys; from tfllm.data.stdlib_docstrings import read_stdlib_docstrings as read; import scipy.optimize; "
        "before = set(sys.modules); read('validation'); "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= {"encodings"}  # the codec of a file in another encoding


def test_every_module_named_is_one_of_the_standard_library():
    """A typo in the lists would move a module to train in silence."""
    named = stdlib_docstrings._VALIDATION | stdlib_docstrings._TEST
    assert not stdlib_docstrings._VALIDATION & stdlib_docstrings._TEST
    assert not named & stdlib_docstrings._NOT_EVERYWHERE
    root = sysconfig.get_paths()["stdlib"]
    files = {name.removesuffix(".py") for name in os.listdir(root)}
    assert named - files <= {"_pydatetime", "tomllib"}  # came with 3.12 and 3.11


def test_word_stems():
    assert word_stems("Returns the parsed HTTPHeaders of get_maxItems2().") == {
        "return", "pars", "http", "header", "get", "max", "item", "2"
    }  # fmt: skip
    assert overlap(word_stems("close a file"), word_stems("def close(self)")) == 0.5
    assert overlap(frozenset(), frozenset({"a"})) == 0.0
