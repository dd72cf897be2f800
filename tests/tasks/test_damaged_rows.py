"""GLUE's, SuperGLUE's and SQuAD's files: damaged rows are an error, or left out and counted; compressed files are read too."""

import gzip
import json
import re

import pytest

from tfllm import tasks
from tfllm.cli import main
from tfllm.errors import DataError

CB = {"premise": "p", "hypothesis": "h", "idx": 0, "label": "neutral"}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b"one field", "SST-2/dev.tsv:3: the line is cut short: expected 2 fields (sentence, label). Received: 1."),
        (b"a\t1\tb", "SST-2/dev.tsv:3: the line is too long: expected 2 fields"),
        (b"a\t7", "SST-2/dev.tsv:3: unknown label in column 'label'. Expected one of: 0, 1. Received: '7'."),
        (b"caf\xe9\t1", "SST-2/dev.tsv:3: expected UTF-8 text"),
    ],
)
def test_glue(damaged, message, tmp_path):
    write(tmp_path / "SST-2/dev.tsv", b"sentence\tlabel\ngood \t1\n" + damaged + b"\nbad \t0\n")
    with pytest.raises(DataError, match=re.escape(message)):
        tasks.get("glue/sst2", data_dir=tmp_path).examples("validation")
    examples = tasks.get("glue/sst2", data_dir=tmp_path, skip_bad_rows=True).examples("validation")
    assert examples.texts == (["good ", "bad "],) and examples.labels.tolist() == [1, 0] and examples.ids == ["0", "2"]
    assert examples.report.skipped_lines == (3,) and examples.report.rows_read == 3
    assert (
        examples.report.notes[0].startswith("1 damaged rows left out, line 3; the first: ")
        and message in examples.report.notes[0]
    )


def test_a_damaged_row_of_microsofts_mrpc(tmp_path):
    rows = [
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        "1\t1\t2\ta\tb",
        "9\t3\t4\tc\td",
        "0\t5\t6\te\tf",
        "1\t7\t8\tg\th",
    ]
    write(tmp_path / "MRPC/msr_paraphrase_train.txt", "\n".join(rows) + "\n")
    write(tmp_path / "MRPC/dev_ids.tsv", "5\t6\n")
    task = tasks.get("glue/mrpc", data_dir=tmp_path, skip_bad_rows=True)
    assert task.examples("validation").texts == (["e"], ["f"]) and task.examples("train").texts == (
        ["a", "g"],
        ["b", "h"],
    )
    assert task.examples("train").report.skipped_lines == (3,)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ('{"premise": ', "val.jsonl:2: broken JSON"),
        (json.dumps({**CB, "label": "maybe"}), "val.jsonl:2: unknown label. Expected one of: entailment"),
        (json.dumps({"idx": 4, "label": "neutral"}), "val.jsonl:2: no 'premise'"),
        (
            json.dumps({k: v for k, v in CB.items() if k != "label"}),
            "val.jsonl:2: this row has no label, but others have.",
        ),
    ],
)
def test_superglue(damaged, message, tmp_path):
    write(tmp_path / "CB/val.jsonl", "\n".join([json.dumps(CB), damaged, json.dumps({**CB, "idx": 2})]))
    with pytest.raises(DataError, match=message):
        tasks.get("superglue/cb", data_dir=tmp_path).examples("validation")
    examples = tasks.get("superglue/cb", data_dir=tmp_path, skip_bad_rows=True).examples("validation")
    assert examples.ids == ["0", "2"] and examples.labels.tolist() == [2, 2]
    assert (
        examples.report.skipped_lines == (2,) and examples.report.rows_read == 3 and message in examples.report.notes[0]
    )


def squad(*questions):
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "The red barn", "qas": list(questions)}]}]})


GOOD = {"id": "a", "question": "?", "answers": [{"text": "red", "answer_start": 4}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": [{"text": "red", "answer_start": 1}]}, "question 'z': the context must hold the answer 'red'"),
        ({"question": None}, "'question' must be text"),
        ({"answers": "red"}, "'answers' must be a list"),
        ({"answers": ["red"]}, "'answers' must hold objects. Received: 'red'"),
        (
            {"answers": {"text": ["red"], "answer_start": []}},
            "question 'z': expected a place for each of 1 answers. Received: 0",
        ),
    ],
)
def test_squad(change, message, tmp_path):
    write(tmp_path / "dev-v1.1.json", squad({**GOOD, "id": "z", **change}, GOOD))
    with pytest.raises(DataError, match=message):
        tasks.get("squad/v1.1", data_dir=tmp_path).examples("validation")
    examples = tasks.get("squad/v1.1", data_dir=tmp_path, skip_bad_rows=True).examples("validation")
    assert examples.ids == ["a"] and examples.report.skipped_lines == (1,) and message in examples.report.notes[0]


def test_what_is_no_squad_file(tmp_path):
    write(tmp_path / "dev-v1.1.json", squad(5))
    with pytest.raises(DataError, match="'qas' must hold objects. Received: '5'"):
        tasks.get("squad/v1.1", data_dir=tmp_path, skip_bad_rows=True).examples("validation")


def test_compressed_files(tmp_path):
    packed = gzip.compress("\ufeffsentence\tlabel\r\ngood \t1\r\nbad \t0".encode())
    write(tmp_path / "SST-2/dev.tsv.gz", packed)
    write(tmp_path / "CB/val.jsonl.gz", gzip.compress(json.dumps(CB).encode()))
    write(tmp_path / "dev-v1.1.json.gz", gzip.compress(squad(GOOD).encode()))
    for name, size in (("glue/sst2", 2), ("superglue/cb", 1), ("squad/v1.1", 1)):
        assert len(tasks.get(name, data_dir=tmp_path).examples("validation")) == size
    write(tmp_path / "SST-2/dev.tsv.gz", packed[:-9])
    with pytest.raises(DataError, match="damaged gzip: .* Is the file cut short?"):
        tasks.get("glue/sst2", data_dir=tmp_path).examples("validation")


def test_the_likelihood_sets_are_compressed_too(tmp_path):
    write(tmp_path / "lambada_test.jsonl.gz", gzip.compress(json.dumps({"text": "the red barn"}).encode()))
    assert tasks.get("lambada/openai", data_dir=tmp_path).examples("test").texts == (["the red"], [" barn"])
    pair = {
        "sentence_good": "a b",
        "sentence_bad": "b a",
        "UID": "u",
        "pairID": "0",
        "field": "f",
        "linguistics_term": "t",
    }
    write(tmp_path / "blimp/one.jsonl.gz", gzip.compress(json.dumps(pair).encode()))
    assert tasks.get("blimp", data_dir=tmp_path / "blimp").examples("test").texts == (["a b"], ["b a"])


def test_line_ends_of_wikitext(tmp_path):
    text = " = Title = \n \n A page , with <unk> . \n"
    for folder, content in (("unix", text), ("windows", "\ufeff" + text.replace("\n", "\r\n"))):
        write(tmp_path / folder / "wiki.valid.raw", content)
    pages = [
        tasks.get("lm/wikitext-2", data_dir=tmp_path / name).examples("validation") for name in ("unix", "windows")
    ]
    assert pages[0].texts == pages[1].texts and pages[0].columns == pages[1].columns


def test_the_flag(tmp_path, capsys):
    write(tmp_path / "SST-2/dev.tsv", "sentence\tlabel\ngood \t1\nbroken\n")
    predictions = write(tmp_path / "p.tsv", "index\tprediction\n0\t1\n")
    command = ["evaluate", f"--predictions={predictions}", "--task=glue/sst2", f"--data_dir={tmp_path}"]
    assert main(command) == 2
    assert "SST-2/dev.tsv:3: the line is cut short" in capsys.readouterr().err
    assert main([*command, "--skip_bad_rows"]) == 0
    assert "rows read: 2, skipped: 1" in capsys.readouterr().out


def test_damaged_labels_of_ones_own_data(tmp_path):
    path = write(tmp_path / "d.csv", "text,score\na,1.5\nb,much\nc,2\n")
    with pytest.raises(DataError, match="d.csv:3: column 'score' must hold a number. Received: 'much'"):
        tasks.from_files(path, text="text", label="score", kind="regression").examples("train")
    task = tasks.from_files(path, text="text", label="score", kind="regression", skip_bad_rows=True)
    examples = task.examples("train")
    assert examples.texts == (["a", "c"],) and examples.report.skipped_lines == (3,) and examples.report.rows_read == 3
