"""The loggers of other libraries that a `FinetuneConfig` asks for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tfllm.training.finetune_config import FinetuneConfig
from tfllm.training.optional_library import check_optional

if TYPE_CHECKING:
    import keras


def check_external_loggers(config: FinetuneConfig) -> None:
    """Tells of a library that is not installed before anything is written.

    Raises:
        UserError: it is not.
    """
    if config.wandb_project is not None:
        check_optional("wandb", extra="wandb", wanted_by="wandb_project")
    if config.mlflow_experiment is not None:
        check_optional("mlflow", extra="mlflow", wanted_by="mlflow_experiment")


def external_loggers(config: FinetuneConfig, run_dir: str | os.PathLike) -> list[keras.callbacks.Callback]:
    """A callback for each of `wandb_project` and `mlflow_experiment` that is given; runs are named as the run directory is."""
    loggers: list = []
    common = {"name": Path(run_dir).resolve().name, "settings": config.to_dict(), "every": config.log_every}
    if config.wandb_project is not None:
        from tfllm.training.callbacks.wandb_logger import WandbLogger

        loggers.append(WandbLogger(config.wandb_project, directory=run_dir, **common))
    if config.mlflow_experiment is not None:
        from tfllm.training.callbacks.mlflow_logger import MlflowLogger

        loggers.append(MlflowLogger(config.mlflow_experiment, **common))
    return loggers


def close_loggers(callbacks: list) -> None:
    """Ends as failed the runs of loggers that `fit()` has not ended itself."""
    from tfllm.training.callbacks.external_logger import ExternalLogger

    for callback in callbacks:
        if isinstance(callback, ExternalLogger):
            callback.close(failed=True)
