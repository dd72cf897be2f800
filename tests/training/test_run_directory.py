from __future__ import annotations

import json

import pytest

from tfllm.errors import UserError
from tfllm.training import RunDirectory


def test_a_directory_with_something_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for overwrite in (False, True):  # overwriting is for earlier runs only
        with pytest.raises(UserError, match=str(tmp_path)):
            RunDirectory(tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_overwrite_removes_what_a_run_wrote_and_nothing_else(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.write_json("results.json", {})
    run.write_text("validation_predictions.tsv", "old")
    (run / "model").mkdir()
    (run / "model" / "config.json").write_text("{}")
    (run / "notes.txt").write_text("mine")
    RunDirectory(run.path, overwrite=True)
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="which is a file"):
        RunDirectory(tmp_path / "run")


def test_json_is_strict_whole_and_leaves_no_temporary_file(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.write_json("results.json", {"a": [float("nan"), 1.0], "b": {"c": float("inf")}})
    run.write_json("results.json", {"a": [float("nan"), 2.0]})
    assert json.loads((run / "results.json").read_text()) == {"a": [None, 2.0]}
    with pytest.raises(TypeError):
        run.write_json("results.json", {"a": object()})
    assert json.loads((run / "results.json").read_text()) == {"a": [None, 2.0]}
    assert [path.name for path in run.path.iterdir()] == ["results.json"]


def test_a_run_that_was_killed_at_its_very_beginning_is_begun_again(tmp_path):
    """Nothing there but the lock, which the system has let go; then the status alone."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text("")
    run = RunDirectory(tmp_path / "run", config={"seed": 1})
    assert not run.goes_on
    run.write_json("results.json", {"status": "running"})
    assert RunDirectory(tmp_path / "run", config={"seed": 1}).goes_on
    run.write_json("config.json", {"seed": 2})
    with pytest.raises(UserError, match="seed is 2 there and 1 now"):
        RunDirectory(tmp_path / "run", config={"seed": 1})
