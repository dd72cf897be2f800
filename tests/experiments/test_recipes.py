"""Every recipe says what it is, and runs."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest
import toy_finetuning

from tfllm.commands.recipe import main

RECIPES = sorted((Path(__file__).parents[2] / "experiments" / "recipes").glob("*.py"))
PAIRS = [("a good film", "the film was good"), ("the plot", "a dull scene"), ("a fine story", "the story was fine")] * 4


def load(path: Path):
    specification = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def write(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in ([header] if header else []) + rows))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A few made-up examples for the recipes' benchmarks, in the forms of their own files."""
    root = tmp_path_factory.mktemp("data")
    reviews = toy_finetuning.sentiment(12, 0)
    labels = [int(label == "positive") for label in reviews["label"]]
    for split in ("train", "dev"):
        write(
            root / "SST-2" / f"{split}.tsv", "sentence\tlabel", [f"{t}\t{y}" for t, y in zip(reviews["text"], labels)]
        )
        write(root / "CoLA" / f"{split}.tsv", "", [f"x\t{y}\t\t{t}" for t, y in zip(reviews["text"], labels)])
        entailed = ["entailment", "not_entailment"]
        rows = [f"{i}\t{a}\t{b}\t{entailed[i % 2]}" for i, (a, b) in enumerate(PAIRS)]
        write(root / "RTE" / f"{split}.tsv", "index\tsentence1\tsentence2\tlabel", rows)
        header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
        rows = [f"{i}\tm\tf\t2012\t{i}\tn\tn\t{a}\t{b}\t{i % 6}.000" for i, (a, b) in enumerate(PAIRS)]
        write(root / "STS-B" / f"{split}.tsv", header, rows)
        contexts = [f"the film was {word} and the plot was dull" for word in ("good", "fine", "bad")]
        paragraphs = [
            {
                "context": context,
                "qas": [{"id": f"{split}{i}", "question": "was the film", "answers": [answer(context)]}],
            }
            for i, context in enumerate(contexts)
        ]
        (root / f"{split}-v1.1.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    for split in ("train", "val"):
        records = [
            {"premise": a, "hypothesis": b, "label": ["entailment", "not_entailment"][i % 2], "idx": i}
            for i, (a, b) in enumerate(PAIRS)
        ]
        write(root / "superglue" / "RTE" / f"{split}.jsonl", "", list(map(json.dumps, records)))
    return root


def answer(context: str) -> dict:
    word = context.split()[3]
    return {"text": word, "answer_start": context.index(word)}


def test_there_are_recipes():
    assert {"glue_sst2", "glue_cola", "glue_rte", "glue_stsb", "squad", "superglue_rte"} <= {
        path.stem for path in RECIPES
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_docstring_states_command_score_time_and_machine(path):
    facts = dict(
        re.findall(
            r"^(Command|Score|Time|Machine): (.+)$", ast.get_docstring(ast.parse(path.read_text())), re.MULTILINE
        )
    )
    assert set(facts) == {"Command", "Score", "Time", "Machine"}
    assert facts["Command"].startswith(f"python experiments/recipes/{path.name}")
    assert re.match(r"\d+\.\d+ ", facts["Score"])
    assert re.match(r"[\d.]+ minutes", facts["Time"])


# The embedded task reads the whole standard library, and scores 800 pairs.
TAKES_LONG = ("stdlib_docstrings",)


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in TAKES_LONG)) for path in RECIPES]
)
def test_it_runs_for_two_steps(path, checkpoint, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFLLM_CACHE", str(tmp_path / "cache"))
    recipe = load(path)
    config = recipe.config()
    needs_data = not config.task.startswith("stdlib/")
    folder = data / "superglue" if config.task.startswith("superglue/") else data
    flags = [
        f"--model={checkpoint}",
        f"--run_dir={tmp_path}/run",
        "--max_steps=2",
        "--batch_size=4",
        "--eval_every=epoch",
    ]
    flags += [f"--data_dir={folder}"] if needs_data else []
    assert main(config, doc=recipe.__doc__, argv=[path.name, *flags]) == 0
    assert "validation" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert results["status"] == "ok" and results["steps"] == 2
    assert kept["learning_rate"] == config.learning_rate and kept["batch_size"] == 4


def test_what_the_user_gets_wrong_is_one_line(capsys):
    recipe = load(RECIPES[0])
    assert main(recipe.config(), doc=recipe.__doc__, argv=["recipe.py", "--epochs=0"]) == 2
    assert capsys.readouterr().err == "recipe.py: error: epochs must be at least 1. Received: epochs=0.\n"
