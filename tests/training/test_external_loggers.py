"""Weights & Biases and MLflow, without a network."""

from __future__ import annotations

import importlib.util
import json

import pytest

from tfllm import training
from tfllm.errors import UserError
from tfllm.training.optional_library import check_optional


def needs(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library} (extra {library})")


@pytest.fixture()
def config(checkpoint, tmp_path):
    return training.FinetuneConfig(
        model=str(checkpoint),
        run_dir=str(tmp_path / "run"),
        max_steps=4,
        eval_every="2",
        log_every=2,
        checkpoint_every=None,
    )


def test_mlflow_gets_metrics_and_settings(config, task, tmp_path, monkeypatch):
    needs("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlflow")
    results = training.Trainer(config.replace(mlflow_experiment="toys"), task=task).run()
    import mlflow

    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("toys").experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == "run"
    assert run.data.params["learning_rate"] == "3e-05" and run.data.params["log_every"] == "2"
    scores = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "val_accuracy")]
    assert scores == [(line["step"], line["accuracy"]) for line in results["evaluations"]]
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [2, 4]


def test_mlflow_says_that_a_run_failed_and_goes_on_with_it(tmp_path, monkeypatch):
    needs("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlflow")
    import mlflow

    logger = training.MlflowLogger("toys", name="first")
    logger.write({"step": 1, "loss": 2.0, "grad": float("nan")})
    logger.close(failed=True)
    client = mlflow.MlflowClient()
    assert client.get_run(logger.run_id).info.status == "FAILED"
    again = training.MlflowLogger("toys", name="first")
    again.resume(1, 0, json.loads(json.dumps(logger.state())))
    again.write({"step": 2, "loss": 1.0})
    again.close()
    assert again.run_id == logger.run_id and client.get_run(logger.run_id).info.status == "FINISHED"
    assert [point.value for point in client.get_metric_history(logger.run_id, "loss")] == [2.0, 1.0]


def test_wandb_keeps_an_offline_run_in_the_run_directory(config, task, tmp_path, monkeypatch):
    needs("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    training.Trainer(config.replace(wandb_project="toys"), task=task).run()
    (directory,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (log,) = directory.glob("run-*.wandb")
    content = log.read_bytes()  # records of protocol buffers, their names and JSON values in plain text
    assert b"val_accuracy" in content and b"learning_rate" in content and b"toys" in content


@pytest.mark.parametrize("library", ["wandb", "mlflow"])
def test_a_missing_library_is_told_with_its_extra(library, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=rf'library {library}, which is not installed.*pip install "tfllm\[{library}\]"'
    ):
        check_optional(library, extra=library, wanted_by="an option")


def test_a_missing_library_leaves_no_run_directory(config, task, monkeypatch, tmp_path):
    from tfllm.training import optional_library

    found = importlib.util.find_spec
    monkeypatch.setattr(
        optional_library.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "wandb" else found(name, *rest),
    )
    with pytest.raises(UserError, match="wandb_project needs the library wandb"):
        training.Trainer(config.replace(wandb_project="toys"), task=task).run()
    assert not (tmp_path / "run").exists()
