"""Fine-tuning: a trainer over plain Keras `fit()`, its callbacks, and the directory that a run leaves.

Importing this package is cheap: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib

_NAMES = {
    "BestCheckpoint": "tfllm.training.callbacks.best_checkpoint",
    "EarlyStopping": "tfllm.training.callbacks.early_stopping",
    "Evaluate": "tfllm.training.callbacks.evaluate",
    "FinetuneConfig": "tfllm.training.finetune_config",
    "JsonlMetrics": "tfllm.training.callbacks.jsonl_metrics",
    "MlflowLogger": "tfllm.training.callbacks.mlflow_logger",
    "NanGuard": "tfllm.training.callbacks.nan_guard",
    "Progress": "tfllm.training.callbacks.progress",
    "RunDirectory": "tfllm.training.run_directory",
    "StepCallback": "tfllm.training.callbacks.step_callback",
    "StopAfter": "tfllm.training.callbacks.stop_after",
    "TensorBoardScalars": "tfllm.training.callbacks.tensorboard_scalars",
    "Throughput": "tfllm.training.callbacks.throughput",
    "Trainer": "tfllm.training.trainer",
    "WandbLogger": "tfllm.training.callbacks.wandb_logger",
    "averaged_weights": "tfllm.training.moving_averages",
    "finetune": "tfllm.training.seeds",
    "freeze": "tfllm.training.freezing",
    "gemm_peak": "tfllm.training.gemm",
    "lora": "tfllm.training.low_rank",
    "merge_lora": "tfllm.training.low_rank",
    "optimizer": "tfllm.training.optimizers",
    "quantize": "tfllm.training.low_rank",
}

__all__ = list(_NAMES)


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'tfllm.training' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
