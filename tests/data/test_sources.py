"""Readers: what they take from a file, what they count, and the one error for each way a file can be wrong."""

import codecs
import json
import os
import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfllm.data import Examples, from_memory, read_csv, read_jsonl, read_tfds, read_tsv
from tfllm.errors import DataError, UserError


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


@pytest.fixture
def tsv(tmp_path):
    return lambda content: write(tmp_path / "data.tsv", content)


def test_tsv_takes_columns_by_name_and_keeps_quotes_and_spaces(tsv):
    path = tsv('id\tlabel\ttext\n7\tgood\t"He said "no" \n8\tbad\t\' x\n')
    examples = read_tsv(path, text="text", label="label", id="id", labels=("bad", "good"))
    assert examples.texts == (['"He said "no" ', "' x"],)
    assert examples.labels.tolist() == [1, 0] and examples.labels.dtype == np.int32
    assert examples.ids == ["7", "8"]
    assert examples.label_names == ("bad", "good")
    assert examples.source == str(path)
    assert (examples.report.rows_read, examples.report.skipped, examples.report.notes) == (2, 0, ())


def test_tsv_without_header_takes_columns_by_number(tsv):
    examples = read_tsv(tsv("a\t1\tx\nb\t0\ty"), header=False, text=(0, 2), label=1)
    assert examples.texts == (["a", "b"], ["x", "y"])
    assert examples.labels.tolist() == [1, 0] and examples.label_names == ("0", "1")


def test_only_line_feeds_end_a_line(tsv):
    """str.splitlines would cut at each of these, and the csv module at the lone carriage return."""
    inside = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\rh"
    for end in ("\n", "\r\n"):
        path = tsv(f"text\tlabel{end}{inside}\t1{end}next\t0{end}")
        examples = read_tsv(path, text="text", label="label")
        assert examples.texts == ([inside, "next"],)
        assert examples.labels.tolist() == [1, 0]


def test_byte_order_mark_is_dropped(tsv):
    path = tsv(codecs.BOM_UTF8 + b"text\tlabel\nx\t1\ny\t2\n")
    assert read_tsv(path, text="text", label="label").label_names == ("1", "2")


def test_blank_lines_are_not_rows_but_empty_texts_are(tsv):
    examples = read_tsv(tsv("text\tlabel\n\n\t1\nx\t2\n\n"), text="text", label="label")
    assert examples.texts == (["", "x"],)
    assert examples.ids == ["0", "1"]
    assert examples.report.notes == ("1 empty texts, kept",)
    assert read_tsv(tsv("text\nx\n\ny\n"), text="text").texts == (["x", "", "y"],)


def test_inferred_labels_are_sorted_as_numbers_or_as_text(tsv):
    numbers = read_tsv(tsv("t\tl\na\t10\nb\t9\nc\t-1\n"), text="t", label="l")
    assert numbers.label_names == ("-1", "9", "10") and numbers.labels.tolist() == [2, 1, 0]
    dashes = read_tsv(tsv("t\tl\na\t--1\nb\t1\n"), text="t", label="l")
    assert dashes.label_names == ("--1", "1")
    words = read_tsv(tsv("t\tl\na\tzebra\nb\tant\n"), text="t", label="l")
    assert words.label_names == ("ant", "zebra") and words.labels.tolist() == [1, 0]


def test_regression(tsv):
    examples = read_tsv(
        tsv("t\ts\na\t0.000\nb\t5\nc\t1e-1\n"), text="t", label="s", kind="regression", label_range=(0, 5)
    )
    assert examples.labels.dtype == np.float32
    assert examples.labels.tolist() == pytest.approx([0, 5, 0.1])
    assert examples.label_names is None


@pytest.mark.parametrize("content", ["text\nx\n", "text\tlabel\nx\t-1\ny\t-1\n"])
def test_a_split_without_labels(tsv, content):
    assert read_tsv(tsv(content), text="text", label="label", labels=("0", "1"), label_optional=True).labels is None


def test_ragged_lines_are_skipped_and_counted_only_when_asked(tsv):
    path = tsv("q1\tq2\tl\na\tb\t1\nc\td\ne\tf\t0\nhalf\n\tg\t\nh\ti\t1\textra\nj\tk\textra\t1\n")
    with pytest.raises(
        DataError, match=r"data.tsv:3: the line is cut short: expected 3 fields \(q1, q2, l\). Received: 2."
    ):
        read_tsv(path, text=("q1", "q2"), label="l", labels=("0", "1"))
    examples = read_tsv(path, text=("q1", "q2"), label="l", labels=("0", "1"), skip_ragged=True)
    assert examples.texts == (["a", "e", "h"], ["b", "f", "i"])
    assert examples.labels.tolist() == [1, 0, 1]
    assert examples.ids == ["0", "2", "5"]  # the row numbers, as TFDS counts them
    assert examples.report.rows_read == 7 and examples.report.skipped == 4
    assert examples.report.skipped_lines == (3, 5, 6, 8)
    assert examples.report.notes == (
        "4 rows skipped, not 3 fields or no label: lines 3, 5, 6, 8",
        "1 rows with more than 3 fields, read by their first ones: first on line 7",
    )


def test_dropped_labels_are_counted(tsv):
    path = tsv("t\tl\n" + "a\tyes\n" + "b\t-\n" * 12)
    examples = read_tsv(path, text="t", label="l", labels=("no", "yes"), drop_labels=("-",))
    assert len(examples) == 1 and examples.report.skipped == 12
    assert examples.report.notes == ("12 rows skipped, label '-': lines 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 2 more",)


BAD_TSV = {
    "empty file": ("", {}, None, "the file is empty"),
    "byte order mark alone": (codecs.BOM_UTF8, {}, None, "the file is empty"),
    "header alone": ("text\tlabel\n", {}, None, "expected rows of data. Received: none."),
    "missing column": ("text\tlable\nx\t1\n", {}, 1, "no column 'label'. The columns are: text, lable."),
    "column twice": ("text\tlabel\tlabel\nx\t1\t1\n", {}, 1, "more than one column 'label'"),
    "unknown label": ("text\tlabel\nx\t1\ny\t2\n", {"labels": ("0", "1")}, 3, "Expected one of: 0, 1. Received: '2'."),
    "empty label": ("text\tlabel\nx\t\n", {}, 2, "holds an empty label"),
    "label below the range": (
        "text\tlabel\nx\t-0.1\n",
        {"kind": "regression", "label_range": (0, 5)},
        2,
        "Expected 0 to 5. Received: '-0.1'.",
    ),
    "label above the range": (
        "text\tlabel\nx\t5.01\n",
        {"kind": "regression", "label_range": (0, 5)},
        2,
        "Expected 0 to 5.",
    ),
    "label that is no number": (
        "text\tlabel\nx\tfive\n",
        {"kind": "regression"},
        2,
        "must hold a number. Received: 'five'.",
    ),
    "label with underscores": (
        "text\tlabel\nx\t1_0\n",
        {"kind": "regression"},
        2,
        "must hold a number. Received: '1_0'.",
    ),
    "label that is NaN": ("text\tlabel\nx\tnan\n", {"kind": "regression"}, 2, "must hold a number. Received: 'nan'."),
    "line cut short": ("text\tlabel\nx\t1\ny", {}, 3, "cut short: expected 2 fields (text, label). Received: 1."),
    "tab too many": ("text\tlabel\nx\ty\t1\n", {}, 2, "too long: expected 2 fields (text, label). Received: 3."),
    "not UTF-8": (b"text\tlabel\nx\t1\ncaf\xe9\t1\n", {}, 3, "Received: byte 0xe9 at byte offset 18 of the file."),
    "not UTF-8 after a byte order mark": (codecs.BOM_UTF8 + b"te\xfft\tlabel\n", {}, 1, "byte 0xff at byte offset 5"),
    "cut inside a character": ("text\tlabel\nx\t1\ny\té".encode()[:-1], {}, 3, "byte 0xc3 at byte offset 17"),
    "UTF-16": ("text\tlabel\nx\t1\n".encode("utf-16"), {}, 1, "Received: UTF-16"),
    "some rows without label": (
        "text\tlabel\nx\t1\ny\t-1\n",
        {"labels": ("0", "1"), "label_optional": True},
        3,
        "this row has no label",
    ),
    "all rows dropped": ("text\tlabel\nx\t-\n", {"drop_labels": ("-",)}, None, "all of them skipped"),
}


@pytest.mark.parametrize("content, options, line, message", BAD_TSV.values(), ids=BAD_TSV.keys())
def test_bad_tsv_is_one_error_with_file_and_line(tsv, content, options, line, message):
    path = tsv(content)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_tsv(path, text="text", label="label", **options)
    assert (error.value.path, error.value.line) == (str(path), line)
    assert str(error.value).startswith(f"{path}:{line}: " if line else f"{path}: ")


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_tsv(tmp_path / "none.tsv", text="text")
    with pytest.raises(DataError, match="is a directory"):
        read_tsv(tmp_path, text="text")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"text": "name"}, "columns are given by 0-based number. Received: 'name'"),
        ({"text": 2}, "no column number 2. Expected 0 to 1."),
        ({"text": ()}, "one or two columns"),
        ({"text": 0, "kind": "ranking"}, "kind must be one of classification, regression. Received: 'ranking'."),
        ({"text": 0, "label": 1, "labels": ("1", 1)}, "labels must differ"),
    ],
)
def test_bad_options(tsv, options, message):
    with pytest.raises(UserError, match=message):
        read_tsv(tsv("x\t1\n"), header=False, **options)


# CSV


def test_csv_has_real_quoting(tmp_path):
    path = write(tmp_path / "d.csv", 'text,label\n"a, ""quoted""\nline",1\r\nplain,2\n')
    examples = read_csv(path, text="text", label="label")
    assert examples.texts == (['a, "quoted"\nline', "plain"],)
    assert examples.labels.tolist() == [0, 1]


def test_csv_delimiter_and_very_long_field(tmp_path):
    path = write(tmp_path / "d.csv", "text;label\n" + "x" * 300_000 + ";1\ny;2\n")
    assert len(read_csv(path, text="text", label="label", delimiter=";").texts[0][0]) == 300_000


@pytest.mark.parametrize(
    "content, line, message",
    [
        ('text,label\nx,1\n"never\nclosed,1\n', 3, "broken CSV in the record that starts here"),
        ('text,label\n"a"b,1\n', 2, "broken CSV"),
        ('text,label\n"two\nlines",1\nx\n', 4, "cut short: expected 2 fields"),
        ("text,label\nx,3\n", 2, "Received: '3'"),
        ("", None, "the file is empty"),
        (b"text,label\n\xff,1\n", 2, "byte 0xff at byte offset 11"),
    ],
)
def test_bad_csv(tmp_path, content, line, message):
    path = write(tmp_path / "d.csv", content)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_csv(path, text="text", label="label", labels=("1", "2"))
    assert error.value.line == line


# Python's csv neither writes nor reads NUL before 3.11.
NOT_IN_CSV = "\r" if sys.version_info >= (3, 11) else "\r\0"
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters=NOT_IN_CSV), max_size=12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=8))
def test_csv_and_jsonl_give_back_any_text(tmp_path_factory, rows):
    import csv

    directory = tmp_path_factory.mktemp("any")
    with open(directory / "d.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    with open(directory / "d.jsonl", "w", encoding="utf-8", newline="") as file:
        file.writelines(json.dumps({"a": a, "b": b}, ensure_ascii=False) + "\n" for a, b in rows)
    expected = tuple(list(column) for column in zip(*rows))
    from_csv = read_csv(directory / "d.csv", text=("a", "b"))
    from_json = read_jsonl(directory / "d.jsonl", text=("a", "b"))
    assert from_csv.texts == expected and from_json.texts == expected
    assert from_csv.fingerprint == from_json.fingerprint


# JSON lines


def test_jsonl_labels_of_any_form(tmp_path):
    rows = ['{"t": "a", "l": true}', '{"t": "b", "l": "true"}', "", '{"t": "c", "l": false, "more": [1]}']
    examples = read_jsonl(write(tmp_path / "d.jsonl", "\n".join(rows)), text="t", label="l")
    assert examples.label_names == ("false", "true") and examples.labels.tolist() == [1, 1, 0]
    path = write(tmp_path / "n.jsonl", '{"t": "a", "l": 1}\n{"t": "b", "l": "0"}\n')
    assert read_jsonl(path, text="t", label="l", labels=(0, 1)).labels.tolist() == [1, 0]
    path = write(tmp_path / "r.jsonl", '{"t": "a", "l": 1}\n{"t": "b", "l": 0.5}\n')
    assert read_jsonl(path, text="t", label="l", kind="regression").labels.tolist() == [1, 0.5]
    path = write(tmp_path / "u.jsonl", '{"t": "a"}\n{"t": "b", "l": -1}\n')
    assert read_jsonl(path, text="t", label="l", label_optional=True).labels is None


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"t": "a", "l": 1', "broken JSON: "),
        ("[1, 2]", "expected a JSON object with columns as keys. Received: list."),
        ('{"t": "a"}', "no column 'l'. The columns are: t."),
        ('{"t": 3, "l": 1}', "column 't' must hold text. Received: 3 (int)."),
        ('{"t": null, "l": 1}', "must hold text. Received: None"),
        ('{"t": "a", "l": null}', "column 'l' holds no label"),
        ('{"t": "a", "l": 7}', "Expected one of: 1, 2. Received: '7'."),
        ('{"t": "\\ud800", "l": 1}', "half of a surrogate pair"),
        ("[" * 200_000, "nested too deeply"),
        ('{"t": "a", "l": ' + "1" * 5000 + "}", "broken JSON: "),
    ],
)
def test_bad_jsonl(tmp_path, line, message):
    path = write(tmp_path / "d.jsonl", '{"t": "fine", "l": 1}\n' + line + "\n")
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_jsonl(path, text="t", label="l", labels=(1, 2))
    assert (error.value.path, error.value.line) == (str(path), 2)


# in memory


def test_from_memory():
    examples = from_memory(["a", "b"], np.array([1, 0]), pairs=["c", "d"], ids=["x", "y"])
    assert examples.texts == (["a", "b"], ["c", "d"])
    assert examples.labels.tolist() == [1, 0] and examples.label_names == ("0", "1") and examples.ids == ["x", "y"]
    scores = from_memory(["a", "b"], np.array([0.5, 2], np.float32), kind="regression", label_range=(0, 5))
    assert scores.labels.tolist() == [0.5, 2]
    assert from_memory(["a"]).labels is None


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((["a", "b"], [1]), "same length"),
        ((["a", 3],), "memory:2: column 'text' must hold text"),
        (([],), "expected rows of data"),
        ((["a"], ["x"], ("y", "z")), "Expected one of: y, z. Received: 'x'."),
    ],
)
def test_from_memory_errors(arguments, message):
    names = ("texts", "labels", "label_names")
    with pytest.raises(UserError, match=re.escape(message)):
        from_memory(**dict(zip(names, arguments)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (((),), "one or two text columns"),
        (((["a"], ["b", "c"]),), "same length"),
        (((["a", None],),), "at row 1"),
        (((["a"],), np.zeros(2)), r"labels of shape \(2,\)"),
        (((["a"],), np.array(["x"])), "class numbers or real numbers"),
        (((["a"],), np.array([np.inf])), "finite. Received: inf at row 0"),
        (((["a"],), None, ["1", "2"]), "Received: 2 ids"),
    ],
)
def test_examples_check_what_they_are_given(arguments, message):
    with pytest.raises(UserError, match=message):
        Examples(*arguments)


def test_fingerprint_is_of_the_contents():
    base = Examples((["ab", "c"], ["d", "e"]), np.array([0, 1]))
    assert base.fingerprint == Examples((["ab", "c"], ["d", "e"]), np.array([0, 1]), source="elsewhere").fingerprint
    others = [
        Examples((["a", "bc"], ["d", "e"]), np.array([0, 1])),
        Examples((["ab", "c"], ["d", "e"]), np.array([1, 1])),
        Examples((["ab", "c"], ["d", "e"]), np.array([0.0, 1.0])),
        Examples((["ab", "c"], ["d", "e"])),
        Examples((["ab", "c"],), np.array([0, 1])),
        Examples((["ab", "c"], ["d", "e"]), np.array([0, 1]), ["x", "y"]),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 7


# TFDS


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    """A small builder, prepared for good in a directory of its own: the reader then finds it by its files."""
    import tensorflow_datasets as tfds

    directory = tmp_path_factory.mktemp("tfds")
    with tfds.core.registered.skip_registration():

        class Pairs(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.2.0")
            pkg_dir_path = directory  # else TFDS looks for the package of this test

            def _info(self):
                features = {
                    "a": tfds.features.Text(),
                    "b": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=["no", "yes"]),
                    "score": np.float32,
                    "idx": np.int32,
                }
                return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples(40), "test": self._generate_examples(5, labelled=False)}

            def _generate_examples(self, size, labelled=True):
                for i in range(size):
                    yield (
                        i,
                        {
                            "a": f"été {i}",
                            "b": "" if i == 3 else f"b{i}",
                            "label": i % 2 if labelled else -1,
                            "score": i / 10 if labelled else -1,
                            "idx": i,
                        },
                    )

    Pairs(data_dir=str(directory)).download_and_prepare()
    return directory


def test_tfds_in_the_order_of_its_ids(tfds_dir):
    examples = read_tfds("pairs", "train", text=("a", "b"), labels=("no", "yes"), data_dir=tfds_dir)
    assert examples.texts == ([f"été {i}" for i in range(40)], ["" if i == 3 else f"b{i}" for i in range(40)])
    assert examples.labels.tolist() == [i % 2 for i in range(40)] and examples.labels.dtype == np.int32
    assert examples.ids == [str(i) for i in range(40)]
    assert examples.label_names == ("no", "yes") and examples.source == "tfds:pairs/train 1.2.0"
    assert examples.report.rows_read == 40 and examples.report.notes == ("1 empty texts, kept",)
    # TFDS wrote them in another order: without ids that is the order.
    assert read_tfds("pairs", "train", text="a", id=None, data_dir=tfds_dir).texts[0] != examples.texts[0]


def test_tfds_numbers_and_splits_without_labels(tfds_dir):
    scores = read_tfds("pairs", "train", text="a", label="score", label_range=(0, 5), data_dir=tfds_dir)
    assert scores.labels.dtype == np.float32 and scores.labels.tolist() == pytest.approx([i / 10 for i in range(40)])
    assert scores.label_names is None
    for label in ("label", "score"):
        test = read_tfds("pairs", "test", text="a", label=label, data_dir=tfds_dir)
        assert len(test) == 5 and test.labels is None
    assert len(read_tfds("pairs", "train[:10]", text="a", data_dir=tfds_dir)) == 10


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (("nothing_like_it", "train"), {}, "TFDS has no builder 'nothing_like_it'"),
        (("glue/sst3", "train"), {}, "TFDS has no builder 'glue/sst3'"),
        (("pairs", "dev"), {}, "pairs has no split 'dev'. Its splits are: "),
        (("pairs", "train"), {"text": "c"}, "no feature 'c'. Its features are: "),
        (("pairs", "train"), {"text": "score"}, "feature 'score' must hold text"),
        (("pairs", "train"), {"labels": ("yes", "no")}, "expected the classes yes, no. Received: no, yes."),
        (
            ("pairs", "train"),
            {"label": "score", "label_range": (0, 1)},
            "label out of range. Expected 0 to 1. Received: 1.1",
        ),
        (("glue/sst2", "train"), {"download": False}, "glue/sst2 is not in the TFDS directory"),
    ],
)
def test_tfds_errors(tfds_dir, arguments, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        read_tfds(*arguments, **{"text": "a", "data_dir": tfds_dir, **options})


def test_a_download_that_fails_is_one_clear_error(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def no_network(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", no_network)
    with pytest.raises(
        UserError, match="downloading it failed. Give data_dir= .* Cause: ConnectionError: no route to host"
    ):
        read_tfds("glue/sst2", "train", text="sentence", data_dir=tmp_path)


# the real files


@pytest.mark.real
def test_real_csv_and_files_without_header():
    root = os.environ.get("TFLLM_DATA", os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "data"))
    if not os.path.isdir(os.path.join(root, "glue")):
        pytest.skip(f"no benchmark files in {root}: set TFLLM_DATA")
    for name, size in (("matched", 9815), ("mismatched", 9832)):
        examples = read_csv(
            os.path.join(root, f"glue/MNLI/multinli_1.0_dev_{name}.csv"),
            text=("sentence1", "sentence2"),
            label="label",
            id="pairID",
            labels=("entailment", "neutral", "contradiction"),
        )
        assert len(examples) == examples.report.rows_read == size
        assert np.bincount(examples.labels).min() > 3000
    # Lines with source notes behind the 7 fields that every line has; quotes are text.
    path = os.path.join(root, "glue/STS-B/original/sts-test.tsv")
    with pytest.raises(DataError, match="too long: expected 7 fields"):
        read_tsv(path, header=False, text=(5, 6), label=4, kind="regression")
    labelled = read_tsv(
        path, header=False, skip_ragged=True, text=(5, 6), label=4, kind="regression", label_range=(0, 5)
    )
    assert len(labelled) == 1379 and labelled.report.skipped == 0
    assert labelled.report.notes[-1].startswith("284 rows with more than 7 fields")
    official = read_tsv(os.path.join(root, "glue/STS-B/test.tsv"), text=("sentence1", "sentence2"))
    # GLUE stripped the spaces at the ends of 11 rows.
    assert [[text.strip() for text in column] for column in labelled.texts] == [*official.texts]
