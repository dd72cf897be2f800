"""GLUE's submission: what is written, and that the validator, which shares nothing with the writer, finds what is
wrong."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest

from tfllm import tasks
from tfllm.errors import UserError
from tfllm.tasks.submission_check import OFFICIAL

# file name: key, classes (0: a number), what is written for class 0, 1, ...
FILES = {
    "CoLA.tsv": ("glue/cola", 2, "01"),
    "SST-2.tsv": ("glue/sst2", 2, "01"),
    "MRPC.tsv": ("glue/mrpc", 2, "01"),
    "STS-B.tsv": ("glue/stsb", 0, None),
    "MNLI-m.tsv": ("glue/mnli:test_matched", 3, ["entailment", "neutral", "contradiction"]),
    "MNLI-mm.tsv": ("MNLI-mm", 3, ["entailment", "neutral", "contradiction"]),
    "QNLI.tsv": ("glue/qnli", 2, ["entailment", "not_entailment"]),
    "QQP.tsv": ("glue/qqp", 2, "01"),
    "RTE.tsv": ("glue/rte", 2, ["entailment", "not_entailment"]),
    "WNLI.tsv": ("glue/wnli", 2, "01"),
    "AX.tsv": ("glue/ax", 3, ["entailment", "neutral", "contradiction"]),
}


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    result = {}
    for name, (key, classes, _) in FILES.items():
        rows = OFFICIAL[name][0]
        result[key] = rng.normal(2.5, 3, (rows, 1)) if classes == 0 else rng.normal(size=(rows, classes))
    return result


@pytest.fixture(scope="module")
def submitted(predictions, tmp_path_factory):
    directory = tmp_path_factory.mktemp("submission")
    return directory, tasks.write_submission(predictions, directory)


def test_files_hold_the_predictions(submitted, predictions):
    directory, report = submitted
    assert sorted(os.listdir(directory)) == sorted([*FILES, "submission.zip"])
    assert sorted(report.files) == sorted(FILES) and report.filled == ()
    for name, (key, classes, written) in FILES.items():
        lines = (directory / name).read_text().split("\n")
        assert lines[0] == "index\tprediction" and lines[-1] == ""
        values = predictions[key]
        if classes:
            expected = [written[number] for number in values.argmax(axis=1)]
        else:
            expected = [f"{min(max(value, 0.0), 5.0):.3f}" for value in values[:, 0]]
        assert lines[1:-1] == [f"{i}\t{value}" for i, value in enumerate(expected)]


def test_zip_is_valid_and_the_same_bytes_every_time(submitted, predictions, tmp_path):
    directory, report = submitted
    assert report.path == str(directory / "submission.zip")
    assert tasks.validate_submission(report.path) == []
    with zipfile.ZipFile(report.path) as archive:
        assert archive.namelist() == list(report.files)
        # neither the time nor the version of zlib makes a difference
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert all(archive.read(name) == (directory / name).read_bytes() for name in FILES)
    again = tasks.write_submission(predictions, tmp_path / "other.zip")
    assert os.listdir(tmp_path) == ["other.zip"]
    assert (tmp_path / "other.zip").read_bytes() == (directory / "submission.zip").read_bytes()
    assert again.path == str(tmp_path / "other.zip")


def test_missing_tasks_are_filled_only_when_asked(tmp_path):
    labels = np.ones(146, np.int64)
    with pytest.raises(UserError, match="Received no predictions for: CoLA.tsv, SST-2.tsv,"):
        tasks.write_submission({"glue/wnli": labels}, tmp_path / "s.zip")
    assert not (tmp_path / "s.zip").exists()
    report = tasks.write_submission({"glue/wnli": labels}, tmp_path / "s.zip", fill_missing=True)
    assert sorted(report.filled) == sorted(set(FILES) - {"WNLI.tsv"})
    assert tasks.validate_submission(tmp_path / "s.zip") == []
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.read("WNLI.tsv").count(b"\t1\n") == 146
        assert archive.read("STS-B.tsv").count(b"\t0.000\n") == 1379
        assert archive.read("RTE.tsv").count(b"\tentailment\n") == 3000


def test_class_names_and_numbers_are_taken_too(tmp_path):
    names = np.array(["neutral", "contradiction"] * 552)
    tasks.write_submission({"glue/ax": names, "glue/cola": [1] * 1063}, tmp_path / "s.zip", fill_missing=True)
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.read("AX.tsv").startswith(b"index\tprediction\n0\tneutral\n1\tcontradiction\n")
        assert archive.read("CoLA.tsv").endswith(b"1062\t1\n")


def test_nothing_is_overwritten_unless_told(submitted, predictions):
    directory, report = submitted
    before = (directory / "CoLA.tsv").read_bytes()
    for path in (directory, report.path):
        with pytest.raises(UserError, match="already"):
            tasks.write_submission({"glue/cola": np.ones(1063, int)}, path, fill_missing=True)
    assert (directory / "CoLA.tsv").read_bytes() == before
    tasks.write_submission(predictions, directory, overwrite=True)
    assert (directory / "CoLA.tsv").read_bytes() == before


@pytest.mark.parametrize(
    "predictions, message",
    [
        ({"glue/col": [0]}, "has no 'glue/col'. Expected keys among: glue/cola, "),
        ({"glue/mnli": [0]}, "has no 'glue/mnli'. .*glue/mnli:test_matched, glue/mnli:test_mismatched"),
        ({"glue/cola": np.zeros(1063, int), "CoLA": np.zeros(1063, int)}, "Received predictions for CoLA.tsv twice"),
        ({"glue/wnli": np.zeros(145, int)}, "the official test set has 146 examples. Received: 145"),
        ({"glue/wnli": np.zeros((146, 3))}, "glue/wnli has 2 outputs"),
        ({"glue/wnli": np.full(146, 2)}, "has classes 0 to 1. Received: 2 to 2"),
        ({"glue/wnli": ["maybe"] * 146}, "expected labels among not_entailment, entailment. Received: 'maybe'"),
        ({"glue/wnli": np.full((146, 2), np.nan)}, "NaN or infinity for 146 of 146"),
    ],
)
def test_wrong_predictions(predictions, message, tmp_path):
    with pytest.raises(UserError, match=message):
        tasks.write_submission(predictions, tmp_path / "s.zip", fill_missing=True)
    assert os.listdir(tmp_path) == []


@pytest.fixture
def changed(submitted, tmp_path):
    """A copy of the valid zip in which the content of some files is another; `None` leaves one out."""

    def make(changes, more=(), compression=zipfile.ZIP_STORED):
        with (
            zipfile.ZipFile(submitted[1].path) as source,
            zipfile.ZipFile(tmp_path / "c.zip", "w", compression) as target,
        ):
            for name in source.namelist():
                content = changes.get(name, lambda text: text)(source.read(name).decode())
                if content is not None:
                    target.writestr(name, content)
            for name, content in more:
                target.writestr(name, content)
        return tmp_path / "c.zip"

    return make


CHANGES = {
    "missing file": ("WNLI.tsv", lambda t: None, None, "this file is missing."),
    "wrong header": (
        "WNLI.tsv",
        lambda t: t.replace("index", "id", 1),
        1,
        "expected the header 'index<TAB>prediction'. Received: 'id\\tprediction'.",
    ),
    "no header": ("WNLI.tsv", lambda t: t.split("\n", 1)[1], 1, "expected the header"),
    "empty": ("WNLI.tsv", lambda t: "", 1, "expected the header"),
    "a row too few": ("RTE.tsv", lambda t: t[: t.rindex("2999")], 3000, "expected 3000 rows. Received: 2999."),
    "a row too many": ("RTE.tsv", lambda t: t + "3000\tentailment\n", 3002, "expected 3000 rows. Received: 3001."),
    "index twice": ("CoLA.tsv", lambda t: t.replace("\n7\t", "\n6\t"), 9, "expected index 7. Received: '6'."),
    "index from one": ("CoLA.tsv", lambda t: t.replace("\n0\t", "\n1\t"), 2, "expected index 0. Received: '1'."),
    "index as 07": ("CoLA.tsv", lambda t: t.replace("\n7\t", "\n07\t"), 9, "expected index 7. Received: '07'."),
    "number for a name": (
        "QNLI.tsv",
        lambda t: t.replace("\n3\tnot_", "\n3\t").replace("\n3\tentailment", "\n3\t1"),
        5,
        "expected one of entailment, not_entailment. Received: '1'.",
    ),
    "class of another task": (
        "RTE.tsv",
        lambda t: t.replace("\n0\tnot_", "\n0\t").replace("\n0\tent", "\n0\tcontradiction\n1\tx", 1),
        2,
        "Received: 'contradiction'.",
    ),
    "score too high": (
        "STS-B.tsv",
        lambda t: t.replace("\n1378\t", "\n1378\t9"),
        1380,
        "expected a number from 0 to 5.",
    ),
    "score is nan": (
        "STS-B.tsv",
        lambda t: t[: t.rindex("\t")] + "\tnan\n",
        1380,
        "expected a number from 0 to 5. Received: 'nan'.",
    ),
    "score below": ("STS-B.tsv", lambda t: t[: t.rindex("\t")] + "\t-0.100\n", 1380, "expected a number from 0 to 5."),
    "comma": ("AX.tsv", lambda t: t.replace("\n5\t", "\n5,"), 7, "expected 2 fields. Received: 1."),
    "blank line": ("AX.tsv", lambda t: t.replace("\n5\t", "\n\n5\t"), 7, "expected 2 fields. Received: 1."),
    "not ASCII": ("AX.tsv", lambda t: t.replace("\n5\t", "\n5\té"), 7, "expected plain ASCII. Received: byte 0xc3."),
    "too large": ("AX.tsv", lambda t: t + "x" * 100_000, None, "too large: expected at most"),
}


@pytest.mark.parametrize("name, change, line, message", CHANGES.values(), ids=CHANGES.keys())
def test_validator_finds(changed, name, change, line, message):
    problems = tasks.validate_submission(changed({name: change}))
    assert {problem.file for problem in problems} == {name}
    assert any(problem.line == line and message in problem.message for problem in problems), problems
    assert len(problems) <= 21
    assert str(problems[0]).startswith(f"{name}:")


@pytest.mark.parametrize(
    "name, message",
    [
        ("../CoLA.tsv", "unsafe name"),
        ("/etc/passwd", "unsafe name"),
        ("..\\CoLA.tsv", "unsafe name"),
        ("submission/CoLA.tsv", "not in a folder"),
        ("README.md", "unexpected file. Expected: CoLA.tsv"),
    ],
)
def test_validator_on_names(changed, name, message):
    problems = tasks.validate_submission(changed({}, more=[(name, "x")]))
    assert len(problems) == 1 and message in problems[0].message


def test_validator_on_hostile_zips(changed, tmp_path):
    bomb = changed({"WNLI.tsv": lambda t: "0" * 50_000_000}, compression=zipfile.ZIP_DEFLATED)
    assert [(p.file, "too large" in p.message) for p in tasks.validate_submission(bomb)] == [("WNLI.tsv", True)]

    # The zip's directory says that the 50 MB are 5000 bytes.
    content = bomb.read_bytes()
    assert content.count(struct.pack("<I", 50_000_000)) == 2
    bomb.write_bytes(content.replace(struct.pack("<I", 50_000_000), struct.pack("<I", 5000)))
    assert any("not a readable zip" in p.message for p in tasks.validate_submission(bomb))

    many = tmp_path / "many.zip"
    with zipfile.ZipFile(many, "w") as archive:
        for i in range(1001):
            archive.writestr(str(i), "")
    assert "Received: 1001." in tasks.validate_submission(many)[0].message

    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = changed({}, more=[("CoLA.tsv", "x")])
    assert [p.message for p in tasks.validate_submission(twice)] == ["the zip holds this file twice."]


def test_validator_on_what_is_no_zip(submitted, tmp_path):
    valid = open(submitted[1].path, "rb").read()
    for name, content in (("empty.zip", b""), ("text.zip", b"index\tprediction\n"), ("cut.zip", valid[:-1000])):
        (tmp_path / name).write_bytes(content)
        problems = tasks.validate_submission(tmp_path / name)
        assert len(problems) == 1 and "not a readable zip file" in problems[0].message
    damaged = bytearray(valid)
    damaged[2000] ^= 1  # inside of the first file
    (tmp_path / "damaged.zip").write_bytes(damaged)
    assert any("Bad CRC" in p.message for p in tasks.validate_submission(tmp_path / "damaged.zip"))
    with pytest.raises(UserError, match="There is no file"):
        tasks.validate_submission(tmp_path / "none.zip")
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    (tmp_path / "nothing.zip").write_bytes(empty.getvalue())
    assert [p.file for p in tasks.validate_submission(tmp_path / "nothing.zip")] == list(OFFICIAL)
