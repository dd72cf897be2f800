"""`evaluate --input` and `predict --input`: files of the user's own, of every kind, by their columns."""

from __future__ import annotations

import csv
import json

import pytest

from tfllm.cli import main
from tfllm.commands.own_file import own_task
from tfllm.errors import UserError
from tfllm.training import FinetuneConfig

SENTENCES = [("a good film", "O B-G O"), ("the bad plot", "O O O"), ("great story", "B-G O")] * 4


def write_all(folder, columns, rows):
    """The same rows as JSON lines, CSV and TSV."""
    flat = [[" ".join(cell) if isinstance(cell, list) else cell for cell in row] for row in rows]
    (folder / "d.jsonl").write_text("".join(json.dumps(dict(zip(columns, row))) + "\n" for row in rows))
    (folder / "d.tsv").write_text("".join("\t".join(map(str, row)) + "\n" for row in [columns, *flat]))
    with open(folder / "d.csv", "w", newline="") as file:
        csv.writer(file).writerows([columns, *flat])


def run_of(folder, **options):
    """A directory that looks like that of a run."""
    (folder / "model").mkdir(parents=True)
    config = FinetuneConfig(model="m", **options).to_dict()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "results.json").write_text("{}")
    return str(folder)


def test_tags(checkpoint, tmp_path, capsys):
    write_all(tmp_path, ["ws", "ts"], [[words.split(), tags.split()] for words, tags in SENTENCES])
    own = f"{tmp_path}/d.jsonl"
    arguments = [
        f"--model={checkpoint}", f"--train_file={own}", f"--validation_file={own}", "--kind=tagging", "--text_columns=ws",
        "--label_column=ts", "--max_steps=1", "--batch_size=8", "--max_length=16", f"--run_dir={tmp_path}/run",
    ]  # fmt: skip
    assert main(["finetune", *arguments]) == 0
    trained = json.loads((tmp_path / "run" / "results.json").read_text())["scores"]["validation"]
    capsys.readouterr()
    for ending in ("jsonl", "csv", "tsv"):
        given = [f"--model={tmp_path}/run/model", f"--input={tmp_path}/d.{ending}", "--max_length=16"]
        assert main(["evaluate", *given, "--format=json"]) == 0
        printed = capsys.readouterr()
        scores = json.loads(printed.out.splitlines()[-1])
        assert [scores[name] for name in ("entity_f1", "n", "ci95")] == [trained[n] for n in ("entity_f1", "n", "ci95")]
        assert (
            f"d.{ending} is read as the run's own data, with kind=tagging, text_columns=ws, label_column=ts."
            in printed.err
        )
    assert main(["predict", *given, f"--output={tmp_path}/p.tsv"]) == 0
    lines = (tmp_path / "p.tsv").read_text().splitlines()
    assert lines[0] == "id\tprediction\treference" and len(lines) == 13 and lines[1].endswith("\tO B-G O")


@pytest.mark.parametrize(
    ("options", "columns", "rows", "metrics", "texts"),
    [
        ({"text_columns": ("p", "q"), "label_column": "y"}, ["p", "q", "y"], [["a", "b", "no"], ["c", "d", "yes"]],
         ("accuracy", "macro_f1"), (["a", "c"], ["b", "d"])),
        ({"kind": "regression", "text_columns": ("p",), "label_column": "y"}, ["p", "y"], [["a", 1.5], ["b", 2]],
         ("pearson", "spearman"), (["a", "b"],)),
        ({"kind": "span", "text_columns": ("q", "c"), "label_column": "a"}, ["q", "c", "a"], [["?", "the red barn", "red"]],
         ("f1", "exact_match"), (["?"], ["the red barn"])),
        ({"kind": "translation", "text_columns": ("s",), "label_column": "t", "prompt": "x {source}"}, ["s", "t"], [["a b", "c d"]],
         ("bleu", "chrf", "ter"), (["a b"],)),
        ({"kind": "generation", "text_columns": ("s",), "label_column": "t", "num_beams": 3}, ["s", "t"], [["a b", "c d"]],
         ("bleu", "chrf", "exact_match"), (["a b"],)),
    ],
)  # fmt: skip
def test_what_a_run_says_of_its_data(options, columns, rows, metrics, texts, tmp_path):
    write_all(tmp_path, columns, rows)
    run = run_of(tmp_path / "run", train_file=str(tmp_path / "d.csv"), validation_file="v", **options)
    for ending in ("jsonl", "csv", "tsv"):
        for split in ("validation", "test")[
            : 1 if "accuracy" in metrics else 2
        ]:  # a model names the classes of a test file
            task, _ = own_task(str(tmp_path / f"d.{ending}"), split, run, {})
            examples = task.examples(split)
            assert task.metrics == metrics and examples.texts == texts
            assert task.labelled(split) or (split == "test" and metrics[0] == "pearson")
    if "prompt" in options or "num_beams" in options:
        assert task.strategy.prompt == options.get("prompt")
        assert task.strategy.generation == ({"num_beams": 3} if "num_beams" in options else {})


def test_plain_lines(tmp_path):
    (tmp_path / "s.txt").write_text("a\nb\n")
    (tmp_path / "t.txt").write_text("c\nd\n")
    run = run_of(
        tmp_path / "run",
        source="s",
        target=("t",),
        validation_source="s",
        validation_target=("t",),
        prompt="{source} =",
    )
    task, _ = own_task(str(tmp_path / "s.txt"), "validation", run, {}, [str(tmp_path / "t.txt")] * 2)
    assert (
        task.examples("validation").columns["references"] == [("c", "c"), ("d", "d")]
        and task.strategy.prompt == "{source} ="
    )
    with pytest.raises(UserError, match="holds sources alone: give --target=FILE"):
        own_task(str(tmp_path / "s.txt"), "validation", run, {})
    assert not own_task(str(tmp_path / "s.txt"), "test", run, {})[0].labelled("test")


def test_flags_go_before_the_run(tmp_path, capsys):
    write_all(tmp_path, ["p", "y"], [["a", "no"], ["b", "yes"]])
    run = run_of(tmp_path / "run", train_file="t.csv", validation_file="v", text_columns=("q",), label_column="z")
    flags = {"text_columns": ("p",), "label_column": "y", "kind": "classification"}
    task, _ = own_task(str(tmp_path / "d.csv"), "validation", run, flags)
    assert task.labels == ("no", "yes") and capsys.readouterr().err == ""


def test_predictions_for_a_file(tmp_path, capsys):
    write_all(tmp_path, ["p", "y"], [["a", "no"], ["b", "yes"]])
    (tmp_path / "p.tsv").write_text("id\tprediction\tprobability\n0\tno\t0.9\n1\tno\t0.6\n")
    own = [f"--input={tmp_path}/d.csv", "--text_columns=p", "--label_column=y"]
    assert main(["evaluate", f"--predictions={tmp_path}/p.tsv", *own, "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 0.5


def test_what_does_not_go_together(tmp_path, capsys):
    write_all(tmp_path, ["p", "y"], [["a", "no"], ["b", "yes"]])
    own = f"--input={tmp_path}/d.csv"
    for argv, message in (
        (["evaluate", "--kind=span", "--task=glue/cola"], "kind goes with --input=FILE"),
        (["evaluate", own, "--task=glue/cola"], "task does not go with an input file"),
        (["evaluate", own, "--split=test"], "an input file has no splits"),
        (["evaluate", own, "--shots=2"], "shots does not go with an input file"),
        (["evaluate", f"--input={tmp_path}/none.csv"], "input must be a file"),
        (["evaluate", f"--predictions={own}", own], "needs one or two text_columns"),
        (["predict", "--task=glue/cola", "--kind=span"], "kind is for an input file"),
    ):
        assert main(argv) == 2
        assert message in capsys.readouterr().err
