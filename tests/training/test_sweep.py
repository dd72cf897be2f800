"""Sweeps: what is run, what is kept, what is run again."""

from __future__ import annotations

import json

import pytest
import toy_finetuning

from tfllm.errors import UserError
from tfllm.training import FinetuneConfig
from tfllm.training.sweep import combinations, sweep, to_flags


@pytest.fixture()
def files(tmp_path):
    return {
        name: str(toy_finetuning.write_jsonl(tmp_path / f"{name}.jsonl", toy_finetuning.sentiment(24, size)))
        for name, size in (("train_file", 1), ("validation_file", 2))
    }


class Runs:
    """Carries configurations out by writing what a run would leave, and keeps count of them."""

    def __init__(self, **scores):
        self.done, self.broken = [], set()

    def __call__(self, config: FinetuneConfig) -> str | None:
        self.done.append(config)
        directory = toy_finetuning.Path(config.run_dir)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(config.to_dict()))
        status = "failed" if config.batch_size in self.broken else "ok"
        score = {"accuracy": config.learning_rate * config.batch_size, "ci95": {"accuracy": [0.0, 1.0]}, "n": 8}
        results = {
            "status": status,
            "task": {"main_metric": "accuracy"},
            "selection_split": "validation",
            "scores": {"validation": score},
            "seconds": {"total": 1.5},
        }
        (directory / "results.json").write_text(json.dumps(results))
        return "out of memory" if status == "failed" else None


CONFIG = FinetuneConfig(task="glue/rte", model="demo")
GRID = {"learning_rate": [1e-3, 3e-3], "batch_size": [4, 8]}


def test_every_combination_is_run_in_a_directory_of_its_own(tmp_path):
    run = Runs()
    result = sweep(CONFIG, GRID, tmp_path / "sweep", run=run)
    assert [(one.learning_rate, one.batch_size) for one in run.done] == [(1e-3, 4), (1e-3, 8), (3e-3, 4), (3e-3, 8)]
    assert result["best"] == "learning_rate-0.003_batch_size-8" and result["status"] == "ok"
    assert (tmp_path / "sweep" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((tmp_path / "sweep" / "results.json").read_text())
    assert written["runs"][0] == {
        "name": "learning_rate-0.001_batch_size-4", "settings": {"learning_rate": 0.001, "batch_size": 4}, "status": "ok",
        "score": 0.004, "ci95": [0.0, 1.0], "seconds": 1.5, "metric": "accuracy", "split": "validation",
    }  # fmt: skip


def test_what_is_finished_is_kept_and_what_failed_is_run_again(tmp_path):
    run = Runs()
    run.broken = {8}
    result = sweep(CONFIG, GRID, tmp_path, run=run)
    assert result["status"] == "failed" and [row["status"] for row in result["runs"]] == ["ok", "failed"] * 2
    assert result["runs"][1]["error"] == "out of memory"
    again = Runs()
    assert sweep(CONFIG, GRID, tmp_path, run=again)["status"] == "ok"
    assert [one.batch_size for one in again.done] == [8, 8] and all(one.overwrite for one in again.done)


def test_a_killed_run_is_gone_on_with(tmp_path):
    name, config = next(iter(combinations(CONFIG, GRID, tmp_path).items()))
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").write_text(json.dumps(config.to_dict()))
    (tmp_path / name / "results.json").write_text('{"status": "running"}')
    run = Runs()
    sweep(CONFIG, GRID, tmp_path, run=run)
    assert len(run.done) == 4 and not run.done[0].overwrite


def test_an_interrupt_leaves_what_was_done(tmp_path):
    def interrupted(config):
        if config.batch_size == 8:
            raise KeyboardInterrupt
        return Runs()(config)

    with pytest.raises(KeyboardInterrupt):
        sweep(CONFIG, GRID, tmp_path, run=interrupted)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["status"] == "interrupted" and len(written["runs"]) == 1
    run = Runs()
    sweep(CONFIG, GRID, tmp_path, run=run)
    assert len(run.done) == 3


def test_a_finished_run_of_other_options_is_refused(tmp_path):
    sweep(CONFIG, GRID, tmp_path, run=Runs())
    with pytest.raises(UserError, match="finished run with another epochs: 3. Received: 5"):
        sweep(CONFIG.replace(epochs=5), GRID, tmp_path, run=Runs())


@pytest.mark.parametrize(
    "grid, message",
    [
        ({}, "needs a grid"),
        ({"lr": [1]}, "must name options of finetune.*'lr'"),
        ({"run_dir": ["a"]}, "without run_dir, overwrite"),
        ({"seed": [1, 1]}, "each once, for seed. Received: seed=1,1"),
        ({"batch_size": [0]}, "batch_size must be at least 1"),
    ],
)
def test_what_is_wrong_in_a_grid(grid, message, tmp_path):
    with pytest.raises(UserError, match=message):
        combinations(CONFIG, grid, tmp_path)


def test_flags_give_the_configuration_back():
    from tfllm.commands.flags import parse

    config = FinetuneConfig(
        model="a b", train_file="t.tsv", validation_file="v.tsv", text_columns=("a", "b"), clip_norm=None, warmup=5.0,
        overwrite=True, learning_rate=1.5e-4, eval_every="7",
    )  # fmt: skip
    assert parse(FinetuneConfig, to_flags(config), program="x", summary="") == config


def test_the_command_runs_processes_and_prints_a_table(checkpoint, files, tmp_path, capsys):
    from tfllm.cli import main

    arguments = [
        "sweep", "--grid=learning_rate=1e-3,1e-2", f"--run_dir={tmp_path}/sweep", f"--model={checkpoint}", "--max_steps=1",
        "--text_columns=text", *(f"--{name}={path}" for name, path in files.items()),
    ]  # fmt: skip
    # One of the two was done before: a second process is started for the other alone.
    Runs()(next(iter(combinations_of(arguments).values())))
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split()[:3] == ["learning_rate", "accuracy", "on"] and "best: learning_rate-" in out
    assert "run 2 of 2: learning_rate-0.01" in err and "run 1 of 2" not in err
    assert json.loads((tmp_path / "sweep" / "learning_rate-0.01" / "results.json").read_text())["steps"] == 1


def combinations_of(arguments: list[str]) -> dict[str, FinetuneConfig]:
    from tfllm.commands.flags import parse
    from tfllm.commands.sweep import Config, parse_grid

    config = parse(Config, arguments[1:], program="x", summary="")
    return combinations(config.common(), parse_grid(config.grid), toy_finetuning.Path(config.run_dir))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--grid=learning_rate"], "option=value,value"),
        (["--grid=seed=a"], "--seed=a"),
        (["--grid=nothing=1"], "Unknown command line flag 'nothing'"),
        (["--grid=seed=1", "--overwrite"], "keeps what is finished"),
        (["--grid=seed=1", "--task=glue/mnil", "--model=demo"], "did you mean glue/mnli"),
        ([], "needs a grid"),
    ],
)
def test_wrong_flags_are_one_line(arguments, message, capsys):
    from tfllm.cli import main

    assert main(["sweep", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
