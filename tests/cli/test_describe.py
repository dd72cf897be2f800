"""`tfllm tasks --describe`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfllm import tasks
from tfllm.cli import main
from tfllm.tasks.measured_facts import example_lengths, measured_facts
from tfllm.tasks.task_notes import NOTES, note_of

DOCS = Path(__file__).parents[2] / "docs" / "choosing-a-benchmark.md"


def cola(directory):
    (directory / "CoLA").mkdir()
    rows = [(1, "The cat sat on the mat."), (1, "It rains."), (0, "Sat cat the."), (1, "She left early today.")]
    for split, kept in (("train", rows), ("dev", rows[:2])):
        lines = [f"gj04\t{label}\t{'' if label else '*'}\t{text}\n" for label, text in kept]
        (directory / "CoLA" / f"{split}.tsv").write_text("".join(lines))
    return directory


def stsb(directory):
    (directory / "STS-B").mkdir()
    lines = ["index\tsentence1\tsentence2\tscore", "0\ta b c\td\t1.0", "1\te\tf g\t4.0"]
    (directory / "STS-B" / "dev.tsv").write_text("\n".join(lines) + "\n")
    return directory


def described(capsys, *flags: str) -> dict:
    assert main(["tasks", *flags, "--format=json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_task_has_a_note_and_every_note_a_task():
    names = tasks.names()
    # Other tests register tasks of their own.
    without = [name for name in names if note_of(name) is None and not name.startswith(("mine/", "toy/"))]
    assert not without
    used = {id(note_of(name)) for name in names}
    assert not [pattern for pattern, note in NOTES.items() if id(note) not in used]
    for pattern, note in NOTES.items():
        assert note.weaknesses and note.measures and note.choose, pattern
        for sentence in (note.measures, note.choose, *note.weaknesses):
            assert not sentence.endswith(".") and "  " not in sentence, sentence
    assert note_of("mine/reviews") is None


def test_without_data_the_static_part_is_printed(capsys):
    assert main(["tasks", "--describe=glue/mrpc"]) == 0
    out = capsys.readouterr().out
    for part in (
        "glue/mrpc: Do two sentences",
        "train 3,668 (labelled)",
        "f1, accuracy (main: f1)",
        "Microsoft Research",
    ):
        assert part in out
    assert (
        re.search(r"^measures .*\n", out, re.MULTILINE) and out.count("weakness ") == 3 and "give --data_dir=DIR" in out
    )
    assert max(map(len, out.splitlines())) <= 110
    result = described(capsys, "--describe=glue/mrpc")
    assert (
        result["measured"] is None and result["sizes"]["validation"] == 408 and "Dodge" in "".join(result["weaknesses"])
    )


def test_classes_and_words_are_counted(tmp_path, capsys):
    result = described(capsys, "--describe=glue/cola", f"--data_dir={cola(tmp_path)}")
    train = result["measured"]["train"]
    assert result["unit"] == "words" and set(result["measured"]) == {"train", "validation"}
    assert train["classes"] == {"unacceptable": 1, "acceptable": 3} and train["majority"] == 0.75
    assert train["lengths"]["min"] == 2 and train["lengths"]["max"] == 6 and train["lengths"]["mean"] == 15 / 4
    assert "test.tsv" in result["not_read"]["test"]
    assert any("official train split has 8551" in note for note in train["notes"])
    assert main(["tasks", "--describe=glue/cola", f"--data_dir={tmp_path}", "--split=validation"]) == 0
    out = capsys.readouterr().out
    assert "words cut at white space; --model=DIR" in out and "test was not read" not in out
    assert "validation: unacceptable 0 (0.0%), acceptable 2 (100.0%)" in out


def test_scores_are_summarised(tmp_path, capsys):
    result = described(capsys, "--describe=glue/stsb", f"--data_dir={stsb(tmp_path)}", "--split=validation")
    facts = result["measured"]["validation"]
    assert facts["classes"] is None and facts["labels"] == {"mean": 2.5, "sd": 1.5, "min": 1.0, "max": 4.0}
    assert facts["lengths"]["max"] == 4  # both texts


def test_tokens_are_the_tokenizers_with_special_ones(checkpoint, tmp_path, capsys):
    import tfllm

    data = stsb(tmp_path)
    flags = ("--describe=glue/stsb", f"--data_dir={data}", "--split=validation", f"--model={checkpoint}")
    result = described(capsys, *flags)
    tokenizer = tfllm.text.load(checkpoint)
    expected = [len(tokenizer.encode("a b c", "d")), len(tokenizer.encode("e", "f g"))]
    assert result["unit"] == "tokens" and result["measured"]["validation"]["lengths"]["max"] == max(expected)
    task = tasks.get("glue/stsb", data_dir=data)
    np.testing.assert_array_equal(example_lengths(task, "validation", tokenizer), expected)
    assert expected[0] > 4  # [CLS] and two [SEP]


def test_the_share_of_long_examples():
    task = tasks.from_memory({"text": ["w " * 128, "w " * 129, "w " * 600, "w"], "label": ["x", "y", "x", "x"]})
    facts = measured_facts(task, "train", example_lengths(task, "train"))
    assert facts["longer"] == {128: 0.5, 256: 0.25, 512: 0.25} and facts["classes"] == {"x": 3, "y": 1}


def test_a_plot_is_drawn_and_not_overwritten(tmp_path, capsys):
    image, flags = tmp_path / "lengths.png", ["tasks", "--describe=glue/cola", f"--data_dir={cola(tmp_path)}"]
    assert main([*flags, f"--plot={image}"]) == 0
    assert f"Lengths are drawn in {image}" in capsys.readouterr().out
    from matplotlib.image import imread

    picture = imread(image)
    assert picture.shape[0] >= 300 and picture.shape[1] >= 500 and picture.std() > 0.01
    image.write_bytes(b"mine")
    assert main([*flags, f"--plot={image}"]) == 2
    assert "is there already" in capsys.readouterr().err and image.read_bytes() == b"mine"
    assert main([*flags, f"--plot={image}", "--overwrite"]) == 0 and image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--describe=glue/colla"], "did you mean glue/cola?"),
        (["--describe=glue/cola", "--plot=a.png"], "plot is for what is counted in the data: give --data_dir=DIR"),
        (["--describe=glue/cola", "--model=demo"], "model is for what is counted"),
        (["--describe=glue/cola", "--data_dir={dir}/nowhere"], "nowhere"),
        (["--describe=glue/cola", "--data_dir={dir}", "--split=dev"], "has no split 'dev'"),
        (["--describe=glue/cola", "--data_dir={dir}"], "no file for the train split"),
        (["--data_dir={dir}"], "data_dir goes with --describe=NAME"),
    ],
)
def test_nonsense_is_one_line(flags, message, tmp_path, capsys):
    assert main(["tasks", *(flag.format(dir=tmp_path) for flag in flags)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_the_static_part_imports_nothing_heavy():
    script = (
        "import sys; from tfllm.cli import main; assert main(['tasks', '--describe=squad/v2.0']) == 0\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'tokenizers'} & set(sys.modules)\nassert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_page_names_tasks_that_are_there():
    text = DOCS.read_text()
    names = tasks.names()
    groups = "|".join({name.split("/")[0] for name in names})
    found = set(re.findall(rf"(?<![\w/.])((?:{groups})/[\w.*-]+)", text))
    assert len(found) > 40
    from fnmatch import fnmatchcase

    assert not [name for name in found if not any(fnmatchcase(known, name) for known in names)]
    assert len(text.splitlines()) < 120
